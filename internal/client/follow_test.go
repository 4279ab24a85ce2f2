package client_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strconv"
	"testing"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// heard is a follower that remembers.
type heard struct {
	lines []string
	last  wire.Execution
}

func (h *heard) Lines(events []wire.Event) error {
	for _, event := range events {
		h.lines = append(h.lines, event.Message)
	}
	return nil
}

func (h *heard) State(e wire.Execution) error {
	h.last = e
	return nil
}

// A far side that cuts every connection after a few lines, in the middle of a
// frame, and repeats some of what it sent.
func TestAStreamThatBreaksIsTakenUpWithoutLosingOrRepeatingALine(t *testing.T) {
	const lines = 20
	connections := 0
	far := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		connections++
		after, err := strconv.Atoi(r.Header.Get("Last-Event-ID"))
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("Content-Type", "text/event-stream")
		for n := max(1, after-1); n <= min(after+7, lines); n++ {
			text, _ := json.Marshal([]wire.Event{{Sequence: int64(n), Stream: "stdout", Message: fmt.Sprint(n)}})
			_, _ = fmt.Fprintf(w, "id: %d\nevent: log\ndata: %s\n\n", n, text)
		}
		if after+7 < lines {
			_, _ = fmt.Fprint(w, "event: log\ndata: [{\"sequ")
			return
		}
		_, _ = fmt.Fprint(w, "event: state\ndata: {\"status\": \"complete\", \"end_time\": \"2026-01-02T03:04:05.000006Z\"}\n\n")
	}))
	defer far.Close()
	c, err := client.New(client.Config{Server: far.URL})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var h heard
	ended, err := c.Follow(t.Context(), "id", 0, &h)
	if err != nil || ended.Status != "complete" || h.last.Status != "complete" {
		t.Errorf("ended %s (%v)", ended.Status, err)
	}
	if len(h.lines) != lines || connections < 3 {
		t.Errorf("heard %d lines over %d connections, want %d: %v", len(h.lines), connections, lines, h.lines)
	}
	for i, line := range h.lines {
		if line != fmt.Sprint(i+1) {
			t.Fatalf("line %d is %s", i+1, line)
		}
	}
}

func TestTheTokenGoesToTheServerThatWasNamedAndNowhereElse(t *testing.T) {
	other := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("another host was asked, with %q", r.Header.Get("Authorization"))
	}))
	defer other.Close()
	far := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusTemporaryRedirect))
	defer far.Close()
	c, err := client.New(client.Config{Server: far.URL, Token: secret.New("flu_token")})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Me(t.Context()); err == nil {
		t.Error("a redirect is taken for an answer")
	}
}

func TestAServerThatIsNotThereIsTold(t *testing.T) {
	far := httptest.NewServer(http.NotFoundHandler())
	far.Close()
	c, err := client.New(client.Config{Server: far.URL})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Me(t.Context())
	if !client.IsUnreachable(err) || !fault.Is(err, fault.Unavailable) {
		t.Errorf("%v", err)
	}
	for _, address := range []string{"", "fairlead.example", "ftp://x", "http://user:secret@x"} {
		if _, err := client.New(client.Config{Server: address}); !fault.Is(err, fault.Invalid) {
			t.Errorf("%q: %v", address, err)
		}
	}
}
