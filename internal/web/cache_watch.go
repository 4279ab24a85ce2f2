package web

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/wire"
)

// Cache is the pull-through cache inside the server.
type Cache interface {
	// StatusFor is how the cache is, of that which the actor may be told.
	StatusFor(ctx context.Context, actor account.Actor) (wire.CacheStatus, error)
}

// Bounds of what a CacheWatch remembers.
const (
	watchEvery  = time.Minute
	watchMost   = int(24 * time.Hour / watchEvery)
	quotasMost  = 32
	notTold     = -1
	quotaIsPast = 24 * time.Hour // a quota that was told longer ago tells nothing of now
)

// CacheWatch remembers how a cache was for the last 24 hours, in the memory of this
// process, a point each time that Note is called. It is safe for concurrent use.
type CacheWatch struct {
	cache Cache

	mu     sync.Mutex
	points []cachePoint
	quotas []quotaLine
}

// cachePoint is how a cache was: what it gave until then, and of it without asking
// anybody, and how many bytes it kept.
type cachePoint struct {
	at          time.Time
	given, hits int64
	stored      int64
}

// quotaLine is what a registry still gave to a credential, at each of the points.
type quotaLine struct {
	host, organization, credential string
	left                           []int32 // notTold where nothing was told
}

// NewCacheWatch watches a cache.
func NewCacheWatch(cache Cache) *CacheWatch { return &CacheWatch{cache: cache} }

// Run notes how the cache is every minute, until ctx ends.
func (w *CacheWatch) Run(ctx context.Context, now func() time.Time) {
	ticker := time.NewTicker(watchEvery)
	defer ticker.Stop()
	for {
		_ = w.Note(ctx, now()) // there is a point less
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

// Note adds a point; the oldest goes where there are 1,440. An error leaves all as it
// was.
func (w *CacheWatch) Note(ctx context.Context, now time.Time) error {
	status, err := w.cache.StatusFor(ctx, account.Actor{Operator: true})
	if err != nil {
		return err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.points) == watchMost {
		w.points = slices.Delete(w.points, 0, 1)
		for i := range w.quotas {
			w.quotas[i].left = slices.Delete(w.quotas[i].left, 0, 1)
		}
	}
	before := len(w.points)
	w.points = append(w.points, cachePoint{
		at: now, given: status.Manifests + status.Blobs, hits: status.ManifestHits + status.BlobHits, stored: status.StoredBytes,
	})
	for _, told := range status.Quotas {
		if now.Sub(told.ToldAt.Or()) > quotaIsPast {
			continue
		}
		i := slices.IndexFunc(w.quotas, func(q quotaLine) bool {
			return q.host == told.Host && q.organization == told.Organization && q.credential == told.Credential
		})
		if i < 0 {
			if len(w.quotas) == quotasMost {
				continue
			}
			i = len(w.quotas)
			w.quotas = append(w.quotas, quotaLine{
				host: told.Host, organization: told.Organization, credential: told.Credential, left: slices.Repeat([]int32{notTold}, before),
			})
		}
		w.quotas[i].left = append(w.quotas[i].left[:before], int32(min(max(told.Remaining, 0), 1<<31-1)))
	}
	for i := range w.quotas {
		if len(w.quotas[i].left) == before {
			w.quotas[i].left = append(w.quotas[i].left, notTold)
		}
	}
	w.quotas = slices.DeleteFunc(w.quotas, func(q quotaLine) bool { return slices.Max(q.left) == notTold })
	return nil
}

// cacheLines are the points as lines over time.
type cacheLines struct {
	Since  time.Time // zero: there is no point
	Rate   *timeline // nil: nothing was given in that time
	Stored *timeline
	Quotas []timeline
}

// ratesMost is how many stretches of time the share of hits is told of: of a minute
// it would be of too few pulls.
const ratesMost = 96

// lines draws what is remembered.
func (w *CacheWatch) lines() cacheLines {
	w.mu.Lock()
	defer w.mu.Unlock()
	var lines cacheLines
	if len(w.points) == 0 {
		return lines
	}
	lines.Since = w.points[0].at
	stored := make([]float64, len(w.points))
	for i, p := range w.points {
		stored[i] = float64(p.stored)
	}
	lines.Stored = newTimeline("Kept", lines.Since, stored, 0, formatBytes)
	if rates := w.rates(); len(rates) > 0 {
		lines.Rate = newTimeline("Given from what is kept", lines.Since, rates, 100, formatPercent)
	}
	for _, q := range w.quotas {
		first := slices.IndexFunc(q.left, func(left int32) bool { return left != notTold })
		var left []float64
		for _, n := range q.left[first:] {
			if n != notTold { // a while without news is left out
				left = append(left, float64(n))
			}
		}
		name := q.host
		if q.credential != "" {
			name += " for " + q.organization + "/" + q.credential
		}
		lines.Quotas = append(lines.Quotas, *newTimeline(name, w.points[first].at, left, 0, figure))
	}
	slices.SortFunc(lines.Quotas, func(a, b timeline) int { return cmp.Compare(a.Name, b.Name) })
	return lines
}

// rates are the shares of hits of each stretch of time, in per cent; one without
// pulls has that of the stretch before.
func (w *CacheWatch) rates() (rates []float64) {
	last := w.points[0]
	step := max(1, (len(w.points)+ratesMost-1)/ratesMost)
	for i := step; i < len(w.points); i += step {
		p := w.points[i]
		if given := p.given - last.given; given > 0 {
			rates = append(rates, 100*float64(p.hits-last.hits)/float64(given))
		} else if len(rates) > 0 {
			rates = append(rates, rates[len(rates)-1])
		}
		last = p
	}
	return rates
}
