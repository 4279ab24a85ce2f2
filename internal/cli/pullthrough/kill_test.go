package pullthrough_test

import (
	"errors"
	"flag"
	"io"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/opencontainers/go-digest"
)

var (
	rounds = flag.Int("rounds", 3, "how often the program is killed")
	seed   = flag.Uint64("seed", 0, "the moments at which it is killed; others each time if 0")
)

func begin(t *testing.T) *rand.Rand {
	t.Helper()
	from := *seed
	if from == 0 {
		from = rand.Uint64()
	}
	t.Logf("go test ./internal/cli/pullthrough -run %s -rounds %d -seed %d", t.Name(), *rounds, from)
	return rand.New(rand.NewPCG(from, 0))
}

func TestTheProgramThatIsKilledServesNoByteThatWasNotPushed(t *testing.T) {
	draw := begin(t)
	w := newWorld(t)
	k := &killing{world: w, draw: draw, kept: make(map[digest.Digest]bool)}
	first := draw.IntN(4)
	for round := range *rounds {
		k.pushMore()
		k.pullUntilKilled(k.moments()[(first+round)%4], errBad, errLie)
		left := k.wantVerified()
		w.start()
		k.wantSwept(left)
		k.wantRightsAskedFor()
		k.wantTakenUp()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("killed %d times while it was asked for something, %d downloads were on their way, %d blobs are kept", k.inTime, k.onTheWay, len(k.kept))
}

// The registry's connections break in the middle of blobs, and of one blob it sends
// another byte, once.
func TestALieOfTheRegistryIsNeitherKeptNorCompleted(t *testing.T) {
	draw := begin(t)
	w := newWorld(t)
	k := &killing{world: w, draw: draw, kept: make(map[digest.Digest]bool)}
	lies := 0
	for round := range max(*rounds/6, 2) {
		k.pushMore()
		lied := k.breakAndLie()
		k.pullUntilKilled(k.moments()[2+round%2], errBad)
		if lied() {
			lies++
		}
		k.line.change(nil)
		left := k.wantVerified()
		w.start()
		k.wantSwept(left)
		k.wantTakenUp()
		if t.Failed() {
			t.Fatalf("round %d", round)
		}
	}
	t.Logf("the registry lied %d times", lies)
}

// breakAndLie has every other blob break off somewhere, and one of the cold lied about
// the first time that it is asked for. Whether it was is told by lied.
func (k *killing) breakAndLie() (lied func() bool) {
	victim := digest.FromBytes(k.cold[k.draw.IntN(len(k.cold))].blobs[1])
	draw := rand.New(rand.NewPCG(k.draw.Uint64(), 0))
	var is atomic.Bool
	k.line.change(func(r *http.Request, body io.Reader) io.Reader { // one at a time
		switch {
		case strings.HasSuffix(r.URL.Path, victim.String()) && is.CompareAndSwap(false, true):
			return &lying{Reader: body}
		case draw.IntN(2) == 0:
			return &breaking{body, draw.Int64N(256 << 10)}
		default:
			return body
		}
	})
	return is.Load
}

// killing is a program that is killed again and again.
type killing struct {
	*world
	draw   *rand.Rand
	images []*content
	cold   []*content             // of this round
	kept   map[digest.Digest]bool // whole, on the disk

	inTime, onTheWay int // how often it was killed before all had everything, and downloads that were under way
}

// pushMore pushes what nobody has pulled yet: an image of acme's, one of globex's and
// one of both, whose first layers are the same.
func (k *killing) pushMore() {
	k.t.Helper()
	same, tag := noise(k.draw, k.draw.IntN(512<<10)), "v"+digest.FromString(string(noise(k.draw, 8))).Encoded()[:12]
	k.cold = nil
	for _, repository := range []string{"ml/train", "vision/train", "shared/base"} {
		k.cold = append(k.cold, k.push(repository, tag, same, noise(k.draw, k.draw.IntN(512<<10)), noise(k.draw, 1+k.draw.IntN(2000))))
	}
	k.images = append(k.images, k.cold...)
}

// readersOf are those who may pull an image.
func (k *killing) readersOf(c *content) []*member {
	switch {
	case strings.HasPrefix(c.repository, "ml/"):
		return []*member{k.acme}
	case strings.HasPrefix(c.repository, "vision/"):
		return []*member{k.globex}
	default:
		return []*member{k.acme, k.globex}
	}
}

// moment is when the program is killed: it is called before anything is pulled, with
// what kills it, and gives what to call when a client has got something, and at the end.
type moment func(kill func()) (told func(digest.Digest), end func())

// moments are spread over all that the program does.
func (k *killing) moments() []moment {
	var all int64
	for _, c := range k.cold {
		for _, blob := range c.blobs {
			all += int64(len(blob))
		}
	}
	sent, requests, parts := k.draw.Int64N(all), k.draw.IntN(16), k.draw.IntN(40)
	event, events := k.draw.IntN(len(onDisk)), k.draw.IntN(14)
	return []moment{
		// In the middle of what arrives.
		func(kill func()) (func(digest.Digest), func()) {
			from := k.line.sent.Load()
			k.line.tell(func(now int64) {
				if now-from >= sent {
					kill()
				}
			})
			return nobody, func() { k.line.tell(nil) }
		},
		// When the registry has just been asked, or is about to answer.
		func(kill func()) (func(digest.Digest), func()) {
			var asked atomic.Int64
			k.line.answer(func(http.ResponseWriter, *http.Request) bool {
				if asked.Add(1) > int64(requests) {
					kill()
				}
				return false
			})
			return nobody, func() { k.line.answer(nil) }
		},
		// When a client has just got all of something.
		func(kill func()) (func(digest.Digest), func()) {
			var got atomic.Int64
			return func(digest.Digest) {
				if got.Add(1) > int64(parts) {
					kill()
				}
			}, func() {}
		},
		// When a file was made, written to or moved.
		func(kill func()) (func(digest.Digest), func()) {
			return nobody, k.watch(onDisk[event], events, kill)
		},
	}
}

// pullUntilKilled has four clients pull what is cold and some of what is warm until the
// program is killed: at that moment, or when all have got everything. No client may come
// to the errors that are named. Where errLie is one of them, the registry is honest, and
// nothing may fail before the kill.
func (k *killing) pullUntilKilled(at moment, bad ...error) {
	k.t.Helper()
	victim, honest := k.server, slices.Contains(bad, errLie)
	var dead atomic.Bool
	told, end := at(func() {
		dead.Store(true)
		_ = victim.command.Process.Kill() // it may have been
	})
	var clients sync.WaitGroup
	for client := range 4 {
		draw := rand.New(rand.NewPCG(k.draw.Uint64(), 0))
		wanted := slices.Clone(k.cold)
		for range 3 {
			wanted = append(wanted, k.images[draw.IntN(len(k.images))])
		}
		draw.Shuffle(len(wanted), func(i, j int) { wanted[i], wanted[j] = wanted[j], wanted[i] })
		inPieces := client == 0 && honest // a part of a blob is not known to be right before the whole is
		clients.Go(func() {
			for _, c := range wanted {
				readers := k.readersOf(c)
				m := readers[draw.IntN(len(readers))]
				var err error
				if inPieces {
					err = k.pullInPieces(k.t.Context(), draw, m, c)
				} else {
					err = k.pull(k.t.Context(), m, c, told)
				}
				switch {
				case slices.ContainsFunc(bad, func(b error) bool { return errors.Is(err, b) }):
					k.t.Errorf("before it was killed: %v", err)
				case err != nil && honest && !dead.Load():
					k.t.Errorf("the program lives, and %v", err)
				case dead.Load():
					return
				}
			}
		})
	}
	clients.Wait()
	if dead.Load() {
		k.inTime++
	}
	victim.end(syscall.SIGKILL)
	end()
	if state, ok := victim.command.ProcessState.Sys().(syscall.WaitStatus); !ok || state.Signal() != syscall.SIGKILL {
		k.t.Fatalf("the program was not killed, but ended: %v\n%s", victim.command.ProcessState, victim.log)
	}
	if log := victim.log.String(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") || strings.Contains(log, robotPassword) {
		k.t.Errorf("its log:\n%s", log)
	}
	http.DefaultClient.CloseIdleConnections()
}

// wantVerified looks through what the killed program left: each blob is what its name
// says, and what was whole before is there. It gives what was on its way.
func (k *killing) wantVerified() (left []string) {
	k.t.Helper()
	found := make(map[digest.Digest]bool)
	files, err := filepath.Glob(filepath.Join(k.cacheDir(), "blobs", "*", "*"))
	k.check(err)
	for _, file := range files {
		d := digest.NewDigestFromEncoded(digest.Algorithm(filepath.Base(filepath.Dir(file))), filepath.Base(file))
		body, err := os.ReadFile(file)
		if err != nil || d.Validate() != nil || d.Algorithm().FromBytes(body) != d {
			k.t.Errorf("%s is not what its name says: %v", file, err)
		}
		found[d] = true
	}
	for d := range k.kept {
		if !found[d] {
			k.t.Errorf("%s was whole, and is gone", d)
		}
	}
	maps.Copy(k.kept, found)
	left, err = filepath.Glob(filepath.Join(k.cacheDir(), "uploads", "*"))
	k.check(err)
	k.onTheWay += len(left)
	return left
}

// wantSwept looks that nothing of that is there now.
func (k *killing) wantSwept(left []string) {
	k.t.Helper()
	for _, file := range left {
		if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
			k.t.Errorf("%s was left, and is there after the next start: %v", file, err)
		}
	}
}

// wantRightsAskedFor has those ask first who have no right to what is kept.
func (k *killing) wantRightsAskedFor() {
	k.t.Helper()
	for _, c := range k.images[max(0, len(k.images)-6):] {
		readers := k.readersOf(c)
		if len(readers) > 1 {
			continue
		}
		other := k.acme
		if readers[0] == k.acme {
			other = k.globex
		}
		for _, path := range []string{c.manifestPath(c.tag), c.manifestPath(c.digest().String()), c.blobPath(digest.FromBytes(c.blobs[1]))} {
			if err := k.get(k.t.Context(), other, path, "", nil); !isRefusal(err) {
				k.t.Errorf("%s asked for %s, and it came to %v", other.organization, path, err)
			}
			err := k.get(k.t.Context(), nil, path, "", nil)
			if got, is := errors.AsType[*refusal](err); !is || got.status != http.StatusUnauthorized {
				k.t.Errorf("nobody asked for %s, and it came to %v", path, err)
			}
		}
	}
}

func isRefusal(err error) bool {
	_, is := errors.AsType[*refusal](err)
	return is
}

// wantTakenUp pulls what is cold and some of what is warm, and looks that the registry
// was asked for nothing that is kept.
func (k *killing) wantTakenUp() {
	k.t.Helper()
	_ = k.line.gets()
	wanted := slices.Clone(k.cold)
	for range 3 {
		wanted = append(wanted, k.images[k.draw.IntN(len(k.images))])
	}
	for _, c := range wanted {
		for _, m := range k.readersOf(c) {
			if err := k.pullInPieces(k.t.Context(), k.draw, m, c); err != nil {
				k.t.Errorf("after it was started again: %v", err)
			}
		}
	}
	for _, asked := range k.line.gets() {
		if d := digest.Digest(asked[strings.LastIndexByte(asked, '/')+1:]); k.kept[d] {
			k.t.Errorf("%s is kept, and the registry was asked: %s", d, asked)
		}
	}
}
