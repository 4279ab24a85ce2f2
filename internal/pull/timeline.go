package pull

import (
	"slices"
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
	waiting    // for the registry to answer
	pausing    // before a retry
	queueing   // for another pull on this worker
	activities // how many there are
)

// timeline adds up what a pull's time goes on, and remembers when.
type timeline struct {
	now func() time.Time

	mu    sync.Mutex
	last  time.Time // up to when time is added up
	going [activities]int
	spent [activities]time.Duration
	begun [activities]time.Time
	spans [activities][]Span
}

// Span is a stretch of time.
type Span struct{ Begin, End time.Time }

// Of an activity so many spans are remembered; the first, whatever it took, and
// later ones that a person would notice. Two that nothing lies between are one.
const (
	spansMost    = 64
	shortestSpan = time.Millisecond
)

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
	if t.going[a] == 0 {
		t.begun[a] = now
	}
	if t.going[a] += by; t.going[a] == 0 {
		t.spans[a] = remember(t.spans[a], Span{t.begun[a], now})
	}
}

func remember(spans []Span, next Span) []Span {
	switch last := len(spans) - 1; {
	case last >= 0 && next.Begin.Sub(spans[last].End) < shortestSpan:
		spans[last].End = next.End
	case last < 0, next.End.Sub(next.Begin) >= shortestSpan && len(spans) < spansMost:
		spans = append(spans, next)
	}
	return spans
}

func (t *timeline) of(a activity) time.Duration {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.spent[a]
}

// when is the time of an activity that is over, oldest first.
func (t *timeline) when(a activity) []Span {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.spans[a])
}
