package broker

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Times of what is remembered.
const (
	// exchangeMost is how long one exchange may take.
	exchangeMost = 45 * time.Second

	// How long a failure stands: what the registry decided, what may pass by
	// itself, and the longest wait that a registry may ask for.
	refusalLife     = 10 * time.Second
	outageLife      = 2 * time.Second
	longestThrottle = 5 * time.Minute

	// aheadMost is the longest that the refresh of a grant which still holds is
	// put off after failures, each of which doubles the wait.
	aheadMost = time.Minute

	// sinceIssue is how old a grant must be before its refusal by the registry
	// makes another exchange worth it.
	sinceIssue = 5 * time.Second

	// entriesMost is how many grants and failures are kept.
	entriesMost = 20_000
)

// key is what one exchange is good for. Repository "" is the credential itself,
// for failures that have nothing to do with the repository. The credential's
// version changes with its secret, so that a mended one is tried at once.
type key struct {
	credential string
	version    int
	host       string
	repository string
	kept       bool // it does not leave the server
}

func (k key) ofCredential() key {
	k.repository, k.kept = "", false
	return k
}

// entry is what is known for a key: a grant, or a failure until a moment, and
// the exchange under way.
type entry struct {
	grant  Grant
	err    error
	until  time.Time // of err
	fails  int       // exchanges in a row that failed and may yet come right
	flight *flight
}

func (e *entry) failed(now time.Time) bool { return e.err != nil && now.Before(e.until) }

// flight is one exchange that any number of askers wait for.
type flight struct {
	done  chan struct{}
	grant Grant
	err   error
}

// cache holds grants until shortly before they end. For each key at most one
// exchange is under way, and it goes on though its askers leave.
type cache struct {
	now func() time.Time

	mu      sync.Mutex
	entries map[key]*entry
	flights sync.WaitGroup
}

// get is the grant for k, from memory or from exchange. refused is the IssuedAt
// of a grant that is of no use any more, and since how new a narrow one must be. It
// tells whether the grant was in memory.
func (c *cache) get(ctx context.Context, k key, refused, since time.Time, exchange func(context.Context) (Grant, error)) (_ Grant, remembered bool, _ error) {
	c.mu.Lock()
	now := c.now()
	e := c.entry(k)
	hasGrant := now.Before(e.grant.ExpiresAt)
	if hasGrant && e.grant.IssuedAt.Equal(refused) && now.Sub(e.grant.IssuedAt) >= sinceIssue {
		hasGrant = false
	}
	if e.grant.Narrow && e.grant.IssuedAt.Before(since) {
		hasGrant = false
	}
	switch {
	case hasGrant && (now.Before(e.grant.RefreshAt) || now.Before(e.until)):
		defer c.mu.Unlock()
		return e.grant, true, nil
	case hasGrant: // refreshed ahead, behind the asker's back
		defer c.mu.Unlock()
		c.start(ctx, k, e, exchange)
		return e.grant, true, nil
	case e.failed(now):
		defer c.mu.Unlock()
		return Grant{}, true, e.err
	}
	if whole, known := c.entries[k.ofCredential()]; known && whole.failed(now) {
		defer c.mu.Unlock()
		return Grant{}, true, whole.err
	}
	f := c.start(ctx, k, e, exchange)
	c.mu.Unlock()
	select {
	case <-f.done:
		return f.grant, false, f.err
	case <-ctx.Done():
		return Grant{}, false, ctx.Err()
	}
}

// entry is the entry for k, made where there is none. c.mu is held.
func (c *cache) entry(k key) *entry {
	e, found := c.entries[k]
	if !found {
		if len(c.entries) >= entriesMost {
			c.shrink()
		}
		e = new(entry)
		c.entries[k] = e
	}
	return e
}

// shrink drops what has ended, or if that is not enough, whatever comes first.
func (c *cache) shrink() {
	now := c.now()
	for k, e := range c.entries {
		if e.flight == nil && !now.Before(e.grant.ExpiresAt) && !now.Before(e.until) {
			delete(c.entries, k)
		}
	}
	for k, e := range c.entries {
		if len(c.entries) < entriesMost*3/4 {
			return
		}
		if e.flight == nil {
			delete(c.entries, k)
		}
	}
}

// start begins the exchange for e, unless one is under way. c.mu is held.
func (c *cache) start(ctx context.Context, k key, e *entry, exchange func(context.Context) (Grant, error)) *flight {
	if e.flight != nil {
		return e.flight
	}
	f := &flight{done: make(chan struct{})}
	e.flight = f
	c.flights.Go(func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), exchangeMost)
		defer cancel()
		f.grant, f.err = exchange(ctx)
		c.land(k, e, f)
		close(f.done)
	})
	return f
}

// land keeps what an exchange brought.
func (c *cache) land(k key, e *entry, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e.flight = nil
	if f.err == nil {
		*e = entry{grant: f.grant}
		return
	}
	// A grant that still holds stays, and is not refreshed before the failure
	// is forgotten.
	now := c.now()
	e.err, e.until = f.err, now.Add(failureLife(f.err, e.fails, !e.grant.ExpiresAt.After(now)))
	e.fails++
	if k.credential != "" && fault.Is(f.err, fault.Unauthenticated) {
		whole := c.entry(k.ofCredential())
		whole.err, whole.until = e.err, e.until
	}
}

// failureLife is how long a failure is remembered, so that a wrong secret does
// not lock the account, and a registry that is down or asks for patience is not
// stormed: each failure before it doubles the wait, and chance spreads those who
// wait. Where somebody waits, since no grant holds, it is short.
func failureLife(err error, before int, somebodyWaits bool) time.Duration {
	f := fault.From(err)
	switch {
	case f.RetryAfter > 0:
		return spread(min(f.RetryAfter, longestThrottle))
	case f.Kind != fault.Unavailable && f.Kind != fault.Exhausted:
		return refusalLife
	}
	most := aheadMost
	if somebodyWaits {
		most = refusalLife
	}
	return spread(min(outageLife<<min(before, 10), most))
}

// spread lengthens a wait by up to a quarter.
func spread(d time.Duration) time.Duration {
	return d + rand.N(d/4+1) //nolint:gosec // chance that spreads waits is no secret
}

// wait returns when no exchange is under way.
func (c *cache) wait() { c.flights.Wait() }
