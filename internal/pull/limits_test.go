package pull_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/types"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

func TestNoMoreLayersArriveAtOnceThanMayOverAllPulls(t *testing.T) {
	one, inTwo := pull.Config{}, inParts
	one.Limits.Downloads = 1
	inTwo.Limits.Connections = 2
	for setting, config := range map[string]pull.Config{"downloads": one, "connections": inTwo} {
		t.Run(setting, func(t *testing.T) {
			far := newFarSide(t)
			far.push(t, "acme/empty:v1", imageOf(t))
			const images = 3
			var layers []testLayer
			for i := range images {
				a, _ := large(t)
				b, _ := large(t)
				layers = append(layers, a, b)
				far.push(t, fmt.Sprintf("acme/train%d:v1", i), imageOf(t, a, b))
			}
			isLayer := func(r *http.Request) bool {
				return slices.ContainsFunc(layers, func(l testLayer) bool { return strings.Contains(r.URL.Path, l.blobPath()) })
			}
			most := config.Limits.Downloads + config.Limits.Connections
			asked, release := make(chan struct{}, 1000), make(chan struct{})
			far.between(func(_ http.ResponseWriter, r *http.Request) bool {
				if isLayer(r) {
					asked <- struct{}{}
					<-release
				}
				return false
			})
			store := openStore(t, config)
			var pulls sync.WaitGroup
			for i := range images {
				pulls.Go(func() {
					if _, err := store.Pull(t.Context(), far.request(t, fmt.Sprintf("acme/train%d:v1", i))); err != nil {
						t.Error(err)
					}
				})
			}
			for range most {
				<-asked
			}
			for range 10 { // meanwhile others could ask
				mustPull(t, store, far.request(t, "acme/empty:v1"))
			}
			if n := len(asked); n > 0 {
				t.Errorf("%d requests more than %d go on at once", n, most)
			}
			close(release)
			pulls.Wait()
			wantNoneAhead(t, store)
		})
	}
}

func TestWithOneConnectionNoLayerComesInParts(t *testing.T) {
	far := newFarSide(t)
	l, content := large(t)
	far.push(t, "acme/train:v1", imageOf(t, l))
	config := inParts
	config.Limits.Connections = 1
	store := openStore(t, config)
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	wantRanges(t, far, l, "")
	wantContent(t, store, img, content)
}

func TestEveryByteOfALayerCountsTowardsTheBandwidth(t *testing.T) {
	for outcome, config := range map[string]pull.Config{"in one": {}, "in parts": {PartSize: 4 << 10, Ahead: 16 << 10}} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			far.push(t, "acme/train:v1", imageOf(t, layer(t, file("a", noise(100<<10))), layer(t, file("b", noise(50<<10)))))
			config.Limits.Bandwidth = pull.LeastBandwidth
			begin := time.Now()
			store := openStore(t, config)
			img := mustPull(t, store, far.request(t, "acme/train:v1"))
			left, most := store.BandwidthLeft()
			again := pull.LeastBandwidth * time.Since(begin).Seconds() // that may be used again since
			if want := float64(int64(most)-img.Report.Fetched) + again; left > want {
				t.Errorf("%.0f of %d bytes are left after %d came, want %.0f", left, most, img.Report.Fetched, want)
			}
		})
	}
}

func TestUnpackingWithAShareOfTheProcessorsMakesTheSame(t *testing.T) {
	for _, mediaType := range []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer} {
		t.Run(string(mediaType), func(t *testing.T) {
			far := newFarSide(t)
			content := noise(3 << 20)
			far.push(t, "acme/train:v1", imageOf(t, compressedBy(t, mediaType, archiveOf(t, file("large", content), file("small", "s")))))
			store := openStore(t, pull.Config{Limits: pull.Limits{CPU: 1 << 10}})
			var looks atomic.Int64
			store.OnThreadTime(func() { looks.Add(1) })
			wantContent(t, store, mustPull(t, store, far.request(t, "acme/train:v1")), content)
			if n := looks.Load(); n < 3<<20/(256<<10) {
				t.Errorf("the time of a thread was looked at %d times", n)
			}
		})
	}
}

func TestLimitsThatMakeNoSenseAreRefused(t *testing.T) {
	for code, refused := range map[string][]pull.Limits{
		"pull_limit": {
			{Bandwidth: pull.LeastBandwidth - 1},
			{Bandwidth: -1},
			{Downloads: -1},
			{Connections: -1},
			{CPU: -0.5},
			{CPU: 0.001},
			{CPU: math.NaN()},
			{CPU: math.Inf(1)},
		},
		"invalid": {{Downloads: -1, CPU: -1}}, // both are named
	} {
		for _, limits := range refused {
			_, err := pull.Open(pull.Config{Root: t.TempDir(), Limits: limits})
			wantFault(t, err, fault.Invalid, code)
		}
	}
}
