package browsertest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/chromedp/cdproto/accessibility"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/dom"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
)

// What can be clicked, filled and chosen from, as the browser tells it to a screen
// reader.
var (
	clickable = []string{"button", "link", "checkbox", "radio", "switch", "tab", "menuitem", "menuitemradio", "menuitemcheckbox", "option", "DisclosureTriangle"}
	fillable  = []string{"textbox", "searchbox", "combobox", "spinbutton", "slider", "Date", "DateTime", "InputTime", "ColorWell"}
	choosable = []string{"combobox", "listbox", "radiogroup", "group"}
)

// named is the one element with that accessible name and one of the roles. What is
// hidden is not there.
func (b *Browser) named(ctx context.Context, name string, roles []string) (cdp.BackendNodeID, error) {
	root, err := b.root(ctx)
	if err != nil {
		return 0, err
	}
	all, err := tree(ctx, root, accessibility.QueryAXTreeParams{AccessibleName: name})
	if err != nil {
		return 0, err
	}
	found := slices.DeleteFunc(slices.Clone(all), func(n *accessibility.Node) bool { return !slices.Contains(roles, text(n.Role)) })
	if len(found) == 0 {
		var others []string
		for _, n := range all {
			others = append(others, text(n.Role))
		}
		if len(others) > 0 {
			return 0, fmt.Errorf("nothing of the roles %s is named %q, but a %s is", strings.Join(roles, ", "), name, strings.Join(others, ", "))
		}
		return 0, fmt.Errorf("nothing is named %q", name)
	}
	if len(found) > 1 {
		return 0, fmt.Errorf("%d elements are named %q: say which one with In", len(found), name)
	}
	return found[0].BackendDOMNodeID, nil
}

// root is the page, or the part of it that b is narrowed to.
func (b *Browser) root(ctx context.Context) (cdp.BackendNodeID, error) {
	got, err := chromedp.Call(ctx, runtime.Evaluate, runtime.EvaluateParams{Expression: "document"})
	if err != nil {
		return 0, err
	}
	described, err := chromedp.Call(ctx, dom.DescribeNode, dom.DescribeNodeParams{ObjectID: got.Result.ObjectID})
	if err != nil {
		return 0, err
	}
	root := described.Node.BackendNodeID
	for _, p := range b.scope {
		if root, err = b.narrow(ctx, root, p); err != nil {
			return 0, err
		}
	}
	return root, nil
}

func (b *Browser) narrow(ctx context.Context, root cdp.BackendNodeID, p part) (cdp.BackendNodeID, error) {
	all, err := tree(ctx, root, accessibility.QueryAXTreeParams{Role: p.role})
	if err != nil {
		return 0, err
	}
	var named, showing []cdp.BackendNodeID
	for _, n := range all {
		if text(n.Name) == p.name {
			named = append(named, n.BackendDOMNodeID)
			continue
		}
		var shown string
		if err := b.apply(ctx, n.BackendDOMNodeID, "function() { return this.innerText ?? '' }", &shown); err != nil {
			return 0, err
		}
		if strings.Contains(spaces(shown), p.name) {
			showing = append(showing, n.BackendDOMNodeID)
		}
	}
	if len(named) > 0 {
		showing = named
	}
	switch len(showing) {
	case 0:
		return 0, fmt.Errorf("no %s is named %q or shows it", p.role, p.name)
	case 1:
		return showing[0], nil
	default:
		return 0, fmt.Errorf("%d times a %s is named %q or shows it", len(showing), p.role, p.name)
	}
}

// tree asks for elements below root as a screen reader knows them.
func tree(ctx context.Context, root cdp.BackendNodeID, query accessibility.QueryAXTreeParams) ([]*accessibility.Node, error) {
	query.BackendNodeID = root
	got, err := chromedp.Call(ctx, accessibility.QueryAXTree, query)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(got.Nodes, func(n *accessibility.Node) bool { return n.Ignored || n.BackendDOMNodeID == 0 }), nil
}

func text(value *accessibility.Value) string {
	var s string
	if value == nil || json.Unmarshal(value.Value, &s) != nil {
		return ""
	}
	return s
}

// shown is the text that the page, or b's part of it, shows.
func (b *Browser) shown(ctx context.Context) (string, error) {
	var shown string
	if len(b.scope) == 0 {
		err := b.evaluate(ctx, "document.body ? document.body.innerText : ''", &shown)
		return spaces(shown), err
	}
	root, err := b.root(ctx)
	if err != nil {
		return "", err
	}
	err = b.apply(ctx, root, "function() { return this.innerText ?? '' }", &shown)
	return spaces(shown), err
}

// Sees waits until the text is shown. Any white space is as one space.
func (b *Browser) Sees(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("seeing %q", text), func(ctx context.Context) error {
		shown, err := b.shown(ctx)
		if err == nil && !strings.Contains(shown, spaces(text)) {
			err = errors.New("it is not shown")
		}
		return err
	})
}

// SeesNot waits until the text is not shown.
func (b *Browser) SeesNot(text string) {
	b.t.Helper()
	b.until(fmt.Sprintf("not seeing %q", text), func(ctx context.Context) error {
		shown, err := b.shown(ctx)
		if err == nil && strings.Contains(shown, spaces(text)) {
			err = errors.New("it is shown")
		}
		return err
	})
}

// WaitFor waits until an element is there and visible that the CSS selector selects.
func (b *Browser) WaitFor(selector string) {
	b.t.Helper()
	quoted, err := json.Marshal(selector)
	b.must(err)
	b.until("waiting for "+selector, func(ctx context.Context) error {
		var visible bool
		err := b.evaluate(ctx, "[...document.querySelectorAll("+string(quoted)+")].some(e => e.checkVisibility({visibilityProperty: true}))", &visible)
		if err == nil && !visible {
			err = errors.New("none is visible")
		}
		return err
	})
}
