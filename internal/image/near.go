package image

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
)

// nearMost bounds the near misses that are worth telling: a person reads them.
const nearMost = 5

// NearMiss is a pattern that almost covered an image.
type NearMiss[T any] struct {
	Pattern Pattern
	Value   T

	// Reason is a clause for a person that says what differs, such as `the host
	// differs by one character: the pattern has "ghrc.io", the image "ghcr.io"`.
	Reason string
}

// gap is how far a pattern is from an image, the nearest first.
type gap int

const (
	covered        gap = iota
	oneEdit            // one character too many, too few, wrong, or two swapped
	oneLabelOrPort     // one label of the host, or its port
	otherTag           // host and path fit, and the tag is quite another
	far
)

// Near are the patterns that almost cover ref and do not, the nearest first,
// at most 5: those one character away, in host, path or tag; then those with
// one label of the host more or less, or another port; then those of the same
// repository with quite another tag. Equally near ones stand in the order of
// Compare. It looks at every pattern, so it is for explaining and not for
// pulling.
func (x *Index[T]) Near(ref Reference) []NearMiss[T] {
	if ref.IsZero() {
		return nil
	}
	type found struct {
		id     int32
		gap    gap
		reason func() string
	}
	var nearest []found
	for i := range x.entries {
		gap, reason := near(x.entries[i].pattern, ref)
		if gap == covered || gap == far {
			continue
		}
		f := found{int32(i + 1), gap, reason}
		at, _ := slices.BinarySearchFunc(nearest, f, func(a, b found) int {
			return cmp.Or(cmp.Compare(a.gap, b.gap), x.compare(a.id, b.id))
		})
		if at < nearMost {
			nearest = slices.Insert(nearest[:min(len(nearest), nearMost-1)], at, f)
		}
	}
	misses := make([]NearMiss[T], len(nearest))
	for i, f := range nearest {
		e := x.entry(f.id)
		misses[i] = NearMiss[T]{Pattern: e.pattern, Value: e.value, Reason: f.reason()}
	}
	return misses
}

// near is how far p is from ref, and what to say of it.
func near(p Pattern, ref Reference) (gap, func() string) {
	host := edits(p.Host(), ref.Host(), '.')
	if host > 1 {
		if !glob(p.Path(), ref.Repository()) || !p.matchTag(ref.Tag()) {
			return far, nil
		}
		return nearHost(p, ref)
	}
	path := edits(p.Path(), ref.Repository(), 0)
	if host+path > 1 {
		return far, nil
	}
	tagFits := p.matchTag(ref.Tag())
	switch {
	case host+path == 1 && !tagFits:
		return far, nil
	case host == 1:
		return oneEdit, oneCharacter("host", p.Host(), ref.Host())
	case path == 1:
		return oneEdit, oneCharacter("path", p.Path(), ref.Repository())
	case tagFits:
		return covered, nil
	case ref.Tag() == "":
		return otherTag, func() string {
			return fmt.Sprintf("the image is named by its digest alone, and the pattern asks for the tag %q", p.Tag())
		}
	case edits(p.Tag(), ref.Tag(), 0) == 1:
		return oneEdit, oneCharacter("tag", p.Tag(), ref.Tag())
	default:
		return otherTag, func() string {
			return fmt.Sprintf("the tag differs: the pattern has %q, the image %q", p.Tag(), ref.Tag())
		}
	}
}

func oneCharacter(part, pattern, image string) func() string {
	return func() string {
		return fmt.Sprintf("the %s differs by one character: the pattern has %q, the image %q", part, pattern, image)
	}
}

// nearHost is near where path and tag fit and the hosts are more than one
// character apart.
func nearHost(p Pattern, ref Reference) (gap, func() string) {
	pattern, host := p.Host(), ref.Host()
	switch {
	case globHost(withoutPort(pattern), withoutPort(host)):
		return oneLabelOrPort, func() string {
			return "the port differs: " + portWords("the pattern", pattern) + ", " + portWords("the image", host)
		}
	case oneLabelMore(host, func(shorter string) bool { return globHost(pattern, shorter) }):
		return oneLabelOrPort, func() string {
			return fmt.Sprintf("the pattern's host %q has one label less than %q, and `*` covers one label", pattern, host)
		}
	case oneLabelMore(pattern, func(shorter string) bool { return globHost(shorter, host) }):
		return oneLabelOrPort, func() string {
			return fmt.Sprintf("the pattern's host %q has one label more than %q", pattern, host)
		}
	default:
		return far, nil
	}
}

func portWords(whose, host string) string {
	if name := withoutPort(host); name != host {
		return whose + " has " + host[len(name)+1:]
	}
	return whose + " names none"
}

// oneLabelMore reports whether host fits once one of its labels is left out.
func oneLabelMore(host string, fits func(shorter string) bool) bool {
	labels := strings.Split(host, ".")
	if len(labels) < 2 {
		return false
	}
	for i := range labels {
		if fits(strings.Join(slices.Delete(slices.Clone(labels), i, i+1), ".")) {
			return true
		}
	}
	return false
}

// edits is how many single characters of pattern must be put in, left out,
// replaced, or swapped with their neighbour so that it matches text; 2 stands
// for all from 2 on. A star does not cross the fence; 0: it crosses all.
func edits(pattern, text string, fence byte) int {
	const most = 2
	if pattern == text {
		return 0
	}
	if literals(pattern) > len(text)+1 || len(text) > len(pattern)+1 && !strings.Contains(pattern, "*") {
		return most
	}
	// Rows of the usual table: row[j] is what pattern's beginning and text[:j]
	// are apart. No host, repository or tag has more than 255 bytes.
	var rows [3][256]uint8
	row := &rows[0]
	for j := range len(text) + 1 {
		row[j] = uint8(min(j, most))
	}
	for i := 1; i <= len(pattern); i++ {
		c := pattern[i-1]
		before, above := &rows[(i+1)%3], &rows[(i-1+3)%3]
		row = &rows[i%3]
		least := uint8(most)
		for j := range len(text) + 1 {
			var d uint8
			if c == star {
				d = above[j]
				if j > 0 && text[j-1] != fence {
					d = min(d, row[j-1])
				}
				if j > 0 {
					d = min(d, row[j-1]+1)
				}
			} else {
				d = above[j] + 1
				if j > 0 {
					same := c == text[j-1] || c == one && text[j-1] != '/'
					d = min(d, row[j-1]+1, above[j-1]+1)
					if same {
						d = min(d, above[j-1])
					}
				}
				if i > 1 && j > 1 && c == text[j-2] && pattern[i-2] == text[j-1] {
					d = min(d, before[j-2]+1)
				}
			}
			row[j] = min(d, most)
			least = min(least, row[j])
		}
		if least == most {
			return most
		}
	}
	return int(row[len(text)])
}
