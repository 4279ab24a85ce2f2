package audit

import (
	"context"
	"time"
)

// Expirer removes the oldest rows of the trail.
type Expirer interface {
	// Expire removes the oldest rows, in their order and in one change: at most
	// limit, up to the first that is not before that time or has an id above
	// most. The event that tell makes of their number and the last of them is
	// appended in the same change; where there are none, nothing is.
	Expire(ctx context.Context, before time.Time, most int64, limit int, tell func(count int, last Point) Event) (count int, err error)
}

// expireBatch is how many rows are removed in one change: the next grant need not
// wait long.
const expireBatch = 500

// Expire removes what is older than keep at the time now, but no row with an id
// above most, and leaves a row about each batch. A row that is newer than keep
// holds all behind it. What was removed is returned also with an error.
func Expire(ctx context.Context, store Expirer, now time.Time, keep time.Duration, most int64) (removed int, err error) {
	for {
		count, err := store.Expire(ctx, now.Add(-keep), most, expireBatch, func(count int, last Point) Event {
			return Expired(now, count, last, keep)
		})
		removed += count
		if err != nil || count < expireBatch {
			return removed, err
		}
	}
}
