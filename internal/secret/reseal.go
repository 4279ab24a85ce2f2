package secret

import (
	"context"
	"sync"
)

// Sealing keeps apart those who store newly sealed secrets and a change of the
// keys that they are sealed with. The zero Sealing is ready; it must not be
// copied.
type Sealing struct{ mu sync.RWMutex }

// Begin is called before a secret is sealed, and what it returns once it is
// stored.
func (s *Sealing) Begin() (end func()) {
	s.mu.RLock()
	return s.mu.RUnlock
}

// Reseal seals again what other keys than the present one sealed, one thing at a
// time while others go on, and returns how many there were. Left lists some of
// those that are left; none ends it. Again seals one of them, and reports false
// where a change was faster, whose key is the present one. Broken off at any
// point it can be called again.
func Reseal[T any](ctx context.Context, s *Sealing, left func(context.Context) ([]T, error), again func(context.Context, T) (bool, error)) (int, error) {
	// A change that sealed with the old key and has not stored it yet is waited
	// for; whatever seals from now on uses the new key.
	s.mu.Lock()
	s.mu.Unlock() //nolint:staticcheck // an empty critical section is the point: it is a barrier
	resealed := 0
	for {
		things, err := left(ctx)
		if err != nil || len(things) == 0 {
			return resealed, err
		}
		for _, thing := range things {
			changed, err := again(ctx, thing)
			if err != nil {
				return resealed, err
			}
			if changed {
				resealed++
			}
		}
	}
}
