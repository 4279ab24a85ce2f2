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
func (s *Service) Tail(ctx context.Context, actor account.Actor, key string, limit int) ([]Line, int64, error) {
	const allMost = 1_000_000
	e, _, err := s.Get(ctx, actor, key)
	if err != nil {
		return nil, 0, err
	}
	total, err := s.store.LogLength(ctx, e.ID)
	if err != nil {
		return nil, 0, err
	}
	if limit <= 0 || limit > allMost {
		limit = allMost
	}
	after := max(0, total-int64(limit))
	var lines []Line
	for int64(len(lines)) < total-after {
		chunk, err := s.store.ReadLog(ctx, e.ID, after+int64(len(lines)), min(followChunk, limit-len(lines)))
		if err != nil {
			return nil, 0, err
		}
		if len(chunk) == 0 {
			break
		}
		lines = append(lines, chunk...)
	}
	return lines, total, nil
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
