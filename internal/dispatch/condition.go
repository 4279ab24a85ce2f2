package dispatch

import (
	"context"
	"maps"
	"sync"

	"fairlead.dev/fairlead/internal/execution"
)

// told is the latest value of each name that a command told, for the executions
// with a stop condition that are held now. It can be read anew at any time.
type told struct {
	mu      sync.Mutex
	byLease map[string]map[string]any
}

// toldMost is how many executions are remembered; beyond it all are read anew.
const toldMost = 10_000

// stopEarly asks for the end of an execution whose stop condition the new
// metadata fulfil. Each line is looked at with the latest values of all names.
func (s *Service) stopEarly(ctx context.Context, e execution.Execution, metadata []execution.Metadatum) error {
	if e.Work.StopCondition == "" || len(metadata) == 0 || e.Status != execution.Started {
		return nil
	}
	holds, err := s.conditionHolds(ctx, e, metadata)
	if err != nil || !holds {
		return err
	}
	line := execution.Line{
		Time: s.config.Now(), Stream: execution.StatusStream,
		Text: execution.CleanText("Stopped by the step's stop condition: " + e.Work.StopCondition),
	}
	return s.config.Store.StopLease(ctx, e.Lease.ID, []execution.Line{line})
}

func (s *Service) conditionHolds(ctx context.Context, e execution.Execution, metadata []execution.Metadatum) (bool, error) {
	condition, err := execution.ParseCondition(e.Work.StopCondition)
	if err != nil {
		return false, err
	}
	s.told.mu.Lock()
	values, known := s.told.byLease[e.Lease.ID]
	values = maps.Clone(values)
	s.told.mu.Unlock()
	if !known {
		values = make(map[string]any)
		// What another process was told, or this one before it began anew.
		for after := int64(0); ; {
			page, _, err := s.config.Store.Metadata(ctx, e.ID, after, toldMost)
			if err != nil {
				return false, err
			}
			for _, m := range page {
				m.AddTo(values)
				after = m.Number
			}
			if len(page) < toldMost {
				break
			}
		}
	}
	holds := false
	for _, m := range metadata {
		m.AddTo(values)
		holds = holds || condition.Holds(values)
	}
	s.told.mu.Lock()
	defer s.told.mu.Unlock()
	if s.told.byLease == nil || len(s.told.byLease) >= toldMost {
		s.told.byLease = make(map[string]map[string]any)
	}
	s.told.byLease[e.Lease.ID] = values
	return holds, nil
}

func (t *told) forget(leaseID string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	delete(t.byLease, leaseID)
}
