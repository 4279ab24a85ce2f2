package execution

import "time"

// Lease is a worker's hold on an execution.
type Lease struct {
	ID string // UUID; "" where nobody holds it

	// WorkerID and WorkerName are who holds it, or held it last.
	WorkerID   string
	WorkerName string

	// Attempt counts the leases that an execution has had, from 1.
	Attempt int

	ExpiresAt time.Time

	// Batch is the number of the last batch of log lines that was stored under
	// this lease; a batch that comes again is acknowledged and not stored.
	Batch int64
}

// Times of a lease.
const (
	// LeaseLife is how long a lease lasts unless it is renewed. A worker that
	// could not renew it kills its container before that.
	LeaseLife = 15 * time.Second

	// AttemptsMost is how many workers may be lost over one execution before it
	// counts as the cause.
	AttemptsMost = 3
)
