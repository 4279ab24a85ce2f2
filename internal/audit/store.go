package audit

import (
	"context"
	"strings"
	"time"
)

// Store keeps the trail of what changes nothing by itself, such as a grant.
// (A change takes its own event along.) Its methods may be called concurrently.
type Store interface {
	ChainReader
	Expirer
	Streams

	// Record appends the events, all or none, in their order. What has
	// returned is durable.
	Record(ctx context.Context, events ...Event) error

	// Events are those of the filter, newest first, and the count of all of
	// them, whichever page is asked for. The count stops at CountMost+1, which
	// stands for more.
	Events(ctx context.Context, filter Filter) ([]Link, int, error)

	// EventsAfter are those of the filter with an id above after, oldest first.
	EventsAfter(ctx context.Context, filter Filter, after int64) ([]Link, error)
}

// Streams keep how far each place outside was sent the trail.
type Streams interface {
	// StreamPosition is the id of the last row that was sent to the place of that
	// name; 0: none was.
	StreamPosition(ctx context.Context, name string) (int64, error)

	// MoveStream notes that id. It never moves back.
	MoveStream(ctx context.Context, name string, position int64) error
}

// CountMost is how many events are counted: who lists a hundred of a million need
// not wait until a million are counted.
const CountMost = 1000

// Failed as the Result of a Filter stands for whatever did not come out right.
const Failed = "failed"

// Filter says which events to list. All of it must hold.
type Filter struct {
	// OrganizationIDs bound the list to the events of these; empty: none at
	// all. 0 stands for what belongs to no organisation.
	OrganizationIDs []int64

	// Verb is one verb, or those of a noun where it has no dot or ends in one:
	// credential.check, or credential for all that was done to credentials.
	// "": all.
	Verb Verb

	// Actor is the name of who did it, Object the id or the name of what it was
	// done to, and ExecutionID the execution that it was done for; "": any.
	Actor, Object, ExecutionID string

	// Result is ResultOK, the code of a fault, or Failed; "": any.
	Result string

	// Since and Until bound the time of the events, without Until itself; zero:
	// nothing does.
	Since, Until time.Time

	// Before leaves out the events from that id on; 0: none is.
	Before int64

	// Limit is how many at most.
	Limit int
}

// Noun is what the verb is done to: credential of credential.check.
func (v Verb) Noun() string {
	noun, _, _ := strings.Cut(string(v), ".")
	return noun
}

// IsNoun reports whether it stands for all verbs of a noun.
func (v Verb) IsNoun() bool {
	noun, verb, _ := strings.Cut(string(v), ".")
	return noun != "" && verb == ""
}
