package blobs_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/depot/depottest"
	"fairlead.dev/fairlead/internal/fault"
)

func TestMain(m *testing.M) {
	if order, isChild := os.LookupEnv(childOrder); isChild {
		os.Exit(actAsChild(order))
	}
	logrus.SetOutput(io.Discard) // distribution's
	code := depottest.Main(m)
	http.DefaultClient.CloseIdleConnections()
	if code == 0 {
		if err := goleak.Find(leaks()...); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// leaks are goroutines that others never end.
func leaks() []goleak.Option {
	return []goleak.Option{
		goleak.IgnoreAnyFunction("fairlead.dev/fairlead/internal/depot/depottest.newInternet.func1"),
		goleak.IgnoreAnyFunction("fairlead.dev/fairlead/internal/depot/depottest.(*internet).proxy.func2"),
		goleak.IgnoreAnyFunction("fairlead.dev/fairlead/internal/depot/depottest.join.func1"),
		goleak.IgnoreAnyFunction("fairlead.dev/fairlead/internal/depot/depottest.join"),
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"),
		goleak.IgnoreTopFunction("go.opencensus.io/stats/view.(*worker).start"),
		// Connections that the clouds' libraries keep for their next request.
		goleak.IgnoreAnyFunction("net/http.(*persistConn).readLoop"),
		goleak.IgnoreAnyFunction("net/http.(*persistConn).writeLoop"),
		goleak.IgnoreAnyFunction("net/http.(*conn).serve"),
	}
}

// noise is as random as its seed.
func noise(seed uint64, size int) []byte {
	var key [32]byte
	binary.LittleEndian.PutUint64(key[:], seed)
	content := make([]byte, size)
	_, _ = rand.NewChaCha8(key).Read(content) // it never fails
	return content
}

func descriptor(content []byte) ocispec.Descriptor {
	return ocispec.Descriptor{Digest: digest.FromBytes(content), Size: int64(len(content))}
}

// upstream is a registry's blobs, over HTTP.
type upstream struct {
	url string

	sent     atomic.Int64 // bytes of blobs
	requests atomic.Int64

	mu      sync.Mutex
	content map[string][]byte
	between func(w http.ResponseWriter, r *http.Request, content []byte) (answered bool)
}

func newUpstream(t testing.TB, contents ...[]byte) *upstream {
	t.Helper()
	u := &upstream{content: make(map[string][]byte)}
	for _, content := range contents {
		u.content[digest.FromBytes(content).String()] = content
	}
	server := httptest.NewServer(u)
	t.Cleanup(server.Close)
	u.url = server.URL
	return u
}

// on is asked before each answer.
func (u *upstream) on(between func(w http.ResponseWriter, r *http.Request, content []byte) (answered bool)) {
	u.mu.Lock()
	defer u.mu.Unlock()
	u.between = between
}

func (u *upstream) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	u.requests.Add(1)
	u.mu.Lock()
	content, is := u.content[strings.TrimPrefix(r.URL.Path, "/")]
	between := u.between
	u.mu.Unlock()
	counted := &countedWriter{ResponseWriter: w, sent: &u.sent}
	if between != nil && between(counted, r, content) {
		return
	}
	if !is {
		http.Error(w, "no such blob", http.StatusNotFound)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	http.ServeContent(counted, r, "", time.Time{}, bytes.NewReader(content))
}

type countedWriter struct {
	http.ResponseWriter
	sent *atomic.Int64
	then func(sent int64) // nil: nothing
}

func (c *countedWriter) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	if sent := c.sent.Add(int64(n)); c.then != nil {
		c.then(sent)
	}
	return n, err
}

func (c *countedWriter) Unwrap() http.ResponseWriter { return c.ResponseWriter }

// fetch is how a client of registries would ask it.
func (u *upstream) fetch(d digest.Digest) blobs.Fetch { return fetchFrom(u.url, d) }

func fetchFrom(url string, d digest.Digest) blobs.Fetch {
	return func(ctx context.Context, offset int64) (blobs.Stream, error) {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, url+"/"+d.String(), http.NoBody)
		if err != nil {
			return blobs.Stream{}, err
		}
		if offset > 0 {
			request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			return blobs.Stream{}, err
		}
		from := blobs.Stream{Body: response.Body, Size: response.ContentLength}
		switch response.StatusCode {
		case http.StatusOK:
			return from, nil
		case http.StatusPartialContent:
			var last int64
			if _, err := fmt.Sscanf(response.Header.Get("Content-Range"), "bytes %d-%d/%d", &from.Offset, &last, &from.Size); err != nil {
				return blobs.Stream{}, errors.Join(err, response.Body.Close())
			}
			return from, nil
		}
		kind := map[int]fault.Kind{http.StatusNotFound: fault.NotFound, http.StatusForbidden: fault.Denied, http.StatusTooManyRequests: fault.Exhausted}[response.StatusCode]
		if kind == "" {
			kind = fault.Unavailable
		}
		seconds, _ := strconv.Atoi(response.Header.Get("Retry-After"))
		refusal := fault.New(kind, "upstream", "%s", response.Status).WithRetryAfter(time.Duration(seconds) * time.Second)
		return blobs.Stream{}, errors.Join(refusal, response.Body.Close())
	}
}

func openStore(t testing.TB, config blobs.Config) *blobs.Store {
	t.Helper()
	if config.URL == "" {
		config.URL = "file://" + t.TempDir()
	}
	if !strings.HasPrefix(config.URL, "file:") && config.Spool == "" {
		config.Spool = t.TempDir()
	}
	if config.Backoff == 0 {
		config.Backoff = time.Millisecond
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	}
	store, err := blobs.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	return store
}

func fill(t testing.TB, store *blobs.Store, u *upstream, content []byte) *blobs.Content {
	t.Helper()
	want := descriptor(content)
	c, err := store.Fill(t.Context(), want, u.fetch(want.Digest))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = c.Close() })
	return c
}

// filling is fill for a download that does not go on by itself.
func filling(t testing.TB, store *blobs.Store, u *upstream, content []byte) <-chan *blobs.Content {
	t.Helper()
	opened := make(chan *blobs.Content, 1)
	go func() {
		defer close(opened)
		want := descriptor(content)
		c, err := store.Fill(t.Context(), want, u.fetch(want.Digest))
		if err != nil {
			t.Error(err)
			return
		}
		t.Cleanup(func() { _ = c.Close() })
		opened <- c
	}()
	return opened
}

func waitClients(t testing.TB, store *blobs.Store, d digest.Digest, count int) {
	t.Helper()
	for store.Clients(d) < count {
		pause(t)
	}
}

// filled fills a blob, reads it, and waits until it is kept.
func filled(t testing.TB, store *blobs.Store, u *upstream, content []byte) {
	t.Helper()
	c := fill(t, store, u, content)
	wantContent(t, c, content)
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	waitKept(t, store, digest.FromBytes(content))
}

func waitKept(t testing.TB, store *blobs.Store, d digest.Digest) {
	t.Helper()
	for {
		_, err := store.Stat(t.Context(), d)
		if err == nil && !store.IsFilling(d) {
			return
		}
		if err != nil && !errors.Is(err, blobs.ErrNotFound) {
			t.Fatal(err)
		}
		pause(t)
	}
}

// pause lets others do something; nothing is said of how long they take.
func pause(t testing.TB) {
	t.Helper()
	select {
	case <-time.After(time.Millisecond):
	case <-t.Context().Done():
		t.Fatal("the test is over")
	}
}

func wantContent(t testing.TB, from io.Reader, content []byte) {
	t.Helper()
	got, err := io.ReadAll(from)
	if err != nil {
		t.Fatalf("after %d of %d bytes: %v", len(got), len(content), err)
	}
	if sha256.Sum256(got) != sha256.Sum256(content) {
		t.Fatalf("%d bytes came, and they are others than the %d that were sent", len(got), len(content))
	}
}

func wantMissing(t testing.TB, store *blobs.Store, d digest.Digest) {
	t.Helper()
	_, err := store.Open(t.Context(), d)
	if f := fault.From(err); !errors.Is(err, blobs.ErrNotFound) || f.Kind != fault.NotFound {
		t.Errorf("%s is opened with %v, and should not be there", d, err)
	}
}

func wantCode(t testing.TB, err error, code string) {
	t.Helper()
	if f := fault.From(err); err == nil || f.Code != code {
		t.Errorf("it is %v, want %s", err, code)
	}
}

// spooled are the files on their way.
func spooled(t testing.TB, dir string) []string {
	t.Helper()
	names, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	return names
}
