package blobs_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/depot/depottest"
	"fairlead.dev/fairlead/internal/fault"
)

func testHints(t *testing.T, url string) {
	t.Helper()
	store, other := openStore(t, blobs.Config{URL: url}), openStore(t, blobs.Config{URL: url})
	a, b := digest.FromString("a"), digest.SHA512.FromString("b")
	for _, d := range []digest.Digest{a, b, a} {
		if err := store.Hint(t.Context(), "registry.example/acme", d, "of "+d.String()); err != nil {
			t.Fatal(err)
		}
	}
	want := []digest.Digest{a, b}
	slices.Sort(want)
	got, err := other.Hints(t.Context(), "registry.example/acme")
	slices.Sort(got)
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("another process is told %v, %v", got, err)
	}
	if text, err := other.HintText(t.Context(), "registry.example/acme", a); err != nil || text != "of "+a.String() {
		t.Errorf("its text is %q, %v", text, err)
	}
	if _, err := other.HintText(t.Context(), "registry.example/rival", a); !errors.Is(err, blobs.ErrNotFound) {
		t.Errorf("the text of what was not noted: %v", err)
	}
	if err := store.Hint(t.Context(), "x", a, strings.Repeat("x", 4097)); !fault.Is(err, fault.Invalid) {
		t.Errorf("a text without end is noted: %v", err)
	}
	if got, err := other.Hints(t.Context(), "registry.example/rival"); err != nil || len(got) > 0 {
		t.Errorf("of another name it is told %v, %v", got, err)
	}
	for range 2 {
		if err := other.Forget(t.Context(), "registry.example/acme", a); err != nil {
			t.Error(err)
		}
	}
	if got, err := store.Hints(t.Context(), "registry.example/acme"); err != nil || !slices.Equal(got, []digest.Digest{b}) {
		t.Errorf("after one was taken back: %v, %v", got, err)
	}
	for _, d := range []digest.Digest{"", "sha256:no", "md5:d41d8cd98f00b204e9800998ecf8427e"} {
		if err := store.Hint(t.Context(), "x", d, ""); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q is noted: %v", d, err)
		}
	}
}

func TestHintsReachOtherProcesses(t *testing.T) { testHints(t, "file://"+t.TempDir()) }

func TestHintsReachOtherProcessesByWayOfABucket(t *testing.T) {
	depottest.Each(t, func(t *testing.T, cloud *depottest.Cloud) { testHints(t, cloud.Depot) })
}
