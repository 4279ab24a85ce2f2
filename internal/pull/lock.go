package pull

import (
	"context"
	"sync"
)

// keyedLock is one lock for each key, so that two pulls that want the same
// thing do its work once. The zero value is ready.
type keyedLock struct {
	mu   sync.Mutex
	held map[string]*holder
}

type holder struct {
	free  chan struct{} // holds a token while nobody has the lock
	users int           // who has it or waits for it
}

// lock waits for the key's lock and returns what gives it back; the error is
// that of ctx.
func (l *keyedLock) lock(ctx context.Context, key string) (unlock func(), err error) {
	l.mu.Lock()
	if l.held == nil {
		l.held = make(map[string]*holder)
	}
	h := l.held[key]
	if h == nil {
		h = &holder{free: make(chan struct{}, 1)}
		h.free <- struct{}{}
		l.held[key] = h
	}
	h.users++
	l.mu.Unlock()

	select {
	case <-h.free:
		return func() {
			h.free <- struct{}{}
			l.leave(key, h)
		}, nil
	case <-ctx.Done():
		l.leave(key, h)
		return nil, ctx.Err()
	}
}

func (l *keyedLock) leave(key string, h *holder) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if h.users--; h.users == 0 {
		delete(l.held, key)
	}
}

// isHeld reports whether anybody has the key's lock or waits for it.
func (l *keyedLock) isHeld(key string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.held[key] != nil
}
