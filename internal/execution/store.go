package execution

import (
	"context"
	"encoding/json"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

// Store keeps commits, executions, leases and logs. Its methods may be called
// concurrently, each is one transaction, and what has returned is durable. A
// thing that is not there is a NotFound fault. A method that takes an audit
// event writes it in the same transaction as the change.
type Store interface {
	CommitStore
	RunStore
	LeaseStore
	LogStore
	DataStore
	MetadataStore
}

// CommitStore keeps commits.
type CommitStore interface {
	// CreateCommit keeps the commit and reports whether it was new; if the
	// project has it already, nothing changes and nothing is audited.
	CreateCommit(ctx context.Context, commit Commit, event audit.Event) (bool, error)

	// PackCommit keeps the package of a commit that is there, and what was read
	// in it.
	PackCommit(ctx context.Context, commit Commit) error
	CommitByIdentifier(ctx context.Context, projectID, identifier string) (Commit, error)

	// Commits are a project's of that origin, newest first, without their Config,
	// with the count of all.
	Commits(ctx context.Context, projectID string, origin Origin, page Page) ([]Commit, int, error)
}

// Page is a part of a list.
type Page struct{ Limit, Offset int }

// Filter says which executions to list.
type Filter struct {
	ProjectIDs []string

	// Statuses and Counters narrow the list; empty: all.
	Statuses []Status
	Counters []int

	// CreatedBy is a user's id; "": of everybody.
	CreatedBy string

	// OldestFirst orders by counter; otherwise the newest come first.
	OldestFirst bool

	Page Page
}

// RunStore keeps executions.
type RunStore interface {
	// CreateExecution stores e with the next counter of its project, with the
	// first lines of its log, and returns it with its counter.
	CreateExecution(ctx context.Context, e Execution, lines []Line, event audit.Event) (Execution, error)
	ExecutionByID(ctx context.Context, id string) (Execution, error)

	// ExecutionByCounter finds a project's execution; counter 0 is the latest.
	ExecutionByCounter(ctx context.Context, projectID string, counter int) (Execution, error)

	// Executions are those of the filter and the count of all of them.
	Executions(ctx context.Context, filter Filter) ([]Execution, int, error)

	// CountByStatus counts a project's executions.
	CountByStatus(ctx context.Context, projectID string) (map[Status]int, error)

	// Unfinished counts the executions that have not ended, by environment: those
	// of one user, or with "" all.
	Unfinished(ctx context.Context, userID string) (map[string]int, error)

	// RecentImages are the images of the newest executions of an organisation, each
	// once, that of the newest execution first: of each of the projects projects that
	// ran last, at most the each newest.
	RecentImages(ctx context.Context, organizationID int64, projects, each int) ([]string, error)
	// Loads are the counts of the executions that are queued and of those that are
	// held, by environment, where there are any.
	Loads(ctx context.Context) (map[string]Load, error)

	// SetTags replaces the tags.
	SetTags(ctx context.Context, id string, tags []string, event audit.Event) (Execution, error)

	// DeleteExecution removes a final execution with its log; a Conflict if it
	// is not final.
	DeleteExecution(ctx context.Context, id string, event audit.Event) error

	// RequestStop ends a queued execution as Stopped at once and makes a
	// started one Stopping; a Conflict for a final one, and nothing changes
	// for one that is Stopping. Lines are appended to the log where something
	// changed.
	RequestStop(ctx context.Context, id string, at time.Time, lines []Line, event audit.Event) (Execution, error)
}

// LeaseStore keeps who holds which execution. A lease that is not the
// execution's present one is NotFound to every method that takes its id.
type LeaseStore interface {
	// TakeLease gives the next queued execution of the environment to the
	// lease's worker: it becomes Started with that lease and one attempt more.
	// ok is false where nothing is queued there, or where as many executions are
	// leased as the environment's limit says. No two calls get the same
	// execution.
	//
	// The next is of the project that has the fewest leased in the environment,
	// among those of the one that was served the longest ago; and of its
	// executions the one of the highest priority, among those the oldest.
	TakeLease(ctx context.Context, environmentID string, lease Lease, at time.Time) (e Execution, ok bool, err error)

	ExecutionByLease(ctx context.Context, leaseID string) (Execution, error)

	// Held are up to limit executions that are held, by environment and project.
	Held(ctx context.Context, limit int) ([]Held, error)

	// RenewLease sets the lease's end.
	RenewLease(ctx context.Context, leaseID string, until time.Time) (Execution, error)

	// NoteImage keeps the digest, and the pull report where it is not nil.
	NoteImage(ctx context.Context, leaseID, digest string, report json.RawMessage) error

	// FinishLease ends the execution with the result, appends the lines and
	// clears the lease.
	FinishLease(ctx context.Context, leaseID string, at time.Time, result Result, lines []Line) error

	// StopLease makes a Started execution Stopping and appends the lines; one that
	// is Stopping already stays as it is.
	StopLease(ctx context.Context, leaseID string, lines []Line) error

	// RequeueLease gives the execution back to the queue, at its old place, and
	// appends the lines.
	RequeueLease(ctx context.Context, leaseID string, lines []Line) error

	// NoteLost writes down that the lease's worker was lost, for who wants to be
	// told: once for a lease, and only if it ended before at.
	NoteLost(ctx context.Context, leaseID string, at time.Time) error

	// LapsedLeases are up to limit executions whose lease ended before at.
	LapsedLeases(ctx context.Context, at time.Time, limit int) ([]Execution, error)
}

// LogStore keeps the lines. It numbers them, and moves a line's time on where it
// is not later than that of the line before.
type LogStore interface {
	// AppendLog stores a batch under a lease. A batch whose number is not above
	// the lease's last one was stored before: nothing changes. The metadata are
	// those of the lines.
	AppendLog(ctx context.Context, leaseID string, batch int64, lines []Line, metadata ...Metadatum) error

	// ReadLog are up to limit lines after the sequence number after, in order.
	ReadLog(ctx context.Context, executionID string, after int64, limit int) ([]Line, error)

	// LogLength is the number of lines.
	LogLength(ctx context.Context, executionID string) (int64, error)
}
