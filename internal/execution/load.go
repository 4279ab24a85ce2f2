package execution

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
)

// Load is how much there is to do in an environment.
type Load struct {
	Queued, Running int

	// OldestAt is when the oldest of the queued ones was made; zero: none is queued.
	OldestAt time.Time
}

// Held is what a worker is at: the execution that it has a lease of.
type Held struct {
	ExecutionID, ProjectID, EnvironmentID string

	Counter              int
	WorkerID, WorkerName string
	Attempt              int
	StartedAt            time.Time // the first attempt's beginning
	ExpiresAt            time.Time // the lease's end, unless it is renewed
}

// heldMost is how many of the held executions are listed.
const heldMost = 500

// Loads are what there is to do, by environment. One with nothing to do is not there.
func (s *Service) Loads(ctx context.Context) (map[string]Load, error) { return s.store.Loads(ctx) }

// Held are the executions that workers hold, by environment, at most 500; only an
// operator may see them. It tells of other organisations' executions that they are
// there, and nothing that is in them.
func (s *Service) Held(ctx context.Context, actor account.Actor) ([]Held, error) {
	if err := actor.MayOperate(); err != nil {
		return nil, err
	}
	return s.store.Held(ctx, heldMost)
}
