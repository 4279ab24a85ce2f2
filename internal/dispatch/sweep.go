package dispatch

import (
	"context"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// sweepEvery is how often lapsed leases are looked for, sweepMost how many are
// taken up at a time.
const (
	sweepEvery = 2 * time.Second
	sweepMost  = 100
)

// Sweep gives executions whose worker was lost back to the queue, until ctx
// ends. Several processes may sweep the same store.
func (s *Service) Sweep(ctx context.Context) {
	ticker := time.NewTicker(sweepEvery)
	defer ticker.Stop()
	for {
		if err := s.sweepOnce(ctx); err != nil && ctx.Err() == nil {
			s.config.Logger.Error("looking for lost workers", "error", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (s *Service) sweepOnce(ctx context.Context) error {
	lapsed, err := s.config.Store.LapsedLeases(ctx, s.config.Now(), sweepMost)
	if err != nil {
		return err
	}
	for _, e := range lapsed {
		s.config.Logger.Warn("a worker was lost", "worker", e.Lease.WorkerName, "execution", e.ID, "attempt", e.Lease.Attempt)
		// Before the lease is gone, so that a server that is killed in between
		// comes by again.
		if err := s.config.Store.NoteLost(ctx, e.Lease.ID, s.config.Now()); err != nil && !fault.Is(err, fault.NotFound) {
			return err
		}
		s.config.Observer.Lost()
		why := fmt.Sprintf("Worker %s was lost: it was not heard of for %s", e.Lease.WorkerName, s.config.LeaseLife)
		if err := s.giveBack(ctx, e, why); err != nil {
			return err
		}
	}
	return nil
}
