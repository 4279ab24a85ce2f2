package cache_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

func TestWhatIsHereIsServedWithoutAQuestionWhileItsProofHolds(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	asked := s.Requests()
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	if again := s.Requests() - asked; again != 0 {
		t.Errorf("%d requests for what was asked just now", again)
	}
	s.clock.pass(time.Minute)
	blobsBefore, manifests := s.BlobRequests("acme/train"), s.ManifestRequests("acme/train")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	if b, m := s.BlobRequests("acme/train")-blobsBefore, s.ManifestRequests("acme/train")-manifests; b != 0 || m != 1 {
		t.Errorf("a minute later %d requests for blobs and %d for manifests, want none and one", b, m)
	}
}

func TestBytesAreSharedAndRightsAreNot(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Manifest(t.Context(), reader("rival"), s.ref(t, "acme/train:v1")); fault.From(err) == nil || fault.From(err).Kind == fault.Internal {
		t.Errorf("another organisation got the manifest, or %v", err)
	}
	for _, d := range layersOf(t, img) {
		if _, err := s.blob(t, "rival", "acme/train", d); err == nil {
			t.Error("another organisation got a blob of the repository")
		}
		if _, err := s.blob(t, "rival", "rival/own", d); err == nil {
			t.Error("another organisation got a blob by way of its own repository")
		}
	}
	// The same image in a repository of its own is its by right, and costs no bytes.
	if _, err := s.Push(t.Context(), "rival/own", "v1", img); err != nil {
		t.Fatal(err)
	}
	if err := s.pull(t, "rival", "rival/own:v1", img); err != nil {
		t.Error(err)
	}
	if n := s.BlobRequests("rival/own"); n != 0 {
		t.Errorf("%d blobs were fetched that are here", n)
	}
}

func TestABlobIsServedOnlyBelowAManifestThatWasShown(t *testing.T) {
	s := newSetting(t)
	shown, other := s.push(t, "acme/train", "v1"), s.push(t, "acme/train", "v2")
	if err := s.pull(t, "acme", "acme/train:v1", shown); err != nil {
		t.Fatal(err)
	}
	_, err := s.blob(t, "acme", "acme/train", layersOf(t, other)[0])
	f := wantFault(t, err, fault.NotFound, "blob_unknown")
	if f.Hint == "" {
		t.Error("it does not say what to do")
	}
}

// A registry of somebody's own can claim to have any digest, and show any manifest that
// it got hold of: only bytes that it has brought itself are given for it.
func TestARegistryThatOnlyClaimsToHaveWhatAnotherHasGetsNothingOfItOut(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	for range 2 { // the second time it is in memory
		if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
			t.Fatal(err)
		}
	}
	manifest, err := img.RawManifest()
	if err != nil {
		t.Fatal(err)
	}
	named := digest.FromBytes(manifest)
	showsManifest := false
	liar := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.Contains(r.URL.Path, "/manifests/") && (r.Method == http.MethodHead || showsManifest) {
			w.Header().Set("Content-Type", string(types.DockerManifestSchema2))
			w.Header().Set("Docker-Content-Digest", named.String())
			w.Header().Set("Content-Length", strconv.Itoa(len(manifest)))
			_, _ = w.Write(manifest)
			return
		}
		w.WriteHeader(http.StatusNotFound)
	}))
	t.Cleanup(liar.Close)
	host := "liar.example"
	transport, err := oci.NewTransport(oci.Config{Hosts: []oci.HostRule{{Host: host, Address: liar.Listener.Addr().String(), PlainHTTP: true}}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	s.others.Store(host, cache.Access{Route: transport.For(host), Credential: "of the liar"})
	claimed, err := image.ParseReference(host + "/x/y:v1")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := s.Manifest(t.Context(), reader("rival"), claimed); err == nil {
		t.Errorf("it got the manifest that another registry brought: %s", got.Body)
	}
	showsManifest = true // it knows that much
	if _, err := s.Manifest(t.Context(), reader("rival"), claimed); err != nil {
		t.Fatal(err)
	}
	for _, d := range layersOf(t, img) {
		content, err := s.Blob(t.Context(), reader("rival"), claimed.WithDigest(digest.Digest(d)))
		if err != nil {
			continue
		}
		if body, err := io.ReadAll(content); err == nil || len(body) > 0 {
			t.Errorf("it got %d bytes of a blob that another registry brought, %v", len(body), err)
		}
		_ = content.Close()
	}
}

func TestAQuestionAboutADigestSaysNothingAboutTheTagBesideIt(t *testing.T) {
	s := newSetting(t)
	old := s.push(t, "acme/train", "v1")
	moved := s.push(t, "acme/train", "v1")
	d, err := old.Digest()
	if err != nil {
		t.Fatal(err)
	}
	pinned := s.ref(t, "acme/train:v1").WithDigest(digest.Digest(d.String()))
	if _, err := s.Manifest(t.Context(), reader("acme"), pinned); err != nil {
		t.Fatal(err)
	}
	if err := s.pull(t, "acme", "acme/train:v1", moved); err != nil {
		t.Error(err)
	}
}

func TestAnIndexLeadsToTheLayersOfItsImages(t *testing.T) {
	s := newSetting(t)
	img, err := random.Image(1<<12, 2)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(empty.Index, mutate.IndexAddendum{Add: img})
	if _, err := s.Push(t.Context(), "acme/train", "v1", index); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Manifest(t.Context(), reader("acme"), s.ref(t, "acme/train:v1")); err != nil {
		t.Fatal(err)
	}
	d, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	asked := s.ManifestRequests("acme/train")
	if err := s.pull(t, "acme", "acme/train@"+d.String(), img); err != nil {
		t.Fatal(err)
	}
	if n := s.ManifestRequests("acme/train") - asked; n != 1 { // its bytes; its right is the index's
		t.Errorf("%d requests for the manifest that the index names", n)
	}
}

func TestWhoLosesTheRightAtTheRegistryLosesItHereWithinAMinute(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	s.SetRights("acme")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Errorf("just now it was shown: %v", err)
	}
	s.clock.pass(time.Minute)
	if err := s.pull(t, "acme", "acme/train:v1", img); err == nil {
		t.Error("the tag is served a minute after the right is gone")
	}
	if _, err := s.blob(t, "acme", "acme/train", layersOf(t, img)[1]); err == nil {
		t.Error("a blob is served a minute after the right is gone")
	}
}

func TestWhatAnOldAccessShowedIsShownNoLongerThanTheAccessHolds(t *testing.T) {
	s := newSetting(t)
	first, second := s.push(t, "acme/train", "v1"), s.push(t, "acme/train", "v2")
	if err := s.pull(t, "acme", "acme/train:v1", first); err != nil {
		t.Fatal(err)
	}
	s.clock.pass(50 * time.Second)
	if err := s.pull(t, "acme", "acme/train:v2", second); err != nil {
		t.Fatal(err)
	}
	s.SetRights("acme")
	s.clock.pass(10 * time.Second)
	if err := s.pull(t, "acme", "acme/train:v2", second); err == nil {
		t.Error("it is served with a right that is a minute old")
	}
}

func TestATagIsWhatItWasForAMinute(t *testing.T) {
	s := newSetting(t)
	old := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", old); err != nil {
		t.Fatal(err)
	}
	moved := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", old); err != nil {
		t.Fatal(err)
	}
	s.clock.pass(time.Minute)
	if err := s.pull(t, "acme", "acme/train:v1", moved); err != nil {
		t.Fatal(err)
	}
}

func TestWhileTheRegistryIsAwayWhatItShowedIsServedForAnHourAndSaysSo(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	s.SetOutage(503)
	s.clock.pass(time.Hour)
	manifest, err := s.Manifest(t.Context(), reader("acme"), s.ref(t, "acme/train:v1"))
	if err != nil || manifest.Stale == "" {
		t.Fatalf("stale %q, %v", manifest.Stale, err)
	}
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Error(err)
	}
	_, err = s.Manifest(t.Context(), reader("acme"), s.ref(t, "acme/other:v1"))
	if f := fault.From(err); f == nil || f.Kind != fault.Unavailable {
		t.Errorf("what it never showed: %v", err)
	}
	s.clock.pass(time.Minute)
	if _, err := s.Manifest(t.Context(), reader("acme"), s.ref(t, "acme/train:v1")); err == nil {
		t.Error("it is served after more than an hour")
	}
}

func TestARegistryThatAsksForPatienceIsHeard(t *testing.T) {
	s := newSetting(t)
	s.push(t, "acme/train", "v1")
	s.Throttle(100, 7*time.Second)
	_, err := s.Manifest(t.Context(), reader("acme"), s.ref(t, "acme/train:v1"))
	if f := fault.From(err); f == nil || f.Kind != fault.Exhausted || f.RetryAfter != 7*time.Second {
		t.Errorf("got %v", err)
	}
}

func TestTheRegistrysLimitIsKnownForEachCredential(t *testing.T) {
	s := newSetting(t)
	s.SetRateLimit(199, 200, 6*time.Hour)
	img := s.push(t, "acme/train", "v1")
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	quotas := s.Quotas()
	if len(quotas) != 1 || quotas[0].Credential != "acme's" || quotas[0].Limit.Limit != 200 || quotas[0].Limit.Remaining != 198 {
		t.Errorf("quotas: %+v", quotas)
	}
	s.clock.pass(time.Minute)
	if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
		t.Fatal(err)
	}
	if left := s.Quotas()[0].Limit.Remaining; left != 198 {
		t.Errorf("%d are left: a HEAD request counted, or a manifest was got twice", left)
	}
}

func TestReadersThatComeTogetherCauseOneQuestionAndOneDownload(t *testing.T) {
	s := newSetting(t)
	img := s.push(t, "acme/train", "v1")
	var all sync.WaitGroup
	release := s.Hold()
	const readers = 32
	var begun sync.WaitGroup
	begun.Add(readers)
	for range readers {
		all.Go(func() {
			begun.Done()
			if err := s.pull(t, "acme", "acme/train:v1", img); err != nil {
				t.Error(err)
			}
		})
	}
	begun.Wait()
	release()
	all.Wait()
	if n, most := s.BlobRequests("acme/train"), len(layersOf(t, img)); n != most {
		t.Errorf("%d requests for %d blobs", n, most)
	}
}
