package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// patience is how long anything is waited for.
const patience = 20 * time.Second

// Browser is a page in a profile of its own, or a part of one (see In). Its methods
// fail the test, and are for the test's goroutine alone.
type Browser struct {
	t        testing.TB
	ctx      context.Context
	patience time.Duration // of what is waited for
	scope    []part
	media    map[string]string
	noScript bool
	heard    *heard
}

// part is an element that a Browser is narrowed to.
type part struct{ role, name string }

// New opens an empty page in a profile without cookies and cache, which ends with the
// test. Two people in one test are two of them.
func New(t testing.TB) *Browser {
	t.Helper()
	browser, err := start()
	if err != nil {
		t.Fatal(err)
	}
	b := &Browser{t: t, patience: patience, media: make(map[string]string), heard: newHeard()}
	ctx, cancel := chromedp.NewContext(browser, chromedp.WithNewBrowserContext(), chromedp.WithListener(b.listen))
	b.ctx = ctx
	t.Cleanup(func() {
		b.report()
		cancel()
	})
	if err := chromedp.Do(ctx); err != nil {
		t.Fatalf("opening a page: %v", err)
	}
	b.heard.mu.Lock()
	b.heard.main = cdp.FrameID(chromedp.FromContext(ctx).Target.TargetID)
	b.heard.mu.Unlock()
	b.emulate("prefers-reduced-motion", "reduce") // so that what is clicked stands still
	return b
}

// Visit goes to an address and waits until all of the page has loaded.
func (b *Browser) Visit(url string) {
	b.t.Helper()
	b.heard.begin()
	ctx, cancel := b.bounded()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Navigate(url)); err != nil {
		b.fatalf("visiting %s: %v", url, err)
	}
}

// Reload loads the page again.
func (b *Browser) Reload() {
	b.t.Helper()
	ctx, cancel := b.bounded()
	defer cancel()
	if err := chromedp.Do(ctx, chromedp.Reload()); err != nil {
		b.fatalf("loading the page again: %v", err)
	}
}

// At waits until the page's address is the path, with its query if it has one.
func (b *Browser) At(path string) {
	b.t.Helper()
	b.until("being at "+path, func(ctx context.Context) error {
		var at string
		if err := b.evaluate(ctx, "location.pathname + location.search", &at); err != nil {
			return err
		}
		if at != path {
			return fmt.Errorf("it is at %s", at)
		}
		return nil
	})
}

// In is the page narrowed to one part: the element of that role (row, dialog, region,
// form, listitem…) whose accessible name is the name, or that shows the name as text.
// The part is looked for anew at every use.
func (b *Browser) In(role, name string) *Browser {
	narrow := *b
	narrow.scope = append(b.scope[:len(b.scope):len(b.scope)], part{role, name})
	return &narrow
}

// Phone makes the page as small as a phone, with touch, from the next visit on.
func (b *Browser) Phone() {
	b.t.Helper()
	b.must(call(b.ctx, emulation.SetDeviceMetricsOverride, emulation.SetDeviceMetricsOverrideParams{Width: 390, Height: 844, DeviceScaleFactor: 2, Mobile: true}))
	b.must(call(b.ctx, emulation.SetTouchEmulationEnabled, emulation.SetTouchEmulationEnabledParams{Enabled: true}))
}

// Dark makes the page as for who prefers dark colours.
func (b *Browser) Dark() {
	b.t.Helper()
	b.emulate("prefers-color-scheme", "dark")
}

// NoScript runs no script of the page, from the next visit on.
func (b *Browser) NoScript() {
	b.t.Helper()
	b.noScript = true
	b.must(b.scripts(false))
}

// scripts has scripts run, or not.
func (b *Browser) scripts(run bool) error {
	return call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: !run})
}

func (b *Browser) emulate(feature, value string) {
	b.t.Helper()
	b.media[feature] = value
	var params emulation.SetEmulatedMediaParams
	for name, value := range b.media {
		params.Features = append(params.Features, &emulation.MediaFeature{Name: name, Value: value})
	}
	b.must(call(b.ctx, emulation.SetEmulatedMedia, params))
}

// Evaluate runs an expression of JavaScript in the page, and reads its value, as JSON,
// into a pointer. It waits for a promise.
func (b *Browser) Evaluate(expression string, into any) {
	b.t.Helper()
	ctx, cancel := b.bounded()
	defer cancel()
	b.must(b.evaluate(ctx, expression, into))
}

func (b *Browser) must(err error) {
	b.t.Helper()
	if err != nil {
		b.fatalf("%v", err)
	}
}

// until looks until it finds, after every change of the page. It looks once at least,
// however slow the machine is.
func (b *Browser) until(what string, look func(ctx context.Context) error) {
	b.t.Helper()
	ctx, cancel := b.bounded()
	defer cancel()
	waiting, cancel := context.WithTimeout(ctx, b.patience)
	defer cancel()
	missing := errors.New("the page is still loading")
	for {
		changed, loading := b.heard.state()
		if !loading {
			if missing = look(ctx); missing == nil {
				return
			}
		}
		b.change(waiting, changed, loading)
		if waiting.Err() != nil {
			b.fatalf("%s: %v", what, missing)
		}
	}
}

// bounded is the time for one thing that the browser is asked.
func (b *Browser) bounded() (context.Context, context.CancelFunc) {
	return context.WithTimeout(b.ctx, patience)
}

// frames ends with the next change of the document, or after six frames, in which a
// style or a size may have changed.
const frames = `new Promise(resolve => {
	const observer = new MutationObserver(() => { observer.disconnect(); resolve(); });
	observer.observe(document, {subtree: true, childList: true, attributes: true, characterData: true});
	let left = 6;
	const frame = () => { if (--left) requestAnimationFrame(frame); else { observer.disconnect(); resolve(); } };
	requestAnimationFrame(frame);
})`

// change waits for a change: of the document, or of how far it has loaded.
func (b *Browser) change(ctx context.Context, changed <-chan struct{}, loading bool) {
	if b.noScript || loading { // a page without scripts changes by loading alone
		select {
		case <-changed:
		case <-ctx.Done():
		}
		return
	}
	if b.evaluate(ctx, frames, nil) != nil { // the document went away
		select {
		case <-changed:
		case <-ctx.Done():
		}
	}
}

// call calls a method of the browser that has no result.
func call[P any](ctx context.Context, command cdp.Command[P, cdp.Empty], params P) error {
	_, err := chromedp.Call(ctx, command, params)
	return err
}

func (b *Browser) evaluate(ctx context.Context, expression string, into any) error {
	yes := true
	got, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: expression, ReturnByValue: &yes, AwaitPromise: &yes, Silent: &yes})
	if err != nil {
		return err
	}
	return read(got.Result, got.ExceptionDetails, into)
}

// apply calls a function of JavaScript with an element as this.
func (b *Browser) apply(ctx context.Context, element cdp.BackendNodeID, function string, into any, args ...any) error {
	resolved, err := chromedp.Call(ctx, dom.ResolveNode, dom.ResolveNodeParams{BackendNodeID: element})
	if err != nil {
		return err
	}
	yes := true
	params := runtime.CallFunctionOnParams{FunctionDeclaration: function, ObjectID: resolved.Object.ObjectID, ReturnByValue: &yes, AwaitPromise: &yes, Silent: &yes}
	for _, arg := range args {
		value, err := json.Marshal(arg)
		if err != nil {
			return err
		}
		params.Arguments = append(params.Arguments, &runtime.CallArgument{Value: value})
	}
	got, err := chromedp.Call(ctx, runtime.CallFunctionOn, params)
	if err != nil {
		return err
	}
	return read(got.Result, got.ExceptionDetails, into)
}

func read(result *runtime.RemoteObject, exception *runtime.ExceptionDetails, into any) error {
	if exception != nil {
		return errors.New(told(exception))
	}
	if into == nil || result == nil || len(result.Value) == 0 {
		return nil
	}
	return json.Unmarshal(result.Value, into)
}

// spaces makes any run of white space one space.
func spaces(text string) string { return strings.Join(strings.Fields(text), " ") }
