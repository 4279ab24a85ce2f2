// Package fault is the product's one vocabulary of errors: a closed set of
// kinds, and an error that keeps apart what a person is told and what an
// operator needs to know.
//
// Rules make faults, doors (API, CLI, log) show them; stores and tools turn
// foreign errors into them exactly once. An error that is no fault is
// Internal, and its text is shown to nobody but the operator.
package fault

import (
	"errors"
	"fmt"
	"strings"
	"time"
)

// Kind says which sort of failure an error is; every door has one table from
// Kind to its own language (HTTP status, exit code).
type Kind string

// The kinds. The set is closed: a new one needs a row in every door's table.
const (
	Invalid         Kind = "invalid"         // the caller's input is wrong and can be mended
	Unauthenticated Kind = "unauthenticated" // we do not know who asks
	Denied          Kind = "denied"          // we know who asks, and they may not
	NotFound        Kind = "not_found"       // there is no such thing, or none that this caller may know of
	Conflict        Kind = "conflict"        // it clashes with what is there, or with what just changed
	Unavailable     Kind = "unavailable"     // somebody else is down or slow; trying again can help
	Exhausted       Kind = "exhausted"       // a limit was reached: rate, disk, size
	Internal        Kind = "internal"        // our own mistake
)

// Error is a failure as the product knows it. The zero value is of no use;
// start with New or one of the constructors named after a kind.
type Error struct {
	Kind Kind

	// Code is a stable word for machines, such as "pattern_scheme".
	Code string

	// Message is one sentence for a person: what is wrong, with the value.
	Message string

	// Hint is the next step, as a sentence; empty where there is none.
	Hint string

	// Fields are the single findings of a form or document.
	Fields []Field

	// RetryAfter is how long the far side asked us to wait; 0: it did not say.
	RetryAfter time.Duration

	// Cause is for the operator and is never shown to a caller.
	Cause error
}

// Field is what is wrong with one field of the input.
type Field struct {
	Name    string
	Code    string
	Message string
}

// New makes a fault. Message is formatted with args, as fmt.Sprintf does.
func New(kind Kind, code, message string, args ...any) *Error {
	return &Error{Kind: kind, Code: code, Message: sprintf(message, args)}
}

// InvalidField makes an Invalid fault about one field of the input.
func InvalidField(name, code, message string, args ...any) *Error {
	text := sprintf(message, args)
	return &Error{
		Kind: Invalid, Code: code, Message: name + ": " + text,
		Fields: []Field{{Name: name, Code: code, Message: text}},
	}
}

func sprintf(message string, args []any) string {
	if len(args) == 0 {
		return message
	}
	return fmt.Sprintf(message, args...)
}

// WithHint returns e with the next step set.
func (e *Error) WithHint(hint string, args ...any) *Error {
	e.Hint = sprintf(hint, args)
	return e
}

// WithCause returns e with the operator's cause set.
func (e *Error) WithCause(err error) *Error {
	e.Cause = err
	return e
}

// WithRetryAfter returns e with the wait that the far side asked for.
func (e *Error) WithRetryAfter(d time.Duration) *Error {
	e.RetryAfter = d
	return e
}

// Error is the message and, behind it, the cause: the operator's view.
func (e *Error) Error() string {
	if e.Cause == nil {
		return e.Message
	}
	return e.Message + ": " + e.Cause.Error()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Cause }

// Sentence is the message with its hint: all that a person is shown.
func (e *Error) Sentence() string {
	if e.Hint == "" {
		return e.Message
	}
	return strings.TrimRight(e.Message, ". ") + ". " + e.Hint
}

// From returns err as a fault. An error that holds none becomes Internal with
// a message that tells nothing of the cause. From(nil) is nil.
func From(err error) *Error {
	if err == nil {
		return nil
	}
	if f, ok := errors.AsType[*Error](err); ok {
		return f
	}
	return &Error{
		Kind: Internal, Code: "internal",
		Message: "something went wrong inside Fairlead; the server's log has the details", Cause: err,
	}
}

// KindOf is the kind of err: Internal for an error that is no fault, and ""
// for nil.
func KindOf(err error) Kind {
	if err == nil {
		return ""
	}
	return From(err).Kind
}

// Is reports whether err is a fault of that kind.
func Is(err error, kind Kind) bool { return err != nil && KindOf(err) == kind }

// Join gathers the field findings of several Invalid faults into one, so that
// a caller learns of every mistake at once. Nil errors are left out; it
// returns nil if nothing is left. An error that is not Invalid is returned
// alone, since the findings beside it may be its consequence.
func Join(errs ...error) error {
	all := &Error{Kind: Invalid, Code: "invalid"}
	var messages []string
	for _, err := range errs {
		if err == nil {
			continue
		}
		f := From(err)
		if f.Kind != Invalid {
			return err
		}
		all.Fields = append(all.Fields, f.Fields...)
		messages = append(messages, f.Sentence())
		all.Code = f.Code
	}
	switch len(messages) {
	case 0:
		return nil
	case 1:
	default:
		all.Code = "invalid"
	}
	all.Message = strings.Join(messages, "; ")
	return all
}
