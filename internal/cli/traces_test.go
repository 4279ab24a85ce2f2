package cli_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/protobuf/encoding/prototext"
	"google.golang.org/protobuf/proto"
)

// collected is what a collector of OpenTelemetry has got in a story.
type collected struct {
	mu     sync.Mutex
	names  map[string]map[string]bool // by trace
	text   strings.Builder
	change chan struct{} // closed when there is more
}

// collect starts one, at $COLLECTOR.
func collect(ts *testscript.TestScript, _ bool, _ []string) {
	c := ts.Value("collected").(*collected)
	c.names, c.change = make(map[string]map[string]bool), make(chan struct{})
	server := httptest.NewServer(c)
	ts.Defer(server.Close)
	ts.Setenv("COLLECTOR", server.URL)
}

func (c *collected) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var export collector.ExportTraceServiceRequest
	if err != nil || proto.Unmarshal(body, &export) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.text.WriteString(prototext.Format(&export))
	for _, resource := range export.ResourceSpans {
		for _, scope := range resource.ScopeSpans {
			for _, span := range scope.Spans {
				trace := string(span.TraceId)
				if c.names[trace] == nil {
					c.names[trace] = make(map[string]bool)
				}
				c.names[trace][span.Name] = true
			}
		}
	}
	close(c.change)
	c.change = make(chan struct{})
}

// has reports whether one trace has all these spans, and otherwise waits for more.
func (c *collected) has(names []string) (found bool, more <-chan struct{}) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, trace := range c.names {
		all := true
		for _, name := range names {
			all = all && trace[name]
		}
		if all {
			return true, nil
		}
	}
	return false, c.change
}

// traced waits until one trace has all the spans that are named; `! traced TEXT`
// looks that no span that came has a text anywhere.
func traced(ts *testscript.TestScript, neg bool, args []string) {
	c := ts.Value("collected").(*collected)
	if neg {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, text := range args {
			if strings.Contains(c.text.String(), text) {
				ts.Fatalf("%q is in a trace", text)
			}
		}
		return
	}
	late := time.After(time.Minute)
	for {
		found, more := c.has(args)
		if found {
			return
		}
		select {
		case <-more:
		case <-late:
			ts.Fatalf("no trace has %q, but there are %v", args, c.names)
		}
	}
}
