package blobs_test

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/blobs"
)

var (
	rounds = flag.Int("rounds", 3, "how often a process that fills blobs is killed")
	seed   = flag.Uint64("seed", 0, "the moments at which it is killed; others each time if 0")
)

func listen() (net.Listener, error) {
	return new(net.ListenConfig).Listen(context.Background(), "tcp", "127.0.0.1:0")
}

func TestAProcessThatIsKilledLeavesNoByteThatIsNotWhatItsDigestSays(t *testing.T) {
	begin := *seed
	if begin == 0 {
		begin = rand.Uint64()
	}
	t.Logf("go test ./internal/blobs -run %s -rounds %d -seed %d", t.Name(), *rounds, begin)
	draw := rand.New(rand.NewPCG(begin, 0))

	var contents [][]byte
	var digests []digest.Digest
	var all int64
	for i := range 12 {
		content := noise(begin+uint64(i), draw.IntN(1<<20))
		contents, digests = append(contents, content), append(digests, digest.FromBytes(content))
		all += int64(len(content))
	}
	dir := t.TempDir()
	var told []string // what was whole, by the words of children that were killed
	for round := range *rounds {
		if round%8 == 0 { // from nothing, now and then
			dir, told = t.TempDir(), nil
		}
		u := newUpstream(t, contents...)
		limit := int64(0)
		if round%2 == 1 { // so that there is something to remove, too
			limit, told = all/2, nil
		}
		c := startChild(t, order{
			URL: "file://" + dir, Upstream: u.url, Limit: limit, Flush: time.Millisecond, Digests: digests, Rounds: 5, Readers: 3,
			Seed: draw.Uint64(), Organization: "acme",
		})
		kill := func() { _ = c.Process.Kill() } // it may have been
		at, lines := draw.Int64N(all), draw.IntN(60)
		byBytes := round%2 == 0
		if byBytes {
			u.on(func(w http.ResponseWriter, r *http.Request, _ []byte) bool {
				w.(*countedWriter).then = func(sent int64) {
					if sent >= at {
						kill()
					}
				}
				return false
			})
		}
		var said []string
		for c.says.Scan() {
			said = append(said, c.says.Text())
			if c.says.Text() == finished || !byBytes && len(said) >= lines {
				kill()
			}
		}
		_ = c.Wait()
		if state, ok := c.ProcessState.Sys().(syscall.WaitStatus); !ok || state.Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: the child was not killed, but ended: %v", round, c.ProcessState)
		}
		wantVerified(t, dir)
		wantTakenUp(t, dir, contents, told, round)
		if limit == 0 {
			for _, line := range said {
				if d, is := strings.CutPrefix(line, done); is {
					told = append(told, d)
				}
			}
		}
	}
}

// wantTakenUp opens what a killed process left, and reads all of it.
func wantTakenUp(t *testing.T, dir string, contents [][]byte, told []string, round int) {
	t.Helper()
	honest := newUpstream(t, contents...)
	uploads := filepath.Join(dir, "uploads")
	before := spooled(t, uploads) // a store that is open may be writing what it found
	store, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + dir, Backoff: time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	left := slices.DeleteFunc(spooled(t, uploads), func(name string) bool { return !slices.Contains(before, name) })
	if len(left) > 0 {
		t.Errorf("round %d: %q is left", round, left)
	}
	files := wantVerified(t, dir)
	if usage := store.Usage(); usage.Blobs != files {
		t.Errorf("round %d: %d blobs are known of %d", round, usage.Blobs, files)
	} else if usage.Organizations["acme"] > usage.Bytes {
		t.Errorf("round %d: an organisation used %d of %d bytes", round, usage.Organizations["acme"], usage.Bytes)
	}
	for _, d := range told {
		if _, err := os.Stat(filepath.Join(dir, "blobs", "sha256", strings.TrimPrefix(d, "sha256:"))); err != nil {
			t.Errorf("round %d: %s was kept before, and is gone: %v", round, d, err)
		}
	}
	for _, i := range rand.Perm(len(contents))[:4] { // the next round has to do the rest
		c := fill(t, store, honest, contents[i])
		wantContent(t, c, contents[i])
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	}
	if err := store.Close(); err != nil {
		t.Error(err)
	}
}

func TestSeveralProcessesShareADirectory(t *testing.T) {
	const processes = 4
	var contents [][]byte
	var digests []digest.Digest
	for i := range 24 {
		content := noise(uint64(400+i), 100_000+i)
		contents, digests = append(contents, content), append(digests, digest.FromBytes(content))
	}
	u, dir := newUpstream(t, contents...), t.TempDir()
	var children []*child
	for i := range processes {
		children = append(children, startChild(t, order{
			URL: "file://" + dir, Upstream: u.url, Limit: 1_000_000, Flush: 10 * time.Millisecond, Digests: digests, Rounds: 4, Readers: 4,
			Seed: uint64(i), Organization: fmt.Sprint("organisation-", i),
		}))
	}
	for _, c := range children {
		whole := 0
		for c.says.Scan() && c.says.Text() != finished {
			if strings.HasPrefix(c.says.Text(), done) {
				whole++
			}
		}
		if want := 4 * 4 * len(digests); whole != want {
			t.Errorf("%d blobs were read of %d", whole, want)
		}
	}
	for _, c := range children {
		if err := c.ends.Close(); err != nil {
			t.Error(err)
		}
		if err := c.Wait(); err != nil {
			t.Error(err)
		}
	}
	store := openStore(t, blobs.Config{URL: "file://" + dir, Limit: 1_000_000})
	collect(t, store)
	usage := store.Usage()
	if usage.Bytes > 1_000_000 || usage.Blobs != wantVerified(t, dir) {
		t.Errorf("it keeps %+v", usage)
	}
	var names []string
	for name, bytes := range usage.Organizations {
		names = append(names, name)
		if bytes > usage.Bytes {
			t.Errorf("%s used %d of %d bytes", name, bytes, usage.Bytes)
		}
	}
	if slices.Sort(names); len(names) == 0 {
		t.Error("nobody used anything")
	}
	if left := spooled(t, filepath.Join(dir, "uploads")); len(left) > 0 {
		t.Errorf("%q is left", left)
	}
}
