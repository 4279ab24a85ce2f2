package browsertest

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/inspector"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
)

// heard is what the browser told of a page. Safe for concurrent use.
type heard struct {
	mu       sync.Mutex
	changed  chan struct{} // closed at the next change
	main     cdp.FrameID
	loading  bool
	requests map[network.RequestID]string // method and address
	bytes    int64                        // since the last visit
	troubles []string
	expected []string
}

func newHeard() *heard {
	return &heard{changed: make(chan struct{}), requests: make(map[network.RequestID]string)}
}

// listen takes what the browser tells, one after the other.
func (b *Browser) listen(event any) {
	h := b.heard
	h.mu.Lock()
	defer h.mu.Unlock()
	switch e := event.(type) {
	case *page.EventFrameStartedLoading:
		h.load(e.FrameID, true)
	case *page.EventFrameStoppedLoading:
		h.load(e.FrameID, false)
	case *runtime.EventExecutionContextCreated, *page.EventLifecycleEvent:
		h.change()

	case *network.EventRequestWillBeSent:
		h.requests[e.RequestID] = e.Request.Method + " " + e.Request.URL
	case *network.EventResponseReceived:
		if e.Response.Status >= 400 && !h.icon(e.RequestID) {
			h.trouble("%s: %d %s", h.requests[e.RequestID], e.Response.Status, e.Response.StatusText)
		}
	case *network.EventLoadingFinished:
		if !h.icon(e.RequestID) {
			h.bytes += int64(e.EncodedDataLength)
		}
	case *network.EventLoadingFailed:
		if !e.Canceled && !h.icon(e.RequestID) { // by a page that was left
			h.trouble("%s: %s", h.requests[e.RequestID], cmp.Or(string(e.BlockedReason), e.ErrorText))
		}

	case *inspector.EventTargetCrashed: // it answers nothing any more
		h.trouble("its process crashed")
	case *runtime.EventConsoleAPICalled:
		if e.Type == runtime.ConsoleAPICalledTypeError || e.Type == runtime.ConsoleAPICalledTypeAssert {
			h.trouble("console: %s", words(e.Args))
		}
	case *runtime.EventExceptionThrown:
		h.trouble("script: %s", told(e.ExceptionDetails))
	case *log.EventEntryAdded:
		// What the network's lines say is known from the requests.
		if e.Entry.Level == log.EntryLevelError && e.Entry.Source != log.EntrySourceNetwork {
			h.trouble("%s: %s", e.Entry.Source, e.Entry.Text)
		}
	case *page.EventJavascriptDialogOpening:
		leaving := e.Type == page.DialogTypeBeforeunload
		if !leaving {
			h.trouble("the page opened a dialog (%s): %s", e.Type, e.Message)
		}
		go func() {
			_ = call(b.ctx, page.HandleJavaScriptDialog, page.HandleJavaScriptDialogParams{Accept: leaving}) // the page may have gone
		}()
	}
}

func (h *heard) load(frame cdp.FrameID, loading bool) {
	if frame == h.main {
		h.loading = loading
		h.change()
	}
}

// icon reports whether a request is the one that no page makes: the browser asks for
// this by itself, sooner or later.
func (h *heard) icon(id network.RequestID) bool {
	return strings.HasSuffix(h.requests[id], "/favicon.ico")
}

func (h *heard) change() {
	close(h.changed)
	h.changed = make(chan struct{})
}

func (h *heard) trouble(format string, args ...any) {
	h.troubles = append(h.troubles, fmt.Sprintf(format, args...))
}

// state is whether the page is loading, and what is closed at the next change.
func (h *heard) state() (changed <-chan struct{}, loading bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.changed, h.loading
}

// begin begins to count anew.
func (h *heard) begin() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bytes = 0
}

// Transferred is how many bytes the page has received since the last Visit began,
// with headers, as they were on the wire: all that it loads, without what it still
// waits for.
func (b *Browser) Transferred() int64 {
	b.t.Helper()
	b.Evaluate("0", nil) // whatever was told before has been heard after it
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	return b.heard.bytes
}

// Expect says that the page will complain, or has complained, of what contains the
// text: an answer such as "POST http://127.0.0.1:1/x: 422 Unprocessable Entity", or
// what the console shows. The test fails if it never does.
func (b *Browser) Expect(text string) {
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	b.heard.expected = append(b.heard.expected, text)
}

// report fails the test for what the page complained of.
func (b *Browser) report() {
	b.t.Helper()
	ctx, cancel := b.brief()
	defer cancel()
	_ = b.evaluate(ctx, "0", nil) // whatever was told before has been heard after it
	b.heard.mu.Lock()
	defer b.heard.mu.Unlock()
	for _, trouble := range b.heard.troubles {
		if !slices.ContainsFunc(b.heard.expected, func(text string) bool { return strings.Contains(trouble, text) }) {
			b.t.Errorf("the page complained: %s", trouble)
		}
	}
	for _, text := range b.heard.expected {
		if !slices.ContainsFunc(b.heard.troubles, func(trouble string) bool { return strings.Contains(trouble, text) }) {
			b.t.Errorf("the page never complained of %q", text)
		}
	}
}

// told is what an exception says.
func told(exception *runtime.ExceptionDetails) string {
	if exception.Exception != nil && exception.Exception.Description != "" {
		return exception.Exception.Description
	}
	if exception.Exception != nil && len(exception.Exception.Value) > 0 {
		return exception.Text + " " + string(exception.Exception.Value)
	}
	return exception.Text
}

// words are the values of a line of the console.
func words(values []*runtime.RemoteObject) string {
	var line []string
	for _, value := range values {
		var text string
		if json.Unmarshal(value.Value, &text) != nil {
			text = cmp.Or(value.Description, string(value.Value))
		}
		line = append(line, text)
	}
	return strings.Join(line, " ")
}
