package granttest

import (
	"context"
	"sync"
	"time"
)

// conditions are what keeps a registry from answering: an outage, or that too
// much was pulled.
type conditions struct {
	mu     sync.Mutex
	limit  limit
	outage int // a status; 0: none

	tokenOutage int           // the same, of the token service alone
	throttled   int           // requests that are still refused
	wait        time.Duration // that a refusal asks for
	held        chan struct{} // closed when answers are let go; nil: none is held
}

// limit is how much may still be pulled.
type limit struct {
	set              bool
	limit, remaining int
	window           time.Duration
}

// SetRateLimit makes the registry count the manifests that are got, which a
// HEAD request is not: the given number remain, of a limit in a window.
func (r *Registry) SetRateLimit(remaining, most int, window time.Duration) {
	r.conditions.mu.Lock()
	defer r.conditions.mu.Unlock()
	r.conditions.limit = limit{set: true, limit: most, remaining: remaining, window: window}
}

// SetOutage makes every host answer with a status, such as 503, to whatever is
// asked; 0 ends the outage.
func (r *Registry) SetOutage(status int) {
	r.conditions.mu.Lock()
	defer r.conditions.mu.Unlock()
	r.conditions.outage = status
}

// SetTokenOutage does so for the token service alone, while the registry goes on.
func (r *Registry) SetTokenOutage(status int) {
	r.conditions.mu.Lock()
	defer r.conditions.mu.Unlock()
	r.conditions.tokenOutage = status
}

// Throttle makes every host refuse the next few requests with 429, and ask for a
// wait in whole seconds (none, if 0).
func (r *Registry) Throttle(requests int, wait time.Duration) {
	r.conditions.mu.Lock()
	defer r.conditions.mu.Unlock()
	r.conditions.throttled, r.conditions.wait = requests, wait
}

// Hold keeps every answer back until release is called, which may be called
// again.
func (r *Registry) Hold() (release func()) {
	held := make(chan struct{})
	r.conditions.mu.Lock()
	defer r.conditions.mu.Unlock()
	r.conditions.held = held
	return sync.OnceFunc(func() { close(held) })
}

func (c *conditions) outageNow(token bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.outage == 0 && token {
		return c.tokenOutage
	}
	return c.outage
}

// isThrottled counts a request where requests are refused, and reports the wait.
func (c *conditions) isThrottled() (wait time.Duration, throttled bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.throttled == 0 {
		return 0, false
	}
	c.throttled--
	return c.wait, true
}

// untilReleased waits while answers are held back, or until ctx ends.
func (c *conditions) untilReleased(ctx context.Context) {
	c.mu.Lock()
	held := c.held
	c.mu.Unlock()
	if held == nil {
		return
	}
	select {
	case <-held:
	case <-ctx.Done():
	}
}

// take counts one pull, if it counts, and reports what is left, and false if
// nothing was.
func (c *conditions) take(counts bool) (now limit, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.limit.set || !counts {
		return c.limit, true
	}
	if c.limit.remaining == 0 {
		return c.limit, false
	}
	c.limit.remaining--
	return c.limit, true
}
