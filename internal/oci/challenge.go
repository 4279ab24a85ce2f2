package oci

import (
	"net/http"
	"strings"

	"github.com/containerd/containerd/v2/core/remotes/docker/auth"
)

// Challenge is one way that a registry offers to show who asks.
type Challenge struct {
	Scheme  Scheme
	Realm   string
	Service string
	Scope   string
	Error   string // RFC 6750: invalid_token, insufficient_scope
}

// Bounds of what is read of a foreign header; Docker's own are far below.
const (
	mostChallenges     = 16
	longestChallenge   = 16 << 10
	authenticateHeader = "Www-Authenticate"
	insufficientScope  = "insufficient_scope"
	invalidTokenAnswer = "invalid_token"
)

// ParseChallenges reads the WWW-Authenticate headers of an answer, several in
// one header included. Bearer comes before Basic; schemes that no registry
// uses are left out.
func ParseChallenges(header http.Header) []Challenge {
	lines := make([]string, 0, mostChallenges)
	for _, line := range header.Values(authenticateHeader) {
		if len(line) > longestChallenge {
			continue
		}
		lines = append(lines, splitChallenges(line)...)
		if len(lines) > mostChallenges {
			lines = lines[:mostChallenges]
			break
		}
	}
	var challenges []Challenge
	for _, c := range auth.ParseAuthHeader(http.Header{authenticateHeader: lines}) {
		challenge := Challenge{
			Realm:   c.Parameters["realm"],
			Service: c.Parameters["service"],
			Scope:   c.Parameters["scope"],
			Error:   c.Parameters["error"],
		}
		switch c.Scheme {
		case auth.BearerAuth:
			challenge.Scheme = SchemeBearer
		case auth.BasicAuth:
			challenge.Scheme = SchemeBasic
		default:
			continue
		}
		challenges = append(challenges, challenge)
	}
	return challenges
}

// splitChallenges cuts a header that holds several challenges, since the
// parser reads the first of each line only: a new challenge begins after a
// comma outside quotes where a word stands by itself before the next
// parameter.
func splitChallenges(line string) []string {
	var challenges []string
	for _, piece := range splitOutsideQuotes(line) {
		if len(challenges) == 0 || beginsChallenge(piece) {
			challenges = append(challenges, strings.TrimSpace(piece))
		} else {
			challenges[len(challenges)-1] += "," + piece
		}
	}
	return challenges
}

func splitOutsideQuotes(line string) []string {
	var pieces []string
	begin, quoted := 0, false
	for i := 0; i < len(line); i++ {
		switch {
		case quoted && line[i] == '\\':
			i++
		case line[i] == '"':
			quoted = !quoted
		case !quoted && line[i] == ',':
			pieces = append(pieces, line[begin:i])
			begin = i + 1
		}
	}
	return append(pieces, line[begin:])
}

// beginsChallenge reports whether a piece is `Scheme` or `Scheme name=…` and
// not a further `name=value`.
func beginsChallenge(piece string) bool {
	piece = strings.TrimSpace(piece)
	word, rest, _ := strings.Cut(piece, " ")
	return word != "" && !strings.Contains(word, "=") && !strings.HasPrefix(strings.TrimSpace(rest), "=")
}
