// Package wire has the JSON shapes of the API, for the server and its clients
// alike. They are not the product's nouns: a field here keeps its name for as
// long as clients read it.
package wire

import "time"

// Base is the path that every resource is below; every path ends in a slash.
const Base = "/api/v0/"

// Time is a time as existing clients of the API want it: UTC with six
// fractional digits and a Z.
type Time struct{ time.Time }

// timeLayout has always six digits: clients cut four characters off the end.
const timeLayout = "2006-01-02T15:04:05.000000Z"

// NewTime wraps t; nil for the zero time, which shows as null.
func NewTime(t time.Time) *Time {
	if t.IsZero() {
		return nil
	}
	return &Time{t}
}

// MarshalJSON writes the time.
func (t Time) MarshalJSON() ([]byte, error) { return t.AppendJSON(nil), nil }

// AppendJSON writes the time behind b.
func (t Time) AppendJSON(b []byte) []byte {
	b = append(b, '"')
	b = t.UTC().AppendFormat(b, timeLayout)
	return append(b, '"')
}

// UnmarshalJSON reads any RFC 3339 time.
func (t *Time) UnmarshalJSON(data []byte) error { return t.Time.UnmarshalJSON(data) }

// Or is the time, and the zero time for nil.
func (t *Time) Or() time.Time {
	if t == nil {
		return time.Time{}
	}
	return t.Time
}

// List is a page of things.
type List[T any] struct {
	Count    int     `json:"count" doc:"How many there are on all pages"`
	Next     *string `json:"next" doc:"Address of the next page"`
	Previous *string `json:"previous" doc:"Address of the page before"`
	Results  []T     `json:"results" doc:"Those of this page"`
}

// Server is who answers.
type Server struct {
	Name    string `json:"name" doc:"Name of the program"`
	Version string `json:"version" doc:"Its version"`
}

// Problem is an error: a problem document (RFC 9457) that also has what
// existing clients read. On 400, the fields at fault are members of their own
// beside these, each a list of texts.
type Problem struct {
	Type   string `json:"type" doc:"Always about:blank"`
	Title  string `json:"title" doc:"The status in words"`
	Status int    `json:"status" doc:"The HTTP status"`

	// Detail is the sentence for a person with its hint; Message and Hint are
	// its two halves.
	Detail  string `json:"detail" doc:"The sentence for a person, with its hint"`
	Message string `json:"message,omitempty" doc:"The sentence without the hint"`
	Hint    string `json:"hint,omitempty" doc:"The next step"`

	// Kind and Code are for programs.
	Kind string `json:"kind,omitempty" doc:"One of a closed set, for programs"`
	Code string `json:"code" doc:"What it is, for programs; it never changes its meaning"`

	RequestID string `json:"request_id,omitempty" doc:"As in the header X-Request-Id and in the server's log"`

	Errors            []FieldProblem `json:"errors,omitempty" doc:"What is wrong with fields"`
	RetryAfterSeconds int            `json:"retry_after_seconds,omitempty" doc:"When trying again may help"`
}

// FieldProblem is what is wrong with one field.
type FieldProblem struct {
	Name    string `json:"name" doc:"The field"`
	Code    string `json:"code" doc:"What is wrong, for programs"`
	Message string `json:"message" doc:"What is wrong, for people"`
}
