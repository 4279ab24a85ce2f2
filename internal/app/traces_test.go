package app

import (
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	spans "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/telemetry"
	"fairlead.dev/fairlead/internal/wire"
)

// received takes traces as a collector of OpenTelemetry does.
type received struct {
	t      *testing.T
	server *httptest.Server

	mu    sync.Mutex
	spans []*spans.Span
	text  strings.Builder
}

func newReceived(t *testing.T) *received {
	t.Helper()
	r := &received{t: t}
	r.server = httptest.NewServer(r)
	t.Cleanup(r.server.Close)
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "20") // milliseconds
	return r
}

func (r *received) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	body, err := io.ReadAll(request.Body)
	var export collector.ExportTraceServiceRequest
	if err = errors.Join(err, proto.Unmarshal(body, &export)); err != nil || request.URL.Path != "/v1/traces" {
		r.t.Errorf("%s cannot be read: %v", request.URL, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text.WriteString(prototext.Format(&export))
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			r.spans = append(r.spans, scope.Spans...)
		}
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// all are the spans that came, and their whole text.
func (r *received) all() ([]*spans.Span, string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.spans), r.text.String()
}

// find is the first span of that name.
func (r *received) find(name string) *spans.Span {
	r.t.Helper()
	all, _ := r.all()
	var names []string
	for _, s := range all {
		if names = append(names, s.Name); s.Name == name {
			return s
		}
	}
	r.t.Fatalf("there is no span %q among %q", name, names)
	return nil
}

func newTracer(t *testing.T, endpoint string) *telemetry.Tracer {
	t.Helper()
	tracer, err := openTracer(t.Context(), endpoint, "test", "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil || tracer == nil {
		t.Fatalf("%v, %v", tracer, err)
	}
	t.Cleanup(tracer.Close)
	return tracer
}

const tracedPassword = "correct-horse-battery-staple"

func TestATraceLeadsFromTheCallToTheRegistryAndHoldsNoSecret(t *testing.T) {
	far := granttest.New(t, granttest.Options{})
	far.AddUser("robot", tracedPassword, granttest.Pull("ml/*"))
	image, err := demoimage.New(demoimage.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.Push(t.Context(), "ml/train", "v1", image); err != nil {
		t.Fatal(err)
	}
	collected := newReceived(t)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, far.CA(), 0o600); err != nil {
		t.Fatal(err)
	}
	server := open(t, func(c *Config) {
		c.TraceEndpoint = collected.server.URL
		c.Registries = RegistryConfig{Addresses: []string{far.Host() + "=" + far.Address()}, CAs: []string{far.Host() + "=" + ca}}
	})
	first := server.First()
	tracer := newTracer(t, collected.server.URL)
	anonymous, err := client.New(client.Config{Server: server.URL(), Around: tracer.Calls})
	if err != nil {
		t.Fatal(err)
	}
	defer anonymous.Close()
	got, err := anonymous.SignIn(t.Context(), wire.GetToken{Username: first.Username, Password: wire.NewPassword(first.Password.Reveal())})
	if err != nil {
		t.Fatal(err)
	}
	admin, err := client.New(client.Config{Server: server.URL(), Token: secret.New(got.Token), Around: tracer.Calls})
	if err != nil {
		t.Fatal(err)
	}
	defer admin.Close()
	if _, err := admin.CreateProject(t.Context(), wire.NewProject{Name: "vision", Owner: "main"}); err != nil {
		t.Fatal(err)
	}
	name := "robots"
	for pattern, password := range map[string]string{far.Host() + "/ml/*": tracedPassword, far.Host() + "/wrong/*": "hunter2-is-wrong"} {
		no := false
		if _, err := admin.CreateCredential(t.Context(), wire.CredentialChange{
			Type: "docker", Name: &name, ImagePattern: pattern, Owner: "main", Check: &no,
			Configuration: map[string]string{"username": "robot", "password": password, "version": "1"},
		}); err != nil {
			t.Fatal(err)
		}
		name += "-2"
	}
	checked, err := admin.CheckImage(t.Context(), "vision", far.Host()+"/ml/train:v1")
	if err != nil || checked.Digest == "" {
		t.Fatalf("%+v, %v", checked, err)
	}
	if refused, err := admin.CheckImage(t.Context(), "vision", far.Host()+"/wrong/train:v1"); err != nil || refused.Failure == nil {
		t.Fatalf("%+v, %v", refused, err)
	}
	tracer.Close()
	server.tracer.Close()

	// From the bottom up: each is the child of the one before, over two processes.
	parents := []string{"registry GET", "token exchange", "broker grant", "POST /api/v0/check/", "call POST"}
	all, text := collected.all()
	byID := make(map[string]*spans.Span)
	for _, s := range all {
		byID[string(s.SpanId)] = s
	}
	led := slices.ContainsFunc(all, func(s *spans.Span) bool {
		for i, name := range parents {
			if s == nil || s.Name != name || string(s.TraceId) == "" {
				return false
			}
			if i+1 < len(parents) {
				s = byID[string(s.ParentSpanId)]
			}
		}
		return len(s.ParentSpanId) == 0
	})
	if !led {
		t.Errorf("no trace leads from the registry to the client:\n%s", text)
	}
	for _, hidden := range []string{tracedPassword, "hunter2-is-wrong", got.Token, first.Password.Reveal(), "scope=", "service=", "eyJ", "Bearer", "Basic"} {
		if strings.Contains(text, hidden) {
			at := strings.Index(text, hidden)
			t.Errorf("%q is in a trace: %s", hidden, text[max(0, at-200):min(len(text), at+200)])
		}
	}
}

func TestARegistryLearnsNothingOfATrace(t *testing.T) {
	collected := newReceived(t)
	tracer := newTracer(t, collected.server.URL)
	var got []http.Header
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		got = append(got, r.Header.Clone())
		if r.URL.Query().Get("again") == "" {
			http.Redirect(w, r, r.URL.Path+"?again=hunter2", http.StatusTemporaryRedirect)
		}
	}))
	defer far.Close()
	host := strings.TrimPrefix(far.URL, "http://")
	transport, err := oci.NewTransport(oci.Config{Observer: telemetry.New(nil, tracer), Hosts: []oci.HostRule{{Host: host, PlainHTTP: true}}})
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	ctx, done := telemetry.New(nil, tracer).Exchanging(t.Context(), "generic")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, far.URL+"/v2/ml/train/tags/list", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: transport.For(host)}).Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	done(fault.New(fault.Unavailable, "registry_down", "the image %s of hunter2 is not there", "ml/secret"))
	tracer.Close()
	if len(got) != 2 {
		t.Fatalf("%d requests came", len(got))
	}
	for _, header := range got {
		for name := range header {
			if name != "User-Agent" && name != "Accept-Encoding" && name != "Referer" {
				t.Errorf("the registry is told %s: %s", name, header.Get(name))
			}
		}
	}
	if s := collected.find("token exchange"); s.Status.GetCode() != spans.Status_STATUS_CODE_ERROR || s.Status.GetMessage() != "registry_down" {
		t.Errorf("the failed exchange is %v", s)
	}
	if _, text := collected.all(); strings.Contains(text, "hunter2") || !strings.Contains(text, "/v2/ml/train/tags/list") {
		t.Errorf("the spans are\n%s", text)
	}
	// The clouds' libraries trace by what is global, and there is nothing.
	if fields := otel.GetTextMapPropagator().Fields(); len(fields) > 0 {
		t.Errorf("every library propagates %v", fields)
	}
	_, span := otel.Tracer("a cloud's").Start(ctx, "x")
	if span.IsRecording() {
		t.Error("every library makes spans")
	}
}

func TestThePhasesOfAPullAreSpansOfTheirOwn(t *testing.T) {
	collected := newReceived(t)
	tracer := newTracer(t, collected.server.URL)
	begin := time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)
	at := func(seconds float64) *float64 { return &seconds }
	_, done := telemetry.New(nil, tracer).Pulling(t.Context(), "e-1")
	done(begin, wire.PullReport{
		TokenSpans: []wire.PullSpan{{Begin: 0, End: 0.5}}, ManifestSpans: []wire.PullSpan{{Begin: 0.5, End: 1}},
		Layers: []wire.PulledLayer{{FetchedBytes: 77, RequestedAt: at(1), FirstByteAt: at(1.5), LastByteAt: at(3), UnpackedAt: at(4)}, {Existed: true}},
	}, nil)
	tracer.Close()
	whole := collected.find("pull")
	for name, want := range map[string][2]time.Duration{
		"pull token": {0, 500 * time.Millisecond}, "pull manifest": {500 * time.Millisecond, time.Second},
		"pull layer transfer": {time.Second, 3 * time.Second}, "pull layer unpack": {1500 * time.Millisecond, 4 * time.Second},
	} {
		s := collected.find(name)
		from, to := time.Unix(0, int64(s.StartTimeUnixNano)), time.Unix(0, int64(s.EndTimeUnixNano))
		if from.Sub(begin) != want[0] || to.Sub(begin) != want[1] || string(s.ParentSpanId) != string(whole.SpanId) {
			t.Errorf("%s is from %s to %s of %x, want %v of %x", name, from, to, s.ParentSpanId, want, whole.SpanId)
		}
	}
}

func TestNothingIsTracedUnlessSomebodySaysWhereTo(t *testing.T) {
	logger := slog.New(slog.DiscardHandler)
	for name, environment := range map[string]map[string]string{
		"nothing is said": {},
		"it is disabled":  {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:4318", "OTEL_SDK_DISABLED": "true"},
		"none":            {"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://127.0.0.1:4318/v1/traces", "OTEL_TRACES_EXPORTER": "none"},
	} {
		t.Run(name, func(t *testing.T) {
			for key, value := range environment {
				t.Setenv(key, value)
			}
			if tracer, err := openTracer(t.Context(), "", "test", "1", logger); tracer != nil || err != nil {
				t.Errorf("%v, %v", tracer, err)
			}
		})
	}
	for _, wrong := range []string{"127.0.0.1:4318", "ftp://x", "http://", "http://user:hunter2@x", "http://x/?key=hunter2"} {
		_, err := openTracer(t.Context(), wrong, "test", "1", logger)
		if !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", wrong, err)
		}
	}
	collected := newReceived(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collected.server.URL)
	tracer := newTracer(t, "")
	_, done := telemetry.New(nil, tracer).Exchanging(t.Context(), "jfrog")
	done(nil)
	tracer.Close()
	collected.find("token exchange")
}
