package image

import "strings"

const (
	star = '*' // any run of characters, also none
	one  = '?' // one character that is no slash
)

// glob reports whether pattern matches the whole of text. It goes back to the
// last star only, which is enough since a star takes anything, so that no
// pattern costs more than len(pattern) times len(text).
func glob(pattern, text string) bool {
	p, t := 0, 0
	afterStar, retry := -1, 0
	for t < len(text) {
		switch {
		case p < len(pattern) && pattern[p] == star:
			p++
			afterStar, retry = p, t
		case p < len(pattern) && (pattern[p] == text[t] || pattern[p] == one && text[t] != '/'):
			p++
			t++
		case afterStar >= 0:
			retry++
			p, t = afterStar, retry
		default:
			return false
		}
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// globHost is glob for hosts: label by label, so that a star never crosses a
// dot. The port counts as part of the last label.
func globHost(pattern, host string) bool {
	for {
		label, patternRest, more := strings.Cut(pattern, ".")
		text, hostRest, textMore := strings.Cut(host, ".")
		if more != textMore || !glob(label, text) {
			return false
		}
		if !more {
			return true
		}
		pattern, host = patternRest, hostRest
	}
}

// literals counts the characters of glob that are no wildcard.
func literals(glob string) int {
	return len(glob) - strings.Count(glob, "*") - strings.Count(glob, "?")
}

// literalPrefix is how many characters stand before the first wildcard.
func literalPrefix(glob string) int {
	if i := strings.IndexAny(glob, "*?"); i >= 0 {
		return i
	}
	return len(glob)
}

// collapse writes every run of stars as one.
func collapse(glob string) string {
	for strings.Contains(glob, "**") {
		glob = strings.ReplaceAll(glob, "**", "*")
	}
	return glob
}
