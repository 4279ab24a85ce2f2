package blobs_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/blobs"
)

// childOrder is the variable that makes this program a process of its own with a
// store.
const childOrder = "FAIRLEAD_TEST_BLOBS"

// order is what a child is to do.
type order struct {
	URL, Upstream string
	Limit         int64
	Flush         time.Duration
	Digests       []digest.Digest // it fills these,
	Rounds        int             // so often each,
	Readers       int             // by so many at the same time,
	Seed          uint64          // in an order of its own,
	Organization  string          // for this one;
	Serve         bool            // or it serves them over HTTP, until it is told to end
}

// What a child says, a line each.
const (
	ready    = "ready" // and where it serves
	done     = "done "
	finished = "finished"
)

// actAsChild does it.
func actAsChild(text string) int {
	if err := obey(text); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

func obey(text string) error {
	var o order
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	ctx := context.Background()
	store, err := blobs.Open(ctx, blobs.Config{URL: o.URL, Limit: o.Limit, FlushEvery: o.Flush, Backoff: time.Millisecond})
	if err != nil {
		return err
	}
	if o.Serve {
		return serve(store, o.Upstream)
	}
	fmt.Println(ready)
	var group sync.WaitGroup
	failed := make(chan error, o.Readers)
	for reader := range o.Readers {
		draw := rand.New(rand.NewPCG(o.Seed, uint64(reader)))
		group.Go(func() {
			for range o.Rounds {
				for _, i := range draw.Perm(len(o.Digests)) {
					if err := read(ctx, store, o, o.Digests[i]); err != nil {
						failed <- err
						return
					}
				}
			}
		})
	}
	group.Wait()
	select {
	case err := <-failed:
		return err
	default:
	}
	fmt.Println(finished)
	_, _ = io.Copy(io.Discard, os.Stdin) // until it is killed, or told to end
	return store.Close()
}

// read reads a blob, which must be right.
func read(ctx context.Context, store *blobs.Store, o order, d digest.Digest) error {
	c, err := store.Fill(ctx, ocispec.Descriptor{Digest: d}, fetchFrom(o.Upstream, d))
	if err != nil {
		return err
	}
	store.Touch(d, o.Organization)
	verifier := d.Verifier()
	if _, err := io.Copy(verifier, c); err != nil {
		return fmt.Errorf("reading %s: %w", d, err)
	}
	if !verifier.Verified() {
		return fmt.Errorf("%s was given, and is something else", d)
	}
	if err := c.Close(); err != nil {
		return err
	}
	fmt.Println(done + d.String())
	return nil
}

// serve gives blobs over HTTP.
func serve(store *blobs.Store, upstream string) error {
	listener, err := listen()
	if err != nil {
		return err
	}
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		d := digest.Digest(strings.TrimPrefix(r.URL.Path, "/"))
		c, err := store.Fill(r.Context(), ocispec.Descriptor{Digest: d}, fetchFrom(upstream, d))
		if err != nil {
			http.Error(w, err.Error(), http.StatusBadGateway)
			return
		}
		defer c.Close()
		w.Header().Set("Content-Type", "application/octet-stream")
		if file := c.File(); file != nil {
			http.ServeContent(w, r, "", time.Time{}, file)
			return
		}
		http.ServeContent(w, r, "", time.Time{}, c)
	})}
	go func() { _ = server.Serve(listener) }() // until the end
	fmt.Println(ready + " http://" + listener.Addr().String())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return server.Close()
}

// child is one that was started.
type child struct {
	*exec.Cmd
	says *bufio.Scanner
	ends io.Closer
}

func startChild(t testing.TB, o order) *child {
	t.Helper()
	text, err := json.Marshal(o)
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	c := &child{Cmd: exec.CommandContext(t.Context(), self)}
	c.Env = append(os.Environ(), childOrder+"="+string(text))
	c.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	c.Stderr = os.Stderr
	says, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if c.ends, err = c.StdinPipe(); err != nil {
		t.Fatal(err)
	}
	c.says = bufio.NewScanner(says)
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	return c
}
