package api_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/wire"
)

// frame is one server-sent event.
type frame struct{ id, event, data string }

// follow opens a stream; next reads its events until it ends.
func (h *house) follow(ctx context.Context, lastID, query string) (next func() (frame, bool), end func()) {
	h.t.Helper()
	request := h.request("ben", http.MethodGet, h.fill("executions/{execution}/events/")+query, nil).WithContext(ctx)
	request.Header.Set("Accept", "text/event-stream")
	if lastID != "" {
		request.Header.Set("Last-Event-ID", lastID)
	}
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	if got := response.Header.Get("Content-Type"); got != "text/event-stream" {
		h.t.Fatalf("the stream's type is %q", got)
	}
	lines := bufio.NewReaderSize(response.Body, 64<<10)
	return func() (frame, bool) {
		var f frame
		for {
			line, err := lines.ReadString('\n')
			if err != nil {
				return f, false
			}
			line = strings.TrimSuffix(line, "\n")
			switch field, value, _ := strings.Cut(line, ": "); field {
			case "id":
				f.id = value
			case "event":
				f.event = value
			case "data":
				f.data = value
			case "":
				if f.event != "" && line == "" {
					return f, true
				}
			}
		}
	}, func() { _ = response.Body.Close() }
}

// messages are the texts of a log event.
func messages(t *testing.T, f frame) []string {
	t.Helper()
	var events []wire.Event
	if err := json.Unmarshal([]byte(f.data), &events); err != nil {
		t.Fatalf("%v in %s", err, f.data)
	}
	texts := make([]string, len(events))
	for i, event := range events {
		texts[i] = event.Message
	}
	return texts
}

// state is the status of a state event.
func state(t *testing.T, f frame) string {
	t.Helper()
	var execution wire.Execution
	if err := json.Unmarshal([]byte(f.data), &execution); err != nil || f.event != "state" {
		t.Fatalf("%v in %+v", err, f)
	}
	return execution.Status
}

func TestAFollowerHearsEveryLineThenTheEnd(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	next, end := h.follow(t.Context(), "", "")
	defer end()
	step := func() frame {
		t.Helper()
		f, ok := next()
		if !ok {
			t.Fatal("the stream ended too early")
		}
		return f
	}
	if got := state(t, step()); got != "queued" {
		t.Errorf("first the state is %s", got)
	}
	h.take()
	if got := state(t, step()); got != "started" {
		t.Errorf("then %s", got)
	}
	h.append(1, "one", "two")
	f := step()
	if diff := cmp.Diff([]string{"one", "two"}, messages(t, f)); diff != "" || f.id != "2" {
		t.Errorf("the first lines, id %s (-want +got):\n%s", f.id, diff)
	}
	h.append(2, `three "quoted" – ünï`)
	f = step()
	if diff := cmp.Diff([]string{`three "quoted" – ünï`}, messages(t, f)); diff != "" || f.id != "3" {
		t.Errorf("the next line, id %s (-want +got):\n%s", f.id, diff)
	}
	h.finish()
	if got := state(t, step()); got != "complete" {
		t.Errorf("at the end the state is %s", got)
	}
	if f, more := next(); more {
		t.Errorf("after the end came %+v", f)
	}
}

func TestAFollowerTakesUpTheLogWhereItWas(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	h.append(1, "one", "two", "three", "four")
	h.finish()
	for _, c := range []struct {
		name, lastID, query string
		want                []string
	}{
		{"from the beginning", "", "", []string{"one", "two", "three", "four"}},
		{"as browsers say it", "2", "", []string{"three", "four"}},
		{"as a parameter", "", "?after=3", []string{"four"}},
		{"after the last line", "4", "", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			next, end := h.follow(t.Context(), c.lastID, c.query)
			defer end()
			var got []string
			for f, more := next(); more; f, more = next() {
				if f.event == "log" {
					got = append(got, messages(t, f)...)
				}
			}
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("the lines (-want +got):\n%s", diff)
			}
		})
	}
	h.play(t, []scenario{{
		name: "a place is a number", as: "ben", method: "GET", path: "executions/{execution}/events/", status: 400,
		header: map[string]string{"Accept": "text/event-stream", "Last-Event-ID": "x"}, want: []string{`"after":[`},
	}})
}

func TestAFollowerOfAStoppedExecutionHearsOfItAndIsLetGo(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	next, end := h.follow(t.Context(), "", "")
	defer end()
	if f, _ := next(); state(t, f) != "queued" {
		t.Errorf("first came %+v", f)
	}
	h.call("ben", http.MethodPost, h.fill("executions/{execution}/stop/"), nil, nil)
	for f, more := next(); more; f, more = next() {
		if f.event == "state" && state(t, f) == "stopped" {
			return
		}
	}
	t.Error("the stream ended without the final state")
}

func TestAListOfLinesEndsWithTheNewest(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	lines := make([]string, 600)
	for i := range lines {
		lines[i] = fmt.Sprintf("line %d", i+1)
	}
	h.append(1, lines...)
	for _, c := range []struct {
		query string
		first string
		count int
	}{{"", "line 101", 500}, {"?limit=2", "line 599", 2}, {"?limit=0", "line 1", 600}} {
		var events wire.Events
		h.call("ben", http.MethodGet, h.fill("executions/{execution}/events/")+c.query, nil, &events)
		if len(events.Events) != c.count || events.Events[0].Message != c.first || events.Total != 600 || events.Truncated != (c.count < 600) {
			t.Errorf("%q: got %d lines from %q of %d, truncated %t", c.query, len(events.Events), events.Events[0].Message, events.Total, events.Truncated)
		}
	}
}

// BenchmarkFollow measures how fast a log that is there is streamed.
func BenchmarkFollow(b *testing.B) {
	const batches, size = 100, 4000
	h := newHouse(b)
	h.furnish()
	h.run()
	h.take()
	lines := make([]string, size)
	for i := range lines {
		lines[i] = fmt.Sprintf("epoch %d: loss 0.0%d, accuracy 0.9%d, some more words", i, i, i)
	}
	for batch := range batches {
		h.append(int64(batch+1), lines...)
	}
	h.finish()
	b.ResetTimer()
	for b.Loop() {
		request := h.request("ben", http.MethodGet, h.fill("executions/{execution}/events/"), nil)
		request.Header.Set("Accept", "text/event-stream")
		response, err := http.DefaultClient.Do(request)
		h.must(err)
		n, err := io.Copy(io.Discard, response.Body)
		h.must(err)
		h.must(response.Body.Close())
		b.SetBytes(n)
	}
	b.ReportMetric(float64(b.N*batches*size)/b.Elapsed().Seconds(), "lines/s")
}
