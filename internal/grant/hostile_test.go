package grant_test

import (
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// hostile is a registry that is after the credential which it is asked with, and
// whoever it sends it to. Everything that either hears is kept.
type hostile struct {
	transport *oci.Transport

	mu     sync.Mutex
	realm  string // of its challenge
	answer func(http.ResponseWriter, *http.Request) bool
	heard  strings.Builder
}

// Of these, httptest's certificate is good for what ends in example.com.
const (
	hostileHost = "registry.example.com"
	thiefHost   = "thief.example.com" // a sister of the registry's, whom it may name
)

func newHostile(t *testing.T) *hostile {
	t.Helper()
	h := new(hostile)
	server := httptest.NewUnstartedServer(http.HandlerFunc(h.serve))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // it is hung up on
	server.StartTLS()
	t.Cleanup(server.Close)
	ca := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	var rules []oci.HostRule
	for _, host := range []string{hostileHost, thiefHost, "evil.example.net"} {
		rules = append(rules, oci.HostRule{Host: host, Address: server.Listener.Addr().String(), CA: ca})
	}
	transport, err := oci.NewTransport(oci.Config{Hosts: rules})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	h.transport = transport
	return h
}

func (h *hostile) serve(w http.ResponseWriter, r *http.Request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if user, password, ok := r.BasicAuth(); ok {
		_, _ = fmt.Fprintf(&h.heard, "%s heard %s:%s\n", r.Host, user, password)
	}
	_ = r.ParseForm() // it takes what it gets
	_, _ = fmt.Fprintf(&h.heard, "%s heard %s %s %s\n", r.Host, r.URL, r.Header, r.PostForm)
	if h.answer != nil && h.answer(w, r) {
		return
	}
	w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="%s",service="%s"`, h.realm, hostileHost))
	w.WriteHeader(http.StatusUnauthorized)
}

func TestAHostileRegistryDoesNotGetACredentialSentElsewhere(t *testing.T) {
	const password = "hunter2-hunter2"
	redirect := func(to string) func(http.ResponseWriter, *http.Request) bool {
		return func(w http.ResponseWriter, r *http.Request) bool {
			if r.URL.Path == "/token" {
				http.Redirect(w, r, to, http.StatusTemporaryRedirect)
			}
			return r.URL.Path == "/token"
		}
	}
	for name, test := range map[string]struct {
		realm  string
		answer func(http.ResponseWriter, *http.Request) bool
		code   string
		sent   bool // to the registry's own token service, which it belongs to
	}{
		"a realm at a link-local address":        {realm: "https://169.254.169.254/latest/meta-data/token", code: "realm_foreign"},
		"a realm at another domain":              {realm: "https://evil.example.net/token", code: "realm_foreign"},
		"a realm at http":                        {realm: "http://registry.example.com/token", code: "realm_insecure"},
		"a realm with user info":                 {realm: "https://me:x@registry.example.com/token", code: "realm_userinfo"},
		"a realm that looks like the registry's": {realm: "https://registry.example.com.evil.example.net/token", code: "realm_foreign"},
		"a token service that sends elsewhere":   {realm: "https://registry.example.com/token", answer: redirect("https://evil.example.net/token"), sent: true},
		"a token service that sends to a sister": {realm: "https://registry.example.com/token", answer: redirect("https://" + thiefHost + "/token"), sent: true},
		"a token service that sends to metadata": {realm: "https://registry.example.com/token", answer: redirect("https://169.254.169.254/"), sent: true},
		"a token service that sends in a circle": {realm: "https://registry.example.com/token", answer: redirect("/token"), sent: true},
		"a token service that sends to http":     {realm: "https://registry.example.com/token", answer: redirect("http://registry.example.com/token"), sent: true},
		"a challenge on the way, for another":    {realm: "https://evil.example.net/token", answer: redirect("/"), code: "realm_foreign"},
	} {
		t.Run(name, func(t *testing.T) {
			h := newHostile(t)
			h.realm, h.answer = test.realm, test.answer
			catalogue := grant.NewCatalogue(grant.Config{Transport: h.transport})
			m, _, err := catalogue.Normalise("generic", grant.Material{
				Config: map[string]string{"username": "robot"}, Secrets: map[string]secret.Text{"password": secret.New(password)},
			})
			if err != nil {
				t.Fatal(err)
			}
			ref := image.MustParseReference("registry.example.com/acme/train:v1")
			_, issueErr := catalogue.Issue(t.Context(), "generic", grant.Request{Image: ref, Material: m})
			report, err := catalogue.Check(t.Context(), "generic", grant.CheckRequest{Material: m, Image: ref})
			if err != nil {
				t.Fatal(err)
			}
			failed, any := report.Failed()
			if issueErr == nil || !any {
				t.Fatalf("a grant came of it: %v, %+v", issueErr, report.Steps)
			}
			f := fault.From(issueErr)
			if test.code != "" && (f.Code != test.code || failed.Code != test.code) {
				t.Errorf("%s (%s) and %+v, want %s", f.Code, f.Sentence(), failed, test.code)
			}
			if strings.Contains(f.Sentence()+issueErr.Error()+failed.Sentence+failed.Hint, password) {
				t.Errorf("it is shown: %v", issueErr)
			}
			h.mu.Lock()
			defer h.mu.Unlock()
			for line := range strings.Lines(h.heard.String()) {
				if own := strings.HasPrefix(line, hostileHost+" "); strings.Contains(line, password) && !(own && test.sent) {
					t.Errorf("it was told: %s", line)
				}
			}
		})
	}
}
