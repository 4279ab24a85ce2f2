package worker

import (
	"bytes"
	"context"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// Bounds of what the journal holds and sends at a time.
const (
	bufferLines = 2 * execution.BatchMost
	bufferBytes = 2 << 20
	batchBytes  = 1 << 20
)

// journal carries an execution's log to the server, in order and in batches:
// what comes while one batch is on its way goes with the next. When the server
// is slow or away, or has no room, it makes the command wait rather than lose a
// line or fill the memory.
type journal struct {
	client  *client.Client
	leaseID string
	hidden  mask

	mu      sync.Mutex
	changed *sync.Cond
	pending []wire.Event
	bytes   int
	closed  bool
	err     error // why nothing is sent any more

	// heard is called for each line of the command's own; nil: nobody listens.
	heard func()

	batch int64
	done  chan struct{}
}

// newJournal starts the sending; close ends it. Nothing is sent after ctx ends.
// What hidden stands for is not sent.
func newJournal(ctx context.Context, c *client.Client, leaseID string, hidden mask) *journal {
	j := &journal{client: c, leaseID: leaseID, hidden: hidden, done: make(chan struct{})}
	j.changed = sync.NewCond(&j.mu)
	go j.send(ctx)
	context.AfterFunc(ctx, func() { j.fail(context.Cause(ctx)) })
	return j
}

// status writes one of Fairlead's own lines.
func (j *journal) status(text string) {
	j.add(wire.Event{Stream: string(execution.StatusStream), Message: text})
}

func (j *journal) add(event wire.Event) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.err == nil && (len(j.pending) >= bufferLines || j.bytes >= bufferBytes) {
		j.changed.Wait()
	}
	if j.err != nil {
		return
	}
	if j.heard != nil && event.Stream != string(execution.StatusStream) {
		j.heard()
	}
	event.Time = wire.NewTime(time.Now())
	event.Message = execution.CleanText(j.hidden.over(event.Message))
	j.pending = append(j.pending, event)
	j.bytes += len(event.Message)
	j.changed.Broadcast()
}

// onOutput has a function called for each line that the command prints.
func (j *journal) onOutput(heard func()) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.heard = heard
}

// close sends what is left and returns the error that kept lines from being
// sent, if any.
func (j *journal) close() error {
	j.mu.Lock()
	j.closed = true
	j.changed.Broadcast()
	j.mu.Unlock()
	<-j.done
	return j.err
}

func (j *journal) fail(err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err == nil && !j.closed {
		j.err = err
	}
	j.changed.Broadcast()
}

func (j *journal) send(ctx context.Context) {
	defer close(j.done)
	for {
		events, ok := j.take()
		if !ok {
			return
		}
		j.batch++
		err := persistWhile(ctx, func() error {
			return j.client.AppendEvents(ctx, j.leaseID, wire.EventBatch{Batch: j.batch, Events: events})
		}, maySucceedLater)
		if err != nil {
			j.mu.Lock()
			j.err = err
			j.changed.Broadcast()
			j.mu.Unlock()
			return
		}
	}
}

// maySucceedLater reports whether the server may yet take a batch that it
// refused: it is not up, its disk is full, or something went wrong there.
func maySucceedLater(err error) bool {
	return fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Exhausted) || fault.Is(err, fault.Internal)
}

// take waits for lines and takes a batch of them.
func (j *journal) take() ([]wire.Event, bool) {
	j.mu.Lock()
	defer j.mu.Unlock()
	for len(j.pending) == 0 && !j.closed && j.err == nil {
		j.changed.Wait()
	}
	if j.err != nil || len(j.pending) == 0 {
		return nil, false
	}
	n, size := 0, 0
	for n < len(j.pending) && n < execution.BatchMost && size < batchBytes {
		size += len(j.pending[n].Message)
		n++
	}
	batch := j.pending[:n:n]
	j.pending = append([]wire.Event(nil), j.pending[n:]...)
	j.bytes -= size
	j.changed.Broadcast()
	return batch, true
}

// lineWriter makes lines of what a command writes. It is used by one goroutine.
type lineWriter struct {
	journal *journal
	stream  execution.Stream
	partial []byte
}

// Write takes any bytes and never fails; what follows the last line break waits
// for the next one.
func (w *lineWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 {
		end := bytes.IndexByte(p, '\n')
		if end < 0 {
			w.partial = append(w.partial, p...)
			w.cut()
			break
		}
		w.partial = append(w.partial, p[:end]...)
		p = p[end+1:]
		w.cut()
		w.flush(len(w.partial))
	}
	return n, nil
}

// cut sends the beginning of a line that is too long as lines of their own.
func (w *lineWriter) cut() {
	// A secret that the cut would part is hidden before.
	for len(w.partial) > execution.LineMost+w.journal.hidden.longest {
		w.partial = append(w.partial[:0], w.journal.hidden.over(string(w.partial))...)
		if len(w.partial) <= execution.LineMost {
			return
		}
		w.flush(wholeRunes(w.partial, execution.LineMost))
	}
}

// close sends a last line that had no line break.
func (w *lineWriter) close() {
	if len(w.partial) > 0 {
		w.flush(len(w.partial))
	}
}

func (w *lineWriter) flush(n int) {
	w.journal.add(wire.Event{Stream: string(w.stream), Message: string(bytes.TrimSuffix(w.partial[:n], []byte("\r")))})
	w.partial = append(w.partial[:0], w.partial[n:]...)
}

// wholeRunes is the most bytes up to n that end no character in its middle.
func wholeRunes(p []byte, n int) int {
	const longest = 4
	for i := n; i > n-longest; i-- {
		if p[i]&0xC0 != 0x80 { // not the inside of a character
			return i
		}
	}
	return n
}
