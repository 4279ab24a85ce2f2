package web_test

import (
	"net/http"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/web"
)

// cached fits a pull-through cache into the server.
func cached(kept **cache.Cache, watch **web.CacheWatch) func(*house, *web.Config) {
	return func(h *house, config *web.Config) {
		content, err := blobs.Open(h.t.Context(), blobs.Config{URL: "file://" + h.t.TempDir(), Limit: 1 << 30})
		h.must(err)
		h.t.Cleanup(func() { h.must(content.Close()) })
		*kept = cache.New(cache.Config{
			Authority: &adapter.Upstreams{Broker: config.Broker, Transport: granttest.NewTransport(h.t, h.registry)}, Content: content,
		})
		*watch = web.NewCacheWatch(adapter.Mirror{Cache: *kept})
		config.Cache = *watch
	}
}

func TestTheCachesPageTellsWhatItSavedAndWhatRegistriesAllow(t *testing.T) {
	var kept *cache.Cache
	var watch *web.CacheWatch
	h := newHouse(t, cached(&kept, &watch))
	h.furnish()
	v := h.visitor("root")
	v.get("/cache/").wants(t, http.StatusOK, "The first figures come within a minute.", "Nothing was pulled through it yet", "No registry has told of a limit.")

	img, err := random.Image(1<<16, 2)
	h.must(err)
	_, err = h.registry.Push(t.Context(), "ml/train", "v1", img)
	h.must(err)
	h.registry.SetRateLimit(100, 100, 6*time.Hour)
	ref, err := image.ParseReference("registry.acme.example/ml/train:v1")
	h.must(err)
	reader := cache.Reader{Actor: h.actors["ben"], Project: h.project}
	noon := time.Now().UTC()
	h.must(watch.Note(t.Context(), noon))
	_, err = kept.Warm(t.Context(), reader, ref, cache.Wish{}, func(cache.Warmed) {})
	h.must(err)
	for kept.Everything().Usage.Blobs < 4 { // the last of them is written down behind its reader's back
		h.must(t.Context().Err())
		runtime.Gosched()
	}
	h.must(watch.Note(t.Context(), noon.Add(time.Minute)))
	for range 3 {
		_, err = kept.Manifest(t.Context(), reader, ref)
		h.must(err)
	}
	h.must(watch.Note(t.Context(), noon.Add(2*time.Minute)))

	page := v.get("/cache/")
	page.wants(t, http.StatusOK, "of 1.0 GiB", "registry.acme.example", "acme/Acme's registry", "6 h 0 min", "A figure a minute since "+noon.Format("2006-01-02 15:04:05 UTC"))
	words := page.words()
	for _, want := range []string{"Given from what is kept", "now 100 %", "registry.acme.example for acme/Acme's registry 99 to 99, now 99", "Uses acme 130 KiB"} {
		if !strings.Contains(words, want) {
			t.Errorf("it does not say %q: %s", want, words)
		}
	}
	if got := strings.Count(page.text, "<polyline"); got != 3 {
		t.Errorf("it draws %d lines", got)
	}
	if strings.Contains(page.text, registryPassword) {
		t.Error("the registry's password is shown")
	}
	h.visitor("ada").get("/cache/").wants(t, http.StatusForbidden, "Only an operator")
}

func TestTheLinesOfTheCacheAreOfADayAtMost(t *testing.T) {
	var kept *cache.Cache
	var watch *web.CacheWatch
	h := newHouse(t, cached(&kept, &watch))
	first := time.Now().UTC()
	for i := range 24*60 + 7 {
		h.must(watch.Note(t.Context(), first.Add(time.Duration(i)*time.Minute)))
	}
	h.visitor("root").get("/cache/").wants(t, http.StatusOK, "A figure a minute since "+first.Add(7*time.Minute).Format("2006-01-02 15:04:05 UTC"))
}

func TestAServerWithoutACacheSaysHowItIsSwitchedOn(t *testing.T) {
	newHouse(t).visitor("root").get("/cache/").wants(t, http.StatusOK, "There is no pull-through cache inside this server.", "fairlead serve --cache file:///var/lib/fairlead/cache")
}
