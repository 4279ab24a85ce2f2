package pull_test

import (
	"context"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAnImageIsPulledMountedAndWritable(t *testing.T) {
	far := newFarSide(t)
	img := imageOf(t, layer(t, file("hello", "hello"), dir("etc"), file("etc/a", "1")), layer(t, file("etc/b", "2")))
	far.push(t, "acme/train:v1", img)
	want, _ := img.Digest()
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})

	var resolved []digest.Digest
	var last pull.Progress
	request := far.request(t, "acme/train:v1")
	request.Resolved = func(d digest.Digest) { resolved = append(resolved, d) }
	request.Progress = func(p pull.Progress) { last = p }
	pulled := mustPull(t, store, request)

	if diff := cmp.Diff([]digest.Digest{digest.Digest(want.String())}, resolved); diff != "" {
		t.Errorf("resolved (-want +got):\n%s", diff)
	}
	for _, l := range last.Layers {
		if l.Phase != pull.Done || l.Done != l.Total {
			t.Errorf("the last progress of %s is %+v", l.Short(), l)
		}
	}
	if pulled.Digest != pulled.ManifestDigest || pulled.Config.Config.Cmd[0] != "/hello" || pulled.Unpacked != 7 {
		t.Errorf("image = %+v", pulled)
	}
	rootfs := mustMount(t, store, pulled, "one")
	if rootfs != filepath.Join(root, "rootfs", "one") {
		t.Errorf("rootfs = %s", rootfs)
	}
	if err := os.WriteFile(filepath.Join(rootfs, "etc/c"), []byte("3"), 0o644); err != nil {
		t.Fatal(err)
	}
	wantTree := map[string]string{"hello": "hello", "etc/": "", "etc/a": "1", "etc/b": "2", "etc/c": "3"}
	if diff := cmp.Diff(wantTree, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	delete(wantTree, "etc/c")
	if diff := cmp.Diff(wantTree, readTree(t, mustMount(t, store, pulled, "two"))); diff != "" {
		t.Errorf("what one execution wrote is seen by another (-want +got):\n%s", diff)
	}
}

func TestAWarmPullIsExactlyOneHeadRequest(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	store := openStore(t, pull.Config{})
	mustPull(t, store, far.request(t, "acme/train:v1"))
	far.seen("")

	again := mustPull(t, store, far.request(t, "acme/train:v1"))
	if diff := cmp.Diff([]string{"HEAD /v2/acme/train/manifests/v1"}, far.seen("")); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if !again.Report.Warm() || again.Unpacked != 5 {
		t.Errorf("report = %+v", again.Report)
	}
	mustMount(t, store, again, "warm")
}

func TestAReopenedStoreIsWarm(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello")), layer(t, file("more", "!"))))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	first := mustPull(t, store, far.request(t, "acme/train:v1"))
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}
	far.seen("")

	store = openStore(t, pull.Config{Root: root})
	again := mustPull(t, store, far.request(t, "acme/train:v1"))
	if got := far.seen(""); len(got) != 1 {
		t.Errorf("requests = %q, want one", got)
	}
	if tree := readTree(t, mustMount(t, store, again, "warm")); tree["hello"] != "hello" || tree["more"] != "!" {
		t.Errorf("tree = %v", tree)
	}
	all, err := store.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	const blocks = 2 * 4096 // of two small files
	want := []pull.StoredImage{{
		Name: host + "/acme/train@" + first.Digest.String(), Digest: first.Digest,
		Size: first.Size, Occupies: blocks, Alone: blocks, LastUse: all.Images[0].LastUse, Users: 1,
	}}
	if diff := cmp.Diff(want, all.Images); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestAnImageThatMovedIsTheNewOne(t *testing.T) {
	far := newFarSide(t)
	base := layer(t, file("base", "base"))
	far.push(t, "acme/train:v1", imageOf(t, base, layer(t, file("hello", "old"))))
	store := openStore(t, pull.Config{})
	mustPull(t, store, far.request(t, "acme/train:v1"))
	far.push(t, "acme/train:v1", imageOf(t, base, layer(t, file("hello", "new"))))
	far.seen("")

	moved := mustPull(t, store, far.request(t, "acme/train:v1"))
	if got := far.seen(base.blobPath()); len(got) != 1 || !strings.HasPrefix(got[0], http.MethodHead) {
		t.Errorf("requests for a layer that was here: %q, want one that asks for the right to it", got)
	}
	if tree := readTree(t, mustMount(t, store, moved, "k")); tree["hello"] != "new" || tree["base"] != "base" {
		t.Errorf("tree = %v", tree)
	}
}

func TestKnowingTheDigestOfAnImageElsewhereIsNotHavingIt(t *testing.T) {
	far := newFarSide(t)
	private := imageOf(t, layer(t, file("secret", "secret")))
	far.push(t, "acme/private:v1", private)
	store := openStore(t, pull.Config{})
	known := mustPull(t, store, far.request(t, "acme/private:v1"))

	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodHead || !strings.Contains(r.URL.Path, "/mallory/") {
			return false
		}
		w.Header().Set("Docker-Content-Digest", known.Digest.String())
		w.Header().Set("Content-Type", ocispec.MediaTypeImageManifest)
		w.Header().Set("Content-Length", "100")
		return true
	})
	_, err := store.Pull(t.Context(), far.request(t, "mallory/image:v1"))
	wantFault(t, err, fault.NotFound, "image_not_found")
}

func TestEveryFormOfLayerAndManifestIsUnpacked(t *testing.T) {
	far := newFarSide(t)
	store := openStore(t, pull.Config{})
	for outcome, form := range map[string]struct{ manifest, config, layer types.MediaType }{
		"OCI with gzip":         {types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayer},
		"OCI with zstd":         {types.OCIManifestSchema1, types.OCIConfigJSON, types.OCILayerZStd},
		"OCI uncompressed":      {types.OCIManifestSchema1, types.OCIConfigJSON, types.OCIUncompressedLayer},
		"Docker with gzip":      {types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerLayer},
		"Docker, uncompressed":  {types.DockerManifestSchema2, types.DockerConfigJSON, types.DockerUncompressedLayer},
		"Docker with OCI layer": {types.DockerManifestSchema2, types.DockerConfigJSON, types.OCILayer},
	} {
		t.Run(outcome, func(t *testing.T) {
			img := imageOf(t, compressedBy(t, form.layer, archiveOf(t, file("hello", outcome))))
			far.push(t, "acme/forms:v1", mutate.ConfigMediaType(mutate.MediaType(img, form.manifest), form.config))
			pulled := mustPull(t, store, far.request(t, "acme/forms:v1"))
			rootfs := mustMount(t, store, pulled, "k")
			if diff := cmp.Diff(map[string]string{"hello": outcome}, readTree(t, rootfs)); diff != "" {
				t.Errorf("tree (-want +got):\n%s", diff)
			}
			if err := store.Unmount(t.Context(), "k"); err != nil {
				t.Fatal(err)
			}
		})
	}
}

func TestAnIndexGivesTheManifestForThisPlatformAndNoAttestation(t *testing.T) {
	far := newFarSide(t)
	mine := imageFor(t, "amd64", layer(t, file("hello", "amd64")))
	attestation := mutate.Annotations(imageFor(t, "unknown", layer(t, file("sbom", "{}"))), map[string]string{"a": "b"}).(v1.Image)
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		}},
		mutate.IndexAddendum{Add: imageFor(t, "arm64", layer(t, file("hello", "arm64"))), Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: mine, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
	)
	far.push(t, "acme/train:v1", index)
	store := openStore(t, pull.Config{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}})
	pulled := mustPull(t, store, far.request(t, "acme/train:v1"))
	indexDigest, _ := index.Digest()
	manifestDigest, _ := mine.Digest()
	if pulled.Digest.String() != indexDigest.String() || pulled.ManifestDigest.String() != manifestDigest.String() {
		t.Errorf("digests = %s, %s; want %s, %s", pulled.Digest, pulled.ManifestDigest, indexDigest, manifestDigest)
	}
	if tree := readTree(t, mustMount(t, store, pulled, "k")); tree["hello"] != "amd64" {
		t.Errorf("tree = %v", tree)
	}
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	far.seen("")
	mustPull(t, store, far.request(t, "acme/train:v1"))
	if got := far.seen(""); len(got) != 1 {
		t.Errorf("requests of the warm pull = %q, want one", got)
	}
}

func TestAnImageForAnotherArchitectureIsRefusedWithASentence(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/arm:v1", imageFor(t, "arm64", layer(t, file("hello", "arm64"))))
	far.push(t, "acme/arms:v1", mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex), mutate.IndexAddendum{
		Add:        imageFor(t, "arm64", layer(t, file("hello", "arm64"))),
		Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}},
	}))
	store := openStore(t, pull.Config{Platform: ocispec.Platform{OS: "linux", Architecture: "amd64"}})
	for _, path := range []string{"acme/arm:v1", "acme/arms:v1"} {
		_, err := store.Pull(t.Context(), far.request(t, path))
		f := wantFault(t, err, fault.Invalid, "platform_mismatch")
		want := host + "/" + path + " is made for linux/arm64, and this worker is linux/amd64. " +
			"Build the image for linux/amd64 (docker buildx build --platform), or run the step on another worker."
		if f.Sentence() != want {
			t.Errorf("sentence = %q, want %q", f.Sentence(), want)
		}
	}
}

func TestAnImageWithoutLayersIsAnEmptyRootFilesystem(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/scratch:v1", imageOf(t))
	store := openStore(t, pull.Config{})
	rootfs := mustMount(t, store, mustPull(t, store, far.request(t, "acme/scratch:v1")), "k")
	if err := os.WriteFile(filepath.Join(rootfs, "a"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"a": ""}, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestTwoPullsFetchALayerOnce(t *testing.T) {
	for outcome, paths := range map[string][2]string{
		"of the same image":                  {"acme/a:v1", "acme/a:v1"},
		"of two images that share the layer": {"acme/a:v1", "acme/b:v1"},
	} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			shared := layer(t, file("shared", noise(1<<20)))
			far.push(t, "acme/a:v1", imageOf(t, shared, layer(t, file("own", "a"))))
			far.push(t, "acme/b:v1", imageOf(t, shared, layer(t, file("own", "b"))))
			store := openStore(t, pull.Config{})

			// The layer does not come before both pulls know that they want it.
			var configs atomic.Int32
			both := make(chan struct{})
			far.between(func(_ http.ResponseWriter, r *http.Request) bool {
				switch {
				case strings.Contains(r.URL.Path, shared.blobPath()):
					<-both
				case r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/"):
					if configs.Add(1) == 2 {
						close(both)
					}
				}
				return false
			})
			var pulls sync.WaitGroup
			for i, path := range paths {
				pulls.Go(func() {
					img, err := store.Pull(t.Context(), far.request(t, path))
					if err != nil {
						t.Error(err)
						return
					}
					rootfs, err := store.Mount(t.Context(), img, string(rune('a'+i)))
					if err != nil {
						t.Error(err)
						return
					}
					if info, err := os.Stat(filepath.Join(rootfs, "shared")); err != nil || info.Size() != 1<<20 {
						t.Errorf("the shared file: %v, %v", info, err)
					}
				})
			}
			pulls.Wait()
			got := far.seen(shared.blobPath())
			asked := slices.DeleteFunc(slices.Clone(got), func(r string) bool { return strings.HasPrefix(r, http.MethodGet) })
			if len(got)-len(asked) != 1 || len(asked) != 1 {
				t.Errorf("requests for the shared layer: %q, want one that fetches it and one that asks for the right to it", got)
			}
		})
	}
}

func TestARefusedAuthorizationIsRenewedOnce(t *testing.T) {
	far := newFarSide(t)
	l := layer(t, file("hello", noise(1<<10)))
	l2 := layer(t, file("more", noise(1<<10)))
	far.push(t, "acme/train:v1", imageOf(t, l, l2))
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") == "Bearer fresh" ||
			r.Header.Get("Authorization") == "Bearer stale" && !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		w.Header().Set("Www-Authenticate", `Bearer realm="https://`+host+`/token",error="invalid_token"`)
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	var mu sync.Mutex
	var renewals int
	current := "stale"
	request := far.request(t, "acme/train:v1")
	request.Authorize = func(_ context.Context, refused bool) (oci.Authorization, error) {
		mu.Lock()
		defer mu.Unlock()
		if refused {
			renewals++
			current = "fresh"
		}
		return oci.Bearer(secret.New(current)), nil
	}
	mustPull(t, openStore(t, pull.Config{}), request)
	if renewals != 1 {
		t.Errorf("renewed %d times, want once", renewals)
	}
}

func TestWhoMayNotPullDoesNotGetAWarmImage(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	store := openStore(t, pull.Config{})
	mustPull(t, store, far.request(t, "acme/train:v1"))
	far.between(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusUnauthorized)
		return true
	})
	asked := 0
	request := far.request(t, "acme/train:v1")
	request.Authorize = func(context.Context, bool) (oci.Authorization, error) {
		asked++
		return oci.Bearer(secret.New("of another organisation")), nil
	}
	_, err := store.Pull(t.Context(), request)
	wantFault(t, err, fault.Unauthenticated, "unauthorized")
	if asked > 4 {
		t.Errorf("asked for an authorization %d times", asked)
	}
}

func TestWhatTheRegistrySaysIsToldApart(t *testing.T) {
	far := newFarSide(t)
	missing := layer(t, file("hello", "hello"))
	far.push(t, "acme/train:v1", imageOf(t, missing))
	far.push(t, "acme/chart:v1", mutate.ConfigMediaType(imageOf(t, missing), "application/vnd.cncf.helm.config.v1+json"))
	store := openStore(t, pull.Config{})
	_, err := store.Pull(t.Context(), far.request(t, "acme/train:v2"))
	wantFault(t, err, fault.NotFound, "image_not_found")
	_, err = store.Pull(t.Context(), far.request(t, "acme/chart:v1"))
	wantFault(t, err, fault.Invalid, "not_an_image")

	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, missing.blobPath()) {
			http.Error(w, `{"errors":[{"code":"BLOB_UNKNOWN"}]}`, http.StatusNotFound)
			return true
		}
		return false
	})
	_, err = store.Pull(t.Context(), far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.NotFound, "layer_missing")

	far.between(func(w http.ResponseWriter, _ *http.Request) bool {
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	_, err = store.Pull(t.Context(), far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.Unavailable, "registry_down")

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err = store.Pull(ctx, far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.Unavailable, "cancelled")
}

func TestWhatARegistryStillGivesIsInTheReportWhereItTells(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	store := openStore(t, pull.Config{})
	if report := mustPull(t, store, far.request(t, "acme/train:v1")).Report; report.RateLimit != nil || report.LimitSentence() != "" {
		t.Errorf("a registry that says nothing gives %+v, %q", report.RateLimit, report.LimitSentence())
	}
	var asked atomic.Int32
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, "/manifests/") {
			w.Header().Set("Ratelimit-Limit", "200;w=21600")
			w.Header().Set("Ratelimit-Remaining", strconv.Itoa(188-int(asked.Add(1)))+";w=21600")
			w.Header().Set("Docker-Ratelimit-Source", "c5a3")
		}
		return false
	})
	warm := mustPull(t, store, far.request(t, "acme/train:v1")).Report // asks once, with HEAD
	if got, want := warm.LimitSentence(), "registry.example.com: 187 of 200 pulls left in 6h0m0s (for account c5a3)"; got != want {
		t.Errorf("sentence %q, want %q", got, want)
	}
}
