package image

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"

	"github.com/distribution/reference"
)

// hostMost and pathMost bound a host with its port, and a repository, in bytes.
// DNS allows 253 for a name (https://www.rfc-editor.org/rfc/rfc1035#section-2.3.4),
// Docker 255 for a repository.
const (
	hostMost = 255
	pathMost = reference.RepositoryNameTotalLengthMax
)

var (
	hostRegexp = anchored(reference.DomainRegexp)
	tagRegexp  = anchored(reference.TagRegexp)
	idRegexp   = anchored(reference.IdentifierRegexp)
)

func anchored(re *regexp.Regexp) *regexp.Regexp {
	return regexp.MustCompile("^(?:" + re.String() + ")$")
}

// trouble is what is wrong with a name or a pattern, before it is known which
// of the two becomes the fault.
type trouble struct {
	code    string // the last part of the fault's code, such as "scheme"
	message string
	hint    string
}

func newTrouble(code, message string, args ...any) *trouble {
	return &trouble{code: code, message: fmt.Sprintf(message, args...)}
}

func (t *trouble) mend(hint string, args ...any) *trouble {
	t.hint = fmt.Sprintf(hint, args...)
	return t
}

// textTrouble finds what is wrong with text as such, whatever it names: what
// is left is short printable ASCII without scheme and user. noun is "an image
// name" or "a pattern".
func textTrouble(text, noun string, most int) *trouble {
	if text == "" {
		return newTrouble("empty", "%s must not be empty", noun).
			mend("Write one, such as ghcr.io/acme/train.")
	}
	if len(text) > most {
		return newTrouble("long", "%s has at most %d bytes, and this has %d", noun, most, len(text)).
			mend("Write a shorter one.")
	}
	if strings.ContainsFunc(text, unicode.IsSpace) {
		t := newTrouble("white_space", "%s has no white space", noun)
		if mended := strings.Join(strings.Fields(text), ""); mended != "" {
			t.mend("Write %s.", shown(mended))
		} else {
			t.mend("Write one, such as ghcr.io/acme/train.")
		}
		return t
	}
	for _, r := range text {
		if r <= ' ' || r >= unicode.MaxASCII {
			return newTrouble("character", "%s has no %s in it", noun, strconv.QuoteRuneToASCII(r)).
				mend("Use letters, digits and `. _ - / :` only.")
		}
	}
	if scheme, rest, found := strings.Cut(text, "://"); found {
		return newTrouble("scheme", "%s has no scheme", noun).
			mend("Leave out %s and write %s.", shown(scheme+"://"), shown(rest))
	}
	if user := userOf(text); user != "" {
		return newTrouble("user", "%s holds no user and no password", noun).
			mend("Write %s, and store the secret as a credential.", shown(text[len(user)+1:]))
	}
	return nil
}

// splitHost cuts a name into its normalised host and the rest by Docker's
// rule. A name without a host is Docker Hub's.
func splitHost(name string) (host, rest string) {
	first, rest, found := strings.Cut(name, "/")
	if !found || !isHost(first) {
		return Hub, name
	}
	return canonicalHost(first), rest
}

// isHost is Docker's rule for the first part of a name.
func isHost(part string) bool {
	return strings.ContainsAny(part, ".:") || strings.EqualFold(part, "localhost")
}

// canonicalHost lowers a registry's host and folds the Hub's other names.
func canonicalHost(host string) string {
	switch host = strings.ToLower(host); host {
	case "index.docker.io", "registry-1.docker.io":
		return Hub
	default:
		return host
	}
}

// hostTrouble finds what is wrong with a host without a wildcard.
func hostTrouble(host string) *trouble {
	switch {
	case len(host) > hostMost:
		return newTrouble("host", "a host has at most %d bytes, and this has %d", hostMost, len(host)).
			mend("Write a shorter one.")
	case !hostRegexp.MatchString(host):
		return newTrouble("host", "%s is no registry host", shown(host)).
			mend("Write HOST or HOST:PORT; a host has letters, digits, dots, and `-` inside its labels.")
	default:
		return nil
	}
}

// pathTrouble finds what is wrong with a repository.
func pathTrouble(path string) *trouble {
	lower := strings.ToLower(path)
	_, err := reference.WithName("registry.example/" + lower)
	switch {
	case path == "":
		return newTrouble("path", "the repository is missing").
			mend("Write HOST/REPOSITORY:TAG, such as ghcr.io/acme/train:v2.")
	case len(path) > pathMost:
		return newTrouble("path", "a repository has at most %d bytes, and this has %d", pathMost, len(path)).
			mend("Write a shorter one.")
	case err != nil:
		return newTrouble("path", "%s is no repository", shown(path)).
			mend("Its parts are lower-case letters and digits, joined by `.`, `_`, `__` or `-`, with one `/` between parts.")
	case path != lower:
		return upperCase(path)
	default:
		return nil
	}
}

// upperCase is the trouble of a path that is not in lower case.
func upperCase(path string) *trouble {
	t := newTrouble("upper_case", "%s has upper-case letters, and a repository has none", shown(path))
	if first, _, found := strings.Cut(path, "/"); found && first != strings.ToLower(first) {
		return t.mend("Write %s; if %s is a host, write its full name or its port.", shown(strings.ToLower(path)), shown(first))
	}
	return t.mend("Write %s.", shown(strings.ToLower(path)))
}

// isTag reports whether text is a tag without a wildcard.
func isTag(text string) bool { return tagRegexp.MatchString(text) }

// isImageID reports whether text is 64 hexadecimal digits, which Docker takes
// for an image's ID and not for a name.
func isImageID(text string) bool { return idRegexp.MatchString(text) }

// userOf is the `user:password` in front of a host, and "" where there is
// none. What follows the @ of a digest is no host.
func userOf(text string) string {
	first, _, _ := strings.Cut(text, "/")
	at := strings.LastIndexByte(first, '@')
	if at < 0 {
		return ""
	}
	switch algorithm, _, _ := strings.Cut(first[at+1:], ":"); algorithm {
	case "sha256", "sha384", "sha512":
		return ""
	default:
		return first[:at]
	}
}

// shown quotes foreign text for a message: escaped, cut where it is long, and
// without the password of somebody who pasted a URL.
func shown(text string) string {
	const most = 128
	scheme := ""
	if before, rest, found := strings.Cut(text, "://"); found {
		scheme, text = before+"://", rest
	}
	if user := userOf(text); user != "" {
		text = "***" + text[len(user):]
	}
	text = scheme + text
	if len(text) > most {
		return strconv.QuoteToASCII(text[:most]) + "…"
	}
	return strconv.QuoteToASCII(text)
}
