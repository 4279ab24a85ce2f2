package pull_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAHostileRegistryDoesNotGetAWorkersGrantSentElsewhereNorTheWorkerInside(t *testing.T) {
	const grant = "s3cret-grant-of-the-worker"
	var mu sync.Mutex
	var inside []string // what came to a service of the worker's own machine
	service := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		inside = append(inside, r.URL.Path+" "+r.Header.Get("Authorization"))
	}))
	t.Cleanup(service.Close)
	plain := strings.TrimPrefix(service.URL, "http://")
	for name, test := range map[string]struct {
		target string
		code   string
	}{
		"to the machine's metadata":        {"https://169.254.169.254/latest/meta-data/", "address_forbidden"},
		"to a service of the machine":      {"https://" + plain + "/", "address_forbidden"},
		"to a service of it at http":       {"http://" + plain + "/", "plain_http"},
		"to the network inside":            {"https://10.0.0.7/", "address_forbidden"},
		"to a name of the machine":         {"https://localhost:" + plain[strings.LastIndex(plain, ":")+1:] + "/", "address_forbidden"},
		"with a user name":                 {"https://me:x@blobs.example.com/", "url_userinfo"},
		"to no web address":                {"file:///etc/shadow", "url_scheme"},
		"in a circle":                      {"", "redirect_loop"},
		"to http on the registry's host":   {"http://" + host + "/v2/", "plain_http"},
		"to IPv6's form of the metadata's": {"https://[::ffff:169.254.169.254]/", "address_forbidden"},
	} {
		for _, what := range []string{"/manifests/", "/blobs/"} {
			t.Run(what[1:len(what)-1]+" "+name, func(t *testing.T) {
				far := newFarSide(t)
				far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
				far.between(func(w http.ResponseWriter, r *http.Request) bool {
					if !strings.Contains(r.URL.Path, what) {
						return false
					}
					w.Header().Set("Location", test.target)
					if test.target == "" {
						w.Header().Set("Location", r.URL.Path)
					}
					w.WriteHeader(http.StatusTemporaryRedirect)
					return true
				})
				request := far.request(t, "acme/train:v1")
				request.Authorize = func(context.Context, bool) (oci.Authorization, error) { return oci.Bearer(secret.New(grant)), nil }
				_, err := openStore(t, pull.Config{}).Pull(t.Context(), request)
				if f := fault.From(err); err == nil || f.Code != test.code || strings.Contains(err.Error()+f.Sentence(), grant) {
					t.Errorf("%v, want %s", err, test.code)
				}
			})
		}
	}
	mu.Lock()
	defer mu.Unlock()
	if len(inside) > 0 {
		t.Errorf("the worker's machine was asked: %q", inside)
	}
}
