package image

import (
	"cmp"
	"slices"
	"strings"
)

// Index finds the patterns that cover an image, without looking at the others:
// a map knows the exact hosts, another the literal ends of wildcard hosts, and
// the site that they lead to finds paths and tags in the same way. What a
// lookup costs depends on how long the image's name is, and on how many
// different beginnings of patterns match it; not on how many patterns there
// are. Where many patterns cover the same image, it grows with those.
//
// Build it once, with NewIndex and Add, and then read it from as many
// goroutines as you like; Add must not run beside anything else.
type Index[T any] struct {
	entries []entry[T]
	paths   paths

	// exact has the site of every host without a wildcard.
	exact map[string]*site

	// ends has, for what stands behind the last label with a wildcard, the
	// globs of what stands before it. Their values count wild from 1.
	ends      map[string]*node
	endDepths depths
	wild      []*site
}

// entry is one pattern that was added. Entries are known by their number, which
// counts from 1, so that 0 is none.
type entry[T any] struct {
	pattern Pattern
	order   int64
	value   T

	// same is the next entry with the very same pattern. The first of such a
	// chain is the one that goes first; the others have no order.
	same int32
}

// Match is a pattern that covers an image.
type Match[T any] struct {
	Pattern Pattern
	Order   int64
	Value   T

	// Reason is by what it goes before the next match.
	Reason Reason
}

// NewIndex returns an empty index.
func NewIndex[T any]() *Index[T] {
	return &Index[T]{paths: newPaths(), exact: make(map[string]*site), ends: make(map[string]*node)}
}

// Add puts a pattern with its value into the index. A smaller order is an older
// credential; of equal ones the first added goes first. The same pattern may be
// added more than once. A zero pattern is left out, since it matches nothing.
func (x *Index[T]) Add(p Pattern, order int64, value T) {
	if p.IsZero() {
		return
	}
	x.entries = append(x.entries, entry[T]{pattern: p, order: order, value: value})
	id := int32(len(x.entries))
	x.paths.add(x.site(p), p, func(first int32) int32 {
		switch {
		case first == 0:
			return id
		case x.compare(id, first) < 0:
			x.entry(id).same = first
			return id
		default:
			x.entry(id).same = x.entry(first).same
			x.entry(first).same = id
			return first
		}
	})
}

// site is the site of p's host, made where there is none.
func (x *Index[T]) site(p Pattern) *site {
	host := p.Host()
	if !p.HasWildcardHost() {
		if x.exact[host] == nil {
			x.exact[host] = x.paths.site()
		}
		return x.exact[host]
	}
	dot := strings.LastIndexByte(host, star)
	dot += strings.IndexByte(host[dot:], '.')
	end := host[dot+1:]
	if x.ends[end] == nil {
		x.ends[end] = new(node)
		x.endDepths.add(strings.Count(end, "."))
	}
	number := x.ends[end].add(host[:dot])
	if *number == 0 {
		x.wild = append(x.wild, x.paths.site())
		*number = int32(len(x.wild))
	}
	return x.wild[*number-1]
}

// Len is how many patterns were added.
func (x *Index[T]) Len() int { return len(x.entries) }

// Lookup is the value of the one pattern that goes first among those that cover
// ref, by Compare; ok is false where none does. It allocates nothing.
func (x *Index[T]) Lookup(ref Reference) (value T, ok bool) {
	var best int32
	x.each(ref, false, func(id int32) {
		if best == 0 || x.compare(id, best) < 0 {
			best = id
		}
	})
	if best == 0 {
		return value, false
	}
	return x.entry(best).value, true
}

// Matches are all patterns that cover ref, in the order of Compare, each with
// the reason why it goes before the next.
func (x *Index[T]) Matches(ref Reference) []Match[T] {
	var ids []int32
	x.each(ref, true, func(id int32) {
		for ; id != 0; id = x.entry(id).same {
			ids = append(ids, id)
		}
	})
	slices.SortFunc(ids, x.compare)
	matches := make([]Match[T], len(ids))
	for i, id := range ids {
		e := x.entry(id)
		matches[i] = Match[T]{Pattern: e.pattern, Order: e.order, Value: e.value, Reason: ByNothingBehind}
		if i+1 < len(ids) {
			next := x.entry(ids[i+1])
			_, matches[i].Reason = Compare(e.pattern, e.order, next.pattern, next.order)
		}
	}
	return matches
}

// each gives the first entry of every pattern that covers ref: of all of them,
// or of enough to have the one that goes first among them.
func (x *Index[T]) each(ref Reference, all bool, take func(id int32)) {
	host := ref.Host()
	if s := x.exact[host]; s != nil && x.paths.each(s, ref, all, take) && !all {
		return
	}
	if len(x.wild) == 0 {
		return
	}
	heads := search{fence: '.', visit: func(number int32, _ *node) bool {
		if number != 0 {
			x.paths.each(x.wild[number-1], ref, all, take)
		}
		return false
	}}
	depth := 0
	for dot := strings.LastIndexByte(host, '.'); dot >= 0; dot = strings.LastIndexByte(host[:dot], '.') {
		if x.endDepths.has(depth) {
			if n := x.ends[host[dot+1:]]; n != nil {
				heads.text = host[:dot]
				heads.walk(n, 0)
			}
		}
		depth++
	}
}

func (x *Index[T]) entry(id int32) *entry[T] { return &x.entries[id-1] }

// compare is Compare for two entries; what was added first breaks a tie.
func (x *Index[T]) compare(a, b int32) int {
	p, q := x.entry(a), x.entry(b)
	if c, _ := Compare(p.pattern, p.order, q.pattern, q.order); c != 0 {
		return c
	}
	return cmp.Compare(a, b)
}
