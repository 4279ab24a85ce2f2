package store

import (
	"encoding/json"
	"fmt"
	"time"
)

// micros is how a time is stored: microseconds since 1970 in UTC, 0 for none.
func micros(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMicro()
}

// fromMicros is the time that was stored.
func fromMicros(n int64) time.Time {
	if n == 0 {
		return time.Time{}
	}
	return time.UnixMicro(n).UTC()
}

// instant reads a time.
type instant struct{ into *time.Time }

// Scan implements sql.Scanner.
func (i instant) Scan(value any) error {
	n, is := value.(int64)
	if !is {
		return fmt.Errorf("a time is a %T", value)
	}
	*i.into = fromMicros(n)
	return nil
}

// document is how a list, a map or a structure is stored: JSON, or "" for an
// empty list or map.
func document[T any](value T) (string, error) {
	text, err := json.Marshal(value)
	if err != nil {
		return "", fmt.Errorf("encoding: %w", err)
	}
	switch string(text) {
	case "null", "[]", "{}":
		return "", nil
	}
	return string(text), nil
}

// fromDocument reads a document.
type fromDocument struct{ into any }

// Scan implements sql.Scanner.
func (d fromDocument) Scan(value any) error {
	var text []byte
	switch value := value.(type) {
	case string:
		text = []byte(value)
	case []byte:
		text = value
	default:
		return fmt.Errorf("a document is a %T", value)
	}
	if len(text) == 0 {
		return nil
	}
	if err := json.Unmarshal(text, d.into); err != nil {
		return fmt.Errorf("decoding: %w", err)
	}
	return nil
}
