package valohaiyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// What a file may ask of its reader.
const (
	// MaxSize is how many bytes of a file are read: more than a thousand steps.
	MaxSize = 2 << 20

	// maxDepth is how deep lists and maps may be nested; the format needs ten.
	maxDepth = 64

	// maxNodes is how many keys, values, lists and maps a file may have once
	// its aliases are written out, each of which takes some 200 bytes. A file
	// of a thousand steps has 70,000. It is few enough to compare the nodes of
	// a pipeline, or the parameters of a step, each with each.
	maxNodes = 100_000

	// maxText is how many bytes all scalars may have, aliases written out.
	maxText = 4 * MaxSize
)

// limits is the plugin that bounds the nesting while YAML is read.
type limits struct{}

// CheckDepth refuses what is nested too deep.
func (limits) CheckDepth(depth int, _ *yaml.DepthContext) error {
	if depth > maxDepth {
		return fmt.Errorf("lists and maps are nested more than %d deep", maxDepth)
	}
	return nil
}

// CheckAlias allows every alias: composer bounds what they expand to.
func (limits) CheckAlias(int, int) error { return nil }

// load reads data into a tree, or tells why it cannot and returns nil.
func load(data []byte, r *report) *node {
	top := &node{line: 1, column: 1}
	if len(data) > MaxSize {
		r.add(Error, Syntax, top, "too_large", "the file has %d bytes, more than the %d that are read", len(data), MaxSize)
		return nil
	}
	data = bytes.TrimPrefix(data, []byte("\ufeff"))
	if !checkText(data, r) {
		return nil
	}
	if root := loadPieces(data, pieceCount(len(data))); root != nil {
		return root
	}
	return loadWhole(data, r)
}

// loadWhole is load for a text.
func loadWhole(data []byte, r *report) *node {
	document, second, err := read(data)
	switch {
	case errors.Is(err, io.EOF):
		return &node{line: 1, column: 1}
	case err != nil:
		syntaxFinding(err, data, r)
		return nil
	case second != nil:
		at := &node{line: second.Line, column: second.Column}
		r.add(Error, Syntax, at, "several_documents", "the file holds more than one YAML document").mend("Leave out the line `---` between them.")
		return nil
	}
	c := composer{report: r}
	root := c.compose(document.Content[0], nil)
	if c.failed {
		return nil
	}
	if root.kind() == Null && root.source == "" {
		root.line, root.column = 1, 1 // nothing stands anywhere, or behind the last line
	}
	return root
}

// read reads the documents of data, of which there should be one: a second one is
// given too. The error is io.EOF where there is none at all.
func read(data []byte) (document, second *yaml.Node, err error) {
	loader, err := yaml.NewLoader(bytes.NewReader(data), yaml.WithV4Defaults(), yaml.WithUniqueKeys(false), yaml.WithPlugin(limits{}))
	if err != nil {
		return nil, nil, err
	}
	document, second = new(yaml.Node), new(yaml.Node)
	if err := loader.Load(document); err != nil {
		return nil, nil, err
	}
	if err := loader.Load(second); !errors.Is(err, io.EOF) {
		return document, second, err
	}
	return document, nil, nil
}

// checkText refuses what is no text in UTF-8, or has characters that YAML
// forbids (https://yaml.org/spec/1.1/#c-printable).
func checkText(data []byte, r *report) bool {
	if isPlainASCII(data) {
		return true
	}
	at := &node{line: 1, column: 1}
	for i := 0; i < len(data); {
		char, size := utf8.DecodeRune(data[i:])
		switch {
		case char == utf8.RuneError && size == 1:
			r.add(Error, Syntax, at, "not_utf8", "the byte 0x%02x is not UTF-8", data[i]).mend("Save the file as UTF-8.")
			return false
		case char < ' ' && char != '\t' && char != '\n' && char != '\r', char >= 0x7f && char < 0xa0 && char != 0x85, char == 0xfffe, char == 0xffff:
			r.add(Error, Syntax, at, "control_character", "the control character U+%04X is not allowed in YAML", char).mend("Leave it out, or write it as an escape between double quotes.")
			return false
		case char == '\n':
			at.line, at.column = at.line+1, 1
		default:
			at.column++
		}
		i += size
	}
	return true
}

// isPlainASCII reports whether data has nothing but ASCII that YAML allows.
func isPlainASCII(data []byte) bool {
	for _, char := range data {
		if char >= 0x7f || char < ' ' && char != '\n' && char != '\r' && char != '\t' {
			return false
		}
	}
	return true
}

// syntaxFinding tells what the YAML package did not understand in data, and
// where: at the end of the text if it is the end that comes too early.
func syntaxFinding(err error, data []byte, r *report) {
	at := &node{line: 1, column: 1}
	message := err.Error()
	if e, ok := errors.AsType[*yaml.LoadError](err); ok {
		message = e.Message
		marks := []yaml.Mark{e.Mark, e.ContextMark}
		if strings.Contains(message, "unexpected end of stream") {
			slices.Reverse(marks) // where it begins says more than that the file ends
		}
		for _, mark := range marks {
			if mark.Line > 0 {
				at.line, at.column = mark.Line, max(1, mark.Column)
				break
			}
		}
		if e.ContextMsg != "" {
			message = e.ContextMsg + ": " + message
		}
	}
	if lines := breaks.Split(string(data), -1); at.line > len(lines) {
		at.line, at.column = len(lines), utf8.RuneCountInString(lines[len(lines)-1])+1
	}
	f := r.add(Error, Syntax, at, "yaml_syntax", "this is not YAML: %s", printable(message))
	switch {
	case strings.Contains(message, "mapping values are not allowed"):
		f.mend("Check the indentation of this line and the one above it; a value with `: ` in it needs quotes.")
	case strings.Contains(message, "cannot start any token"):
		f.mend("Indent with spaces, not tabs; a value that begins with this character needs quotes.")
	case strings.Contains(message, "did not find expected"):
		f.mend("Check the indentation of this line.")
	}
}

// breaks are what YAML 1.1 ends a line with.
var breaks = regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]")

// composer makes nodes of what the YAML package read.
type composer struct {
	report *report
	nodes  int
	text   int
	failed bool

	// above is how many lines stand above the text that is composed.
	above int

	// spare are nodes that were made together and not used yet.
	spare []node

	// open are the aliased nodes that are being written out, to see circles.
	open []*yaml.Node
}

// fail tells why the tree cannot be made. Only the first reason is told of
// those that make the tree useless.
func (c *composer) fail(at *node, code, format string, args ...any) {
	if !c.failed {
		c.report.add(Error, Syntax, at, code, format, args...)
	}
	c.failed = true
}

// node makes a node. They are made many at a time: they live as long as each
// other, and a file has tens of thousands.
func (c *composer) node() *node {
	const together = 128
	if len(c.spare) == 0 {
		c.spare = make([]node, together)
	}
	n := &c.spare[0]
	c.spare = c.spare[1:]
	return n
}

// compose makes the node of y below parent.
func (c *composer) compose(y *yaml.Node, parent *node) *node {
	n := c.node()
	n.line, n.column, n.parent = c.above+y.Line, y.Column, parent
	if c.nodes++; c.nodes > maxNodes {
		c.fail(n, "too_many_nodes", "with its aliases written out the file has more than %d values", maxNodes)
	}
	if c.text += len(y.Value); c.text > maxText {
		c.fail(n, "too_much_text", "with its aliases written out the file has more than %d bytes of text", maxText)
	}
	if c.failed {
		return n
	}
	if y.Kind == yaml.AliasNode {
		return c.alias(y, n)
	}
	switch {
	case y.Kind == yaml.ScalarNode:
		c.scalar(y, n)
	case y.Kind == yaml.SequenceNode && y.ShortTag() == "!!seq":
		n.value.kind = List
		n.inside = &inside{items: make([]*node, 0, len(y.Content))}
		for i, item := range y.Content {
			child := c.compose(item, n)
			child.index = i
			n.inside.items = append(n.inside.items, child)
		}
	case y.Kind == yaml.MappingNode && y.ShortTag() == "!!map":
		n.value.kind = Map
		c.mapping(y, n)
	default:
		c.badTag(y, n)
	}
	return n
}

// alias writes out what an alias stands for, at the place of the alias.
func (c *composer) alias(y *yaml.Node, n *node) *node {
	if slices.Contains(c.open, y.Alias) || len(c.open) > maxDepth {
		c.fail(n, "alias_circle", "the alias %s stands for something that it is part of", quote("*"+y.Value))
		return n
	}
	c.open = append(c.open, y.Alias)
	defer func() { c.open = c.open[:len(c.open)-1] }()
	return c.compose(y.Alias, n.parent)
}

// scalar resolves a scalar by its tag, its quotes or its text.
func (c *composer) scalar(y *yaml.Node, n *node) {
	n.source = y.Value
	const quoted = yaml.DoubleQuotedStyle | yaml.SingleQuotedStyle | yaml.LiteralStyle | yaml.FoldedStyle
	if y.Style&yaml.TaggedStyle == 0 {
		if y.Style&quoted != 0 || y.Tag == "!" {
			n.value = TextValue(y.Value)
			return
		}
		value, err := resolve(y.Value)
		if err != nil {
			c.report.add(Error, Schema, n, "scalar", "%s", err.Error()).mend("Put quotes around it if it is meant as a string.")
			value = TextValue(y.Value)
		}
		n.value = value
		return
	}
	want, known := map[string]Kind{
		"!!str": Text, "!!null": Null, "!!bool": Boolean, "!!int": Integer, "!!float": Float, "!!timestamp": Time,
	}[y.ShortTag()]
	if !known {
		c.badTag(y, n)
		return
	}
	value, err := resolve(y.Value)
	switch {
	case want == Text:
		value, err = TextValue(y.Value), nil
	case want == Null:
		value, err = Value{}, nil
	case want == Float && value.kind == Integer:
		value = FloatValue(value.asFloat())
	case err == nil && value.kind != want:
		err = fmt.Errorf("%s is not what the tag %s says", quote(y.Value), printable(y.ShortTag()))
	}
	if err != nil {
		c.report.add(Error, Schema, n, "scalar", "%s", err.Error())
	}
	n.value = value
}

func (c *composer) badTag(y *yaml.Node, n *node) {
	c.report.add(Error, Schema, n, "tag", "the tag %s has no meaning in this file", quote(y.ShortTag())).mend("Leave it out.")
}

// mapping fills n with the keys of y. Keys of its own beat those that a merge
// key `<<` brings in, and of several merge keys the last beats the others.
func (c *composer) mapping(y *yaml.Node, n *node) {
	n.inside = &inside{entries: make([]entry, 0, len(y.Content)/2)}
	known := places{of: n}
	var merged []*node
	for i := 0; i+1 < len(y.Content) && !c.failed; i += 2 {
		key, value := c.compose(y.Content[i], n), c.compose(y.Content[i+1], n)
		if isMerge(y.Content[i]) {
			merged = slices.Concat(c.mergeSources(value), merged)
			continue
		}
		if key.kind() == List || key.kind() == Map {
			c.report.add(Error, Schema, key, "key", "%s cannot be a key", key.kind())
			continue
		}
		key.key, value.key = key, key
		if at, seen := known.find(key); seen {
			c.report.add(Warning, Lint, key, "duplicate_key", "the key %s is given twice in one map; the last one counts", quote(key.value.String())).
				mend("Leave one of them out; the first stands in line %d.", n.entries()[at].key.line)
			n.inside.entries[at] = entry{key, value}
			continue
		}
		known.add(entry{key, value})
	}
	for _, source := range merged {
		for _, e := range source.entries() {
			if _, seen := known.find(e.key); !seen {
				e.key.parent, e.value.parent = n, n
				known.add(e)
			}
		}
	}
}

// isMerge reports whether a key is YAML 1.1's `<<`, without quotes.
func isMerge(y *yaml.Node) bool {
	return y.Kind == yaml.ScalarNode && y.Value == "<<" && y.Style == 0
}

// mergeSources are the maps that a merge key brings in, the strongest first.
func (c *composer) mergeSources(value *node) []*node {
	sources := []*node{value}
	if value.kind() == List {
		sources = value.list()
	}
	for _, source := range sources {
		if source.kind() != Map {
			c.report.add(Error, Schema, source, "merge", "`<<` takes a map or a list of maps, not %s", source.kind())
			return nil
		}
	}
	return sources
}

// places finds the entries of a map by their keys: in a map of usual size by
// looking at each, in a large one by their identity.
type places struct {
	of   *node
	byID map[string]int // nil for a map of usual size
}

// find is the place of the entry with that key.
func (p *places) find(key *node) (at int, seen bool) {
	if p.byID != nil {
		at, seen = p.byID[identity(key)]
		return at, seen
	}
	for i, e := range p.of.entries() {
		if e.key.value.kind == key.value.kind && e.key.value.String() == key.value.String() {
			return i, true
		}
	}
	return 0, false
}

// add puts an entry behind those that are there.
func (p *places) add(e entry) {
	const usual = 16
	p.of.inside.entries = append(p.of.inside.entries, e)
	switch count := len(p.of.entries()); {
	case p.byID != nil:
		p.byID[identity(e.key)] = count - 1
	case count > usual:
		p.byID = make(map[string]int, 2*count)
		for i, e := range p.of.entries() {
			p.byID[identity(e.key)] = i
		}
	}
}

// identity tells keys apart: the number 1 is not the string "1".
func identity(key *node) string {
	return string(rune('0'+key.value.kind)) + key.value.String()
}
