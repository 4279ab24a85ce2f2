package cache_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
)

// operator reads for an organisation, and runs the installation.
func operator(organization string) cache.Reader {
	r := reader(organization)
	r.Actor = account.Actor{UserID: "o", Username: "o", Operator: true}
	return r
}

// keptOf counts the blobs of an image that are kept.
func keptOf(t *testing.T, store *blobs.Store, img v1.Image) (kept int) {
	t.Helper()
	for _, d := range layersOf(t, img) {
		if _, err := store.Stat(t.Context(), digest.Digest(d)); err == nil {
			kept++
		}
	}
	return kept
}

func TestWhatIsPinnedStaysUntilNoPinLeadsToIt(t *testing.T) {
	s := newSetting(t)
	c, store := s.limited(t, 0)
	base := s.push(t, "acme/base", "v1")
	layers, err := base.Layers()
	if err != nil {
		t.Fatal(err)
	}
	train, err := mutate.AppendLayers(base, layers[0]) // the same layers, and another configuration
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), "acme/train", "v1", train); err != nil {
		t.Fatal(err)
	}
	pin := func(path string) {
		t.Helper()
		if _, err := c.Warm(t.Context(), operator("acme"), s.ref(t, path), cache.Wish{Pin: true}, func(cache.Warmed) {}); err != nil {
			t.Fatal(err)
		}
	}
	collect := func() {
		t.Helper()
		if err := store.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	pin("acme/base:v1")
	pin("acme/train:v1")
	pin("acme/train:v1") // once more changes nothing
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	c, store = s.limited(t, 1) // room for nothing
	collect()
	if kept := keptOf(t, store, base) + keptOf(t, store, train); kept != 3+4 {
		t.Errorf("%d blobs of what is pinned are kept", kept)
	}
	pins, err := c.Pins(t.Context())
	if err != nil || len(pins) != 2 || pins[0].Image != s.ref(t, "acme/base:v1").String() || pins[1].Image != s.ref(t, "acme/train:v1").String() {
		t.Errorf("the pins are %v, %v", pins, err)
	}

	if err := c.Unpin(t.Context(), s.ref(t, "acme/base:v1")); err != nil {
		t.Fatal(err)
	}
	collect()
	if kept := keptOf(t, store, train); kept != 4 {
		t.Errorf("%d blobs of what is still pinned are kept", kept)
	}
	if kept := keptOf(t, store, base); kept != 2 { // the layers, and not its configuration
		t.Errorf("%d blobs are kept of what is not pinned any more", kept)
	}
	wantFault(t, c.Unpin(t.Context(), s.ref(t, "acme/base:v1")), fault.NotFound, "pin_unknown")
	if err := c.Unpin(t.Context(), s.ref(t, "acme/train:v1")); err != nil {
		t.Fatal(err)
	}
	collect()
	if got := store.Usage(); got.Blobs != 0 {
		t.Errorf("of nothing that is pinned %d blobs are kept", got.Blobs)
	}
}

func TestATagThatIsPinnedAnewLetsGoOfWhatItWas(t *testing.T) {
	s := newSetting(t)
	c, store := s.limited(t, 0)
	old := s.push(t, "acme/train", "v1")
	pin := func() {
		t.Helper()
		if _, err := c.Warm(t.Context(), operator("acme"), s.ref(t, "acme/train:v1"), cache.Wish{Pin: true}, func(cache.Warmed) {}); err != nil {
			t.Fatal(err)
		}
	}
	pin()
	fresh := s.push(t, "acme/train", "v1")
	s.clock.pass(2 * 60e9)
	pin()
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	_, store = s.limited(t, 1)
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keptOf(t, store, old) != 0 || keptOf(t, store, fresh) != 3 {
		t.Errorf("of the old image %d blobs are kept, of the new one %d", keptOf(t, store, old), keptOf(t, store, fresh))
	}
}

func TestOnlyWhoRunsTheInstallationPins(t *testing.T) {
	s := newSetting(t)
	s.push(t, "acme/train", "v1")
	_, err := s.Warm(t.Context(), reader("acme"), s.ref(t, "acme/train:v1"), cache.Wish{Pin: true}, func(cache.Warmed) {})
	wantFault(t, err, fault.Denied, "not_operator")
	if pins, err := s.Pins(t.Context()); err != nil || len(pins) > 0 {
		t.Errorf("the pins are %v, %v", pins, err)
	}
}
