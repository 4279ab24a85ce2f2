package cli

import (
	"strings"
	"testing"
	"unicode"

	"fairlead.dev/fairlead/internal/wire"
)

func TestWhatATerminalWouldObeyIsShownAsAnEscape(t *testing.T) {
	for text, want := range map[string]string{
		"plain ü\t✓":         "plain ü\t✓",
		"\x1b]0;title\x07":   `\x1b]0;title\x07`,
		"\x1b[2Jgone":        `\x1b[2Jgone`,
		"a\rb":               `a\rb`,
		"\u202eevil":         `\u202eevil`,
		"\x1b[31mred\x1b[0m": "\x1b[31mred\x1b[0m\x1b[0m",
	} {
		if got := harmlessInColour(text); got != want {
			t.Errorf("%q is shown as %q, want %q", text, got, want)
		}
	}
	if got := harmless("\x1b[31mred"); got != `\x1b[31mred` {
		t.Errorf("a colour where none may be: %q", got)
	}
	if got := wire.LastOverwrite("10%\r50%\r100%\r"); got != "100%" {
		t.Errorf("a progress bar is shown as %q", got)
	}
}

func FuzzNothingHarmfulComesOut(f *testing.F) {
	for _, text := range []string{"", "\x1b[31m", "\x1b[", "\x1b\x1b[0m", "\u202e", "\xff", "\x9b31m"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		for _, shown := range []string{harmless(text), harmlessInColour(text)} {
			rest := shown
			for {
				before, after, found := strings.Cut(rest, "\x1b")
				if strings.ContainsFunc(before, func(r rune) bool { return r != '\t' && unicode.IsControl(r) }) {
					t.Fatalf("%q is shown as %q", text, shown)
				}
				if !found {
					break
				}
				if !colour.MatchString("\x1b" + after) {
					t.Fatalf("%q is shown as %q, with an escape that is no colour", text, shown)
				}
				rest = after
			}
		}
	})
}

func TestSizesOfMemoryAreReadAsDockerReadsThem(t *testing.T) {
	for text, want := range map[string]int64{"": 0, "512": 512, "64k": 64 << 10, "512M": 512 << 20, "1.5g": 3 << 29, "8GiB": 8 << 30, "2Gb": 2 << 30} {
		if got, err := parseMemory("memory", text); err != nil || got != want {
			t.Errorf("%q is %d (%v), want %d", text, got, err, want)
		}
	}
	for _, text := range []string{"lots", "-1g", "0", "1x", "g"} {
		if got, err := parseMemory("memory", text); err == nil {
			t.Errorf("%q is taken for %d", text, got)
		}
	}
}
