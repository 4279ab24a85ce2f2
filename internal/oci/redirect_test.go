package oci_test

import (
	"io"
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

const bearerToken = "s3cret-bearer-token"

// get asks the registry for a path over the guarded route.
func (f farSide) get(t *testing.T, path string) (string, error) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, f.route().URL(path).String(), http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	oci.Bearer(secret.New(bearerToken)).Apply(request)
	response, err := (&http.Client{Transport: f.route()}).Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

// redirector redirects the paths that it knows and tells what else was shown
// to whom.
func redirector(to map[string]string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if target, found := to[r.Host+r.URL.Path]; found {
			w.Header().Set("Location", target)
			w.WriteHeader(http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.WriteString(w, r.Host+" saw "+r.Header.Get("Authorization")+r.Header.Get("Referer"))
	}
}

func TestARedirectShowsTheTokenOnlyWhereItBelongs(t *testing.T) {
	f := newFarSide(t, redirector(map[string]string{
		registryHost + "/v2/a/blobs/elsewhere":     "https://blobs.example.com/x?X-Amz-Signature=hunter2",
		registryHost + "/v2/a/blobs/here":          "/storage/x?sig=hunter2",
		registryHost + "/v2/a/manifests/here":      "/v2/b/manifests/here",
		registryHost + "/v2/a/manifests/elsewhere": "https://auth.example.com/v2/b/manifests/x",
		registryHost + "/v2/a/manifests/back":      "https://blobs.example.com/back",
		blobHost + "/back":                         "https://registry.example.com/v2/b/manifests/x",
	}))
	tests := map[string]string{
		"/v2/a/manifests/direct":    registryHost + " saw Bearer " + bearerToken,
		"/v2/a/blobs/elsewhere":     blobHost + " saw ",
		"/v2/a/blobs/here":          registryHost + " saw ",
		"/v2/a/manifests/here":      registryHost + " saw Bearer " + bearerToken + "https://registry.example.com/v2/a/manifests/here",
		"/v2/a/manifests/elsewhere": authHost + " saw ",
		"/v2/a/manifests/back":      registryHost + " saw ",
	}
	for path, want := range tests {
		t.Run(path, func(t *testing.T) {
			got, err := f.get(t, path)
			if err != nil {
				t.Fatal(err)
			}
			if got != want && path != "/v2/a/manifests/back" {
				t.Errorf("%q, want %q", got, want)
			}
			if strings.Contains(got, bearerToken) != strings.Contains(want, bearerToken) {
				t.Errorf("the token was shown wrongly: %q", got)
			}
		})
	}
}

func TestARedirectThatBreaksTheRulesIsNotFollowed(t *testing.T) {
	f := newFarSide(t, redirector(map[string]string{
		registryHost + "/v2/a/blobs/plain":    "http://blobs.example.com/x?sig=hunter2",
		registryHost + "/v2/a/blobs/circle":   "/v2/a/blobs/circle",
		registryHost + "/v2/a/blobs/metadata": "https://169.254.169.254/latest/meta-data?sig=hunter2",
		registryHost + "/v2/a/blobs/loopback": "https://127.0.0.1/x?sig=hunter2",
		registryHost + "/v2/a/blobs/private":  "https://10.0.0.7/x?sig=hunter2",
		registryHost + "/v2/a/blobs/userinfo": "https://me:hunter2@blobs.example.com/x",
		registryHost + "/v2/a/blobs/scheme":   "gopher://blobs.example.com/x?sig=hunter2",
	}))
	tests := map[string]struct {
		kind fault.Kind
		code string
	}{
		"plain":    {fault.Denied, "plain_http"},
		"circle":   {fault.Unavailable, "redirect_loop"},
		"metadata": {fault.Denied, "address_forbidden"},
		"loopback": {fault.Denied, "address_forbidden"},
		"private":  {fault.Denied, "address_forbidden"},
		"userinfo": {fault.Denied, "url_userinfo"},
		"scheme":   {fault.Denied, "url_scheme"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := f.get(t, "/v2/a/blobs/"+name)
			wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), test.kind, test.code, "hunter2", bearerToken)
		})
	}
}

func TestARegistryThatMaySpeakPlainlyDoesNotLeadFromTLSToPlain(t *testing.T) {
	f := newFarSide(t, redirector(map[string]string{registryHost + "/v2/a/blobs/x": "http://plain.example.com/x"}))
	transport := newTransport(t, oci.Config{Hosts: []oci.HostRule{
		{Host: registryHost, Address: addressOf(f.Server), CA: caOf(f.Server)},
		{Host: "plain.example.com", Address: addressOf(f.Server), PlainHTTP: true},
	}})
	_, err := farSide{f.Server, transport}.get(t, "/v2/a/blobs/x")
	wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: train}), fault.Denied, "redirect_insecure")
}
