package image

import (
	"cmp"
	"slices"
	"strings"
	"testing"
)

// candidate is a pattern as it was added to an index.
type candidate struct {
	pattern Pattern
	order   int64
	value   int
}

// The plain matcher below says what DESIGN's words about patterns mean, as
// directly as they can be written down. It reads nothing but the patterns' and
// images' text, and shares no code with what it is compared to.

// plainCovers reports whether p covers the image.
func plainCovers(p Pattern, ref Reference) bool {
	host, path, tag, hasTag := plainParts(p.String())
	name, _, _ := strings.Cut(ref.String(), "@")
	imageHost, imagePath, imageTag, _ := plainParts(name)
	return plainGlob(host, imageHost, ".:/") &&
		plainGlob(path, imagePath, "") &&
		(!hasTag || plainGlob(tag, imageTag, ""))
}

func plainParts(text string) (host, path, tag string, hasTag bool) {
	host, rest, _ := strings.Cut(text, "/")
	path, tag, hasTag = strings.Cut(rest, ":")
	return host, path, tag, hasTag
}

// plainGlob reports whether pattern matches the whole of text, where a star
// crosses none of the fences. It remembers what it has tried.
func plainGlob(pattern, text, fences string) bool {
	known := make(map[[2]int]bool)
	var matches func(p, t int) bool
	matches = func(p, t int) bool {
		at := [2]int{p, t}
		if _, ok := known[at]; ok {
			return known[at]
		}
		var is bool
		switch {
		case p == len(pattern):
			is = t == len(text)
		case pattern[p] == '*':
			is = matches(p+1, t) ||
				t < len(text) && !strings.Contains(fences, text[t:t+1]) && matches(p, t+1)
		case t == len(text):
			is = false
		case pattern[p] == '?':
			is = text[t] != '/' && matches(p+1, t+1)
		default:
			is = pattern[p] == text[t] && matches(p+1, t+1)
		}
		known[at] = is
		return is
	}
	return matches(0, 0)
}

// plainCompare is the order of patterns, the most specific first.
func plainCompare(a, b candidate) int {
	aHost, aPath, aTag, _ := plainParts(a.pattern.String())
	bHost, bPath, bTag, _ := plainParts(b.pattern.String())
	wild := func(host string) int { return min(strings.Count(host, "*"), 1) }
	prefix := func(path string) int { return len(strings.FieldsFunc("."+path, isWildcard)[0]) }
	literal := func(text string) int { return len(strings.Join(strings.FieldsFunc(text, isWildcard), "")) }
	return cmp.Or(
		cmp.Compare(wild(aHost), wild(bHost)),
		-cmp.Compare(prefix(aPath), prefix(bPath)),
		-cmp.Compare(literal(aHost+aPath), literal(bHost+bPath)),
		-cmp.Compare(literal(aTag), literal(bTag)),
		cmp.Compare(a.order, b.order),
	)
}

func isWildcard(r rune) bool { return r == '*' || r == '?' }

// plainMatches are all that cover ref, in order.
func plainMatches(candidates []candidate, ref Reference) []candidate {
	var all []candidate
	for _, c := range candidates {
		if plainCovers(c.pattern, ref) {
			all = append(all, c)
		}
	}
	slices.SortStableFunc(all, plainCompare)
	return all
}

// indexOf is an index of the candidates.
func indexOf(candidates []candidate) *Index[int] {
	x := NewIndex[int]()
	for _, c := range candidates {
		x.Add(c.pattern, c.order, c.value)
	}
	return x
}

// agree fails the test unless the index says what the plain matcher does: the
// same winner, the same list in the same order, and nothing that covers the
// image among the near misses.
func agree(t *testing.T, x *Index[int], candidates []candidate, ref Reference) {
	t.Helper()
	want := plainMatches(candidates, ref)
	var got []candidate
	for _, m := range x.Matches(ref) {
		got = append(got, candidate{m.Pattern, m.Order, m.Value})
	}
	if !slices.Equal(got, want) {
		t.Fatalf("%s among %v:\n got %v\nwant %v", ref, candidates, got, want)
	}
	winner, ok := x.Lookup(ref)
	if ok != (len(want) > 0) || ok && winner != want[0].value {
		t.Fatalf("%s among %v: the winner is %v (%v), want the first of %v", ref, candidates, winner, ok, want)
	}
	for _, m := range x.Near(ref) {
		if plainCovers(m.Pattern, ref) {
			t.Fatalf("%s is covered by %s, which is told as a near miss: %s", ref, m.Pattern, m.Reason)
		}
	}
}
