package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/registry"
)

// eventStream is the type of an answer that comes in pieces.
const eventStream = "text/event-stream"

// watch is a check that somebody waits for. Where the browser takes a stream (check.js
// asks for one), each step goes out as it is done, and at the end what the page is to
// do; otherwise the answer comes when all is done. Nothing is sent before the first
// step, so that what is refused at once has its own status.
type watch struct {
	v *visit

	// Steps are those that were told.
	Steps []shownStep

	streams, begun bool
}

// shownStep is a step of a check as the template step shows it.
type shownStep struct {
	registry.CheckStep
	ID string
}

func shownSteps(steps []registry.CheckStep) []shownStep {
	shown := make([]shownStep, len(steps))
	for i, step := range steps {
		shown[i] = shownStep{step, fmt.Sprint("step-", i+1)}
	}
	return shown
}

// State is the step's result as a state of the pages.
func (s shownStep) State() standing {
	switch s.Result {
	case registry.CheckPassed:
		return standing{"good", "passed"}
	case registry.CheckWarning:
		return standing{"warn", "warning"}
	case registry.CheckFailed:
		return standing{"bad", "failed"}
	default:
		return standing{"", "not told"}
	}
}

func (v *visit) watch() *watch {
	return &watch{v: v, streams: v.htmx && strings.Contains(v.r.Header.Get("Accept"), eventStream)}
}

// tell takes a step; it is registry's CheckRequest.Tell.
func (w *watch) tell(step registry.CheckStep) {
	shown := shownStep{step, fmt.Sprint("step-", len(w.Steps)+1)}
	w.Steps = append(w.Steps, shown)
	if !w.streams {
		return
	}
	w.begin()
	var text bytes.Buffer
	if err := w.v.site.views.part(&text, w.v, part{file: "registry.html", name: "step", data: shown}); err != nil {
		w.v.site.config.Logger.Error("showing a step failed", "error", err)
		return
	}
	w.send("step", text.String())
}

func (w *watch) begin() {
	if w.begun {
		return
	}
	w.begun = true
	header := w.v.w.Header()
	header.Set("Content-Type", eventStream)
	header.Set("X-Accel-Buffering", "no") // proxies that know it pass every piece on at once
	w.v.w.WriteHeader(http.StatusOK)
}

// send writes one event.
func (w *watch) send(event, data string) {
	control := http.NewResponseController(w.v.w)
	_ = control.SetWriteDeadline(time.Now().Add(writeWait))
	_, _ = fmt.Fprintf(w.v.w, "event: %s\ndata: %s\n\n", event, strings.ReplaceAll(data, "\n", "\ndata: ")) // who has gone is noticed by the request's context
	_ = control.Flush()
}

// answer is the end of what was watched: the answer itself, or, after steps went out,
// the event that says the same.
func (w *watch) answer(said answer, err error) (answer, error) {
	if !w.begun {
		return said, err
	}
	return stream(func(v *visit) error {
		_ = http.NewResponseController(v.w).SetWriteDeadline(time.Time{})
		if err != nil {
			v.failure = fault.From(err)
			said = part{file: "problem.html", name: "problem", data: v.failure}
			if v.failure.Kind == fault.Unauthenticated {
				said = seeOther{to: "/sign-in/"}
			}
		}
		switch said := said.(type) {
		case seeOther:
			text, failed := json.Marshal(map[string]string{"to": said.to, "said": said.said})
			if failed != nil {
				return failed
			}
			w.send("go", string(text))
		case part:
			var text bytes.Buffer
			if failed := v.site.views.part(&text, v, said); failed != nil {
				return failed
			}
			event := "parts"
			if err != nil {
				event = "wrong"
			}
			w.send(event, text.String())
		}
		return nil
	}), nil
}
