package cache_test

import (
	"context"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"
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
