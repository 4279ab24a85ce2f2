package worker

import (
	"context"
	"log/slog"
	"time"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// hold keeps a lease while its execution runs, and ends the execution's
// context when the lease is lost or somebody asks to stop.
type hold struct {
	client *client.Client
	lease  wire.Lease
	cancel context.CancelCauseFunc
	logger *slog.Logger
}

// run works until ctx ends.
func (h hold) run(ctx context.Context) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.watchStop(ctx)
	}()
	h.renew(ctx)
	<-done
}

// renew renews at once, for the lease may have been long on its way here, and
// then at a fifth of its life. A worker that could not renew for three quarters
// of it gives up and kills the container, so that this is gone before the lease
// ends and somebody else runs the execution.
func (h hold) renew(ctx context.Context) {
	life := time.Duration(h.lease.LifeSeconds) * time.Second
	giveUp := time.Now().Add(life * 3 / 4)
	retry := retryFirst
	for ctx.Err() == nil {
		begin := time.Now()
		attempt, cancel := context.WithDeadline(ctx, earlier(begin.Add(life/5), giveUp))
		state, err := h.client.RenewLease(attempt, h.lease.ID)
		cancel()
		gone := fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated)
		switch {
		case err == nil:
			life = time.Duration(state.LifeSeconds) * time.Second
			giveUp, retry = begin.Add(life*3/4), retryFirst
			pause(ctx, life/5)
		case ctx.Err() != nil:
			return
		case gone || !time.Now().Before(giveUp):
			h.logger.Warn("lost the lease", "execution", h.lease.Execution.ID, "error", err)
			h.cancel(errLeaseLost)
			return
		default:
			pause(ctx, min(retry, time.Until(giveUp)))
			retry = min(2*retry, life/10)
		}
	}
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

func (h hold) watchStop(ctx context.Context) {
	for ctx.Err() == nil {
		stop, err := h.client.StopAsked(ctx, h.lease.ID, takeWait)
		switch {
		case err != nil:
			pause(ctx, retryMost)
		case stop:
			h.cancel(errStopped)
			return
		}
	}
}
