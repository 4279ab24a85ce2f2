package pull_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
)

// inParts has layers of more than four parts come in parts.
var inParts = pull.Config{PartSize: part, Ahead: 4 * part}

const part = 32 << 10

// large is a layer of some sixteen parts, with one file in it.
func large(t testing.TB) (l testLayer, content string) {
	t.Helper()
	content = noise(16 * part)
	return compressedBy(t, types.OCIUncompressedLayer, archiveOf(t, file("large", content))), content
}

// ranges are what a layer's parts are asked for by.
func (l testLayer) ranges() (ranges []string) {
	for start := 0; start < len(l.blob); start += part {
		ranges = append(ranges, fmt.Sprintf("bytes=%d-%d", start, min(start+part, len(l.blob))-1))
	}
	return ranges
}

// wantRanges checks by which ranges a layer was asked for, in any order; "" is all
// of it.
func wantRanges(t *testing.T, far *farSide, l testLayer, want ...string) {
	t.Helper()
	var got []string
	for _, request := range far.seen(l.blobPath()) {
		_, asked, _ := strings.Cut(request, l.blobPath())
		got = append(got, strings.TrimSpace(asked))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("ranges of %s (-want +got):\n%s", l.blobPath(), diff)
	}
}

// wantContent checks the one file of a large layer, that it was fetched once, and
// that no room for parts is taken any more.
func wantContent(t *testing.T, store *pull.Store, img pull.Image, content string) {
	t.Helper()
	tree := readTree(t, mustMount(t, store, img, "content"))
	if tree["large"] != content {
		t.Error("the file is another one")
	}
	wantNoneAhead(t, store)
}

func wantNoneAhead(t *testing.T, store *pull.Store) {
	t.Helper()
	if held, _ := store.PartsAhead(); held != 0 {
		t.Errorf("%d parts are in memory after the pull", held)
	}
}

// inRange calls intercept for requests for a layer, with the first byte that they
// ask for; -1: for all of it.
func (f *farSide) inRange(l testLayer, intercept func(w http.ResponseWriter, r *http.Request, first int) (answered bool)) {
	f.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, l.blobPath()) {
			return false
		}
		first, last := -1, 0
		_, _ = fmt.Sscanf(r.Header.Get("Range"), "bytes=%d-%d", &first, &last) // there may be none
		return intercept(w, r, first)
	})
}

func TestALargeLayerComesInPartsOverSeveralConnectionsAtOnce(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	// The second part, and the three after it, come only when all are asked for.
	const atOnce = 4
	var together sync.WaitGroup
	together.Add(atOnce)
	far.inRange(l, func(_ http.ResponseWriter, _ *http.Request, first int) bool {
		if n := first / part; n > 0 && n <= atOnce {
			together.Done()
			together.Wait()
		}
		return false
	})
	store := openStore(t, inParts)
	var most int64
	request := far.request(t, "acme/train:v1")
	request.Progress = func(p pull.Progress) {
		for _, state := range p.Layers {
			most = max(most, state.Done)
		}
	}
	img := mustPull(t, store, request)
	wantRanges(t, far, l, l.ranges()...)
	r := img.Report.Layers[0]
	if size := int64(len(l.blob)); r.Fetched != size || most != size || r.Retries != 0 || r.From == pull.Here || r.Transfer <= 0 || r.Transfer+r.Wait > img.Report.Total {
		t.Errorf("report = %+v, progress up to %d", r, most)
	}
	wantContent(t, store, img, content)
}

func TestALayerThatIsNotLargeComesInOne(t *testing.T) {
	far := newFarSide(t)
	l := layer(t, file("large", noise(2*part)))
	far.push(t, "acme/train:v1", imageOf(t, l))
	mustPull(t, openStore(t, inParts), far.request(t, "acme/train:v1"))
	wantRanges(t, far, l, "")
}

func TestPartsAheadStayWithinTheirMemoryAndKeepNoOtherPullWaiting(t *testing.T) {
	far := newFarSide(t)
	stuck, content := large(t)
	other, otherContent := large(t)
	far.push(t, "acme/stuck:v1", imageOf(t, stuck))
	far.push(t, "acme/other:v1", imageOf(t, other))
	store := openStore(t, inParts)
	_, most := store.PartsAhead()
	if most != 4 {
		t.Fatalf("room for %d parts", most)
	}
	release, asked := make(chan struct{}), make(chan struct{}, 100)
	far.inRange(stuck, func(w http.ResponseWriter, r *http.Request, first int) bool {
		if asked <- struct{}{}; first > 0 {
			return false
		}
		w.Header().Set("Content-Range", fmt.Sprintf("bytes 0-%d/%d", part-1, len(stuck.blob)))
		w.WriteHeader(http.StatusPartialContent)
		_ = http.NewResponseController(w).Flush()
		<-release
		_, _ = w.Write(stuck.blob[:part])
		return true
	})
	done := make(chan pull.Image)
	go func() {
		img, err := store.Pull(t.Context(), far.request(t, "acme/stuck:v1"))
		if err != nil {
			t.Error(err)
		}
		done <- img
	}()
	for range 1 + most {
		<-asked
	}
	img := mustPull(t, store, far.request(t, "acme/other:v1")) // though there is no room
	if held, _ := store.PartsAhead(); held != most {
		t.Errorf("%d parts are in memory, want %d", held, most)
	}
	if n := len(asked); n > 0 {
		t.Errorf("%d parts more were asked for than there is room for", n)
	}
	if tree := readTree(t, mustMount(t, store, img, "other")); tree["large"] != otherContent {
		t.Error("the file of the other pull is another one")
	}
	close(release)
	wantContent(t, store, <-done, content)
}

func TestADroppedConnectionOfAPartIsTakenUpAtTheByte(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	const half = part / 2
	cut := map[int]bool{0: true, 3 * part: true}
	want := l.ranges()
	for _, start := range []int{0, 3 * part} {
		want = append(want, fmt.Sprintf("bytes=%d-%d", start+half, start+part-1))
	}
	far.inRange(l, func(w http.ResponseWriter, _ *http.Request, first int) bool {
		if cut[first] {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", first, first+part-1, len(l.blob)))
			w.Header().Set("Content-Length", fmt.Sprint(part))
			w.WriteHeader(http.StatusPartialContent)
			_, _ = w.Write(l.blob[first : first+half])
			_ = http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		}
		return false
	})
	store := openStore(t, inParts)
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	wantRanges(t, far, l, want...)
	if r := img.Report.Layers[0]; r.Fetched != int64(len(l.blob)) || r.Retries != 2 {
		t.Errorf("report = %+v", r)
	}
	wantContent(t, store, img, content)
}

func TestAPartThatHangsIsTakenUpAgain(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	var hung atomic.Bool
	far.inRange(l, func(_ http.ResponseWriter, r *http.Request, first int) bool {
		if first == 2*part && hung.CompareAndSwap(false, true) {
			<-r.Context().Done()
			return true
		}
		return false
	})
	config := inParts
	config.StallTimeout = time.Second // long enough that a busy machine does not use up the tries
	store := openStore(t, config)
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	if img.Report.Retries() == 0 {
		t.Error("no retry is told of")
	}
	wantContent(t, store, img, content)
}

func TestAGrantThatRunsOutAmongThePartsIsRenewedOnce(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	var given atomic.Int32
	far.inRange(l, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Header.Get("Authorization") == "Bearer stale" && given.Add(1) > 3 {
			w.Header().Set("Www-Authenticate", `Bearer realm="https://`+host+`/token",error="invalid_token"`)
			w.WriteHeader(http.StatusUnauthorized)
			return true
		}
		return false
	})
	var mu sync.Mutex
	renewals, current := 0, "stale"
	request := far.request(t, "acme/train:v1")
	request.Authorize = func(_ context.Context, refused bool) (oci.Authorization, error) {
		mu.Lock()
		defer mu.Unlock()
		if refused {
			renewals++
			current = "fresh"
		}
		return oci.Bearer(secret.New(current)), nil
	}
	store := openStore(t, inParts)
	img := mustPull(t, store, request)
	if renewals != 1 || img.Report.Retries() != 0 {
		t.Errorf("renewed %d times with %d retries, want once without", renewals, img.Report.Retries())
	}
	wantContent(t, store, img, content)
}

func TestAWrongDigestThrowsAwayThatLayerAlone(t *testing.T) {
	for outcome, config := range map[string]pull.Config{"in one": {}, "in parts": inParts} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			good := layer(t, file("good", noise(1<<20))) // larger, so that it comes first
			bad, content := large(t)
			far.push(t, "acme/train:v1", imageOf(t, good, bad))
			altered := testLayer{blob: bytes.Clone(bad.blob)}
			altered.blob[len(altered.blob)/2] ^= 1
			far.inRange(bad, func(w http.ResponseWriter, r *http.Request, _ int) bool {
				http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(altered.blob))
				return true
			})
			config.Parallel = 1 // so that the good one is done before the bad one fails
			store := openStore(t, config)
			_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
			wantFault(t, err, fault.Unavailable, "layer_corrupt")
			wantNoneAhead(t, store)

			far.between(nil)
			far.seen("")
			img := mustPull(t, store, far.request(t, "acme/train:v1"))
			if img.Report.Layers[0].From != pull.Here || img.Report.Layers[1].From == pull.Here {
				t.Errorf("report = %+v", img.Report.Layers)
			}
			wantContent(t, store, img, content)
		})
	}
}

func TestEachPartFollowsTheRedirectWithoutTheCredential(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	var mu sync.Mutex
	var ranges []string
	storage := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		ranges = append(ranges, r.Header.Get("Range"))
		mu.Unlock()
		if r.Header.Get("Authorization") != "" {
			t.Error("the storage gets the registry's credential")
		}
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(l.blob))
	}))
	t.Cleanup(storage.Close)
	far.reach(t, "storage.example.com", storage)
	far.inRange(l, func(w http.ResponseWriter, r *http.Request, _ int) bool {
		if r.Header.Get("Authorization") == "" {
			t.Error("the registry is asked without the credential")
		}
		http.Redirect(w, r, "https://storage.example.com/blob?signature=of-this-request", http.StatusTemporaryRedirect)
		return true
	})
	request := far.request(t, "acme/train:v1")
	request.Authorize = func(context.Context, bool) (oci.Authorization, error) {
		return oci.Basic("robot", secret.New("password")), nil
	}
	store := openStore(t, inParts)
	img := mustPull(t, store, request)
	wantRanges(t, far, l, l.ranges()...)
	slices.Sort(ranges)
	want := l.ranges()
	slices.Sort(want)
	if diff := cmp.Diff(want, ranges); diff != "" {
		t.Errorf("ranges that the storage was asked for (-want +got):\n%s", diff)
	}
	wantContent(t, store, img, content)
}

func TestAPullThatIsEndedAmongPartsLeavesNothing(t *testing.T) {
	far := newFarSide(t)
	l, _ := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var hanging atomic.Int32
	far.inRange(l, func(_ http.ResponseWriter, r *http.Request, first int) bool {
		if first < 2*part {
			return false
		}
		if hanging.Add(1) == 3 {
			cancel()
		}
		<-r.Context().Done()
		return true
	})
	config := inParts
	config.Root = t.TempDir()
	store := openStore(t, config)
	_, err := store.Pull(ctx, far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.Unavailable, "cancelled")
	wantNoneAhead(t, store)
	wantNoLayer(t, store, config.Root)
}

// What goes wrong in a real network goes wrong here at random, many times, for
// several pulls at once; what arrives must be what was pushed.
func TestPartsArriveWholeWhateverTheNetworkDoes(t *testing.T) {
	far := newFarSide(t)
	const images = 4
	var contents [images]string
	for i := range images {
		l, content := large(t)
		contents[i] = content
		far.push(t, fmt.Sprintf("acme/train%d:v1", i), imageOf(t, l, layer(t, file("more", noise(part)))))
	}
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(rand.Uint64(), 0))
	draw := func(n int) int {
		mu.Lock()
		defer mu.Unlock()
		return random.IntN(n)
	}
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if r.Method != http.MethodGet || !strings.Contains(r.URL.Path, "/blobs/") {
			return false
		}
		switch draw(12) {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		case 1:
			panic(http.ErrAbortHandler)
		case 2, 3:
			far.app.ServeHTTP(&breaking{ResponseWriter: w, left: draw(part)}, r)
			return true
		case 4:
			if draw(10) == 0 {
				r.Header.Del("Range")
			}
			return false
		default:
			return false
		}
	})
	store := openStore(t, inParts)
	var pulls sync.WaitGroup
	for i := range images {
		pulls.Go(func() {
			for {
				img, err := store.Pull(t.Context(), far.request(t, fmt.Sprintf("acme/train%d:v1", i)))
				if err != nil { // a small request has but three tries
					continue
				}
				rootfs, err := store.Mount(t.Context(), img, fmt.Sprint(i))
				if err != nil {
					t.Error(err)
				} else if readTree(t, rootfs)["large"] != contents[i] {
					t.Error("the file is another one")
				}
				return
			}
		})
	}
	pulls.Wait()
	wantNoneAhead(t, store)
}

// breaking breaks the connection after some bytes of the answer.
type breaking struct {
	http.ResponseWriter
	left int
}

func (b *breaking) Write(p []byte) (int, error) {
	if b.left -= len(p); b.left > 0 {
		return b.ResponseWriter.Write(p)
	}
	_, _ = b.ResponseWriter.Write(p[:len(p)+b.left])
	_ = http.NewResponseController(b.ResponseWriter).Flush()
	panic(http.ErrAbortHandler)
}

func (b *breaking) ReadFrom(from io.Reader) (int64, error) {
	return io.Copy(struct{ io.Writer }{b}, from)
}
