package pull

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Phase is what happens to a layer.
type Phase string

// The phases of a layer, in their order; Exists comes instead of all others.
const (
	Waiting     Phase = "waiting"     // for its turn, for another pull, or for the registry's first byte
	Downloading Phase = "downloading" // bytes are coming, and are unpacked at once
	Unpacking   Phase = "unpacking"   // the rest of it, or waits for the layers below it
	Done        Phase = "done"
	Exists      Phase = "exists" // was on this worker already
)

// Progress is how far a pull is.
type Progress struct {
	Layers []LayerProgress // from the bottom up; empty until the manifest is read
}

// LayerProgress is how far one layer is.
type LayerProgress struct {
	Digest digest.Digest
	Phase  Phase
	Done   int64 // bytes downloaded
	Total  int64 // bytes as the registry has them
}

// Short is the digest as people are shown it: twelve characters.
func (l LayerProgress) Short() string { return short(l.Digest) }

// board is where the layers' states are written down and read from, by the
// progress callback while the pull runs and for the report at its end.
type board struct {
	now    func() time.Time
	source Source // of layers that are fetched

	mu      sync.Mutex
	states  []LayerProgress
	reports []LayerReport
	changed bool
}

func (b *board) start(states []LayerProgress) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states = states
	b.reports = make([]LayerReport, len(states))
	for i, state := range states {
		b.reports[i] = LayerReport{Digest: state.Digest, Size: state.Total}
		if state.Phase == Exists {
			b.reports[i].From = Here
		}
	}
	b.changed = true
}

// enter moves a layer to a phase.
func (b *board) enter(layer int, phase Phase) {
	b.mu.Lock()
	defer b.mu.Unlock()
	state := &b.states[layer]
	state.Phase = phase
	switch phase {
	case Unpacking, Done, Exists:
		state.Done = state.Total
	}
	if report := &b.reports[layer]; report.From == "" && (phase == Done || phase == Exists) {
		report.From = Here
	}
	b.changed = true
}

// reach sets how many bytes of a layer are done.
func (b *board) reach(layer int, done int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.states[layer].Done = done
	b.changed = true
}

// report changes what is known of a layer for the report.
func (b *board) report(layer int, change func(*LayerReport)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(&b.reports[layer])
}

// requested notes that the registry, or a cache, is asked for a layer.
func (b *board) requested(layer int) {
	b.report(layer, func(l *LayerReport) {
		l.From = b.source
		if l.RequestedAt.IsZero() {
			l.RequestedAt = b.now()
		}
	})
}

// arrived notes that bytes of a layer came and were passed on; none yet, when the
// first are here.
func (b *board) arrived(layer, bytes int) {
	b.report(layer, func(l *LayerReport) {
		l.Fetched += int64(bytes)
		l.LastByteAt = b.now()
		if l.FirstByteAt.IsZero() {
			l.FirstByteAt = l.LastByteAt
		}
	})
}

// unpacked notes that there is nothing more to unpack of a layer.
func (b *board) unpacked(layer int) {
	b.report(layer, func(l *LayerReport) { l.UnpackedAt = b.now() })
}

func (b *board) layers() []LayerReport {
	b.mu.Lock()
	defer b.mu.Unlock()
	return slices.Clone(b.reports)
}

// take is the present state, if it changed since the last time.
func (b *board) take() (Progress, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.changed {
		return Progress{}, false
	}
	b.changed = false
	return Progress{Layers: slices.Clone(b.states)}, true
}

// tell calls tell with each new state, at most once in every, until ctx ends,
// and then once more with the last one.
func (b *board) tell(ctx context.Context, every time.Duration, tell func(Progress)) {
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			if last, changed := b.take(); changed {
				tell(last)
			}
			return
		case <-ticker.C:
			if now, changed := b.take(); changed {
				tell(now)
			}
		}
	}
}
