package image

import (
	"cmp"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// patternMost bounds a pattern in bytes.
const patternMost = 512

// Pattern says which images a credential serves: HOST[:PORT]/PATH[:TAG]. It is
// made by ParsePattern alone; the zero value matches nothing. Patterns compare
// with ==.
type Pattern struct {
	text string // normalised

	// Where the host and the path end in text.
	hostEnd, pathEnd uint16

	// What the order of patterns is decided by.
	wildcardHost bool
	prefix       uint16 // literal characters before the path's first wildcard
	literal      uint16 // literal characters of host and path
	tagLiteral   uint16
}

// ParsePattern reads a match pattern and normalises it as image names are:
//
//   - Hosts are lower-cased; index.docker.io and registry-1.docker.io are
//     docker.io. `HOST` and `HOST/` are `HOST/*`, where a HOST has a dot or a
//     port or is localhost.
//   - Without a host it is Docker Hub's: `acme/x` is `docker.io/acme/x`, and
//     `ubuntu` and `docker.io/ubuntu` are `docker.io/library/ubuntu`. A single
//     part with a wildcard stays as it is: `docker.io/*` covers all of the Hub.
//   - Runs of stars become one.
//
// The error is an Invalid fault for the field image_patterns, with one of the
// codes pattern_empty, pattern_long, pattern_white_space, pattern_character,
// pattern_scheme, pattern_user, pattern_digest, pattern_host,
// pattern_host_wildcard, pattern_port, pattern_path, pattern_upper_case and
// pattern_tag, and says the mend.
func ParsePattern(text string) (Pattern, error) {
	host, path, tag, t := splitPattern(text)
	if t != nil {
		return Pattern{}, invalidPattern(text, t)
	}
	p := Pattern{
		text:         host + "/" + path + tag,
		hostEnd:      uint16(len(host)),
		pathEnd:      uint16(len(host) + 1 + len(path)),
		wildcardHost: strings.Contains(host, "*"),
		prefix:       uint16(literalPrefix(path)),
		literal:      uint16(literals(host) + literals(path)),
		tagLiteral:   uint16(literals(strings.TrimPrefix(tag, ":"))),
	}
	return p, nil
}

// MustParsePattern is ParsePattern for constants in tests and tables; it
// panics on a pattern that is none.
func MustParsePattern(text constant) Pattern {
	p, err := ParsePattern(string(text))
	if err != nil {
		panic(err)
	}
	return p
}

// Match reports whether p covers the image. It is the plain meaning of a
// pattern, which the index must agree with.
func (p Pattern) Match(ref Reference) bool {
	return p.matchHost(ref.Host()) && glob(p.Path(), ref.Repository()) && p.matchTag(ref.Tag())
}

func (p Pattern) matchHost(host string) bool {
	if p.wildcardHost {
		return globHost(p.Host(), host)
	}
	return p.Host() == host && host != ""
}

// matchTag takes every tag where the pattern names none, and for an image
// without a tag `*` alone.
func (p Pattern) matchTag(tag string) bool {
	return !p.HasTag() || glob(p.Tag(), tag)
}

// Host is the pattern's host and port, which may hold wildcards.
func (p Pattern) Host() string { return p.text[:p.hostEnd] }

// HasWildcardHost reports whether the host holds a wildcard.
func (p Pattern) HasWildcardHost() bool { return p.wildcardHost }

// Path is what the repository must match.
func (p Pattern) Path() string { return p.text[min(p.hostEnd+1, p.pathEnd):p.pathEnd] }

// HasTag reports whether the pattern asks for a tag.
func (p Pattern) HasTag() bool { return int(p.pathEnd) < len(p.text) }

// Tag is what the tag must match, and "" where every tag and digest does.
func (p Pattern) Tag() string { return strings.TrimPrefix(p.text[p.pathEnd:], ":") }

// IsZero reports whether p is the zero value, which matches nothing.
func (p Pattern) IsZero() bool { return p.text == "" }

// String is the normalised pattern; ParsePattern reads it as p again.
func (p Pattern) String() string { return p.text }

// Reason says by what one pattern goes before another.
type Reason string

// The reasons, in the order in which they are asked.
const (
	ByExactHost     Reason = "exact_host"
	ByLongerPrefix  Reason = "longer_prefix"
	ByMoreLiterals  Reason = "more_literals"
	ByMoreOfTheTag  Reason = "more_of_the_tag"
	ByOlder         Reason = "older"
	ByListedFirst   Reason = "listed_first"
	ByNothingBehind Reason = "nothing_behind" // no other pattern comes after it
)

// Words says the reason so that it ends a sentence such as "A goes before B
// because …".
func (r Reason) Words() string {
	switch r {
	case ByExactHost:
		return "its host is exact and the other's has a wildcard"
	case ByLongerPrefix:
		return "its path has more characters before the first wildcard"
	case ByMoreLiterals:
		return "it has more characters that are no wildcard"
	case ByMoreOfTheTag:
		return "its tag has more characters that are no wildcard"
	case ByOlder:
		return "they are equally specific and its credential is older"
	case ByListedFirst:
		return "they are equally specific and it is listed first"
	case ByNothingBehind:
		return "no other pattern comes after it"
	default:
		return string(r)
	}
}

// Compare is the order of patterns that match one image, the most specific
// first: exact host before wildcard host; then the longer literal prefix of the
// path; then more literal characters, the tag's last; then the smaller order,
// which is the older credential. The result is negative where p goes first,
// and the reason says by what. It is 0 where nothing tells them apart: then the
// one that was added first goes first, and the reason is ByListedFirst.
func Compare(p Pattern, pOrder int64, q Pattern, qOrder int64) (int, Reason) {
	if p.wildcardHost != q.wildcardHost {
		if q.wildcardHost {
			return -1, ByExactHost
		}
		return 1, ByExactHost
	}
	if c := cmp.Compare(q.prefix, p.prefix); c != 0 {
		return c, ByLongerPrefix
	}
	if c := cmp.Compare(q.literal, p.literal); c != 0 {
		return c, ByMoreLiterals
	}
	if c := cmp.Compare(q.tagLiteral, p.tagLiteral); c != 0 {
		return c, ByMoreOfTheTag
	}
	if c := cmp.Compare(pOrder, qOrder); c != 0 {
		return c, ByOlder
	}
	return 0, ByListedFirst
}

// splitPattern cuts a pattern into normalised host, path and tag; the tag has
// its colon, and is "" where there is none.
func splitPattern(text string) (host, path, tag string, t *trouble) {
	if t := textTrouble(text, "a pattern", patternMost); t != nil {
		return "", "", "", t
	}
	if name, _, found := strings.Cut(text, "@"); found {
		return "", "", "", newTrouble("digest", "a pattern has no digest: it covers a repository, or tags of it").
			mend("Write %s.", shown(name))
	}
	host, rest := splitPatternHost(text)
	host = collapse(canonicalHost(host))
	if t := patternHostTrouble(host); t != nil {
		return "", "", "", t
	}
	path, tag, hasTag := strings.Cut(rest, ":")
	path, tag = collapse(path), collapse(tag)
	if path == "" && !hasTag {
		path = "*"
	}
	if t := patternPathTrouble(host, path); t != nil {
		return "", "", "", t
	}
	if hasTag {
		if t := patternTagTrouble(tag); t != nil {
			return "", "", "", t
		}
		tag = ":" + tag
	}
	if host == Hub && !strings.ContainsAny(path, "/*?") {
		path = "library/" + path
		if t := pathTrouble(path); t != nil { // it may be too long now
			return "", "", "", t
		}
	}
	if n := len(host) + len("/") + len(path) + len(tag); n > patternMost {
		return "", "", "", newTrouble("long", "a pattern has at most %d bytes, and this has %d with its host", patternMost, n).
			mend("Write a shorter one.")
	}
	return host, path, tag, nil
}

// splitPatternHost finds the host of a pattern and what follows it.
func splitPatternHost(text string) (host, rest string) {
	first, rest, found := strings.Cut(text, "/")
	if strings.Trim(first, "*") == "" {
		return first, rest
	}
	if found {
		if isHost(first) {
			return first, rest
		}
		return Hub, text
	}
	name, port, hasPort := strings.Cut(text, ":")
	if isHost(name) || hasPort && (name == "" || name[0] == '[' || isPort(port)) {
		return text, ""
	}
	return Hub, text
}

// patternHostTrouble finds what is wrong with a pattern's host.
func patternHostTrouble(host string) *trouble {
	if host == "*" {
		return newTrouble("host_wildcard", "a host of `*` alone would give the credential to every registry there is").
			mend("Name the registry, such as ghcr.io/acme/* or *.azurecr.io/*.")
	}
	if t := portTrouble(host); t != nil {
		return t
	}
	// With a letter for every wildcard it must be a host as any other.
	if t := hostTrouble(strings.ReplaceAll(host, "*", "x")); t != nil {
		return newTrouble("host", "%s is no registry host", shown(host)).
			mend("Write HOST or HOST:PORT, at most %d bytes; a host has letters, digits, dots, `-` inside its labels, and `*` for all or part of a label.", hostMost)
	}
	labels := strings.Split(host, ".")
	if strings.Contains(strings.Join(labels[max(0, len(labels)-2):], "."), "*") {
		return newTrouble("host_wildcard", "the last two labels of the host %s must not hold a wildcard, since anybody could own a host that fits", shown(host)).
			mend("Write them out, as in *.azurecr.io/*.")
	}
	return nil
}

// withoutPort cuts the port off a host, also off one in brackets.
func withoutPort(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && !strings.HasSuffix(host, "]") {
		return host[:i]
	}
	return host
}

// portTrouble finds what is wrong with a host's port.
func portTrouble(host string) *trouble {
	name := withoutPort(host)
	if name == host || isPort(host[len(name)+1:]) {
		return nil
	}
	return newTrouble("port", "%s is no port", shown(host[len(name)+1:])).
		mend("A port is a number from 1 to 65535, without a wildcard; a tag comes after the path: HOST/PATH:TAG.")
}

// isPort reports whether text is a port as people write it.
func isPort(text string) bool {
	n, err := strconv.ParseUint(text, 10, 16)
	return err == nil && n > 0 && text[0] != '0'
}

// patternPathTrouble finds what is wrong with a pattern's path.
func patternPathTrouble(host, path string) *trouble {
	if !strings.ContainsAny(path, "*?") {
		if strings.HasSuffix(path, "/") {
			return newTrouble("path", "the path %s ends with a slash, and no repository does", shown(path)).
				mend("Write %s for what is below it.", shown(host+"/"+path+"*"))
		}
		return pathTrouble(path)
	}
	const alphabet = "abcdefghijklmnopqrstuvwxyz0123456789._-/*?"
	lower := strings.ToLower(path)
	for _, r := range lower {
		if !strings.ContainsRune(alphabet, r) {
			return newTrouble("character", "%s can not stand in a path", strconv.QuoteRune(r)).
				mend("A path has lower-case letters, digits, `. _ - /` and the wildcards `*` and `?`.")
		}
	}
	switch {
	case lower != path:
		return upperCase(path)
	case strings.HasPrefix(path, "/") || strings.HasSuffix(path, "/") || strings.Contains(path, "//"):
		return newTrouble("path", "the path %s has an empty part, and no repository does", shown(path)).
			mend("Write one slash between parts, and none at the end.")
	case literals(path) > pathMost:
		return newTrouble("path", "a repository has at most %d bytes, and this asks for %d", pathMost, literals(path)).
			mend("Write a shorter one.")
	default:
		return nil
	}
}

// patternTagTrouble finds what is wrong with a pattern's tag.
func patternTagTrouble(tag string) *trouble {
	body := strings.NewReplacer("?", "x", "*", "").Replace(tag)
	if strings.HasPrefix(tag, "*") {
		// What the star stands for may come before the dot or dash.
		body = strings.TrimLeft(body, ".-")
	}
	if tag == "" || body != "" && !isTag(body) {
		return newTrouble("tag", "%s is no tag", shown(tag)).
			mend("A tag has 1 to 128 letters, digits, `_`, `.` and `-`, begins with none of the last two, and may hold the wildcards `*` and `?`.")
	}
	return nil
}

// invalidPattern is the fault of a pattern.
func invalidPattern(text string, t *trouble) *fault.Error {
	return fault.InvalidField("image_patterns", "pattern_"+t.code, "pattern %s: %s", shown(text), t.message).
		WithHint("%s", t.hint)
}
