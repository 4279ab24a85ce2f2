package granttest

import (
	"sync"
	"time"
)

// conditions are what keeps a registry from answering: an outage, or that too
// much was pulled.
type conditions struct {
	mu     sync.Mutex
	limit  limit
	outage int // a status; 0: none
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

func (c *conditions) outageNow() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.outage
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
