package valohaiyaml

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// rule says what may stand at one place of the file. A zero field asks for
// nothing; a field about a kind that the node is not of is not asked.
type rule struct {
	// kinds are what the node may be.
	kinds []Kind

	// keys are those of a map, and all that it may have unless there are values
	// too; needs are the ones that must be there.
	keys  map[string]*rule
	needs []string

	// oneOf, someOf and notBoth are keys of which exactly one, at least one, or
	// at most one must be there.
	oneOf, someOf, notBoth []string

	// values are those of a map under the keys that are free, which are all but
	// those in keys; items those of a list, which has exactly count of them
	// unless that is 0.
	values, items *rule
	count         int

	// words are the strings that there are; with anyCase they are also taken in
	// other letter cases and with `-` for `_`.
	words   []string
	anyCase bool

	// pattern is what a string must match, shape the same in words.
	pattern *regexp.Regexp
	shape   string

	// most is how many characters a string may have.
	most int

	// min and max bound a number.
	min, max *float64

	// narrow gives the rule that holds for this very map, where one of its
	// values decides; it may add findings.
	narrow func(*report, *node) *rule

	// among are the rules that narrow gives one of.
	among []*rule
}

// The rules that many places share.
var (
	anything   = &rule{}
	text       = &rule{kinds: []Kind{Text}}
	boolean    = &rule{kinds: []Kind{Boolean}}
	whole      = &rule{kinds: []Kind{Integer}}
	number     = &rule{kinds: []Kind{Integer, Float}}
	atom       = &rule{kinds: []Kind{Integer, Float, Text, Boolean}}
	texts      = listOf(text)
	textOrList = &rule{kinds: []Kind{Text, List}, items: text}
	openMap    = &rule{kinds: []Kind{Map}, values: anything}
)

// listOf is the rule of a list.
func listOf(item *rule) *rule { return &rule{kinds: []Kind{List}, items: item} }

// mapOf is the rule of a closed map.
func mapOf(needs []string, keys map[string]*rule) *rule {
	return &rule{kinds: []Kind{Map}, keys: keys, needs: needs}
}

// oneWord is the rule of a string from a closed set.
func oneWord(words ...string) *rule { return &rule{kinds: []Kind{Text}, words: words} }

// matching is the rule of a string with a shape.
func matching(pattern, shape string) *rule {
	return &rule{kinds: []Kind{Text}, pattern: regexp.MustCompile(pattern), shape: shape}
}

// need is the keys that must be there.
func need(keys ...string) []string { return keys }

// bound is a number for rule's min and max.
func bound(f float64) *float64 { return &f }

// check tells everything in n that ru does not allow.
func (r *report) check(n *node, ru *rule) {
	if len(ru.kinds) > 0 && !slices.Contains(ru.kinds, n.kind()) {
		r.wrongKind(n, ru)
		return
	}
	switch n.kind() {
	case Map:
		if ru.narrow != nil {
			if ru = ru.narrow(r, n); ru == nil {
				return
			}
		}
		r.checkMap(n, ru)
	case List:
		if ru.count > 0 && len(n.list()) != ru.count {
			r.add(Error, Schema, n, "item_count", "%s must have exactly %d items, not %d", place(n), ru.count, len(n.list()))
		}
		if ru.items != nil {
			for _, item := range n.list() {
				r.check(item, ru.items)
			}
		}
	case Text:
		r.checkText(n, ru)
	case Integer, Float:
		r.checkRange(n, ru)
	default:
	}
}

func (r *report) wrongKind(n *node, ru *rule) {
	what := n.kind().String()
	if n.kind() == Boolean || n.kind() == Time {
		what += " (" + brief(n.source, longestName) + ")"
	}
	f := r.add(Error, Schema, n, "type", "%s must be %s, not %s", place(n), kindsInWords(ru.kinds), what)
	switch {
	case n.kind() == Null && slices.Contains(ru.kinds, Map):
		f.mend("Indent what belongs to it below it, or leave the key out.")
	case n.kind() == Null:
		f.mend("Give it a value, or leave the key out.")
	case slices.Contains(ru.kinds, Text) && n.kind() < List:
		f.mend(`Put quotes around it: %s.`, quote(n.source))
	case slices.Contains(ru.kinds, List) && n.kind() != Map:
		f.mend("Write it as a list: one item a line, each after `- `.")
	}
}

// checkMap looks at the keys of a map, and below them.
func (r *report) checkMap(n *node, ru *rule) {
	for _, key := range ru.needs {
		if !n.has(key) {
			r.missing(n, key, ru)
		}
	}
	r.checkChoice(n, ru)
	var free []string // looked for once, since a map may have many keys
	for _, e := range n.entries() {
		below, known := ru.keys[e.name()]
		switch {
		case known && e.key.kind() == Text:
			r.check(e.value, below)
		case ru.values != nil:
			r.check(e.value, ru.values)
		case ru.keys != nil:
			if free == nil {
				free = freeKeys(n, ru)
			}
			r.unknownKey(n, e, free)
		}
	}
}

// missing tells of a required key that is not there.
func (r *report) missing(n *node, key string, ru *rule) {
	f := r.add(Error, Schema, n, "required", "%s needs the key `%s`", place(n), key)
	for _, e := range n.entries() {
		if _, known := ru.keys[e.name()]; !known && nearest(e.name(), []string{key}) != "" {
			f.mend("Did you mean `%s` with the key %s in line %d?", key, quote(e.name()), e.key.line)
		}
	}
}

// freeKeys are the keys of the rule that the map does not have.
func freeKeys(n *node, ru *rule) []string {
	free := make([]string, 0, len(ru.keys))
	for key := range ru.keys {
		if !n.has(key) {
			free = append(free, key)
		}
	}
	slices.Sort(free)
	return free
}

func (r *report) unknownKey(n *node, e entry, free []string) {
	told := !r.full()
	f := r.add(Error, Schema, e.key, "unknown_key", "%s has no key %s", place(n), quote(e.name()))
	if !told {
		return
	}
	if near := nearest(strings.ReplaceAll(e.name(), "_", "-"), free); near != "" {
		f.mend("Did you mean `%s`?", near)
	}
}

// checkChoice looks at keys of which some exclude or stand for each other.
func (r *report) checkChoice(n *node, ru *rule) {
	given := func(keys []string) (count int) {
		for _, key := range keys {
			if n.has(key) {
				count++
			}
		}
		return count
	}
	switch {
	case ru.oneOf != nil && given(ru.oneOf) != 1:
		r.add(Error, Schema, n, "one_of", "%s needs exactly one of the keys %s", place(n), backticked(ru.oneOf))
	case ru.someOf != nil && given(ru.someOf) == 0:
		r.add(Error, Schema, n, "some_of", "%s needs the key %s", place(n), backticked(ru.someOf))
	case ru.notBoth != nil && given(ru.notBoth) > 1:
		r.add(Error, Schema, n, "not_both", "%s takes only one of the keys %s", place(n), backticked(ru.notBoth))
	}
}

func (r *report) checkText(n *node, ru *rule) {
	s := n.value.text
	if ru.words != nil && !slices.Contains(ru.words, ru.folded(s)) {
		f := r.add(Error, Schema, n, "unknown_word", "%s must be %s, not %s", place(n), backticked(ru.words), quote(s))
		if near := nearest(s, ru.words); near != "" {
			f.mend("Did you mean `%s`?", near)
		}
	}
	if ru.pattern != nil && !ru.pattern.MatchString(s) {
		r.add(Error, Schema, n, "pattern", "%s must be %s, not %s", place(n), ru.shape, quote(s))
	}
	if length := utf8.RuneCountInString(s); ru.most > 0 && length > ru.most {
		r.add(Error, Schema, n, "too_long", "%s may have at most %d characters, and has %d", place(n), ru.most, length)
	}
}

// folded is a word as the rule's words are spelt.
func (ru *rule) folded(word string) string {
	if !ru.anyCase {
		return word
	}
	return fold(word, ru.words)
}

// fold spells word as the one of words that it is but for letter case and `-`
// or `_`; it is word itself if there is none.
func fold(word string, words []string) string {
	plain := strings.NewReplacer("-", "_")
	for _, known := range words {
		if strings.EqualFold(plain.Replace(word), plain.Replace(known)) {
			return known
		}
	}
	return word
}

func (r *report) checkRange(n *node, ru *rule) {
	if ru.min != nil && n.value.compare(FloatValue(*ru.min)) == less {
		r.add(Error, Schema, n, "range", "%s must be at least %v, not %s", place(n), *ru.min, quote(n.source))
	}
	if ru.max != nil && n.value.compare(FloatValue(*ru.max)) == greater {
		r.add(Error, Schema, n, "range", "%s must be at most %v, not %s", place(n), *ru.max, quote(n.source))
	}
}

// place names a node in a message: its key, or as an item of its list's key.
func place(n *node) string {
	switch {
	case n.parent == nil:
		return "the file"
	case n.key != nil:
		return "`" + brief(n.key.value.String(), longestName) + "`"
	case n.parent.key != nil:
		return fmt.Sprintf("item %d of `%s`", n.index+1, brief(n.parent.key.value.String(), longestName))
	default:
		return fmt.Sprintf("item %d", n.index+1)
	}
}

func kindsInWords(kinds []Kind) string {
	words := make([]string, len(kinds))
	for i, kind := range kinds {
		words[i] = kind.String()
	}
	return strings.Join(words, " or ")
}
