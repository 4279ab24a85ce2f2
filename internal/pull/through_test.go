package pull_test

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
)

// nearCache is a real pull-through cache on the way to far sides. Who logs in says with
// the user name which organisation's credential counts, and how it leads the registry.
type nearCache struct {
	server  *httptest.Server
	content *blobs.Store
	ways    map[string]*oci.Transport // by organisation
	door    atomic.Pointer[http.Handler]
	token   atomic.Pointer[string]
}

func newNearCache(t *testing.T, ways map[string]*oci.Transport) *nearCache {
	t.Helper()
	content, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	n := &nearCache{content: content, ways: ways}
	n.login("the worker's token")
	n.start(t)
	n.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { (*n.door.Load()).ServeHTTP(w, r) }))
	t.Cleanup(func() {
		n.server.Close()
		if err := content.Close(); err != nil {
			t.Error(err)
		}
	})
	return n
}

// start starts the cache anew: it has its content, and has forgotten all rights.
func (n *nearCache) start(t *testing.T) {
	t.Helper()
	door, err := mirror.New(mirror.Config{
		Backend: behind{cache.New(cache.Config{Authority: n, Content: n.content})}, Authenticator: n, Logger: slog.New(slog.DiscardHandler),
	})
	if err != nil {
		t.Fatal(err)
	}
	n.door.Store(&door)
}

func (n *nearCache) login(token string) { n.token.Store(&token) }

// Access is the way of an organisation's credential.
func (n *nearCache) Access(_ context.Context, reader cache.Reader, ref image.Reference, _ time.Time) (cache.Access, error) {
	return cache.Access{Route: n.ways[reader.Project.ID].For(ref.Host()), Credential: reader.Project.ID, Version: 1}, nil
}

// Authenticate lets in who shows the token.
func (n *nearCache) Authenticate(_ context.Context, shown mirror.Shown) (mirror.Client, error) {
	if shown.Password.Reveal() != *n.token.Load() {
		return nil, fault.New(fault.Unauthenticated, "token_unknown", "the token is not known, or no more")
	}
	return organization(shown.User), nil
}

type organization string

func (o organization) Name() string { return string(o) }

func readerOf(client mirror.Client) cache.Reader {
	return cache.Reader{Project: account.Project{ID: client.Name(), Owner: account.Owner{OrganizationID: 1, Name: client.Name()}}}
}

// behind is a cache behind the door.
type behind struct{ *cache.Cache }

func (b behind) Resolve(ctx context.Context, client mirror.Client, ref image.Reference) (mirror.Descriptor, error) {
	found, err := b.Cache.Resolve(ctx, readerOf(client), ref)
	return mirror.Descriptor{MediaType: found.MediaType, Digest: found.Digest, Size: found.Size}, err
}

func (b behind) Manifest(ctx context.Context, client mirror.Client, ref image.Reference) (mirror.Manifest, error) {
	found, err := b.Cache.Manifest(ctx, readerOf(client), ref)
	return mirror.Manifest{Descriptor: mirror.Descriptor{MediaType: found.MediaType, Digest: found.Digest, Size: found.Size}, Content: found.Body}, err
}

func (b behind) Blob(ctx context.Context, client mirror.Client, ref image.Reference) (io.ReadSeekCloser, error) {
	content, err := b.Cache.Blob(ctx, readerOf(client), ref)
	if err != nil {
		return nil, err
	}
	return content, nil
}

func (behind) Tags(context.Context, mirror.Client, image.Reference, mirror.Page) (mirror.Tags, error) {
	return mirror.Tags{}, nil
}

func (behind) Referrers(context.Context, mirror.Client, image.Reference, string) (mirror.Referrers, error) {
	return mirror.Referrers{}, nil
}

// request asks for an image of a host through the cache, for an organisation whose
// credential leads the registry as reach says.
func (n *nearCache) request(t *testing.T, organization, name string, reach oci.Reach) pull.Request {
	t.Helper()
	address, err := url.Parse(n.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	transport, err := oci.NewTransport(oci.Config{}.WithCache(address))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	ref, err := image.ParseReference(host + "/" + name)
	if err != nil {
		t.Fatal(err)
	}
	route, err := transport.Through(address, ref.Host(), reach)
	if err != nil {
		t.Fatal(err)
	}
	return pull.Request{Image: ref, Route: route, Authorize: func(context.Context, bool) (oci.Authorization, error) {
		return oci.Basic(organization, secret.New("the worker's token")), nil
	}}
}

// fetched is how many layers of a pull came over the network, each from one source.
func fetched(t *testing.T, img pull.Image, from pull.Source) (n int) {
	t.Helper()
	for _, layer := range img.Report.Layers {
		switch layer.From {
		case from:
			n++
		case pull.Here:
		default:
			t.Errorf("layer %s is from %q, want %q", layer.Digest, layer.From, from)
		}
	}
	return n
}

func TestWhatCameThroughACacheIsNoProofToTheRegistryNorTheOtherWayRound(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/a:v1", imageOf(t, layer(t, file("shared", "shared")), layer(t, file("own", "a"))))
	near := newNearCache(t, map[string]*oci.Transport{"acme": far.transport})
	store := openStore(t, pull.Config{})
	through := func() pull.Request { return near.request(t, "acme", "acme/a:v1", oci.Reach{}) }

	for _, step := range []struct {
		what    string
		request pull.Request
		from    pull.Source
		want    int
	}{
		{"the first, directly", far.request(t, "acme/a:v1"), pull.Registry, 2},
		{"the same through the cache", through(), pull.Cached, 2},
		{"again through the cache", through(), pull.Cached, 0},
		{"again directly", far.request(t, "acme/a:v1"), pull.Registry, 0},
	} {
		img := mustPull(t, store, step.request)
		if got := fetched(t, img, step.from); got != step.want {
			t.Errorf("%s: %d layers were fetched, want %d", step.what, got, step.want)
		}
		if img.Reference.String() != host+"/acme/a:v1" || img.Report.Cache != step.request.Route.Cache() {
			t.Errorf("%s: %s by way of %q", step.what, img.Reference, img.Report.Cache)
		}
		store.Release(img)
	}

	// Another image of the registry, with a layer that came through the cache.
	far.push(t, "acme/b:v1", imageOf(t, layer(t, file("shared", "shared")), layer(t, file("own", "b"))))
	img := mustPull(t, store, near.request(t, "acme", "acme/b:v1", oci.Reach{}))
	if got := fetched(t, img, pull.Cached); got != 1 {
		t.Errorf("of another image %d layers were fetched, want its own alone", got)
	}
	if tree := readTree(t, mustMount(t, store, img, "b")); tree["shared"] != "shared" || tree["own"] != "b" {
		t.Errorf("tree = %v", tree)
	}
}

// A cache answers for layers by what manifests lead to. An organisation whose credential
// leads the registry's name to a server of its own has it say anything.
func TestACredentialThatLeadsTheRegistryElsewhereGetsNothingThroughTheCacheEither(t *testing.T) {
	private := layer(t, file("private", "of acme"))
	far, rivals := newFarSide(t), newFarSideOf(t, host)
	img := imageOf(t, private)
	far.push(t, "acme/train:v1", img)
	rivals.claims(t, img, nil)
	led := oci.Reach{Addresses: map[string]string{host: rivals.rules[0].Address}}
	elsewhere, err := far.transport.With(led)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(elsewhere.CloseIdleConnections)
	near := newNearCache(t, map[string]*oci.Transport{"acme": far.transport, "rival": elsewhere})
	store := openStore(t, pull.Config{})
	store.Release(mustPull(t, store, near.request(t, "acme", "acme/train:v1", oci.Reach{})))

	for range 2 { // a failed try must not count as a proof
		if got, err := store.Pull(t.Context(), near.request(t, "rival", "mallory/train:v1", led)); err == nil {
			t.Fatalf("another organisation was given %s", got.Digest)
		}
	}
}

func TestACacheThatIsStartedAnewInTheMiddleOfAPullIsToldAgainWhatTheImageIs(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("a", "a")), layer(t, file("b", "b"))))
	near := newNearCache(t, map[string]*oci.Transport{"acme": far.transport})
	request := near.request(t, "acme", "acme/train:v1", oci.Reach{})
	var manifests atomic.Int32
	inner := *near.door.Load()
	counting := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inner.ServeHTTP(w, r)
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/manifests/") && manifests.Add(1) == 1 {
			near.start(t)
		}
	}))
	near.door.Store(&counting)
	store := openStore(t, pull.Config{})
	if tree := readTree(t, mustMount(t, store, mustPull(t, store, request), "k")); tree["a"] != "a" || tree["b"] != "b" {
		t.Errorf("tree = %v", tree)
	}
}

func TestACacheThatDoesNotTakeTheWorkersTokenIsNotTheRegistrysRefusal(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("a", "a"))))
	near := newNearCache(t, map[string]*oci.Transport{"acme": far.transport})
	store := openStore(t, pull.Config{})
	for moment, path := range map[string]string{"at once": "/manifests/", "in the middle": "/blobs/"} {
		near.login("the worker's token")
		near.start(t)
		inner := *near.door.Load()
		ending := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if strings.Contains(r.URL.Path, path) {
				near.login("another token")
			}
			inner.ServeHTTP(w, r)
		}))
		near.door.Store(&ending)
		_, err := store.Pull(t.Context(), near.request(t, "acme", "acme/train:v1", oci.Reach{}))
		f := wantFault(t, err, fault.Unauthenticated, "cache_login")
		if strings.Contains(f.Sentence(), "fairlead check") || !strings.Contains(f.Message, "pull-through cache") || pull.IsCacheAway(err) {
			t.Errorf("%s: %s", moment, f.Sentence())
		}
	}
}

func TestACacheThatIsNotThereIsAwayAndOneThatRefusesIsNot(t *testing.T) {
	far := newFarSide(t)
	near := newNearCache(t, map[string]*oci.Transport{"acme": far.transport})
	store := openStore(t, pull.Config{})
	answer := func(status int, body string) {
		door := http.Handler(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}))
		near.door.Store(&door)
	}
	for code, test := range map[string]struct {
		status int
		body   string
		away   bool
	}{
		"cache_missing": {http.StatusNotFound, "404 page not found", true},
		"cache_failed":  {http.StatusBadGateway, "", true},
		"cache_denied":  {http.StatusForbidden, `{"errors":[{"code":"DENIED","message":"no","detail":"no_pull_right"}]}`, false},
		"rate_limited":  {http.StatusTooManyRequests, "", false},
	} {
		answer(test.status, test.body)
		_, err := store.Pull(t.Context(), near.request(t, "acme", "acme/train:v1", oci.Reach{}))
		if f := fault.From(err); err == nil || f.Code != code || pull.IsCacheAway(err) != test.away || strings.Contains(f.Sentence(), "registry is running") {
			t.Errorf("%v is away: %v; want %s: %v", err, pull.IsCacheAway(err), code, test.away)
		}
	}
	request := near.request(t, "acme", "acme/train:v1", oci.Reach{})
	near.server.Close()
	_, err := store.Pull(t.Context(), request)
	f := wantFault(t, err, fault.Unavailable, "cache_unreachable")
	if !pull.IsCacheAway(err) || strings.Contains(f.Sentence(), "registry is running") || pull.IsCacheAway(nil) {
		t.Errorf("%s", f.Sentence())
	}
}
