package execution

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
)

// followChunk is how many lines are read at a time, and lookAgain how often the
// store is asked though nothing rang: another process may have written.
const (
	followChunk = 2048
	lookAgain   = time.Second
)

// Tail are the last lines of the log, or with limit 0 all of them up to a
// million, and how many there are.
func (s *Service) Tail(ctx context.Context, actor account.Actor, key string, limit int) (lines []Line, total int64, err error) {
	total, err = s.TellTail(ctx, actor, key, limit, func(some []Line) error {
		lines = append(lines, some...)
		return nil
	})
	if err != nil {
		return nil, 0, err
	}
	return lines, total, nil
}

// TellTail gives the lines of Tail to tell, some thousand at a time, so that a long
// log is never in memory as a whole. It ends with the first error of tell.
func (s *Service) TellTail(ctx context.Context, actor account.Actor, key string, limit int, tell func([]Line) error) (total int64, err error) {
	const allMost = 1_000_000
	e, _, err := s.Get(ctx, actor, key)
	if err != nil {
		return 0, err
	}
	if total, err = s.store.LogLength(ctx, e.ID); err != nil {
		return 0, err
	}
	if limit <= 0 || limit > allMost {
		limit = allMost
	}
	for after := max(0, total-int64(limit)); after < total; {
		some, err := s.store.ReadLog(ctx, e.ID, after, int(min(BatchMost, total-after)))
		if err != nil || len(some) == 0 {
			return total, err
		}
		if err := tell(some); err != nil {
			return total, err
		}
		after = some[len(some)-1].Sequence
	}
	return total, nil
}

// Follower is who hears of an execution.
type Follower interface {
	// Lines gets what was added to the log, in order.
	Lines(lines []Line) error

	// State gets the execution whenever it changed, and at the end.
	State(e Execution) error
}

// Follow tells follower of the execution's log after a sequence number and of
// its state, until it has ended and everything was told, or ctx ends, or
// follower returns an error. The final state comes after the last line.
func (s *Service) Follow(ctx context.Context, actor account.Actor, key string, after int64, follower Follower) error {
	e, _, err := s.Get(ctx, actor, key)
	if err != nil {
		return err
	}
	var told Execution
	for {
		changed := s.changed.Wait(e.ID)
		// The state is read before the log, so that a final state means that
		// every line is there to be read.
		if e, err = s.store.ExecutionByID(ctx, e.ID); err != nil {
			return err
		}
		if after, err = s.tell(ctx, e.ID, after, follower); err != nil {
			return err
		}
		if e.Status != told.Status || e.ImageDigest != told.ImageDigest {
			if err := follower.State(e); err != nil {
				return err
			}
			told = e
		}
		if e.Status.IsFinal() {
			return nil
		}
		if err := wait(ctx, changed); err != nil {
			return err
		}
	}
}

// tell passes on all lines after a sequence number and returns the last one's.
func (s *Service) tell(ctx context.Context, id string, after int64, follower Follower) (int64, error) {
	for {
		lines, err := s.store.ReadLog(ctx, id, after, followChunk)
		if err != nil || len(lines) == 0 {
			return after, err
		}
		if err := follower.Lines(lines); err != nil {
			return after, err
		}
		after = lines[len(lines)-1].Sequence
		if len(lines) < followChunk {
			return after, nil
		}
	}
}

func wait(ctx context.Context, changed <-chan struct{}) error {
	timer := time.NewTimer(lookAgain)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	case <-timer.C:
	}
	return nil
}
