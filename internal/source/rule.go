package source

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
)

// rule is one line of an ignore file.
type rule struct {
	// base is the directory of the ignore file; the rule is for what is below.
	base []string

	negated         bool // brings back what an earlier rule ignores
	directoriesOnly bool
	anywhere        bool // matches a name at any depth below base

	segments []segment
}

// segment is what a rule says between two slashes: nothing but a text, a
// pattern, or any number of directories.
type segment struct {
	text    string
	pattern *regexp.Regexp
	any     bool
}

// parseRule reads a line. A line that is blank, a comment, or a pattern that
// can match nothing gives no rule.
func parseRule(line string) (rule, bool) {
	if strings.HasPrefix(line, "#") {
		return rule{}, false
	}
	line = trimSpaces(line)
	var r rule
	line, r.negated = strings.CutPrefix(line, "!")
	line, r.directoriesOnly = strings.CutSuffix(line, "/")
	if line == "" {
		return rule{}, false
	}
	r.anywhere = !strings.Contains(line, "/")
	parts := strings.Split(strings.TrimPrefix(line, "/"), "/")
	for _, part := range parts {
		if !r.anywhere && len(part) > 1 && strings.Trim(part, "*") == "" {
			r.segments = append(r.segments, segment{any: true})
			continue
		}
		s, ok := parseSegment(part)
		if !ok {
			return rule{}, false
		}
		r.segments = append(r.segments, s)
	}
	return r, true
}

// trimSpaces takes off the spaces at the end that no backslash keeps.
func trimSpaces(line string) string {
	trimmed := strings.TrimRight(line, " ")
	backslashes := len(trimmed) - len(strings.TrimRight(trimmed, `\`))
	if backslashes%2 == 1 && len(trimmed) < len(line) {
		return line[:len(trimmed)+1]
	}
	return trimmed
}

// match reports whether the rule is about the file or directory of that name,
// not whether it is about a directory that the name is in.
func (r rule) match(parts []string, isDirectory bool) bool {
	if r.directoriesOnly && !isDirectory {
		return false
	}
	if len(parts) <= len(r.base) || !slices.Equal(parts[:len(r.base)], r.base) {
		return false
	}
	parts = parts[len(r.base):]
	if r.anywhere {
		parts = parts[len(parts)-1:]
	}
	return matchSegments(r.segments, parts)
}

// matchSegments walks both from the left. Where they part, the last "any number
// of directories" takes one more; an earlier one never has to, so that the work
// is at most the product of both lengths.
func matchSegments(segments []segment, parts []string) bool {
	afterAny, taken := -1, 0
	s, p := 0, 0
	for p < len(parts) {
		switch {
		case s < len(segments) && segments[s].any:
			if s == len(segments)-1 {
				return true // all that is inside
			}
			s++
			afterAny, taken = s, p
		case s < len(segments) && segments[s].match(parts[p]):
			s++
			p++
		case afterAny >= 0:
			taken++
			s, p = afterAny, taken
		default:
			return false
		}
	}
	return s == len(segments)
}

func (s segment) match(name string) bool {
	if s.pattern == nil {
		return name == s.text
	}
	return s.pattern.MatchString(name)
}

// parseSegment translates a pattern into a regular expression, whose matching
// takes linear time. It refuses one that can match nothing: of no length, with
// a bracket that stays open, or ending in a backslash.
func parseSegment(glob string) (segment, bool) {
	var text, pattern strings.Builder
	wild := false
	rest := []rune(glob)
	for len(rest) > 0 {
		switch c := rest[0]; c {
		case '*':
			wild = true
			pattern.WriteString(".*")
			rest = rest[1:]
		case '?':
			wild = true
			pattern.WriteString(".")
			rest = rest[1:]
		case '[':
			wild = true
			class, length, ok := parseClass(rest)
			if !ok {
				return segment{}, false
			}
			pattern.WriteString(class)
			rest = rest[length:]
		case '\\':
			if rest = rest[1:]; len(rest) == 0 {
				return segment{}, false
			}
			fallthrough
		default:
			text.WriteRune(rest[0])
			pattern.WriteString(regexp.QuoteMeta(string(rest[:1])))
			rest = rest[1:]
		}
	}
	if !wild {
		return segment{text: text.String()}, glob != ""
	}
	compiled, err := regexp.Compile("^(?s:" + pattern.String() + ")$")
	return segment{pattern: compiled}, err == nil
}

// parseClass translates the bracket at the start of glob, and says how much of
// glob it is.
func parseClass(glob []rune) (class string, length int, ok bool) {
	var members strings.Builder
	i := 1
	negated := i < len(glob) && (glob[i] == '!' || glob[i] == '^')
	if negated {
		i++
	}
	for first := true; ; first = false {
		if i >= len(glob) {
			return "", 0, false
		}
		if glob[i] == ']' && !first {
			i++
			break
		}
		named, found, ok := namedClass(glob[i:])
		if !ok {
			return "", 0, false
		}
		if found {
			members.WriteString(named)
			i += len(named)
			continue
		}
		low, next, ok := classMember(glob, i)
		if !ok {
			return "", 0, false
		}
		high := low
		if i = next; i+1 < len(glob) && glob[i] == '-' && glob[i+1] != ']' {
			if high, i, ok = classMember(glob, i+1); !ok {
				return "", 0, false
			}
		}
		// A range the wrong way round is its first character, as for git.
		fmt.Fprintf(&members, `\x{%X}-\x{%X}`, low, max(low, high))
	}
	if negated {
		return "[^" + members.String() + "]", i, true
	}
	return "[" + members.String() + "]", i, true
}

// classMember is the character at i, or the one that a backslash there escapes.
func classMember(glob []rune, i int) (member rune, next int, ok bool) {
	if glob[i] == '\\' {
		i++
	}
	if i >= len(glob) {
		return 0, 0, false
	}
	return glob[i], i + 1, true
}

// namedClasses are those of git, which regular expressions name alike.
var namedClasses = []string{
	"alnum", "alpha", "blank", "cntrl", "digit", "graph", "lower", "print", "punct", "space", "upper", "xdigit",
}

// namedClass is a class such as [:alpha:] at the start of glob; ok is false if
// there is no class of that name.
func namedClass(glob []rune) (class string, found, ok bool) {
	rest, found := strings.CutPrefix(string(glob), "[:")
	if !found {
		return "", false, true
	}
	rest, _, closed := strings.Cut(rest, "]")
	name, found := strings.CutSuffix(rest, ":")
	if !closed || !found {
		return "", false, true
	}
	return "[:" + name + ":]", true, slices.Contains(namedClasses, name)
}
