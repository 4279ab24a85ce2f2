package browsertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Click clicks what has that accessible name: a button, a link, a checkbox, a tab, a
// summary… It waits until it is there alone, enabled, and covered by nothing, and
// afterwards until a page that it leads to has loaded.
func (b *Browser) Click(name string) {
	b.t.Helper()
	b.click(name, clickable)
}

func (b *Browser) click(name string, roles []string) {
	b.t.Helper()
	b.until(fmt.Sprintf("clicking %q", name), func(ctx context.Context) error {
		element, err := b.named(ctx, name, roles)
		if err != nil {
			return err
		}
		return b.press(ctx, element)
	})
	b.settle()
}

// reachable is where an element can be clicked, or why it cannot.
const reachable = `function() {
	if (this.matches(":disabled") || this.closest("[aria-disabled=true]")) return {why: "it is disabled"};
	this.scrollIntoView({block: "center", inline: "center", behavior: "instant"});
	const box = [...this.getClientRects()].find(r => r.width > 0 && r.height > 0);
	if (!box) return {why: "it has no size"};
	const x = box.left + box.width / 2, y = box.top + box.height / 2;
	const hit = this.getRootNode().elementFromPoint(x, y);
	const own = hit && [this, ...(this.labels ?? [])].some(e => e.contains(hit));
	if (!own) return {why: "it is covered by " + (hit ? hit.cloneNode().outerHTML : "nothing of the page")};
	return {x, y};
}`

// press clicks an element as a hand would.
func (b *Browser) press(ctx context.Context, element cdp.BackendNodeID) error {
	var at struct {
		Why  string
		X, Y float64
	}
	if err := b.apply(ctx, element, reachable, &at); err != nil {
		return err
	}
	if at.Why != "" {
		return errors.New(at.Why)
	}
	for _, kind := range []input.DispatchMouseEventType{
		input.DispatchMouseEventTypeMouseMoved, input.DispatchMouseEventTypeMousePressed, input.DispatchMouseEventTypeMouseReleased,
	} {
		event := input.DispatchMouseEventParams{Type: kind, X: at.X, Y: at.Y}
		if kind != input.DispatchMouseEventTypeMouseMoved {
			event.Button, event.ClickCount = input.MouseButtonLeft, 1
		}
		// Half a click is never made a second time.
		b.must(call(ctx, input.DispatchMouseEvent, event))
	}
	return nil
}

// settle lets the page begin what a click or a key made it do; that a page which
// comes of it has loaded is waited for by whatever is next.
func (b *Browser) settle() {
	ctx, cancel := b.brief()
	defer cancel()
	expression := "new Promise(resolve => requestAnimationFrame(() => setTimeout(resolve)))"
	if b.noScript {
		expression = "0"
	}
	_ = b.evaluate(ctx, expression, nil) // the page may be on its way already
}

// ready makes a field ready to be typed into, or sets those in which nobody types,
// such as a date.
const ready = `function(value) {
	if (this.matches(":disabled, :read-only")) return "it is disabled or read-only";
	this.scrollIntoView({block: "center", behavior: "instant"});
	this.focus();
	if (["date", "time", "datetime-local", "month", "week", "color", "range"].includes(this.type)) {
		this.value = value;
		this.dispatchEvent(new Event("input", {bubbles: true}));
		this.dispatchEvent(new Event("change", {bubbles: true}));
		return "set";
	}
	if (this.select) this.select(); else getSelection().selectAllChildren(this);
	return "";
}`

// Fill replaces what the field with that label holds.
func (b *Browser) Fill(label, value string) {
	b.t.Helper()
	set := false
	b.until(fmt.Sprintf("filling %q", label), func(ctx context.Context) error {
		field, err := b.named(ctx, label, fillable)
		if err != nil {
			return err
		}
		var said string
		if err := b.apply(ctx, field, ready, &said, value); err != nil {
			return err
		}
		if set = said == "set"; said != "" && !set {
			return errors.New(said)
		}
		return nil
	})
	switch {
	case set:
	case value == "":
		b.Press("Delete")
	default:
		b.must(call(b.ctx, input.InsertText, input.InsertTextParams{Text: value}))
	}
}

// Holds waits until the field with that label holds the value.
func (b *Browser) Holds(label, value string) {
	b.t.Helper()
	b.until(fmt.Sprintf("%q holding %q", label, value), func(ctx context.Context) error {
		field, err := b.named(ctx, label, append(fillable, choosable...))
		if err != nil {
			return err
		}
		var held string
		if err := b.apply(ctx, field, "function() { return this.value ?? this.innerText }", &held); err != nil {
			return err
		}
		if held != value {
			return fmt.Errorf("it holds %q", held)
		}
		return nil
	})
}

// choose selects an option of a select by its text; of anything else it says that it
// has none.
const choose = `function(label) {
	if (!this.options) return "none";
	if (this.matches(":disabled")) return "it is disabled";
	const option = [...this.options].find(o => o.label.trim() === label);
	if (!option) return "it has only the options " + [...this.options].map(o => o.label.trim()).join(", ");
	if (option.disabled) return "the option is disabled";
	this.focus();
	option.selected = true;
	this.dispatchEvent(new Event("input", {bubbles: true}));
	this.dispatchEvent(new Event("change", {bubbles: true}));
	return "";
}`

// Choose chooses an option by its text: of the select with that label, or a radio
// button of the group with that name.
func (b *Browser) Choose(label, option string) {
	b.t.Helper()
	b.until(fmt.Sprintf("choosing %q of %q", option, label), func(ctx context.Context) error {
		field, err := b.named(ctx, label, choosable)
		if err != nil {
			return err
		}
		var said string
		if err := b.apply(ctx, field, choose, &said, option); err != nil {
			return err
		}
		if said != "none" {
			return problem(said)
		}
		group := *b
		for _, role := range []string{"radiogroup", "group"} {
			group.scope = append(b.scope[:len(b.scope):len(b.scope)], part{role, label})
			button, found := group.named(ctx, option, []string{"radio", "option", "checkbox"})
			if err = found; err == nil {
				return b.press(ctx, button)
			}
		}
		return err
	})
	b.settle()
}

func problem(text string) error {
	if text == "" {
		return nil
	}
	return errors.New(text)
}

// keys are the keys that have names.
var keys = map[string]string{
	"Enter": kb.Enter, "Tab": kb.Tab, "Escape": kb.Escape, "Backspace": kb.Backspace, "Delete": kb.Delete, "Space": " ",
	"Home": kb.Home, "End": kb.End, "PageUp": kb.PageUp, "PageDown": kb.PageDown,
	"ArrowUp": kb.ArrowUp, "ArrowDown": kb.ArrowDown, "ArrowLeft": kb.ArrowLeft, "ArrowRight": kb.ArrowRight,
}

// modifiers are what may be held while a key is pressed.
var modifiers = map[string]chromedp.Modifier{"Shift": chromedp.ModifierShift, "Control": chromedp.ModifierCtrl, "Alt": chromedp.ModifierAlt, "Meta": chromedp.ModifierMeta}

// Press presses a key where the focus is: one with a name as KeyboardEvent.key has it
// ("Enter", "Escape", "ArrowDown", "Shift+Tab", "Control+k"), "Space", or a character.
func (b *Browser) Press(key string) {
	b.t.Helper()
	var held []chromedp.Modifier
	for {
		name, rest, more := strings.Cut(key, "+")
		modifier, known := modifiers[name]
		if !more || !known {
			break
		}
		held, key = append(held, modifier), rest
	}
	pressed, known := keys[key]
	if !known && utf8.RuneCountInString(key) != 1 {
		b.t.Fatalf("there is no key %q", key)
	}
	if !known {
		pressed = key
	}
	ctx, cancel := b.bounded()
	defer cancel()
	b.must(chromedp.Do(ctx, chromedp.KeyEvent(pressed, chromedp.KeyModifiers(held...))))
	b.settle()
}
