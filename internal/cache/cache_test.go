package cache_test

import (
	"context"
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
	"go.uber.org/goleak"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

func TestMain(m *testing.M) {
	goleak.VerifyTestMain(m, goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"))
}

const password = "a-good-password"

// logins are users of the registry: each organisation's credential is its user's.
type logins struct {
	transport *oci.Transport
	others    sync.Map // ways to other hosts, by name
	versions  sync.Map // of a user's secret, by name
}

// Access trades the user's secret for a token, as a broker does.
func (l *logins) Access(ctx context.Context, reader cache.Reader, ref image.Reference, _ time.Time) (cache.Access, error) {
	user := reader.Project.Owner.Name
	if other, ok := l.others.Load(ref.Host()); ok {
		return other.(cache.Access), nil
	}
	route := l.transport.For(ref.Host())
	challenges, err := oci.NewClient(route).Ping(ctx, oci.Anonymous)
	if err != nil {
		return cache.Access{}, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: ref})
	}
	begin := time.Now()
	token, err := route.FetchToken(ctx, oci.TokenRequest{
		Challenge: challenges[0], Repository: ref.Repository(), User: user, Password: secret.New(password),
	})
	if err != nil {
		return cache.Access{}, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.TokenService, Image: ref})
	}
	version, _ := l.versions.LoadOrStore(user, 1)
	return cache.Access{
		Route: route, Authorization: oci.Bearer(token.Value), IssuedAt: begin,
		Credential: user, Version: version.(int), Name: user + "'s",
	}, nil
}

// clock is a time that stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) pass(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// setting is a cache before a registry with two organisations' users.
type setting struct {
	*granttest.Registry
	*cache.Cache
	*logins
	clock *clock
	dir   string
}

func newSetting(t *testing.T) *setting {
	t.Helper()
	r := granttest.New(t, granttest.Options{})
	for _, user := range []string{"acme", "rival"} {
		r.AddUser(user, password, granttest.Pull(user+"/*"))
	}
	s := &setting{Registry: r, logins: &logins{transport: granttest.NewTransport(t, r)}, clock: &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)}, dir: t.TempDir()}
	s.Cache = s.another(t)
	return s
}

// another is another cache that keeps its blobs in the same place.
func (s *setting) another(t *testing.T) *cache.Cache {
	t.Helper()
	c, _ := s.limited(t, 0)
	return c
}

// limited is another that keeps so many bytes.
func (s *setting) limited(t *testing.T, limit int64) (*cache.Cache, *blobs.Store) {
	t.Helper()
	content, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + s.dir, Limit: limit})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := content.Close(); err != nil {
			t.Error(err)
		}
	})
	return cache.New(cache.Config{Authority: s.logins, Content: content, Now: s.clock.Now}), content
}

func reader(organization string) cache.Reader {
	return cache.Reader{Project: account.Project{ID: "project of " + organization, Owner: account.Owner{OrganizationID: 1, Name: organization}}}
}

func (s *setting) push(t *testing.T, repository, tag string) v1.Image {
	t.Helper()
	img, err := random.Image(1<<16, 2)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Push(t.Context(), repository, tag, img); err != nil {
		t.Fatal(err)
	}
	return img
}

func (s *setting) ref(t *testing.T, path string) image.Reference {
	t.Helper()
	ref, err := image.ParseReference(s.Host() + "/" + path)
	if err != nil {
		t.Fatal(err)
	}
	return ref
}

// blob reads a blob of a repository.
func (s *setting) blob(t *testing.T, who, repository, d string) (string, error) {
	t.Helper()
	content, err := s.Blob(t.Context(), reader(who), s.ref(t, repository).WithDigest(digest.Digest(d)))
	if err != nil {
		return "", err
	}
	defer func() { _ = content.Close() }()
	body, err := io.ReadAll(content)
	return string(body), err
}

func layersOf(t *testing.T, img v1.Image) (digests []string) {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	digests = append(digests, manifest.Config.Digest.String())
	for _, layer := range manifest.Layers {
		digests = append(digests, layer.Digest.String())
	}
	return digests
}

// pull reads an image as a client does.
func (s *setting) pull(t *testing.T, who, path string, img v1.Image) error {
	t.Helper()
	manifest, err := s.Manifest(t.Context(), reader(who), s.ref(t, path))
	if err != nil {
		return err
	}
	want, err := img.Digest()
	if err != nil {
		t.Fatal(err)
	}
	if manifest.Digest.String() != want.String() || digest.FromBytes(manifest.Body) != manifest.Digest {
		t.Errorf("the manifest is %s, not %s", manifest.Digest, want)
	}
	repository, _, _ := strings.Cut(path, "@")
	repository, _, _ = strings.Cut(repository, ":")
	for _, d := range layersOf(t, img) {
		body, err := s.blob(t, who, repository, d)
		if err != nil {
			return err
		}
		if got := digest.FromString(body); got.String() != d {
			t.Errorf("the blob is %s, not %s", got, d)
		}
	}
	return nil
}

func wantFault(t *testing.T, err error, kind fault.Kind, code string) *fault.Error {
	t.Helper()
	f := fault.From(err)
	if f == nil || f.Kind != kind || f.Code != code {
		t.Fatalf("got %v, want %s %s", err, kind, code)
	}
	return f
}

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
