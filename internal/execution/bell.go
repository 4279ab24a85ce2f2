package execution

import "sync"

// Bell wakes those who wait for something about a key to change, within this
// process. It tells only that it is worth looking again. The zero value is
// ready; safe for concurrent use.
type Bell struct {
	mu      sync.Mutex
	waiting map[string]chan struct{}
}

// Wait returns a channel that is closed at the next Ring of key. Take it before
// looking, so that nothing between looking and waiting is missed.
func (b *Bell) Wait(key string) <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.waiting == nil {
		b.waiting = make(map[string]chan struct{})
	}
	channel, found := b.waiting[key]
	if !found {
		channel = make(chan struct{})
		b.waiting[key] = channel
	}
	return channel
}

// Ring wakes everybody who waits for key.
func (b *Bell) Ring(key string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if channel, found := b.waiting[key]; found {
		close(channel)
		delete(b.waiting, key)
	}
}
