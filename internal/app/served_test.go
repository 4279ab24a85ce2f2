package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/registry"
)

// open starts a server without a worker that serves metrics, and ends it with the
// test.
func open(t *testing.T, change func(*Config)) *Server {
	t.Helper()
	config := Config{
		Listen: "127.0.0.1:0", MetricsListen: "127.0.0.1:0", DataDir: t.TempDir(),
		Admin: "admin", Organization: "main", LogLevel: "info", LogFormat: "auto", Notices: NoticeConfig{SMTPTLS: "starttls"},
	}
	if change != nil {
		change(&config)
	}
	server, err := Open(t.Context(), config, "1.2.3", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	ran := make(chan error, 1)
	go func() { ran <- server.Run(ctx) }()
	t.Cleanup(func() {
		http.DefaultClient.CloseIdleConnections()
		stop()
		if err := <-ran; err != nil {
			t.Error(err)
		}
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return server
}

// fetch is the answer at an address.
func fetch(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

func TestAServerTellsPrometheusOfItself(t *testing.T) {
	server := open(t, func(c *Config) { c.Cache.URL = "file://" + t.TempDir() })
	if status, body := fetch(t, server.URL()+"/api/v0/server/"); status != http.StatusOK {
		t.Fatalf("%d %s", status, body)
	}
	fetch(t, server.URL()+"/api/v0/executions/nothing/?token=hunter2")
	fetch(t, server.URL()+"/nowhere/hunter2")
	fetch(t, server.URL()+"/v2/")
	_, text := fetch(t, urlOf(server.metrics.listener)+"/metrics")
	for _, want := range []string{
		`fairlead_http_request_seconds_count{method="GET",route="/api/v0/server/",status="2xx"} 1`,
		`fairlead_http_request_seconds_count{method="GET",route="/api/v0/executions/{execution}/",status="4xx"} 1`,
		`fairlead_http_request_seconds_count{method="GET",route="none",status="4xx"} 1`,
		`fairlead_http_request_seconds_count{method="GET",route="/v2/",status="4xx"} 1`,
		`fairlead_queue_executions{environment="default"} 0`, "fairlead_figures_up 1", "fairlead_audit_chain_height ", "fairlead_leases 0",
		`fairlead_build_info{go_version="go`, `version="1.2.3"} 1`, "go_goroutines ", "process_open_fds ", "fairlead_cache_sent_bytes_total ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q in it", want)
		}
	}
	if strings.Contains(text, "hunter2") {
		t.Errorf("a path or a query is told:\n%s", text)
	}
	if status, _ := fetch(t, server.URL()+"/metrics"); status != http.StatusNotFound {
		t.Errorf("those who may call the API can read them too: %d", status)
	}
	if status, body := fetch(t, server.URL()+"/readyz"); status != http.StatusOK || body != allReady+"\n" {
		t.Errorf("/readyz: %d %s", status, body)
	}
}

// addExpiring gives a server a credential that ends, and returns its id.
func (s *Server) addExpiring(t *testing.T) string {
	t.Helper()
	organization, err := s.store.OrganizationByName(t.Context(), "main")
	if err != nil {
		t.Fatal(err)
	}
	credential := registry.Credential{
		ID: "c0000000-0000-4000-8000-000000000000", OrganizationID: organization.ID, Name: "ends", Kind: "generic", Version: 1,
		Sealed: registry.Sealed{KeyID: 1, Bytes: []byte("sealed")}, CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour),
	}
	if err := s.store.CreateCredential(t.Context(), credential, audit.Event{}); err != nil {
		t.Fatal(err)
	}
	return credential.ID
}
