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
	// differs: the pattern has "ghrc.io", the image "ghcr.io"`.
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
	host, tagFits := edits(p.Host(), ref.Host(), '.'), p.matchTag(ref.Tag())
	if host > 0 {
		if !tagFits || !glob(p.Path(), ref.Repository()) {
			return far, nil
		}
		return nearHost(p.Host(), ref.Host(), host)
	}
	path := edits(p.Path(), ref.Repository(), 0)
	switch {
	case path == 0 && tagFits:
		return covered, nil
	case path == 0:
		return nearTag(p.Tag(), ref.Tag())
	case path == 1 && tagFits:
		return oneEdit, differs("path", p.Path(), ref.Repository())
	default:
		return far, nil
	}
}

// nearHost is near where all but the host fits; apart is the number of edits.
func nearHost(pattern, host string, apart int) (gap, func() string) {
	distance := oneLabelOrPort
	if apart == 1 {
		distance = oneEdit
	}
	labels := strings.Count(host, ".") - strings.Count(pattern, ".")
	switch {
	case labels == 0 && globHost(withoutPort(pattern), withoutPort(host)):
		return distance, func() string {
			return "the port differs: " + portWords("the pattern", pattern) + ", " + portWords("the image", host)
		}
	case labels == 1 && oneLabelMore(host, func(shorter string) bool { return globHost(pattern, shorter) }):
		return distance, func() string {
			said := fmt.Sprintf("the pattern's host has one label less: the pattern has %q, the image %q", pattern, host)
			if strings.Contains(pattern, "*") {
				said += ", and a `*` in a host crosses no dot"
			}
			return said
		}
	case labels == -1 && oneLabelMore(pattern, func(shorter string) bool { return globHost(shorter, host) }):
		return distance, func() string {
			return fmt.Sprintf("the pattern's host has one label more: the pattern has %q, the image %q", pattern, host)
		}
	case apart == 1:
		return oneEdit, differs("host", pattern, host)
	default:
		return far, nil
	}
}

// nearTag is near where all but the tag fits.
func nearTag(pattern, tag string) (gap, func() string) {
	if tag == "" {
		return otherTag, func() string {
			return fmt.Sprintf("the image is named by its digest alone, and the pattern asks for the tag %q", pattern)
		}
	}
	distance := otherTag
	if edits(pattern, tag, 0) == 1 {
		distance = oneEdit
	}
	return distance, differs("tag", pattern, tag)
}

func differs(part, pattern, image string) func() string {
	return func() string {
		return fmt.Sprintf("the %s differs: the pattern has %q, the image %q", part, pattern, image)
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
	for i := range labels {
		if fits(strings.Join(slices.Delete(slices.Clone(labels), i, i+1), ".")) {
			return true
		}
	}
	return false
}

// edits is how many characters of text are too many, missing, wrong, or swapped
// with their neighbour for pattern to match it; 2 stands for all from 2 on. A
// star does not cross the fence; 0: it crosses all. Two characters count as
// swapped where they stand side by side in the pattern as well.
func edits(pattern, text string, fence byte) int {
	const most = 2
	if pattern == text {
		return 0
	}
	if literals(pattern) > len(text)+1 || len(text) > len(pattern)+1 && !strings.Contains(pattern, "*") {
		return most
	}
	// The usual table, of which three rows are kept: row[j] is how far a
	// beginning of pattern is from text[:j]. No host, repository or tag has more
	// than 255 bytes.
	var rows [3][256]uint8
	last := &rows[0]
	for j := range len(text) + 1 {
		last[j] = uint8(min(j, most))
	}
	for i, c := range []byte(pattern) {
		before, above, row := &rows[(i+2)%3], last, &rows[(i+1)%3]
		row[0] = min(above[0]+1, most)
		if c == star {
			row[0] = above[0]
		}
		least := row[0]
		for j, t := range []byte(text) {
			d := min(row[j], above[j]) + 1
			switch {
			case c == star && t != fence:
				d = min(row[j], above[j+1])
			case c == star:
				d = min(d, above[j+1])
			case c == t || c == one && t != '/':
				d = above[j]
			default:
				d = min(d, above[j+1]+1)
			}
			if i > 0 && j > 0 && c == text[j-1] && pattern[i-1] == t {
				d = min(d, before[j-1]+1)
			}
			row[j+1] = min(d, most)
			least = min(least, d)
		}
		if least >= most {
			return most
		}
		last = row
	}
	return int(last[len(text)])
}
