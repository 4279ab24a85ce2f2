package app

import (
	"context"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
)

func TestPrometheusReadsWhatTheCacheDid(t *testing.T) {
	content, err := blobs.Open(t.Context(), blobs.Config{URL: "file://" + t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	kept := cache.New(cache.Config{Content: content})
	kept.Sent(1234)
	m, err := openMetrics("127.0.0.1:0", "1.2.3")
	if err != nil {
		t.Fatal(err)
	}
	m.add(kept)
	ctx, stop := context.WithCancel(t.Context())
	served := make(chan error, 1)
	go func() { served <- m.serve(ctx, slog.New(slog.DiscardHandler)) }()

	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, urlOf(m.listener)+"/metrics", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	for _, want := range []string{
		"fairlead_cache_sent_bytes_total 1234\n", `fairlead_cache_manifests_total{result="stale"} 0`, `fairlead_cache_blobs_total{result="hit"} 0`,
		"go_goroutines ", "process_resident_memory_bytes ",
	} {
		if !strings.Contains(string(text), want) {
			t.Errorf("there is no %q in it", want)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	stop()
	if err := <-served; err != nil {
		t.Error(err)
	}
	m.Close()
	if err := content.Close(); err != nil {
		t.Error(err)
	}
}

func TestMetricsAreServedOnlyWhereItWasSaid(t *testing.T) {
	none, err := openMetrics("", "")
	if none != nil || err != nil {
		t.Fatalf("there are %v, %v", none, err)
	}
	none.add(nil)
	none.Close()
	if _, err := openMetrics("nowhere", ""); !fault.Is(err, fault.Invalid) {
		t.Errorf("an address that is none: %v", err)
	}
}
