package api

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// eventStream is the type of server-sent events.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
const eventStream = "text/event-stream"

const (
	// tailLimit is how many lines a client gets that does not say.
	tailLimit = 500

	// heartbeat is how often a stream without news says that it is alive, and
	// writeWait how long a client may take to read what was written.
	heartbeat = 15 * time.Second
	writeWait = time.Minute
)

func describeEvents(op *huma.Operation, registry huma.Registry) {
	queryParameter(op, "limit", huma.TypeInteger, "How many of the last lines; absent: 500, 0: all. Not for a stream")
	queryParameter(op, "after", huma.TypeInteger, "For a stream: the sequence number of the last line that is known")
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "Last-Event-ID", In: "header", Description: "The same as after, as browsers send it", Schema: &huma.Schema{Type: huma.TypeInteger},
	})
	answersJSON[wire.Events](op, registry)
	answers(op, eventStream, &huma.Schema{
		Type: huma.TypeString,
		Description: "Server-sent events, asked for with `Accept: text/event-stream`. `log` has a list of lines as its data and the " +
			"sequence number of the last of them as its id; `state` has the execution. The stream ends after the final state. " +
			"`problem` has an error that ended it.",
	})
}

// events shows the log.
func (d *door) events(w http.ResponseWriter, r *http.Request, v *visit) error {
	key := r.PathValue("execution")
	if strings.Contains(r.Header.Get("Accept"), eventStream) {
		return d.follow(w, r, v, key)
	}
	limit, err := wholeNumber("limit", r.URL.Query().Get("limit"), tailLimit)
	if err != nil {
		return err
	}
	lines, total, err := d.config.Executions.Tail(r.Context(), v.actor, key, int(limit))
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", jsonType)
	out := bufio.NewWriterSize(w, 64<<10)
	_, _ = out.WriteString(`{"events":[`) // a failed write is told by Flush
	var text []byte
	for i, line := range lines {
		text = text[:0]
		if i > 0 {
			text = append(text, ',')
		}
		text = appendLine(text, line)
		_, _ = out.Write(text)
	}
	_, _ = fmt.Fprintf(out, `],"total":%d,"truncated":%t}`, total, total > int64(len(lines)))
	_ = out.Flush() // nobody is left to tell
	return nil
}

// follow streams the log and the state until the execution has ended.
func (d *door) follow(w http.ResponseWriter, r *http.Request, v *visit, key string) error {
	known := r.Header.Get("Last-Event-ID")
	if known == "" {
		known = r.URL.Query().Get("after")
	}
	after, err := wholeNumber("after", known, 0)
	if err != nil {
		return err
	}
	_, project, err := d.config.Executions.Get(r.Context(), v.actor, key)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", eventStream)
	header.Set("X-Accel-Buffering", "no") // proxies that know it pass every event on at once
	w.WriteHeader(http.StatusOK)

	ctx, cancel := context.WithCancel(r.Context())
	s := &stream{door: d, visit: v, project: project, w: w, control: http.NewResponseController(w), cancel: cancel}
	var beating sync.WaitGroup
	beating.Go(func() { s.beat(ctx) })
	defer beating.Wait()
	defer cancel()
	err = s.send([]byte(": follow\n\n"))
	if err == nil {
		err = d.config.Executions.Follow(ctx, v.actor, key, after, s)
	}
	if err != nil && ctx.Err() == nil {
		s.problem(d.problem(ctx, v, err))
	}
	return nil
}

// stream writes server-sent events; it is the execution.Follower of one client.
type stream struct {
	door    *door
	visit   *visit
	project account.Project
	cancel  context.CancelFunc
	buffer  []byte // of Lines, used again

	mu      sync.Mutex // guards what follows: the heart beats beside the news
	w       http.ResponseWriter
	control *http.ResponseController
}

// Lines sends lines as one event.
func (s *stream) Lines(lines []execution.Line) error {
	b := append(s.buffer[:0], "id: "...)
	b = strconv.AppendInt(b, lines[len(lines)-1].Sequence, 10)
	b = append(b, "\nevent: log\ndata: ["...)
	for i, line := range lines {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendLine(b, line)
	}
	s.buffer = append(b, "]\n\n"...)
	return s.send(s.buffer)
}

// State sends the execution.
func (s *stream) State(e execution.Execution) error {
	shown, err := s.door.execution(s.visit, e, s.project)
	if err != nil {
		return err
	}
	return s.event("state", shown)
}

// problem sends why the stream ends.
func (s *stream) problem(p *problem) { _ = s.event("problem", p) } // nobody is left to tell

func (s *stream) event(name string, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing the event %s: %w", name, err)
	}
	return s.send(fmt.Appendf(nil, "event: %s\ndata: %s\n\n", name, text))
}

// send writes whole events and sees that they leave. A client that does not read
// is given up.
func (s *stream) send(text []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.control.SetWriteDeadline(time.Now().Add(writeWait)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := s.w.Write(text)
	if err == nil {
		err = s.control.Flush()
	}
	if err != nil {
		s.cancel()
	}
	return err
}

// beat sends a comment now and then, so that nothing in between takes the
// connection for dead, and a client that is gone is noticed.
func (s *stream) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if s.send([]byte(": alive\n\n")) != nil {
				return
			}
		}
	}
}

// appendLine writes a line as the JSON of a wire.Event, several times faster
// than reflection does.
func appendLine(b []byte, line execution.Line) []byte {
	b = append(b, `{"sequence":`...)
	b = strconv.AppendInt(b, line.Sequence, 10)
	b = append(b, `,"stream":"`...)
	b = append(b, line.Stream...)
	b = append(b, `","time":`...)
	b = wire.Time{Time: line.Time}.AppendJSON(b)
	b = append(b, `,"message":`...)
	b = appendText(b, line.Text)
	return append(b, '}')
}

// appendText writes a JSON string.
func appendText(b []byte, text string) []byte {
	for i := range len(text) {
		if c := text[i]; c < ' ' || c == '"' || c == '\\' || c >= utf8.RuneSelf {
			quoted, _ := json.Marshal(text) // a string always can be written
			return append(b, quoted...)
		}
	}
	b = append(b, '"')
	b = append(b, text...)
	return append(b, '"')
}

// wholeNumber reads a parameter that is not negative.
func wholeNumber(name, text string, absent int64) (int64, error) {
	if text == "" {
		return absent, nil
	}
	number, err := strconv.ParseInt(text, 10, 64)
	if err != nil || number < 0 {
		return 0, fault.InvalidField(name, "invalid", "%.40q is no whole number from 0", text)
	}
	return number, nil
}

// writeJSON answers with a value.
func writeJSON(w http.ResponseWriter, status int, value any) error {
	text, err := json.Marshal(value)
	if err != nil {
		return fmt.Errorf("writing the answer: %w", err)
	}
	header := w.Header()
	header.Set("Content-Type", jsonType)
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(status)
	_, _ = w.Write(text) // nobody is left to tell
	return nil
}
