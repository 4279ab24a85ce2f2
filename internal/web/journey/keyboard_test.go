package journey_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
)

// types presses a key for each character.
func types(b *browsertest.Browser, text string) {
	for _, key := range text {
		b.Press(string(key))
	}
}

func TestTheKeyboardAloneIsEnough(t *testing.T) {
	t.Parallel()
	s := startServer(t, "--worker=false")
	b := browsertest.New(t)
	focused := func(want string) {
		t.Helper()
		var got string
		b.Evaluate("(document.activeElement.id || document.activeElement.textContent).trim()", &got)
		if got != want {
			t.Errorf("the focus is at %q, not at %q", got, want)
		}
	}
	b.Visit(s.url)
	focused("username")
	types(b, s.ada.name)
	b.Press("Tab")
	types(b, s.ada.password)
	b.Press("Enter")
	b.At("/executions/")
	b.Sees("Nothing has run yet.")

	b.Press("Tab")
	focused("Skip to the content")
	b.Axe()
	b.Screenshot("journey/keyboard-skip")
	b.Press("Enter")
	focused("main")
	b.Press("Tab")
	focused("project") // the first field of the content

	b.Visit(s.url + "/projects/")
	for range 3 { // past the skip link and the brand
		b.Press("Tab")
	}
	focused("ada")
	b.Press("Enter")
	b.Sees("Sign out")
	b.Screenshot("journey/keyboard-menu")
	b.Press("Tab")
	focused("My account")
	b.Press("Escape")
	b.SeesNot("My account")
	focused("ada")

	b.Press("Tab")
	focused("Executions")
	b.Press("Tab")
	b.Press("Tab")
	focused("Explain")
	b.Press("Enter")
	b.Sees("Which registry credential would an image be pulled with")
}
