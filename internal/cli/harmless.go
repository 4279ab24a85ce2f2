package cli

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// colour is a sequence that changes how text looks and nothing else.
// https://www.ecma-international.org/publications-and-standards/standards/ecma-48/ (SGR)
var colour = regexp.MustCompile(`^\x1b\[[0-9;:]{0,32}m`)

// plainColour undoes every colour.
const plainColour = "\x1b[0m"

// harmless is foreign text on one line of a terminal: what could move the
// cursor, set a title or hide text is shown as an escape.
func harmless(text string) string { return clean(text, false) }

// harmlessInColour also keeps colours, and ends them.
func harmlessInColour(text string) string { return clean(text, true) }

func clean(text string, colours bool) string {
	if !strings.ContainsFunc(text, isHarmful) {
		return text
	}
	var b strings.Builder
	coloured := false
	for i, r := range text {
		switch {
		case r == '\x1b' && colours && colour.MatchString(text[i:]):
			b.WriteRune(r) // what follows it is printable
			coloured = true
		case isHarmful(r):
			b.WriteString(escaped(r))
		default:
			b.WriteRune(r)
		}
	}
	if coloured {
		b.WriteString(plainColour)
	}
	return b.String()
}

func escaped(r rune) string {
	switch {
	case r == '\r':
		return `\r`
	case r < 0x80:
		return fmt.Sprintf(`\x%02x`, r)
	default:
		return fmt.Sprintf(`\u%04x`, r)
	}
}

// isHarmful reports whether a terminal might do something at r: a control
// character, or one that changes the direction of text
// (https://www.unicode.org/reports/tr9/).
func isHarmful(r rune) bool {
	return r != '\t' && unicode.IsControl(r) || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069
}

// lastOverwrite is what a terminal would show of a line that a progress bar
// wrote over with carriage returns.
func lastOverwrite(text string) string {
	text = strings.TrimRight(text, "\r")
	return text[strings.LastIndexByte(text, '\r')+1:]
}
