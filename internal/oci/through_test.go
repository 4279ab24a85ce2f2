package oci_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

const workerToken = "s3cret-worker-token"

// cacheAt is the way to the registry of the tests through a cache at an address.
func cacheAt(t *testing.T, config oci.Config, address string, reach oci.Reach) *oci.Route {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	route, err := newTransport(t, config.WithCache(u)).Through(u, registryHost, reach)
	if err != nil {
		t.Fatal(err)
	}
	return route
}

// spy is a server that writes down what it was asked, with what was shown.
type spy struct {
	*httptest.Server

	mu   sync.Mutex
	seen []string
}

func newSpy(t *testing.T, handler http.HandlerFunc) *spy {
	t.Helper()
	s := new(spy)
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, shown, _ := r.BasicAuth()
		s.mu.Lock()
		s.seen = append(s.seen, strings.TrimSpace(r.Method+" "+r.URL.Path+" "+shown))
		s.mu.Unlock()
		handler(w, r)
	}))
	t.Cleanup(s.Close)
	return s
}

func (s *spy) asked() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.seen)
}

func TestACacheIsAskedForTheHostAndTheRepository(t *testing.T) {
	cache := newSpy(t, http.NotFound)
	_, err := oci.NewClient(cacheAt(t, oci.Config{}, cache.URL+"/below/", oci.Reach{})).
		ResolveManifest(t.Context(), train, oci.Basic("lease", secret.New(workerToken)))
	answer := wantAnswer(t, err)
	want := []string{
		"HEAD /below/v2/registry.example.com/acme/train/manifests/v1 " + workerToken,
		"GET /below/v2/registry.example.com/acme/train/manifests/v1 " + workerToken,
	}
	if got := cache.asked(); !slices.Equal(got, want) || "http://"+answer.Host != cache.URL {
		t.Errorf("asked %s for %q, want %q", answer.Host, got, want)
	}
}

func wantAnswer(t *testing.T, err error) *oci.Error {
	t.Helper()
	answer, ok := err.(*oci.Error) //nolint:errorlint // it is given as it is
	if !ok {
		t.Fatalf("%v, want an answer", err)
	}
	return answer
}

func TestWhatACacheIsShownGoesNowhereElse(t *testing.T) {
	other := newSpy(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "thanks") })
	// The same machine, another port; its own other path; and a host that a rule allows.
	targets := map[string]string{"port": other.URL + "/v2/x", "path": "/v2/elsewhere/manifests/v1", "host": "http://other.example/v2/x"}
	for name, target := range targets {
		for _, what := range []string{"manifests", "blobs"} {
			t.Run(name+" of "+what, func(t *testing.T) {
				cache := newSpy(t, func(w http.ResponseWriter, r *http.Request) {
					if !strings.Contains(r.URL.Path, "elsewhere") {
						w.Header().Set("Location", target)
						w.WriteHeader(http.StatusTemporaryRedirect)
					}
				})
				config := oci.Config{Hosts: []oci.HostRule{
					{Host: "other.example", Address: addressOf(other.Server), PlainHTTP: true},
					{Host: addressOf(other.Server), PlainHTTP: true},
				}}
				route := cacheAt(t, config, cache.URL, oci.Reach{})
				request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, route.URL(route.Repository("acme/train", what, "x")).String(), http.NoBody)
				if err != nil {
					t.Fatal(err)
				}
				oci.Basic("lease", secret.New(workerToken)).Apply(request)
				response, err := (&http.Client{Transport: route}).Do(request)
				if err != nil {
					t.Fatal(err)
				}
				_ = response.Body.Close()
				asked := cache.asked()
				if !strings.HasSuffix(asked[0], workerToken) {
					t.Errorf("the cache itself was shown nothing: %q", asked)
				}
				for _, got := range append(asked[1:], other.asked()...) {
					if strings.Contains(got, workerToken) {
						t.Errorf("where it redirects to was shown the token: %s", got)
					}
				}
			})
		}
	}
	route := cacheAt(t, oci.Config{Hosts: []oci.HostRule{{Host: registryHost, Address: addressOf(other.Server), PlainHTTP: true}}}, "http://127.0.0.1:1", oci.Reach{})
	for _, address := range []string{"http://" + registryHost + "/v2/", other.URL} {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, address, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		oci.Basic("lease", secret.New(workerToken)).Apply(request)
		_, err = route.RoundTrip(request)
		if f := fault.From(err); err == nil || f.Code != "credential_elsewhere" && f.Code != "plain_http" {
			t.Errorf("%s was shown the token: %v", address, err)
		}
	}
}

func TestWhatCameThroughACacheIsOfAnotherSourceThanTheRegistrys(t *testing.T) {
	led, err := oci.ParseReach("", "", registryHost+"=10.0.0.1:443")
	if err != nil {
		t.Fatal(err)
	}
	direct := newTransport(t, oci.Config{})
	withReach, err := direct.With(led)
	if err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]string)
	for name, route := range map[string]*oci.Route{
		"the registry":                 direct.For(registryHost),
		"it led elsewhere":             withReach.For(registryHost),
		"a cache":                      cacheAt(t, oci.Config{}, "http://127.0.0.1:8080", oci.Reach{}),
		"a cache which it leads so":    cacheAt(t, oci.Config{}, "http://127.0.0.1:8080", led),
		"another cache":                cacheAt(t, oci.Config{}, "https://cache.example", oci.Reach{}),
		"another with that way behind": cacheAt(t, oci.Config{}, "https://cache.example", led),
	} {
		source := route.Source()
		if was, twice := seen[source]; twice {
			t.Errorf("%s and %s are both %q", name, was, source)
		}
		seen[source] = name
		if !strings.HasPrefix(source, registryHost) || route.Host() != registryHost {
			t.Errorf("%s: %q of %q, want the registry's", name, source, route.Host())
		}
	}
}

func TestAnOperatorsRuleForACachesHostHoldsAndItsSchemeIsThatOfTheAddress(t *testing.T) {
	cache := newFarSide(t, func(w http.ResponseWriter, r *http.Request) {
		_, shown, _ := r.BasicAuth()
		if r.Host != registryHost || shown != workerToken {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	rule := oci.HostRule{Host: registryHost, Address: addressOf(cache.Server), CA: caOf(cache.Server), PlainHTTP: true}
	route := cacheAt(t, oci.Config{Hosts: []oci.HostRule{rule}}, "https://"+registryHost, oci.Reach{})
	challenges, err := oci.NewClient(route).Ping(t.Context(), oci.Basic("lease", secret.New(workerToken)))
	if err != nil || len(challenges) > 0 {
		t.Errorf("%v, %v", challenges, err)
	}
}

func TestWhatIsNoAddressOfACacheIsRefusedWithoutItsSecret(t *testing.T) {
	for _, address := range []string{"cache.example", "ftp://cache.example", "http://", "http:cache", "https://me:hunter2@cache.example", "https://cache.example?token=hunter2"} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		f := wantFault(t, oci.CheckCache(u), fault.Invalid, "cache_address", "hunter2")
		if f.Hint == "" {
			t.Errorf("%s: no hint", address)
		}
	}
}
