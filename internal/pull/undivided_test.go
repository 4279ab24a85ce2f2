package pull_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

func TestARegistryThatSendsNoPartsIsReadOnceAndAskedForNoneAgain(t *testing.T) {
	for outcome, refuse := range map[string]func(w http.ResponseWriter, l testLayer){
		"it sends all of the layer":    func(w http.ResponseWriter, l testLayer) { _, _ = w.Write(l.blob) },
		"it refuses to send a range":   func(w http.ResponseWriter, _ testLayer) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
		"it does not know what that's": func(w http.ResponseWriter, _ testLayer) { w.WriteHeader(http.StatusNotImplemented) },
	} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			below, content := large(t)
			above := layer(t, file("above", noise(5*part)))
			far.push(t, "acme/train:v1", imageOf(t, below, above))
			far.between(func(w http.ResponseWriter, r *http.Request) bool {
				for _, l := range []testLayer{below, above} {
					if strings.Contains(r.URL.Path, l.blobPath()) && r.Header.Get("Range") != "" {
						refuse(w, l)
						return true
					}
				}
				return false
			})
			config := inParts
			config.Parallel = 1
			store := openStore(t, config)
			img := mustPull(t, store, far.request(t, "acme/train:v1"))
			var ranges []string
			for _, request := range far.seen("GET /v2/acme/train/blobs/") {
				if _, asked, found := strings.Cut(request, "bytes="); found {
					ranges = append(ranges, asked)
				}
			}
			if diff := cmp.Diff([]string{"0-32767"}, ranges); diff != "" {
				t.Errorf("ranges asked for (-want +got):\n%s", diff)
			}
			for i, l := range []testLayer{below, above} {
				if r := img.Report.Layers[i]; r.Fetched != int64(len(l.blob)) || r.Retries != 0 {
					t.Errorf("report = %+v", r)
				}
			}
			wantContent(t, store, img, content)
		})
	}
}

func TestARegistryThatSendsNoMorePartsIsReadToTheEnd(t *testing.T) {
	for outcome, answer := range map[string]func(w http.ResponseWriter, l testLayer){
		"it sends all of the layer": func(w http.ResponseWriter, l testLayer) { _, _ = w.Write(l.blob) },
		"it refuses":                func(w http.ResponseWriter, _ testLayer) { w.WriteHeader(http.StatusRequestedRangeNotSatisfiable) },
	} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			l, content := large(t)
			far.push(t, "acme/train:v1", imageOf(t, l))
			far.inRange(l, func(w http.ResponseWriter, r *http.Request, first int) bool {
				if first >= 5*part && !strings.HasSuffix(r.Header.Get("Range"), "-") {
					answer(w, l)
					return true
				}
				return false
			})
			store := openStore(t, inParts)
			img := mustPull(t, store, far.request(t, "acme/train:v1"))
			if done := img.Report.Layers[0]; done.From == pull.Here || done.Fetched < int64(len(l.blob)) {
				t.Errorf("report = %+v", done)
			}
			wantContent(t, store, img, content)
		})
	}
}

func TestAnotherPartThanTheOneAskedForIsRefusedAndNothingOfItKept(t *testing.T) {
	for outcome, answer := range map[string]func(first, last, size int) string{
		"it begins elsewhere":       func(first, last, size int) string { return fmt.Sprintf("bytes %d-%d/%d", first+1, last, size) },
		"it ends elsewhere":         func(first, last, size int) string { return fmt.Sprintf("bytes %d-%d/%d", first, last-1, size) },
		"it is of something longer": func(first, last, size int) string { return fmt.Sprintf("bytes %d-%d/%d", first, last, size+1) },
		"it says nothing":           func(int, int, int) string { return "" },
	} {
		for _, wrong := range []int{0, 6} {
			t.Run(fmt.Sprintf("%s, part %d", outcome, wrong), func(t *testing.T) {
				far := newFarSide(t)
				l, content := large(t)
				far.push(t, "acme/train:v1", imageOf(t, l))
				far.inRange(l, func(w http.ResponseWriter, _ *http.Request, first int) bool {
					if first != wrong*part {
						return false
					}
					last := first + part - 1
					w.Header().Set("Content-Range", answer(first, last, len(l.blob)))
					w.WriteHeader(http.StatusPartialContent)
					_, _ = w.Write(l.blob[first : last+1])
					return true
				})
				config := inParts
				config.Root = t.TempDir()
				store := openStore(t, config)
				_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
				wantFault(t, err, fault.Unavailable, "layer_corrupt")
				wantNoLayer(t, store, config.Root)
				wantNoneAhead(t, store)

				far.between(nil)
				wantContent(t, store, mustPull(t, store, far.request(t, "acme/train:v1")), content)
			})
		}
	}
}
