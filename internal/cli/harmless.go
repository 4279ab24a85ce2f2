package cli

import (
	"regexp"
	"strings"

	"fairlead.dev/fairlead/internal/wire"
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
	if !strings.ContainsFunc(text, wire.IsHarmful) {
		return text
	}
	var b strings.Builder
	coloured := false
	for i, r := range text {
		switch {
		case r == '\x1b' && colours && colour.MatchString(text[i:]):
			b.WriteRune(r) // what follows it is printable
			coloured = true
		case wire.IsHarmful(r):
			b.WriteString(wire.Escaped(r))
		default:
			b.WriteRune(r)
		}
	}
	if coloured {
		b.WriteString(plainColour)
	}
	return b.String()
}
