package image

import (
	"math/bits"
	"slices"
	"strings"
)

// node is a radix tree of globs. A glob is spelled by the edges from the root
// to a node; a wildcard, and the colon between path and tag, is an edge by
// itself. What a glob stands for is a number, and 0 is none. A node has the
// size of a cache line, and its edges are pieces of the patterns' own text.
type node struct {
	edge     string
	first    charset // the first characters of the children's edges
	children []node  // in the order of those characters
	value    int32   // of the glob that ends here
	all      int32   // of the glob that ends here but for one star
}

// charset is a set of ASCII characters.
type charset [2]uint64

func (s *charset) add(c byte)     { s[c>>6&1] |= 1 << (c & 63) }
func (s charset) has(c byte) bool { return s[c>>6&1]&(1<<(c&63)) != 0 }

// rank is how many members of s come before c.
func (s charset) rank(c byte) int {
	n := bits.OnesCount64(s[c>>6&1] & (1<<(c&63) - 1))
	if c >= 64 {
		n += bits.OnesCount64(s[0])
	}
	return n
}

// child is the child whose edge begins with c, and nil.
func (n *node) child(c byte) *node {
	if !n.first.has(c) {
		return nil
	}
	return &n.children[n.first.rank(c)]
}

// add puts glob into the tree and returns the place of its value, which is
// good until the next add.
func (n *node) add(glob string) *int32 {
	for glob != "" {
		if glob == "*" {
			return &n.all
		}
		token := firstToken(glob)
		child := n.child(glob[0])
		if child == nil {
			at := n.first.rank(glob[0])
			n.first.add(glob[0])
			n.children = slices.Insert(slices.Grow(n.children, 1), at, node{edge: token})
			n, glob = &n.children[at], glob[len(token):]
			continue
		}
		shared := commonPrefix(child.edge, token)
		if shared < len(child.edge) {
			child.split(shared)
		}
		n, glob = child, glob[shared:]
	}
	return &n.value
}

// split puts a node in between, after at characters of n's edge.
func (n *node) split(at int) {
	lower := *n
	lower.edge = n.edge[at:]
	*n = node{edge: n.edge[:at], children: []node{lower}}
	n.first.add(lower.edge[0])
}

// firstToken is the wildcard or colon that glob begins with, or all the
// characters before one.
func firstToken(glob string) string {
	switch strings.IndexAny(glob, "*?:") {
	case -1:
		return glob
	case 0:
		return glob[:1]
	default:
		return glob[:strings.IndexAny(glob, "*?:")]
	}
}

func commonPrefix(a, b string) int {
	n := min(len(a), len(b))
	for i := range n {
		if a[i] != b[i] {
			return i
		}
	}
	return n
}

// search is a text on its way through a tree of globs.
type search struct {
	text string

	// fence is the character that a star does not cross; 0: it crosses all.
	fence byte

	// visit is called with the value of every glob that matches the whole text,
	// and with the tree of the tags that follow a glob; either may be none. It
	// reports whether shorter literal prefixes are no longer of interest.
	visit func(value int32, tags *node) (content bool)
}

// walk visits what matches text[at:] below n, where at is reached by literal
// characters alone. Globs with a longer literal prefix come first, and once
// visit was content with one, those with a shorter prefix are left out.
func (s *search) walk(n *node, at int) (content bool) {
	rest := s.text[at:]
	if rest == "" {
		content = s.visit(n.value, n.child(':'))
	} else if next := n.child(rest[0]); next != nil && next.begins(rest) && s.walk(next, at+len(next.edge)) {
		return true
	}
	if n.all != 0 && (s.fence == 0 || strings.IndexByte(rest, s.fence) < 0) {
		content = s.visit(n.all, nil) || content
	}
	if next := n.child(star); next != nil {
		content = s.scan(next, star, at) || content
	}
	if next := n.child(one); next != nil && rest != "" {
		content = s.scan(next, one, at) || content
	}
	return content
}

// begins reports whether text begins with n's edge, whose first character is
// known to be the same: so an edge of one character needs no look at memory.
func (n *node) begins(text string) bool {
	return len(n.edge) <= len(text) && n.edge[1:] == text[1:len(n.edge)]
}

// scan visits what matches text[at:] at and below n, whose edge is a wildcard.
// It takes every node once, with all the places in the text that can be reached
// there: however many wildcards a glob has, nothing is tried twice, and only
// nodes whose beginning occurs in the text are come to.
func (s *search) scan(n *node, wildcard byte, at int) bool {
	var m marks
	for i := at; i < len(s.text); i++ {
		c := s.text[i]
		m.where[c&127].set(i)
		m.chars.add(c)
	}
	m.chars.add(star)
	m.chars.add(one)
	var from places
	from.set(at)
	return s.follow(n, wildcard, &m, from)
}

// marks says which characters the rest of a text has, and where.
type marks struct {
	chars charset
	where [128]places
}

// follow goes along n's edge, which begins with c, from all the places at once,
// and on.
func (s *search) follow(n *node, c byte, m *marks, from places) (content bool) {
	switch c {
	case star:
		from = s.spread(from)
	case one:
		from = from.without(&m.where['/']).without(placeOf(len(s.text))).next()
	default:
		from = from.and(&m.where[c]).next()
		for i := 1; i < len(n.edge) && !from.empty(); i++ {
			from = from.and(&m.where[n.edge[i]&127]).next()
		}
		if from.empty() {
			return false
		}
	}
	if from.has(len(s.text)) {
		content = s.visit(n.value, n.child(':'))
	}
	if n.all != 0 {
		if to := s.spread(from); to.has(len(s.text)) {
			content = s.visit(n.all, nil) || content
		}
	}
	for half, set := range n.first {
		for set &= m.chars[half]; set != 0; set &= set - 1 {
			c := byte(half<<6 | bits.TrailingZeros64(set))
			content = s.follow(n.child(c), c, m, from) || content
		}
	}
	return content
}

// spread is where a star leads to: from the first place to the end, and from
// every place to the next fence where there is one.
func (s *search) spread(from places) (to places) {
	if s.fence == 0 {
		return between(from.first(), len(s.text))
	}
	for open, i := false, 0; i <= len(s.text); i++ {
		open = open || from.has(i)
		if open {
			to.set(i)
		}
		if i < len(s.text) && s.text[i] == s.fence {
			open = false
		}
	}
	return to
}

// places is a set of places in a text: i is the place before its i-th
// character, and the text's length the place behind it. Hosts, repositories
// and tags have at most 255 bytes, so that 256 places are all there are.
type places [4]uint64

func placeOf(i int) *places {
	var p places
	p.set(i)
	return &p
}

func (p *places) set(i int)      { p[i>>6&3] |= 1 << (i & 63) }
func (p *places) has(i int) bool { return p[i>>6&3]&(1<<(i&63)) != 0 }
func (p *places) empty() bool    { return p[0]|p[1]|p[2]|p[3] == 0 }

// first is the smallest place, and 256 where there is none.
func (p *places) first() int {
	for i, word := range p {
		if word != 0 {
			return i<<6 + bits.TrailingZeros64(word)
		}
	}
	return 256
}

// between is all places from first to last, both included.
func between(first, last int) (p places) {
	for i := range p {
		low, high := max(first-i<<6, 0), min(last-i<<6, 63)
		if low <= high {
			p[i] = ^uint64(0) << low & (^uint64(0) >> (63 - high))
		}
	}
	return p
}

func (p places) and(q *places) places {
	return places{p[0] & q[0], p[1] & q[1], p[2] & q[2], p[3] & q[3]}
}

func (p places) without(q *places) places {
	return places{p[0] &^ q[0], p[1] &^ q[1], p[2] &^ q[2], p[3] &^ q[3]}
}

// next is every place moved on by one.
func (p places) next() places {
	return places{p[0] << 1, p[1]<<1 | p[0]>>63, p[2]<<1 | p[1]>>63, p[3]<<1 | p[2]>>63}
}
