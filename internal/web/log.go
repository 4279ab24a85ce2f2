package web

import (
	"bytes"
	"context"
	"fmt"
	"html"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

const (
	// tailMost is how many of the last lines a page begins with. The whole log is a
	// link away.
	tailMost = 2000

	// heartbeat is how often a log without news says that it is alive, and writeWait
	// how long a browser may take to read what was written.
	heartbeat = 15 * time.Second
	writeWait = time.Minute
)

// logStream sends an execution's log and state as server-sent events, until it has
// ended: `lines` are lines as HTML, under the number of the last of them; `state` is
// the head of the page; `end` says that there is no more.
// https://html.spec.whatwg.org/multipage/server-sent-events.html
func (s *site) logStream(v *visit) (answer, error) {
	e, project, err := s.config.Executions.Get(v.ctx(), v.actor, v.path("execution"))
	if err != nil {
		return nil, err
	}
	known := v.r.Header.Get("Last-Event-ID")
	if known == "" {
		known = v.r.URL.Query().Get("after")
	}
	after, err := strconv.ParseInt(known, 10, 64)
	if err != nil || after < 0 {
		_, total, err := s.config.Executions.Tail(v.ctx(), v.actor, e.ID, 1)
		if err != nil {
			return nil, err
		}
		after = max(0, total-tailMost)
	}
	return stream(func(v *visit) error {
		header := v.w.Header()
		header.Set("Content-Type", eventStream)
		header.Set("X-Accel-Buffering", "no") // proxies that know it pass every event on at once
		v.w.WriteHeader(http.StatusOK)
		ctx, cancel := context.WithCancel(v.ctx())
		f := &logFollower{visit: v, project: project.Name, control: http.NewResponseController(v.w), cancel: cancel, looks: make(map[execution.Stream]look)}
		var beating sync.WaitGroup
		beating.Go(func() { f.beat(ctx) })
		defer beating.Wait()
		defer cancel()
		err := f.send([]byte("retry: 1000\n\n"))
		if err == nil && after > 0 && known == "" { // what a page has already is no news
			err = f.event("", "earlier", strconv.FormatInt(after, 10))
		}
		if err == nil {
			err = s.config.Executions.Follow(ctx, v.actor, e.ID, after, f)
		}
		switch {
		case ctx.Err() != nil: // the browser is gone
		case err != nil:
			v.failure = fault.From(err)
			_ = f.event("", "problem", html.EscapeString(v.failure.Sentence())) // it may be gone by now
		default:
			_ = f.event("", "end", "")
		}
		return nil
	}), nil
}

// logFollower is the execution.Follower of one page.
type logFollower struct {
	visit   *visit
	project string
	control *http.ResponseController
	cancel  context.CancelFunc
	looks   map[execution.Stream]look // each stream keeps its colours from line to line

	mu sync.Mutex // one event at a time
}

// Lines sends lines.
func (f *logFollower) Lines(lines []execution.Line) error {
	var body []byte
	for _, line := range lines {
		body = f.appendLine(body, line)
	}
	return f.event(strconv.FormatInt(lines[len(lines)-1].Sequence, 10), "lines", string(body))
}

// appendLine appends one line as HTML. How far a layer is has figures for its bar; a
// line that begins or ends a fold says so.
func (f *logFollower) appendLine(to []byte, line execution.Line) []byte {
	to = fmt.Appendf(to, `<div class="line %s" data-n="%d" title="%s"`, line.Stream, line.Sequence, line.Time.UTC().Format("15:04:05.000"))
	if line.Stream == execution.StatusStream {
		if p, is := wire.ParseLayerProgress(line.Text); is {
			to = fmt.Appendf(to, ` data-layer="%s" data-phase="%s" data-done="%d" data-total="%d"`,
				html.EscapeString(p.Layer), html.EscapeString(p.Phase), p.Done, p.Total)
		}
	} else if title, is := strings.CutPrefix(line.Text, "::group::"); is {
		to = fmt.Appendf(to, ` data-fold="%s"`, html.EscapeString(title))
	} else if strings.HasPrefix(line.Text, "::endgroup::") {
		to = append(to, ` data-unfold="yes"`...)
	}
	to = append(to, '>')
	to, f.looks[line.Stream] = appendText(to, line.Text, f.looks[line.Stream])
	return append(to, "</div>"...)
}

// State sends the head of the page.
func (f *logFollower) State(e execution.Execution) error {
	var body bytes.Buffer
	shown := f.visit.executionView(e, f.project)
	if err := f.visit.site.views.part(&body, f.visit, part{file: "execution.html", name: "head", data: shown}); err != nil {
		return err
	}
	return f.event("", "state", body.String())
}

// event sends an event; an id makes a browser that comes back go on behind it.
func (f *logFollower) event(id, name, data string) error {
	var text strings.Builder
	if id != "" {
		text.WriteString("id: " + id + "\n")
	}
	text.WriteString("event: " + name + "\n")
	for line := range strings.SplitSeq(strings.ReplaceAll(data, "\r", ""), "\n") {
		text.WriteString("data: " + line + "\n")
	}
	text.WriteString("\n")
	return f.send([]byte(text.String()))
}

func (f *logFollower) send(text []byte) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_ = f.control.SetWriteDeadline(time.Now().Add(writeWait)) // where there is none to set, nothing hangs for long
	_, err := f.visit.w.Write(text)
	if err == nil {
		err = f.control.Flush()
	}
	if err != nil {
		f.cancel()
	}
	return err
}

func (f *logFollower) beat(ctx context.Context) {
	ticker := time.NewTicker(heartbeat)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
			if f.send([]byte(": alive\n\n")) != nil {
				return
			}
		}
	}
}

// logText is the whole log as text, with a time before each line.
func (s *site) logText(v *visit) (answer, error) {
	e, _, err := s.config.Executions.Get(v.ctx(), v.actor, v.path("execution"))
	if err != nil {
		return nil, err
	}
	return stream(func(v *visit) error {
		v.w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		var text []byte
		_, err := s.config.Executions.TellTail(v.ctx(), v.actor, e.ID, 0, func(lines []execution.Line) error {
			text = text[:0]
			for _, line := range lines {
				text = line.Time.UTC().AppendFormat(text, time.RFC3339Nano)
				text = append(append(append(text, ' '), line.Stream...), ' ')
				text = append(append(text, strings.Map(harmless, line.Text)...), '\n')
			}
			_, err := v.w.Write(text)
			return err
		})
		if err != nil && v.w.status != 0 { // what was sent is not all, and the browser must know
			v.failure = fault.From(err)
			panic(http.ErrAbortHandler)
		}
		return err
	}), nil
}

// harmless takes away what a terminal would obey when the text is shown in one.
func harmless(r rune) rune {
	if wire.IsHarmful(r) {
		return '\ufffd'
	}
	return r
}
