package pull

import (
	"sync"
	"time"
)

// activity is what a pull can be busy with. Several go on at once; the time
// then counts for the first of them in this order, so that a phase of the
// report costs what the pull would be faster without it.
type activity int

const (
	unpacking activity = iota
	transferring
	authorizing
	resolving
	waiting
	activities // how many there are
)

// timeline adds up what a pull's time goes on.
type timeline struct {
	now func() time.Time

	mu    sync.Mutex
	last  time.Time // up to when time is added up
	going [activities]int
	spent [activities]time.Duration
}

// enter begins an activity; what it returns ends it.
func (t *timeline) enter(a activity) (leave func()) {
	t.change(a, 1)
	return func() { t.change(a, -1) }
}

func (t *timeline) change(a activity, by int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	now := t.now()
	for i, n := range t.going {
		if n > 0 {
			t.spent[i] += now.Sub(t.last)
			break
		}
	}
	t.last = now
	t.going[a] += by
}

func (t *timeline) of(a activity) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spent[a]
}
