package pull_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
)

// otherHost is another registry than that of the private image.
const otherHost = "other.example.com"

// claims has a far side show an image as mallory's, whatever the registry
// itself has.
func (f *farSide) claims(t *testing.T, img v1.Image, blobs map[string][]byte) {
	t.Helper()
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	digest, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	var named v1.Manifest
	if err := json.Unmarshal(manifest, &named); err != nil {
		t.Fatal(err)
	}
	f.between(func(w http.ResponseWriter, r *http.Request) bool {
		answer, found := blobs[r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]
		switch {
		case !strings.Contains(r.URL.Path, "/mallory/"):
			return false
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", string(named.MediaType))
			w.Header().Set("Docker-Content-Digest", digest.String())
			answer, found = manifest, true
		case strings.HasSuffix(r.URL.Path, named.Config.Digest.String()):
			answer, found = config, true
		}
		if !found {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(answer)))
		if r.Method != http.MethodHead {
			_, _ = w.Write(answer)
		}
		return true
	})
}

// digestOf is a layer's name at the registry.
func digestOf(t *testing.T, l testLayer) string {
	t.Helper()
	hash, err := l.Digest()
	if err != nil {
		t.Fatal(err)
	}
	return hash.String()
}

// A private image is on the worker. Somebody who knows nothing of it but its
// digests names them in an image of their own.
func TestKnowingTheDigestsOfALayerIsNotHavingIt(t *testing.T) {
	private := layer(t, file("secret", "secret"))
	own := layer(t, file("own", "own"))

	// posing is mallory's own blob, which claims to unpack to the private layer.
	posing := own
	posing.diffID = private.diffID

	forged := bytes.Repeat([]byte("x"), len(private.blob))
	for outcome, c := range map[string]struct {
		host  string
		named testLayer
		blobs map[string][]byte
		kind  fault.Kind
		code  string
	}{
		"in the same registry whose word is that the repository has it not": {
			host: host, named: private, kind: fault.NotFound, code: "layer_missing",
		},
		"in the same registry as what a blob of their own unpacks to": {
			host: host, named: posing, blobs: map[string][]byte{digestOf(t, own): own.blob}, kind: fault.Unavailable, code: "layer_corrupt",
		},
		"in a registry of their own which claims to have it": {
			host: otherHost, named: private, blobs: map[string][]byte{digestOf(t, private): forged}, kind: fault.Unavailable, code: "layer_corrupt",
		},
		"in a registry of their own as what a blob of their own unpacks to": {
			host: otherHost, named: posing, blobs: map[string][]byte{digestOf(t, own): own.blob}, kind: fault.Unavailable, code: "layer_corrupt",
		},
	} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			far.push(t, "acme/private:v1", imageOf(t, private, layer(t, file("top", "top"))))
			store := openStore(t, pull.Config{})
			mustPull(t, store, far.request(t, "acme/private:v1"))

			mallory := far
			if c.host != host {
				mallory = newFarSideOf(t, c.host)
			}
			mallory.claims(t, imageOf(t, c.named), c.blobs)
			for range 2 { // a failed try must not count as a proof
				_, err := store.Pull(t.Context(), mallory.request(t, "mallory/image:v1"))
				wantFault(t, err, c.kind, c.code)
			}

			// Whose it is still has it.
			img := mustPull(t, store, far.request(t, "acme/private:v1"))
			if tree := readTree(t, mustMount(t, store, img, "k")); tree["secret"] != "secret" {
				t.Errorf("tree = %v", tree)
			}
		})
	}
}

// Two registries that have the same layer both give its bytes once; it is
// unpacked once.
func TestALayerOfAnotherRegistryIsProvenByItsBytesAndThenKnown(t *testing.T) {
	shared := layer(t, file("shared", "shared"))
	far, other := newFarSide(t), newFarSideOf(t, otherHost)
	far.push(t, "acme/a:v1", imageOf(t, shared, layer(t, file("own", "a"))))
	other.push(t, "acme/b:v1", imageOf(t, shared, layer(t, file("own", "b"))))
	other.push(t, "acme/c:v1", imageOf(t, shared, layer(t, file("own", "c"))))
	store := openStore(t, pull.Config{})
	mustPull(t, store, far.request(t, "acme/a:v1"))

	second := mustPull(t, store, other.request(t, "acme/b:v1"))
	if got := other.seen(shared.blobPath()); len(got) != 1 || !strings.HasPrefix(got[0], http.MethodGet) {
		t.Errorf("requests for the layer of another registry: %q, want its bytes", got)
	}
	third := mustPull(t, store, other.request(t, "acme/c:v1"))
	if got := other.seen(shared.blobPath()); len(got) != 1 || !strings.HasPrefix(got[0], http.MethodHead) {
		t.Errorf("requests for a layer that this registry gave: %q, want one that asks for the right to it", got)
	}
	for key, img := range map[string]pull.Image{"b": second, "c": third} {
		if tree := readTree(t, mustMount(t, store, img, key)); tree["shared"] != "shared" || tree["own"] != key {
			t.Errorf("tree of %s = %v", key, tree)
		}
	}
}

// An organisation can have its credential lead a registry's name to a server of its own.
func TestAServerThatARegistrysNameIsLedToGetsNothingOfWhatTheRegistryBrought(t *testing.T) {
	far := newFarSide(t)
	img := imageOf(t, layer(t, file("private", "of acme")))
	far.push(t, "acme/train:v1", img)
	store := openStore(t, pull.Config{})
	store.Release(mustPull(t, store, far.request(t, "acme/train:v1")))
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	named, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	liar := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch configName, _ := img.ConfigName(); {
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", string(types.OCIManifestSchema1))
			w.Header().Set("Docker-Content-Digest", named.String())
			w.Header().Set("Content-Length", strconv.Itoa(len(manifest)))
			_, _ = w.Write(manifest)
		case strings.HasSuffix(r.URL.Path, configName.String()):
			_, _ = w.Write(config)
		case r.Method != http.MethodHead: // it says that it has the layer
			w.WriteHeader(http.StatusNotFound)
		}
	}))
	t.Cleanup(liar.Close)
	elsewhere, err := far.transport.With(oci.Reach{Addresses: map[string]string{host: liar.Listener.Addr().String()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(elsewhere.CloseIdleConnections)
	request := far.request(t, "acme/train:v1")
	request.Route = elsewhere.For(host)
	_, err = store.Pull(t.Context(), request)
	wantFault(t, err, fault.NotFound, "layer_missing")
}
