package mirror_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/distribution/distribution/v3/configuration"
	"github.com/distribution/distribution/v3/registry/handlers"
	_ "github.com/distribution/distribution/v3/registry/storage/driver/inmemory" // registers the storage
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/oci"
)

// The names of the upstreams.
const (
	acme   = "registry.example.com"  // distribution, as most registries are
	linked = "referrers.example.com" // has the list of referrers, which distribution has not
)

// upstream is a real registry, with a front that may get in the way.
type upstream struct {
	back  *httptest.Server // to push to
	front *httptest.Server

	mu        sync.Mutex
	intercept func(http.ResponseWriter, *http.Request) (answered bool)
}

func newUpstream(t testing.TB, serve http.Handler) *upstream {
	t.Helper()
	u := &upstream{back: httptest.NewServer(serve)}
	u.front = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		u.mu.Lock()
		intercept := u.intercept
		u.mu.Unlock()
		if intercept == nil || !intercept(w, r) {
			serve.ServeHTTP(w, r)
		}
	}))
	u.front.Config.ErrorLog = log.New(io.Discard, "", 0) // connections are cut on purpose
	u.front.StartTLS()
	t.Cleanup(func() {
		u.front.Close()
		u.back.Close()
		http.DefaultTransport.(*http.Transport).CloseIdleConnections()
	})
	return u
}

// newDistribution is a registry whose program is distribution.
func newDistribution(t testing.TB) *upstream {
	t.Helper()
	config := &configuration.Configuration{Storage: configuration.Storage{
		"inmemory":    configuration.Parameters{},
		"maintenance": configuration.Parameters{"uploadpurging": map[any]any{"enabled": false}},
	}}
	config.HTTP.Secret = rand.Text()
	app := handlers.NewApp(context.Background(), config)
	t.Cleanup(func() {
		if err := app.Shutdown(); err != nil {
			t.Error(err)
		}
	})
	return newUpstream(t, app)
}

// newLinked is a registry that lists referrers.
func newLinked(t testing.TB) *upstream {
	t.Helper()
	return newUpstream(t, registry.New(registry.WithReferrersSupport(true), registry.Logger(log.New(io.Discard, "", 0))))
}

// between has a function answer requests in place of the registry from now on.
func (u *upstream) between(intercept func(http.ResponseWriter, *http.Request) (answered bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.intercept = intercept
}

func (u *upstream) push(t testing.TB, path string, what remote.Taggable) {
	t.Helper()
	ref, err := name.ParseReference(strings.TrimPrefix(u.back.URL, "http://")+"/"+path, name.Insecure)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Push(ref, what); err != nil {
		t.Fatal(err)
	}
}

// pushBlob puts bytes into a repository.
func (u *upstream) pushBlob(t testing.TB, repository string, content []byte) digest.Digest {
	t.Helper()
	begin, err := http.NewRequestWithContext(t.Context(), http.MethodPost, u.back.URL+"/v2/"+repository+"/blobs/uploads/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	begun, err := http.DefaultClient.Do(begin)
	if err != nil {
		t.Fatal(err)
	}
	_ = begun.Body.Close()
	at, err := begun.Location()
	if err != nil {
		t.Fatal(err)
	}
	d := digest.FromBytes(content)
	query := at.Query()
	query.Set("digest", d.String())
	at.RawQuery = query.Encode()
	put, err := http.NewRequestWithContext(t.Context(), http.MethodPut, at.String(), bytes.NewReader(content))
	if err != nil {
		t.Fatal(err)
	}
	put.Header.Set("Content-Type", "application/octet-stream")
	ended, err := http.DefaultClient.Do(put)
	if err != nil {
		t.Fatal(err)
	}
	_ = ended.Body.Close()
	if ended.StatusCode != http.StatusCreated {
		t.Fatalf("pushing a blob: %s", ended.Status)
	}
	return d
}

// passThrough is a backend that keeps nothing but what it is told to: each request
// goes to the registry that it names. Clients read what is theirs: a repository
// below the client's name, and those below "public".
type passThrough struct {
	transport *oci.Transport
	hosts     []string

	// files is where blobs are kept and served from; "" for nowhere.
	files string

	// remembers has manifests given from memory while the upstream is out, and
	// first before it is asked.
	remembers, first bool
	mu               sync.Mutex
	memory           map[image.Reference]mirror.Manifest
}

func newPassThrough(t testing.TB, upstreams map[string]*upstream) *passThrough {
	t.Helper()
	p := &passThrough{memory: make(map[image.Reference]mirror.Manifest)}
	var rules []oci.HostRule
	for host, u := range upstreams {
		p.hosts = append(p.hosts, host)
		if host == image.Hub { // whose names the certificate is not for
			rules = append(rules, oci.HostRule{Host: host, Address: u.back.Listener.Addr().String(), PlainHTTP: true})
			continue
		}
		rules = append(rules, oci.HostRule{
			Host: host, Address: u.front.Listener.Addr().String(),
			CA: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: u.front.Certificate().Raw}),
		})
	}
	var err error
	if p.transport, err = oci.NewTransport(oci.Config{Hosts: rules}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(p.transport.CloseIdleConnections)
	return p
}

// enter decides whether a client may read an image's repository.
func (p *passThrough) enter(client mirror.Client, ref image.Reference) (*oci.Route, error) {
	if !slices.Contains(p.hosts, ref.Host()) {
		return nil, fault.New(fault.Denied, "registry_unlisted", "%s is no registry that this cache serves", ref.Host()).
			WithHint("Store a credential for it, or ask an admin to list it: the cache is no open proxy.")
	}
	owner, _, _ := strings.Cut(ref.Repository(), "/")
	if owner != client.Name() && owner != "public" && owner != "library" {
		return nil, fault.New(fault.NotFound, "repository_not_found", "%s has no repository for %s, or none that %s may see", ref.Host(), ref.Name(), client.Name()).
			WithHint("Check the spelling of the name.")
	}
	return p.transport.For(ref.Host()), nil
}

func (p *passThrough) Resolve(ctx context.Context, client mirror.Client, ref image.Reference) (mirror.Descriptor, error) {
	route, err := p.enter(client, ref)
	if err != nil {
		return mirror.Descriptor{}, err
	}
	found, err := oci.NewClient(route).ResolveManifest(ctx, ref, oci.Anonymous)
	if err != nil {
		m, err := p.instead(ref, err)
		return m.Descriptor, err
	}
	return mirror.Descriptor{MediaType: found.MediaType, Digest: found.Digest, Size: found.Size}, nil
}

func (p *passThrough) Manifest(ctx context.Context, client mirror.Client, ref image.Reference) (mirror.Manifest, error) {
	route, err := p.enter(client, ref)
	if err != nil {
		return mirror.Manifest{}, err
	}
	if m, err := p.instead(ref, fault.New(fault.Unavailable, "unasked", "nobody was asked")); p.first && err == nil {
		return m, nil
	}
	found, content, err := oci.NewClient(route).Manifest(ctx, ref, oci.Anonymous)
	if err != nil {
		return p.instead(ref, err)
	}
	m := mirror.Manifest{Descriptor: mirror.Descriptor{MediaType: found.MediaType, Digest: found.Digest, Size: found.Size}, Content: content}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.memory[ref] = m
	return m, nil
}

// instead is what is known of a manifest that cannot be had now, or the fault.
func (p *passThrough) instead(ref image.Reference, err error) (mirror.Manifest, error) {
	f := diagnosis.Of(err, diagnosis.Subject{Image: ref})
	p.mu.Lock()
	defer p.mu.Unlock()
	known, found := p.memory[ref]
	if !p.remembers || !found || f.Kind != fault.Exhausted && f.Kind != fault.Unavailable {
		return mirror.Manifest{}, f
	}
	known.Stale = f.Message
	return known, nil
}

func (p *passThrough) Blob(ctx context.Context, client mirror.Client, ref image.Reference) (io.ReadSeekCloser, error) {
	route, err := p.enter(client, ref)
	if err != nil {
		return nil, err
	}
	kept := filepath.Join(p.files, ref.Digest().Encoded())
	if file, err := os.Open(kept); p.files != "" && err == nil {
		return file, nil
	}
	content := &farContent{ctx: ctx, ref: ref, route: route}
	answer, err := content.ask(http.MethodHead, 0)
	if err != nil {
		return nil, diagnosis.Of(err, diagnosis.Subject{Image: ref})
	}
	_ = answer.Body.Close()
	content.size = answer.ContentLength
	if p.files == "" {
		return content, nil
	}
	all, err := io.ReadAll(content)
	if err := errors.Join(err, content.Close()); err != nil {
		return nil, diagnosis.Of(err, diagnosis.Subject{Image: ref})
	}
	if ref.Digest().Algorithm().FromBytes(all) != ref.Digest() {
		return nil, fault.New(fault.Unavailable, "digest_mismatch", "%s is not what was asked for", ref)
	}
	if err := os.WriteFile(kept, all, 0o600); err != nil {
		return nil, err
	}
	return os.Open(kept)
}

// farContent is a blob at the upstream, read from where it is sought to.
type farContent struct {
	ctx   context.Context
	ref   image.Reference
	route *oci.Route
	size  int64

	at   int64
	body io.ReadCloser
}

func (c *farContent) ask(method string, from int64) (*http.Response, error) {
	request, err := http.NewRequestWithContext(c.ctx, method,
		c.route.URL("/v2/"+c.ref.Repository()+"/blobs/"+c.ref.Digest().String()).String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	if from > 0 {
		request.Header.Set("Range", "bytes="+strconv.FormatInt(from, 10)+"-")
	}
	answer, err := (&http.Client{Transport: c.route}).Do(request)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK && answer.StatusCode != http.StatusPartialContent {
		defer answer.Body.Close()
		return nil, oci.ReadError(answer, c.ref.Repository())
	}
	return answer, nil
}

func (c *farContent) Read(p []byte) (int, error) {
	if c.body == nil && c.at < c.size {
		answer, err := c.ask(http.MethodGet, c.at)
		if err != nil {
			return 0, diagnosis.Of(err, diagnosis.Subject{Image: c.ref})
		}
		c.body = answer.Body
	}
	if c.body == nil {
		return 0, io.EOF
	}
	n, err := c.body.Read(p)
	c.at += int64(n)
	return n, err
}

func (c *farContent) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += c.at
	case io.SeekEnd:
		offset += c.size
	}
	if offset != c.at && c.body != nil {
		return 0, fmt.Errorf("%s is being read", c.ref)
	}
	c.at = offset
	return offset, nil
}

func (c *farContent) Close() error {
	if c.body == nil {
		return nil
	}
	return c.body.Close()
}

// list reads a list, and the query that leads on.
func (p *passThrough) list(ctx context.Context, client mirror.Client, ref image.Reference, path string, query url.Values, into any) (url.Values, error) {
	route, err := p.enter(client, ref)
	if err != nil {
		return nil, err
	}
	address := route.URL("/v2/" + ref.Repository() + path)
	address.RawQuery = query.Encode()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address.String(), http.NoBody)
	if err != nil {
		return nil, err
	}
	answer, err := (&http.Client{Transport: route}).Do(request)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = oci.ReadError(answer, ref.Repository())
	}
	if err != nil {
		return nil, diagnosis.Of(err, diagnosis.Subject{Image: ref})
	}
	defer answer.Body.Close()
	next := url.Values{}
	if link, _, found := strings.Cut(answer.Header.Get("Link"), ">"); found {
		at, err := url.Parse(strings.TrimPrefix(link, "<"))
		if err != nil {
			return nil, err
		}
		next = at.Query()
	}
	return next, json.NewDecoder(answer.Body).Decode(into)
}

func (p *passThrough) Tags(ctx context.Context, client mirror.Client, ref image.Reference, page mirror.Page) (mirror.Tags, error) {
	query := url.Values{}
	if page.Most > 0 {
		query.Set("n", strconv.Itoa(page.Most))
	}
	if page.Last != "" {
		query.Set("last", page.Last)
	}
	var list struct{ Tags []string }
	next, err := p.list(ctx, client, ref, "/tags/list", query, &list)
	return mirror.Tags{Names: list.Tags, More: next.Has("last")}, err
}

func (p *passThrough) Referrers(ctx context.Context, client mirror.Client, ref image.Reference, next string) (mirror.Referrers, error) {
	const size = 2 // the registry gives all at once, so the pages are made here
	var index ocispec.Index
	if _, err := p.list(ctx, client, ref, "/referrers/"+ref.Digest().String(), nil, &index); err != nil {
		return mirror.Referrers{}, err
	}
	slices.SortFunc(index.Manifests, func(a, b ocispec.Descriptor) int { return strings.Compare(a.Digest.String(), b.Digest.String()) })
	from, _ := strconv.Atoi(next)
	found := mirror.Referrers{Manifests: index.Manifests[min(from, len(index.Manifests)):]}
	if len(found.Manifests) > size {
		found.Manifests, found.Next = found.Manifests[:size], strconv.Itoa(from+size)
	}
	return found, nil
}
