package wire

import (
	"crypto/rand"
	"strings"
)

// RequestIDHeader names a request in the client's words, in the answer and in the
// server's log.
const RequestIDHeader = "X-Request-Id"

// requestIDMost bounds a request's id, in bytes.
const requestIDMost = 64

// NewRequestID is an id that no other request has.
func NewRequestID() string { return strings.ToLower(rand.Text()) }

// RequestID is the id that a client gave its request, or a new one where that is none:
// at most 64 letters, digits, dots, dashes and underscores.
func RequestID(given string) string {
	if isRequestID(given) {
		return given
	}
	return NewRequestID()
}

func isRequestID(text string) bool {
	for _, r := range []byte(text) {
		isWord := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.'
		if !isWord {
			return false
		}
	}
	return text != "" && len(text) <= requestIDMost
}
