package worker

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/wire"
)

// ledger is the far side of a journal: it keeps what it acknowledged, and
// refuses and forgets as it is told to.
type ledger struct {
	mu     sync.Mutex
	lines  []string
	batch  int64
	calls  int
	answer func(call int, batch wire.EventBatch) int // a status
}

func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	l.mu.Lock()
	defer l.mu.Unlock()
	var batch wire.EventBatch
	if err := json.NewDecoder(r.Body).Decode(&batch); err != nil {
		panic(err)
	}
	l.calls++
	status := http.StatusNoContent
	if l.answer != nil {
		status = l.answer(l.calls, batch)
	}
	// A server may store a batch and yet not be able to say so.
	if stored := status < 300 || status == http.StatusBadGateway; stored && batch.Batch > l.batch {
		l.batch = batch.Batch
		for _, event := range batch.Events {
			l.lines = append(l.lines, event.Message)
		}
	}
	w.WriteHeader(status)
}

func journalTo(ctx context.Context, t *testing.T, far http.Handler) *journal {
	t.Helper()
	return newJournal(ctx, clientOf(t, far), "lease", mask{})
}

func lines(n int) []string {
	texts := make([]string, n)
	for i := range texts {
		texts[i] = fmt.Sprintf("line %d", i)
	}
	return texts
}

func TestALogIsWholeAndInOrderThoughTheServerFailsAndRepeats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &ledger{answer: func(call int, _ wire.EventBatch) int {
			// Away, without room, broken, and twice an answer that is lost.
			return []int{503, 429, 500, 502, 204, 502, 204}[call%7]
		}}
		j := journalTo(t.Context(), t, far)
		want := lines(3 * bufferLines) // more than it holds, so that somebody has to wait
		for _, text := range want {
			j.add(wire.Event{Stream: "stdout", Message: text})
		}
		if err := j.close(); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, far.lines); diff != "" {
			t.Errorf("lines (-want +got):\n%s", diff)
		}
	})
}

func TestAJournalMakesTheCommandWaitRatherThanFillTheMemory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		away := true
		far := &ledger{answer: func(int, wire.EventBatch) int {
			if away {
				return http.StatusServiceUnavailable
			}
			return http.StatusNoContent
		}}
		j := journalTo(t.Context(), t, far)
		want := strings.Repeat("x", execution.LineMost)
		const count = 2 * bufferBytes / execution.LineMost
		written := make(chan int, 1)
		go func() {
			n := 0
			for ; n < count; n++ {
				j.add(wire.Event{Stream: "stdout", Message: want})
				j.mu.Lock()
				if j.bytes > bufferBytes+execution.LineMost {
					t.Errorf("%d bytes are held", j.bytes)
				}
				j.mu.Unlock()
			}
			written <- n
		}()
		time.Sleep(time.Minute) // of the bubble's own clock
		select {
		case <-written:
			t.Error("the command did not have to wait")
		default:
		}
		far.mu.Lock()
		away = false
		far.mu.Unlock()
		<-written
		if err := j.close(); err != nil || len(far.lines) != count {
			t.Errorf("%d lines came, want %d (%v)", len(far.lines), count, err)
		}
	})
}

func TestAJournalWhoseLeaseIsLostLetsTheCommandGo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		far := &ledger{answer: func(int, wire.EventBatch) int { return http.StatusNotFound }}
		j := journalTo(t.Context(), t, far)
		for _, text := range lines(3 * bufferLines) {
			j.add(wire.Event{Stream: "stdout", Message: text})
		}
		if err := j.close(); err == nil || len(far.lines) != 0 {
			t.Errorf("closed with %v and %d lines", err, len(far.lines))
		}
	})
}

func TestALogEndsWithItsContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		far := &ledger{answer: func(int, wire.EventBatch) int { return http.StatusServiceUnavailable }}
		j := journalTo(ctx, t, far)
		j.status("one")
		synctest.Wait()
		cancel(errLeaseLost)
		for _, text := range lines(3 * bufferLines) {
			j.add(wire.Event{Stream: "stdout", Message: text})
		}
		if err := j.close(); err == nil {
			t.Error("nothing was sent, and nothing is said of it")
		}
	})
}

// written gives what a command wrote in pieces, as the lines that are sent.
func written(t *testing.T, pieces ...string) []string {
	t.Helper()
	far := &ledger{}
	j := journalTo(t.Context(), t, far)
	w := &lineWriter{journal: j, stream: execution.Stdout}
	for _, piece := range pieces {
		if n, err := w.Write([]byte(piece)); n != len(piece) || err != nil {
			t.Errorf("wrote %d of %d bytes (%v)", n, len(piece), err)
		}
	}
	w.close()
	if err := j.close(); err != nil {
		t.Fatal(err)
	}
	return far.lines
}

func TestWhatACommandWritesBecomesLines(t *testing.T) {
	long := strings.Repeat("ü", execution.LineMost/2)
	for name, c := range map[string]struct{ pieces, want []string }{
		"nothing":           {nil, nil},
		"lines":             {[]string{"one\ntwo\n"}, []string{"one", "two"}},
		"pieces":            {[]string{"o", "ne\nt", "wo"}, []string{"one", "two"}},
		"empty lines":       {[]string{"\n\na\n"}, []string{"", "", "a"}},
		"windows":           {[]string{"one\r\ntwo\r\n"}, []string{"one", "two"}},
		"a bar":             {[]string{"10%\r20%\r"}, []string{"10%\r20%"}},
		"no text":           {[]string{"\xff\x00\n"}, []string{"\uFFFD\uFFFD"}},
		"as long as may be": {[]string{long + "\n"}, []string{long}},
		"too long":          {[]string{long + "ü\n"}, []string{long, "ü"}},
		"cut in characters": {[]string{"a" + long + "\n"}, []string{"a" + strings.TrimSuffix(long, "ü"), "ü"}},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(c.want, written(t, c.pieces...)); diff != "" {
				t.Errorf("lines (-want +got):\n%s", diff)
			}
		})
	}
}

func FuzzNothingOfACommandsOutputIsLost(f *testing.F) {
	f.Add("one\ntwo", uint16(3))
	f.Add(strings.Repeat("ü", 20_000), uint16(1000))
	f.Fuzz(func(t *testing.T, text string, cut uint16) {
		if strings.ContainsAny(text, "\r\x00") || !utf8.ValidString(text) {
			return // which lines hold in other words
		}
		at := min(int(cut), len(text))
		lines := written(t, text[:at], text[at:])
		for _, line := range lines {
			if len(line) > execution.LineMost || strings.Contains(line, "\n") {
				t.Errorf("a line of %d bytes: %.80q", len(line), line)
			}
		}
		if got, want := strings.Join(lines, ""), strings.ReplaceAll(text, "\n", ""); got != want {
			t.Errorf("%d bytes came of %d", len(got), len(want))
		}
	})
}

// clientOf speaks to a far side that is in this process: there is no network
// that a test's clock would not know of.
func clientOf(t *testing.T, far http.Handler) *client.Client {
	t.Helper()
	c, err := client.New(client.Config{Server: "http://fairlead.example", Transport: inProcess{far}})
	if err != nil {
		t.Fatal(err)
	}
	return c
}
