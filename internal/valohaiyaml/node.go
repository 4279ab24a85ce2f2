package valohaiyaml

import (
	"strconv"
	"strings"
)

// node is a piece of the file with its place: aliases are followed, merge keys
// are spread, scalars are resolved, and of two equal keys the last is kept.
// The methods that look things up stand a nil node, which holds nothing.
type node struct {
	// value is a scalar's; of a list and a map it holds the kind alone.
	value Value

	// source is a scalar as it is written.
	source string

	line, column int

	// inside is what a list or a map has; nil for all others, which are many.
	inside *inside

	// parent holds this node under key, or as its item number index.
	parent *node
	key    *node
	index  int
}

// inside are the items of a list, or the entries of a map in the order of the
// file.
type inside struct {
	items   []*node
	entries []entry
}

// entry is a key of a map with its value.
type entry struct{ key, value *node }

// name is the key's text.
func (e entry) name() string {
	if e.key.value.kind == Text {
		return e.key.value.text
	}
	return e.key.value.String()
}

// kind is what the node is; Null for a nil node.
func (n *node) kind() Kind {
	if n == nil {
		return Null
	}
	return n.value.kind
}

// get is the value under a key of a map, and nil if there is none.
func (n *node) get(key string) *node {
	if n == nil {
		return nil
	}
	for _, e := range n.entries() {
		if e.key.value.kind == Text && e.key.value.text == key {
			return e.value
		}
	}
	return nil
}

// has reports whether a map has the key.
func (n *node) has(key string) bool { return n.get(key) != nil }

// list is a list's items.
func (n *node) list() []*node {
	if n == nil || n.inside == nil {
		return nil
	}
	return n.inside.items
}

// entries are a map's entries.
func (n *node) entries() []entry {
	if n == nil || n.inside == nil {
		return nil
	}
	return n.inside.entries
}

// text is a string, and "" for anything else.
func (n *node) text() string {
	if n.kind() != Text {
		return ""
	}
	return n.value.text
}

// textOrNil is a string, and nil for anything else.
func (n *node) textOrNil() *string {
	if n.kind() != Text {
		return nil
	}
	return &n.value.text
}

// texts are the strings of a list; a string alone is a list of one.
func (n *node) texts() []string {
	if n.kind() == Text {
		return []string{n.value.text}
	}
	var texts []string
	for _, item := range n.list() {
		if item.kind() == Text {
			texts = append(texts, item.value.text)
		}
	}
	return texts
}

// truth is a boolean, and otherwise whatever holds without one.
func (n *node) truth(otherwise bool) bool {
	if n.kind() != Boolean {
		return otherwise
	}
	return n.value.truth
}

// number is a number, and nil for anything else.
func (n *node) number() *float64 {
	if n.kind() != Integer && n.kind() != Float {
		return nil
	}
	f := n.value.asFloat()
	return &f
}

// data is the node with all that is below it as a value.
func (n *node) data() Value {
	switch n.kind() {
	case Null:
		return Value{}
	case List:
		items := make([]Value, len(n.list()))
		for i, item := range n.list() {
			items[i] = item.data()
		}
		return ListValue(items...)
	case Map:
		all := &content{keys: make([]Value, len(n.entries())), list: make([]Value, len(n.entries()))}
		for i, e := range n.entries() {
			all.keys[i], all.list[i] = e.key.value, e.value.data()
		}
		return Value{kind: Map, content: all}
	default:
		return n.value
	}
}

// path leads from the top of the file to the node: 0.step.parameters.1.
func (n *node) path() string {
	var parts []string
	for ; n.parent != nil; n = n.parent {
		if n.key != nil {
			parts = append(parts, brief(n.key.value.String(), longestName))
		} else {
			parts = append(parts, strconv.Itoa(n.index))
		}
	}
	for i, j := 0, len(parts)-1; i < j; i, j = i+1, j-1 {
		parts[i], parts[j] = parts[j], parts[i]
	}
	return strings.Join(parts, ".")
}

// byName keeps of several items with one name the last, at the place of the
// first, as Python's dict does. Repeats are told with each that comes later.
// Items without a name are all kept: they are an error of their own.
func byName[T any](items []T, name func(T) string, repeated func(T)) []T {
	place := make(map[string]int, len(items))
	var kept []T
	for _, item := range items {
		i, seen := place[name(item)]
		if !seen || name(item) == "" {
			place[name(item)] = len(kept)
			kept = append(kept, item)
			continue
		}
		kept[i] = item
		repeated(item)
	}
	return kept
}
