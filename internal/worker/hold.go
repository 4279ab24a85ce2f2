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

// renew renews at a third of the lease's life. A worker that could not renew
// gives up before the lease ends, so that nobody else runs the execution while
// its container is still here.
func (h hold) renew(ctx context.Context) {
	life := time.Duration(h.lease.LifeSeconds) * time.Second
	last := time.Now()
	for {
		pause(ctx, life/3)
		for retry := retryFirst; ctx.Err() == nil; retry = min(2*retry, life/10) {
			begin := time.Now()
			attempt, cancel := context.WithTimeout(ctx, life/3)
			state, err := h.client.RenewLease(attempt, h.lease.ID)
			cancel()
			if err == nil {
				last, life = begin, time.Duration(state.LifeSeconds)*time.Second
				break
			}
			gone := fault.Is(err, fault.NotFound) || fault.Is(err, fault.Unauthenticated)
			if ctx.Err() == nil && (gone || time.Since(last) > life*2/3) {
				h.logger.Warn("lost the lease", "execution", h.lease.Execution.ID, "error", err)
				h.cancel(errLeaseLost)
				return
			}
			pause(ctx, retry)
		}
		if ctx.Err() != nil {
			return
		}
	}
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
