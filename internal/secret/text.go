// Package secret holds the type of every value that must never be printed.
package secret

import (
	"crypto/subtle"
	"encoding/json"
	"fmt"
	"log/slog"
)

// stars is what a secret looks like wherever it is printed.
const stars = "***"

// Text is a secret string. Every way of printing it (%v, %+v, %#v, %q, %x,
// JSON, text, slog) gives stars; only Reveal gives the value, so that a reader
// finds each place where a secret leaves its wrapping. The zero value is the
// empty secret.
type Text struct {
	// Behind a pointer, so that printing a struct that holds a Text in an
	// unexported field (where fmt may not call methods) shows an address.
	value *string
}

// New wraps s.
func New(s string) Text {
	if s == "" {
		return Text{}
	}
	return Text{value: &s}
}

// Reveal returns the secret. Call it only where the value is sent to the
// registry it belongs to, sealed, or hashed.
func (t Text) Reveal() string {
	if t.value == nil {
		return ""
	}
	return *t.value
}

// IsEmpty reports whether there is no secret.
func (t Text) IsEmpty() bool { return t.value == nil || *t.value == "" }

// Equal compares in constant time for equal lengths.
func (t Text) Equal(other Text) bool {
	return subtle.ConstantTimeCompare([]byte(t.Reveal()), []byte(other.Reveal())) == 1
}

// String gives stars, or nothing for the empty secret.
func (t Text) String() string {
	if t.IsEmpty() {
		return ""
	}
	return stars
}

// Format gives stars for every verb and flag.
func (t Text) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(t.String())) }

// LogValue gives stars to slog.
func (t Text) LogValue() slog.Value { return slog.StringValue(t.String()) }

// MarshalJSON gives stars.
func (t Text) MarshalJSON() ([]byte, error) { return json.Marshal(t.String()) }

// MarshalText gives stars.
func (t Text) MarshalText() ([]byte, error) { return []byte(t.String()), nil }

// UnmarshalJSON reads the secret from a JSON string.
func (t *Text) UnmarshalJSON(data []byte) error {
	var s string
	if err := json.Unmarshal(data, &s); err != nil {
		return fmt.Errorf("a secret must be a JSON string") // the cause would print it
	}
	*t = New(s)
	return nil
}

// UnmarshalText reads the secret as it is.
func (t *Text) UnmarshalText(data []byte) error {
	*t = New(string(data))
	return nil
}
