package cache_test

import (
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"

	"fairlead.dev/fairlead/internal/fault"
)

func TestABlobIsGivenWhereItsManifestWasAskedForElsewhere(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	if _, err := s.Manifest(t.Context(), reader("acme"), s.ref(t, "acme/train:v1")); err != nil {
		t.Fatal(err)
	}
	s.Cache = s.another(t) // after a restart, or beside it
	asked := s.ManifestRequests("acme/train")
	for _, d := range layersOf(t, img) {
		if _, err := s.blob(t, "acme", "acme/train", d); err != nil {
			t.Error(err)
		}
	}
	if n := s.ManifestRequests("acme/train") - asked; n != 1 {
		t.Errorf("%d requests for the manifest proved the right to its blobs", n)
	}
	if _, err := s.blob(t, "rival", "acme/train", layersOf(t, img)[0]); err == nil {
		t.Error("who has no right to the manifest is given its blob")
	}

	s.SetRights("acme")
	s.Cache = s.another(t)
	if _, err := s.blob(t, "acme", "acme/train", layersOf(t, img)[0]); err == nil {
		t.Error("who has lost the right to the manifest is given its blob")
	}
}

func TestABlobOfAnIndexsImageIsGivenWhereThatWasAskedForElsewhere(t *testing.T) {
	s := newSetting(t)
	img, err := random.Image(1<<10, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), "acme/train", "v1", mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.warm(t, "acme", "acme/train:v1", "all"); err != nil {
		t.Fatal(err)
	}
	s.Cache = s.another(t)
	for _, d := range layersOf(t, img) {
		if _, err := s.blob(t, "acme", "acme/train", d); err != nil {
			t.Error(err)
		}
	}
	_, err = s.blob(t, "acme", "acme/train", "sha256:9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08")
	wantFault(t, err, fault.NotFound, "blob_unknown")
}
