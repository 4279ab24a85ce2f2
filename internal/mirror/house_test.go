package mirror_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	specs "github.com/opencontainers/distribution-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/secret"
)

func TestMain(m *testing.M) {
	logrus.SetOutput(io.Discard) // distribution's
	goleak.VerifyTestMain(m,
		goleak.IgnoreTopFunction("github.com/docker/go-events.(*Broadcaster).run"), // distribution's, never ended
	)
}

// guest is a client of the tests.
type guest string

func (g guest) Name() string { return string(g) }

// porter lets users in by their passwords, tokens by their bytes and networks by
// their addresses.
type porter struct {
	passwords map[string]secret.Text
	tokens    map[string]guest
	networks  []netip.Prefix
}

func (p *porter) Authenticate(_ context.Context, shown mirror.Shown) (mirror.Client, error) {
	refused := fault.New(fault.Unauthenticated, "login_refused", "nobody is known by what was shown").WithHint("Log in with a token of this Fairlead.")
	if shown.IsAnonymous() {
		if slices.ContainsFunc(p.networks, func(n netip.Prefix) bool { return n.Contains(shown.Remote) }) {
			return guest("network"), nil
		}
		return nil, refused
	}
	if user, found := p.tokens[shown.Token.Reveal()]; found {
		return user, nil
	}
	if password, found := p.passwords[shown.User]; found && password.Equal(shown.Password) {
		return guest(shown.User), nil
	}
	return nil, refused
}

// house is the door in front of a backend, with ada and ben in it.
type house struct {
	t      testing.TB
	porter *porter
	server *httptest.Server
	lines  chan map[string]any // of the log
}

// options are what differs between houses.
type options struct {
	unnamed string
	stall   time.Duration
	around  func(http.Handler) http.Handler
}

func newHouse(t testing.TB, backend mirror.Backend, options options) *house {
	t.Helper()
	h := &house{t: t, lines: make(chan map[string]any, 1024)}
	h.porter = &porter{
		passwords: map[string]secret.Text{"ada": secret.New("ada's password"), "ben": secret.New("ben's password")},
		tokens:    map[string]guest{"ada's token": "ada"},
	}
	door, err := mirror.New(mirror.Config{
		Backend: backend, Authenticator: h.porter, Unnamed: options.unnamed, Stall: options.stall,
		Logger: slog.New(slog.NewJSONHandler(logLines(h.lines), &slog.HandlerOptions{Level: slog.LevelDebug})),
	})
	if err != nil {
		t.Fatal(err)
	}
	if options.around != nil {
		door = options.around(door)
	}
	h.server = httptest.NewUnstartedServer(door)
	h.server.EnableHTTP2 = true
	h.server.Config.ErrorLog = log.New(io.Discard, "", 0)
	h.server.StartTLS()
	t.Cleanup(h.server.Close)
	return h
}

// logLines reads the log's lines into a channel, as long as there is room.
type logLines chan map[string]any

func (l logLines) Write(line []byte) (int, error) {
	var parsed map[string]any
	if err := json.Unmarshal(line, &parsed); err != nil {
		return 0, err
	}
	select {
	case l <- parsed:
	default:
	}
	return len(line), nil
}

// request is what to ask for; GET as ada unless it says otherwise.
type request struct {
	method string
	path   string // as it goes over the wire
	as     string // a user, "" for ada, "nobody", or a whole header
	header http.Header
}

// answer is what came, with all of the body.
type answer struct {
	*http.Response
	body []byte
}

// send asks over HTTP/1.1.
func (h *house) send(r request) answer {
	h.t.Helper()
	a, err := h.try(r)
	if err != nil {
		h.t.Fatal(err)
	}
	return a
}

// get is send for a path.
func (h *house) get(path string) answer {
	h.t.Helper()
	return h.send(request{path: path})
}

// try is send, whose error is that of a body that did not come whole.
func (h *house) try(r request) (answer, error) {
	h.t.Helper()
	response, err := h.client(false).Do(h.request(r))
	if err != nil {
		h.t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return answer{response, body}, err
}

// client speaks HTTP/1.1, or HTTP/2.
func (h *house) client(two bool) *http.Client {
	transport := h.server.Client().Transport.(*http.Transport).Clone()
	if !two {
		transport.ForceAttemptHTTP2 = false
		transport.TLSNextProto = map[string]func(string, *tls.Conn) http.RoundTripper{}
		transport.TLSClientConfig.NextProtos = nil
	}
	h.t.Cleanup(transport.CloseIdleConnections)
	return &http.Client{Transport: transport}
}

func (h *house) request(r request) *http.Request {
	h.t.Helper()
	if r.method == "" {
		r.method = http.MethodGet
	}
	asked, err := http.NewRequestWithContext(h.t.Context(), r.method, h.server.URL, http.NoBody)
	if err != nil {
		h.t.Fatal(err)
	}
	path, query, _ := strings.Cut(r.path, "?")
	asked.URL.Opaque = "//" + asked.URL.Host + path // which goes out as it is
	asked.URL.RawQuery = query
	for name, values := range r.header {
		asked.Header[name] = values
	}
	switch r.as {
	case "":
		asked.SetBasicAuth("ada", "ada's password")
	case "nobody":
	case "ada", "ben":
		asked.SetBasicAuth(r.as, r.as+"'s password")
	default:
		asked.Header.Set("Authorization", r.as)
	}
	return asked
}

// wantError fails the test unless an answer is that refusal, in the shape of the
// specification, and gives it.
func wantError(t testing.TB, a answer, status int, code string) specs.ErrorInfo {
	t.Helper()
	var body specs.ErrorResponse
	decoder := json.NewDecoder(bytes.NewReader(a.body))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&body); err != nil {
		t.Fatalf("%s with a body that is no refusal: %v\n%s", a.Status, err, a.body)
	}
	if len(body.Errors) != 1 || a.StatusCode != status || body.Errors[0].Code != code || body.Errors[0].Message == "" {
		t.Fatalf("%s %s, want %d %s", a.Status, a.body, status, code)
	}
	if got := a.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("a refusal of type %q", got)
	}
	return body.Errors[0]
}

// wantHeader fails the test unless the answer has these headers; "" is none.
func wantHeader(t testing.TB, a answer, want map[string]string) {
	t.Helper()
	for name, value := range want {
		if got := a.Header.Get(name); got != value {
			t.Errorf("%s: %q, want %q", name, got, value)
		}
	}
}

// line waits for the log's line of a request that came to that code.
func (h *house) line(code string) map[string]any {
	h.t.Helper()
	for {
		select {
		case line := <-h.lines:
			if line["msg"] == "cache request" && line["code"] == code {
				return line
			}
		case <-h.t.Context().Done():
			h.t.Fatal("no such line")
		}
	}
}

// authority is a file with the certificate to trust the door by.
func (h *house) authority() string {
	h.t.Helper()
	path := filepath.Join(h.t.TempDir(), "ca.crt")
	if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: h.server.Certificate().Raw}), 0o600); err != nil {
		h.t.Fatal(err)
	}
	return path
}

// manifestPath is where a manifest of an upstream is, by path.
func manifestPath(host, repository, target string) string {
	return fmt.Sprintf("/v2/%s/%s/manifests/%s", host, repository, target)
}

// mirrored is a path with its registry in the query.
func mirrored(path, host string) string { return path + "?" + url.Values{"ns": {host}}.Encode() }
