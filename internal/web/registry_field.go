package web

import (
	"strings"

	"fairlead.dev/fairlead/internal/registry"
)

// newKindField is a field of a kind of credential as the template input shows it. What
// is secret is never shown, and not required by the browser: it may be pasted instead.
func newKindField(f *form, of registry.Field) field {
	shown := newField(f, of.Name, of.Title)
	shown.Help, shown.Placeholder, shown.Required = of.Help, of.Example, of.Required
	switch {
	case of.Secret:
		shown.Type, shown.Autocomplete = "password", "new-password"
	default:
		shown.Autocomplete = "off"
	}
	if of.Lines {
		shown.Rows = linesShown
	}
	for _, choice := range of.Choices {
		label := choice
		switch choice {
		case "false":
			label = "No"
		case "true":
			label = "Yes"
		}
		shown.Options = append(shown.Options, option{choice, label})
	}
	return shown
}

// linesShown is how tall a field of several lines is.
const linesShown = 5

// initials are what the mark of a kind shows: of its own making, since the registries'
// logos are theirs.
func initials(kind string) string {
	switch kind {
	case "generic":
		return "…"
	case "aws-ecr":
		return "E"
	case "aws-ecr-role":
		return "Er"
	}
	var letters strings.Builder
	for part := range strings.SplitSeq(kind, "-") {
		if part != "" {
			letters.WriteString(strings.ToUpper(part[:1]))
		}
	}
	return letters.String()
}

// prose is a piece of a sentence: words, or a command that stood between backticks.
type prose struct {
	Text string
	Code bool
}

// proseOf takes a sentence apart, as hints are written: words, then `a command`.
func proseOf(text string) []prose {
	var pieces []prose
	parts := strings.Split(text, "`")
	if len(parts)%2 == 0 { // one stands alone
		return []prose{{Text: text}}
	}
	for i, part := range parts {
		if part != "" {
			pieces = append(pieces, prose{part, i%2 == 1})
		}
	}
	return pieces
}
