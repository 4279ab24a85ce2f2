package cache_test

import (
	"slices"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
)

// warm warms an image and tells the blobs that were kept before and those that came.
func (s *setting) warm(t *testing.T, who, path string, platforms ...string) (kept, fetched []string, err error) {
	t.Helper()
	_, err = s.Warm(t.Context(), reader(who), s.ref(t, path), cache.Wish{Platforms: platforms}, func(w cache.Warmed) {
		if w.Kept {
			kept = append(kept, w.Digest.String())
		} else {
			fetched = append(fetched, w.Digest.String())
		}
	})
	slices.Sort(kept)
	slices.Sort(fetched)
	return kept, fetched, err
}

func TestWarmingFetchesWhatIsNotKeptAndNothingTwice(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	want := slices.Sorted(slices.Values(layersOf(t, img)))
	kept, fetched, err := s.warm(t, "acme", "acme/train:v1")
	if err != nil || kept != nil || !slices.Equal(fetched, want) {
		t.Errorf("kept %v, fetched %v, %v", kept, fetched, err)
	}
	kept, fetched, err = s.warm(t, "acme", "acme/train:v1")
	if err != nil || fetched != nil || !slices.Equal(kept, want) {
		t.Errorf("the second time: kept %v, fetched %v, %v", kept, fetched, err)
	}
	if _, _, err := s.warm(t, "rival", "acme/train:v1"); err == nil {
		t.Error("who has no right can warm it")
	}
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Error(err)
	}
}

func TestOfAnIndexTheWantedPlatformsAreWarmed(t *testing.T) {
	s := newSetting(t)
	index := v1.ImageIndex(empty.Index)
	layers := make(map[string][]string)
	for _, architecture := range []string{"amd64", "arm64", "s390x"} {
		img, err := random.Image(1<<12, 2)
		if err != nil {
			t.Fatal(err)
		}
		layers[architecture] = slices.Sorted(slices.Values(layersOf(t, img)))
		index = mutate.AppendManifests(index, mutate.IndexAddendum{
			Add: img, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: architecture}},
		})
	}
	if _, err := s.Push(t.Context(), "acme/many", "v1", index); err != nil {
		t.Fatal(err)
	}
	_, fetched, err := s.warm(t, "acme", "acme/many:v1", "linux/arm64")
	if err != nil || !slices.Equal(fetched, layers["arm64"]) {
		t.Errorf("fetched %v, %v", fetched, err)
	}
	kept, fetched, err := s.warm(t, "acme", "acme/many:v1", cache.AllPlatforms)
	if err != nil || !slices.Equal(kept, layers["arm64"]) || len(fetched) != len(layers["amd64"])+len(layers["s390x"]) {
		t.Errorf("kept %v, fetched %v, %v", kept, fetched, err)
	}
	_, _, err = s.warm(t, "acme", "acme/many:v1", "windows/amd64", "linux/ppc64le")
	wantFault(t, err, fault.Invalid, "platform_mismatch")
	_, _, err = s.warm(t, "acme", "acme/many:v1", "a/b/c/d")
	wantFault(t, err, fault.Invalid, "platform")
}

func TestTheStatusTellsWhatWasSavedAndToEachItsOwn(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	other := s.push(t, "rival/train", "v1")
	for range 3 {
		if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.pull(t, "rival", "rival/train:v1", other); err != nil {
		t.Fatal(err)
	}
	s.Sent(1000)
	var size int64
	for _, i := range []v1.Image{img, other} {
		manifest, err := i.Manifest()
		if err != nil {
			t.Fatal(err)
		}
		size += manifest.Config.Size
		for _, layer := range manifest.Layers {
			size += layer.Size
		}
	}
	status := func(r cache.Reader) cache.Status {
		t.Helper()
		told, err := s.Status(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return told
	}
	got := status(reader("acme"))
	if got.Manifests != 4 || got.ManifestHits != 2 || got.Blobs != 12 || got.BlobHits != 6 || got.Fetched != size || got.Sent != 1000 || !got.Since.Equal(s.clock.Now()) {
		t.Errorf("it tells %+v, of %d bytes", got.Stats, size)
	}
	if got.Usage.Organizations["acme"] == 0 || len(got.Usage.Organizations) != 1 {
		t.Errorf("acme is told of %v", got.Usage.Organizations)
	}
	// What was read last is kept a moment after its last byte.
	operator := cache.Reader{Actor: account.Actor{UserID: "o", Operator: true}}
	for len(status(operator).Usage.Organizations) != 2 {
		select {
		case <-time.After(time.Millisecond):
		case <-t.Context().Done():
			t.Fatalf("an operator is told of %v", status(operator).Usage.Organizations)
		}
	}
	if got := status(cache.Reader{Actor: account.Actor{UserID: "m"}}); len(got.Usage.Organizations) != 0 {
		t.Errorf("who reads for nobody is told of %v", got.Usage.Organizations)
	}
	_, err := s.Manifest(t.Context(), cache.Reader{Actor: account.Actor{UserID: "m"}}, s.ref(t, "acme/train:v1"))
	wantFault(t, err, fault.Unauthenticated, "project_missing")
}
