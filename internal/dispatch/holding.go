package dispatch

import (
	"context"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
)

// holdingLife is how long a lease that was looked up is believed in without
// another look. What ends it in this process is seen at once; another process's
// doing after this time.
const (
	holdingLife  = time.Second
	holdingsMost = 10_000
)

// holding is what a lease stands for.
type holding struct {
	execution execution.Execution
	project   account.Project
	loaded    time.Time
}

// holdings remembers leases for a moment, for those who ask thousands of times.
// The zero value is ready; safe for concurrent use.
type holdings struct {
	mu         sync.Mutex
	byLease    map[string]holding
	generation int // counts what was forgotten
}

// Holding is Held with the execution's project, remembered for a second: it is
// for pull grants, which workers ask for many at a time.
func (s *Service) Holding(ctx context.Context, actor account.Actor, leaseID string) (execution.Execution, account.Project, error) {
	now := s.config.Now()
	known, found, generation := s.holdings.get(leaseID)
	if found && now.Sub(known.loaded) < holdingLife && now.Before(known.execution.Lease.ExpiresAt) &&
		actor.WorkerID != "" && known.execution.Lease.WorkerID == actor.WorkerID {
		return known.execution, known.project, nil
	}
	e, err := s.Held(ctx, actor, leaseID)
	if err != nil {
		return execution.Execution{}, account.Project{}, err
	}
	project, err := s.config.Projects.ProjectByID(ctx, e.ProjectID)
	if err != nil {
		return execution.Execution{}, account.Project{}, err
	}
	s.holdings.put(leaseID, holding{execution: e, project: project, loaded: now}, generation)
	return e, project, nil
}

func (h *holdings) get(leaseID string) (known holding, found bool, generation int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	known, found = h.byLease[leaseID]
	return known, found, h.generation
}

// put remembers what was read when generation was the present one; what was
// forgotten since then may be about just this lease.
func (h *holdings) put(leaseID string, fresh holding, generation int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if generation != h.generation {
		return
	}
	if h.byLease == nil || len(h.byLease) >= holdingsMost {
		h.byLease = make(map[string]holding)
	}
	h.byLease[leaseID] = fresh
}

func (h *holdings) forget(leaseID string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.generation++
	delete(h.byLease, leaseID)
}
