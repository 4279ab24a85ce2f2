package reference

import (
	"maps"
	"slices"
	"strings"
)

// found is what a search found.
type found struct {
	Operations []*operation
	Schemas    []string
}

// search finds the operations and schemas that have every word of the query
// somewhere in what is said of them, in small letters or large.
func (d *document) search(query string) (f found) {
	words := strings.Fields(strings.ToLower(query))
	if len(words) == 0 {
		return f
	}
	has := func(text string) bool {
		text = strings.ToLower(text)
		return !slices.ContainsFunc(words, func(word string) bool { return !strings.Contains(text, word) })
	}
	for _, op := range d.operations {
		text := []string{op.Method, op.Path, op.ID, op.Summary, op.Description}
		for _, p := range op.Parameters {
			text = append(text, p.Name, p.Description)
		}
		for _, p := range op.Errors {
			text = append(text, p.Code)
		}
		if has(strings.Join(text, " ")) {
			f.Operations = append(f.Operations, op)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(d.Components.Schemas)) {
		s := d.Components.Schemas[name]
		text := []string{name, s.Description}
		for field, inner := range s.Properties {
			text = append(text, field)
			if inner != nil {
				text = append(text, inner.Description)
			}
		}
		if has(strings.Join(text, " ")) {
			f.Schemas = append(f.Schemas, name)
		}
	}
	return f
}
