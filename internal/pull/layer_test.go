package pull_test

import (
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// cutAfter sends the first n bytes of an answer and breaks the connection.
func cutAfter(w http.ResponseWriter, body []byte, n int) {
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	_, _ = w.Write(body[:n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

func TestADroppedConnectionIsTakenUpAtTheByte(t *testing.T) {
	far := newFarSide(t)
	l := layer(t, file("big", noise(1<<20)))
	far.push(t, "acme/train:v1", imageOf(t, l))
	const half = 1 << 19
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, l.blobPath()) && r.Header.Get("Range") == "" {
			cutAfter(w, l.blob, half)
		}
		return false
	})
	img := mustPull(t, openStore(t, pull.Config{}), far.request(t, "acme/train:v1"))
	path := "GET /v2/acme/train" + l.blobPath()
	if diff := cmp.Diff([]string{path, fmt.Sprintf("%s bytes=%d-", path, half)}, far.seen(l.blobPath())); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if r := img.Report.Layers[0]; r.Fetched != int64(len(l.blob)) || r.Retries != 1 || r.From != pull.Registry {
		t.Errorf("report = %+v", r)
	}
}

func TestARegistryThatSendsNoPartsIsReadAgainUpToTheByte(t *testing.T) {
	far := newFarSide(t)
	l := layer(t, file("big", noise(1<<18)))
	far.push(t, "acme/train:v1", imageOf(t, l))
	var asked atomic.Int32
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, l.blobPath()) {
			return false
		}
		if asked.Add(1) == 1 {
			cutAfter(w, l.blob, 1<<16)
		}
		_, _ = w.Write(l.blob)
		return true
	})
	mustPull(t, openStore(t, pull.Config{}), far.request(t, "acme/train:v1"))
}

func TestADownloadThatHangsIsTakenUpAgain(t *testing.T) {
	far := newFarSide(t)
	l := layer(t, file("big", noise(1<<18)))
	far.push(t, "acme/train:v1", imageOf(t, l))
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if strings.Contains(r.URL.Path, l.blobPath()) && r.Header.Get("Range") == "" {
			w.Header().Set("Content-Length", fmt.Sprint(len(l.blob)))
			_, _ = w.Write(l.blob[:1<<16])
			_ = http.NewResponseController(w).Flush()
			<-r.Context().Done()
			return true
		}
		return false
	})
	// Long enough that a busy machine does not use up the tries.
	img := mustPull(t, openStore(t, pull.Config{StallTimeout: time.Second}), far.request(t, "acme/train:v1"))
	if img.Report.Retries() == 0 { // a slow machine may stall more than once
		t.Error("no retry is told of")
	}
}

func TestALayerThatIsNotWhatTheManifestNamesIsRefusedAndNothingOfItKept(t *testing.T) {
	for outcome, send := range map[string]func(w http.ResponseWriter, blob []byte){
		"altered": func(w http.ResponseWriter, blob []byte) {
			altered := append([]byte(nil), blob...)
			altered[len(altered)/2] ^= 1
			_, _ = w.Write(altered)
		},
		"truncated, and the length says so": func(w http.ResponseWriter, blob []byte) {
			w.Header().Set("Content-Length", fmt.Sprint(len(blob)-1))
			_, _ = w.Write(blob[:len(blob)-1])
		},
		"truncated, and no length is said": func(w http.ResponseWriter, blob []byte) {
			_, _ = w.Write(blob[:len(blob)/2])
			_ = http.NewResponseController(w).Flush()
		},
		"another one": func(w http.ResponseWriter, blob []byte) {
			_, _ = w.Write(make([]byte, len(blob)))
		},
	} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			l := layer(t, file("hello", noise(1<<16)))
			far.push(t, "acme/train:v1", imageOf(t, l))
			far.between(func(w http.ResponseWriter, r *http.Request) bool {
				if strings.Contains(r.URL.Path, l.blobPath()) {
					send(w, l.blob)
					return true
				}
				return false
			})
			root := t.TempDir()
			store := openStore(t, pull.Config{Root: root})
			_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
			wantFault(t, err, fault.Unavailable, "layer_corrupt")
			wantNoLayer(t, store, root)

			far.between(nil)
			mustPull(t, store, far.request(t, "acme/train:v1"))
		})
	}
}

func TestALayerThatUnpacksToSomethingElseIsRefused(t *testing.T) {
	far := newFarSide(t)
	wrong := layer(t, file("hello", "hello"))
	wrong.diffID = v1.Hash{Algorithm: "sha256", Hex: strings.Repeat("ab", 32)}
	noArchive := compressedBy(t, "application/vnd.oci.image.layer.v1.tar", []byte(noise(2048)))
	noGzip := compressedBy(t, "application/vnd.oci.image.layer.v1.tar", append([]byte{0x1f, 0x8b}, noise(100)...))
	cut := layer(t, file("hello", noise(1<<16)))
	cut.blob = cut.blob[:1<<15]
	for outcome, l := range map[string]testLayer{"a wrong diff id": wrong, "no archive": noArchive, "no gzip": noGzip, "half a gzip": cut} {
		t.Run(outcome, func(t *testing.T) {
			far.push(t, "acme/train:v1", imageOf(t, l))
			root := t.TempDir()
			store := openStore(t, pull.Config{Root: root})
			_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
			wantFault(t, err, fault.Unavailable, "layer_corrupt")
			wantNoLayer(t, store, root)
		})
	}
}

func TestALayerIsAskedForAgainWhenTheRegistrySaidSo(t *testing.T) {
	for outcome, config := range map[string]pull.Config{"in one": {}, "in parts": inParts} {
		for _, status := range []int{http.StatusTooManyRequests, http.StatusServiceUnavailable} {
			t.Run(fmt.Sprint(outcome, " ", status), func(t *testing.T) {
				far := newFarSide(t)
				l, content := large(t)
				far.push(t, "acme/train:v1", imageOf(t, l))
				var mu sync.Mutex
				refused := make(map[string]time.Time)
				far.inRange(l, func(w http.ResponseWriter, r *http.Request, first int) bool {
					mu.Lock()
					defer mu.Unlock()
					asked := r.Header.Get("Range")
					if since, again := refused[asked]; again && time.Since(since) < time.Second {
						t.Errorf("asked again before its time for %q", asked)
					} else if !again && first <= 3*part { // all of it, or the first and some ahead
						refused[asked] = time.Now()
						w.Header().Set("Retry-After", "1")
						w.WriteHeader(status)
						return true
					}
					return false
				})
				store := openStore(t, config)
				img := mustPull(t, store, far.request(t, "acme/train:v1"))
				if got := img.Report.Retries(); got != len(refused) {
					t.Errorf("%d retries are told of, after %d refusals", got, len(refused))
				}
				wantContent(t, store, img, content)
			})
		}
	}
}

func TestARegistryThatHasTooManyRequestsAndDoesNotSayForHowLongIsAskedAgain(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	var asked atomic.Int32
	far.inRange(l, func(w http.ResponseWriter, _ *http.Request, _ int) bool {
		if asked.Add(1)%3 > 0 {
			return false
		}
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	store := openStore(t, inParts)
	wantContent(t, store, mustPull(t, store, far.request(t, "acme/train:v1")), content)
}

func TestARegistryThatWantsToBeLeftAloneForLongEndsThePull(t *testing.T) {
	far := newFarSide(t)
	l, _ := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	far.inRange(l, func(w http.ResponseWriter, _ *http.Request, first int) bool {
		if first < 4*part {
			return false
		}
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
	store := openStore(t, inParts)
	_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.Exhausted, "rate_limited")
	wantNoneAhead(t, store)
}

// interrupted pulls until a number of bytes of a layer have come, and breaks
// off there.
func interrupted(t *testing.T, store *pull.Store, far *farSide, l testLayer, bytes int) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, l.blobPath()) {
			return false
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(l.blob)))
		_, _ = w.Write(l.blob[:bytes])
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
		return true
	})
	request := far.request(t, "acme/train:v1")
	request.Progress = func(p pull.Progress) {
		for _, state := range p.Layers {
			if state.Phase == pull.Downloading && state.Done == int64(bytes) {
				cancel()
			}
		}
	}
	_, err := store.Pull(ctx, request)
	wantFault(t, err, fault.Unavailable, "cancelled")
	far.between(nil)
	far.seen("")
}

func TestAPullThatBrokeOffGoesOnWithTheLayersThatAreMissingInTheNextProcess(t *testing.T) {
	far := newFarSide(t)
	below, above := layer(t, file("below", noise(1<<20))), layer(t, file("above", noise(2<<20)))
	far.push(t, "acme/train:v1", imageOf(t, below, above))
	root := t.TempDir()
	config := pull.Config{Root: root, Parallel: 1, ProgressEvery: time.Millisecond}
	store := openStore(t, config)
	const half = 1 << 19
	interrupted(t, store, far, below, half) // the larger one came first
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	store = openStore(t, config)
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	want := []string{
		"HEAD /v2/acme/train" + above.blobPath(), // it is here, and the right to it is asked for
		"GET /v2/acme/train" + below.blobPath(),
	}
	var layers []string
	for _, request := range far.seen("/blobs/") {
		if strings.Contains(request, below.blobPath()) || strings.Contains(request, above.blobPath()) {
			layers = append(layers, request)
		}
	}
	if diff := cmp.Diff(want, layers); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
	if img.Report.Layers[1].From != pull.Here {
		t.Errorf("the finished layer was fetched again: %+v", img.Report.Layers[1])
	}
}

func TestAReportSaysWhenWhatHappenedToALayer(t *testing.T) {
	far := newFarSide(t)
	here, fetched := layer(t, file("here", "1")), layer(t, file("fetched", noise(1<<20)))
	far.push(t, "acme/base:v1", imageOf(t, here))
	far.push(t, "acme/train:v1", imageOf(t, here, fetched))
	store := openStore(t, pull.Config{})
	mustPull(t, store, far.request(t, "acme/base:v1"))
	report := mustPull(t, store, far.request(t, "acme/train:v1")).Report
	if got := report.Layers[0]; got.From != pull.Here || !got.RequestedAt.IsZero() || !got.UnpackedAt.IsZero() {
		t.Errorf("the layer that was here: %+v", got)
	}
	got := report.Layers[1]
	if got.From != pull.Registry {
		t.Errorf("the layer that was not: %+v", got)
	}
	moments := []time.Time{report.Begin, got.RequestedAt, got.FirstByteAt, got.LastByteAt, got.UnpackedAt, report.Begin.Add(report.Total)}
	if report.Begin.IsZero() || !slices.IsSortedFunc(moments, time.Time.Compare) {
		t.Errorf("out of order: %v", moments)
	}
	if len(report.ManifestSpans) == 0 || report.ManifestSpans[0].Begin.Before(report.Begin) {
		t.Errorf("the manifest was asked for at %v, after %v", report.ManifestSpans, report.Begin)
	}
}

func TestAPullThatFailsTellsWhatWasDoneUntilThen(t *testing.T) {
	far := newFarSide(t)
	whole, broken := layer(t, file("whole", noise(2<<20))), layer(t, file("broken", noise(1<<20)))
	far.push(t, "acme/train:v1", imageOf(t, whole, broken))
	far.between(func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, broken.blobPath()) {
			return false
		}
		_, _ = w.Write(make([]byte, len(broken.blob)))
		return true
	})
	img, err := openStore(t, pull.Config{Parallel: 1}).Pull(t.Context(), far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.Unavailable, "layer_corrupt")
	report := img.Report
	if !report.Unfinished || report.Warm() || report.Size == 0 || report.Fetched != int64(len(whole.blob)+len(broken.blob)) {
		t.Errorf("report = %+v", report)
	}
	if got := report.Layers[0]; got.Failed || got.UnpackedAt.IsZero() {
		t.Errorf("the layer that came whole: %+v", got)
	}
	if got := report.Layers[1]; !got.Failed || got.From != pull.Registry || got.LastByteAt.IsZero() || !got.UnpackedAt.IsZero() {
		t.Errorf("the layer that did not: %+v", got)
	}

	img, err = openStore(t, pull.Config{}).Pull(t.Context(), far.request(t, "acme/none:v1"))
	if report := img.Report; err == nil || !report.Unfinished || report.Warm() || report.Layers != nil || len(report.ManifestSpans) == 0 {
		t.Errorf("%v, report of an image that there is not: %+v", err, report)
	}
}

func TestTheDiskIsNeverFilledBelowItsFloor(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", noise(1<<16)))))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root, FloorFree: 1 << 60})
	_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
	f := wantFault(t, err, fault.Exhausted, "disk_full")
	if !strings.Contains(f.Message, root) || f.Hint == "" {
		t.Errorf("sentence = %q", f.Sentence())
	}
	wantNoLayer(t, store, root)
}

func TestAFullDiskIsToldAsSuch(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("ones", strings.Repeat("1", 32<<20)))))
	root := smallDisk(t, "16m")
	store := openStore(t, pull.Config{Root: root})
	_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
	wantFault(t, err, fault.Exhausted, "disk_full")
	wantNoLayer(t, store, root)
}
