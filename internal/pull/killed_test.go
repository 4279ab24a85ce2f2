package pull_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
)

// childOrder is the variable that makes this program pull one image, and be
// killed.
const childOrder = "FAIRLEAD_TEST_PULL"

// order is what a child is to do.
type order struct {
	Root, Image, Token string
	Rule               oci.HostRule
}

// Events of a child, a line each.
const (
	opened    = "opened"
	resolved  = "resolved"
	layerDone = "done " // and the layer's digest
	pulled    = "pulled"
	stacked   = "mounted"
	collected = "collected"
)

// pullAsChild does all that a worker does with an image, says how far it is, and
// waits to be killed.
func pullAsChild(text string) int {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return complain(err)
	}
	store, err := pull.Open(pull.Config{Root: o.Root, FloorFree: 1, ProgressEvery: time.Millisecond})
	if err != nil {
		return complain(err)
	}
	fmt.Println(opened)
	request, err := o.request()
	if err != nil {
		return complain(err)
	}
	ctx := context.Background()
	img, err := store.Pull(ctx, request)
	if err != nil {
		return complain(err)
	}
	fmt.Println(pulled)
	if _, err := store.Mount(ctx, img, fmt.Sprint("of-", os.Getpid())); err != nil {
		return complain(err)
	}
	fmt.Println(stacked)
	if err := store.Collect(ctx); err != nil {
		return complain(err)
	}
	fmt.Println(collected)
	_, _ = io.Copy(io.Discard, os.Stdin) // until the end
	return 0
}

func complain(err error) int {
	fmt.Fprintln(os.Stderr, err)
	return 1
}

// request tells of what it is asked.
func (o order) request() (pull.Request, error) {
	ref, err := image.ParseReference(o.Image)
	if err != nil {
		return pull.Request{}, err
	}
	transport, err := oci.NewTransport(oci.Config{Hosts: []oci.HostRule{o.Rule}})
	if err != nil {
		return pull.Request{}, err
	}
	told := make(map[string]bool)
	return pull.Request{
		Image: ref, Route: transport.For(o.Rule.Host),
		Authorize: func(context.Context, bool) (oci.Authorization, error) { return oci.Bearer(secret.New(o.Token)), nil },
		Resolved:  func(digest.Digest) { fmt.Println(resolved) },
		Progress: func(p pull.Progress) {
			for _, l := range p.Layers {
				if (l.Phase == pull.Done || l.Phase == pull.Exists) && !told[l.Digest.String()] {
					told[l.Digest.String()] = true
					fmt.Println(layerDone + l.Digest.String())
				}
			}
		},
	}, nil
}

// guarded is a registry that wants a token, and counts what it gives.
type guarded struct {
	*farSide
	token string

	mu    sync.Mutex
	count *count
}

// count is what was given since some moment, in answers to requests since then: those
// to a child that was killed may still be on their way.
type count struct {
	given map[string]int64 // bytes of layers by digest
	total int64
	at    int64 // when this many were given, something is done, once
	do    func()
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{farSide: newFarSide(t), token: "of this execution"}
	g.from(0, nil)
	g.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Header.Get("Authorization") != "Bearer "+g.token {
			w.Header().Set("Www-Authenticate", `Bearer realm="https://`+host+`/token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		_, digest, isBlob := strings.Cut(r.URL.Path, "/blobs/")
		if isBlob && r.Method == http.MethodGet {
			g.mu.Lock()
			now := g.count
			g.mu.Unlock()
			g.app.ServeHTTP(&counted{w, g, now, digest}, r)
		}
		return isBlob && r.Method == http.MethodGet
	})
	return g
}

// from counts anew, and does something when a number of bytes were given.
func (g *guarded) from(at int64, do func()) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.count = &count{given: make(map[string]int64), at: at, do: do}
}

// sent are the bytes of blobs that were given since.
func (g *guarded) sent() map[string]int64 {
	g.mu.Lock()
	defer g.mu.Unlock()
	return maps.Clone(g.count.given)
}

// counted is an answer on its way.
type counted struct {
	http.ResponseWriter
	of     *guarded
	count  *count
	digest string
}

func (c *counted) Write(p []byte) (int, error) {
	n, err := c.ResponseWriter.Write(p)
	c.of.mu.Lock()
	defer c.of.mu.Unlock()
	c.count.given[c.digest] += int64(n)
	if c.count.total += int64(n); c.count.do != nil && c.count.total >= c.count.at {
		c.count.do()
		c.count.do = nil
	}
	return n, err
}
