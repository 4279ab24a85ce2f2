package audit

import "context"

// Store keeps the trail of what changes nothing by itself, such as a grant.
// (A change takes its own event along.) Its methods may be called concurrently.
type Store interface {
	ChainReader
	Expirer

	// Record appends the events, all or none, in their order. What has
	// returned is durable.
	Record(ctx context.Context, events ...Event) error

	// Events are those of the filter, newest first, and the count of all of
	// them.
	Events(ctx context.Context, filter Filter) ([]Event, int, error)
}

// Filter says which events to list.
type Filter struct {
	// OrganizationIDs bound the list to the events of these; empty: none at
	// all. 0 stands for what belongs to no organisation.
	OrganizationIDs []int64

	// Verb and ExecutionID narrow it; "": all.
	Verb        Verb
	ExecutionID string

	Limit, Offset int
}
