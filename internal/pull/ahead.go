package pull

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"fairlead.dev/fairlead/internal/oci"
)

const (
	// largeParts is how many parts a layer must have more than, to be fetched in
	// parts.
	largeParts = 4

	// layerConnections is how many connections bring parts of one layer before
	// their turn.
	layerConnections = 4
)

// memory is the room for parts of layers that arrive before their turn, over all
// pulls of a store. What it held is used again, and given back to the machine once
// nobody needs it.
type memory struct {
	part  int64 // bytes
	parts int64 // how many there is room for
	room  *semaphore.Weighted
	free  sync.Pool // *[]byte
}

func newMemory(part, all int64) *memory {
	m := &memory{part: part, parts: all / part}
	m.room = semaphore.NewWeighted(m.parts)
	m.free.New = func() any {
		buffer := make([]byte, part)
		return &buffer
	}
	return m
}

// isLarge reports whether a layer of that size is worth being fetched in parts.
func (m *memory) isLarge(bytes int64) bool { return m.parts > 0 && bytes > largeParts*m.part }

// take waits for room for a part; the error is that of ctx.
func (m *memory) take(ctx context.Context) (*[]byte, error) {
	if err := m.room.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	return m.free.Get().(*[]byte), nil
}

func (m *memory) give(buffer *[]byte) {
	m.free.Put(buffer)
	m.room.Release(1)
}

// part is a run of a layer's bytes that comes before its turn.
type part struct {
	start, end int64
	buffer     *[]byte
	filled     atomic.Int64
	more       chan struct{} // holds a token when filled has grown
	done       chan struct{} // closed when no more comes
	err        error         // why, once done is closed
}

func (p *part) room() []byte { return (*p.buffer)[p.filled.Load() : p.end-p.start] }

// fill notes that so many bytes more are where room said.
func (p *part) fill(b []byte) {
	p.filled.Add(int64(len(b)))
	select {
	case p.more <- struct{}{}:
	default:
	}
}

func (p *part) finish(err error) {
	p.err = err
	close(p.done)
}

// lookahead brings parts of a layer before their turn, while the first of what
// is missing is passed on. Parts are taken in their order, and only with room for
// them, so what is next is always on its way, or here, or taken by nobody; then it
// is fetched and passed on at once. So no layer ever waits for room that another
// has.
type lookahead struct {
	*download
	fail  context.CancelCauseFunc // ends the download
	begin func()                  // has parts come; once
	halt  context.CancelFunc      // ends what begin began
	group sync.WaitGroup

	claims sync.Mutex
	next   int64   // where the first part begins that nobody has taken
	parts  []*part // taken and not passed on, in their order
}

// inParts passes on all of the layer, over some connections at once.
func (d *download) inParts(ctx context.Context) error {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	working, halt := context.WithCancel(ctx)
	a := &lookahead{download: d, fail: fail, halt: halt, next: d.offset}
	a.begin = sync.OnceFunc(func() {
		for range layerConnections {
			a.group.Go(func() { a.work(working) })
		}
	})
	defer a.stop()
	for d.offset < d.layer.Size {
		err := a.advance(ctx)
		switch cause := context.Cause(ctx); {
		case errors.Is(err, oci.ErrUndivided): // after it had sent parts
			a.alone()
		case err != nil && cause != nil:
			return cause // of what came first
		case err != nil:
			return err
		}
	}
	return nil
}

// advance passes on the next part.
func (a *lookahead) advance(ctx context.Context) error {
	if first := a.first(); first != nil {
		return a.passPart(ctx, first)
	}
	s := a.straight(a.claimStraight())
	s.divided = a.begin
	s.undivided = func() error { a.alone(); return nil }
	return s.complete(ctx)
}

// first is the part that comes next, if it is on its way.
func (a *lookahead) first() *part {
	a.claims.Lock()
	defer a.claims.Unlock()
	if len(a.parts) == 0 {
		return nil
	}
	return a.parts[0]
}

// claimStraight takes the next part to be passed on while it comes, and gives its
// end; 0, where the registry sends no parts.
func (a *lookahead) claimStraight() (end int64) {
	a.claims.Lock()
	defer a.claims.Unlock()
	if a.registry.undivided.Load() {
		a.next = a.layer.Size
		return 0
	}
	a.next = min(a.next+a.store.memory.part, a.layer.Size)
	return a.next
}

// claim takes the next part, once there is room for it; nil: there is none, or ctx
// has ended.
func (a *lookahead) claim(ctx context.Context) *part {
	buffer, err := a.store.memory.take(ctx)
	if err != nil {
		return nil
	}
	a.claims.Lock()
	defer a.claims.Unlock()
	if a.next == a.layer.Size {
		a.store.memory.give(buffer)
		return nil
	}
	p := &part{
		start: a.next, end: min(a.next+a.store.memory.part, a.layer.Size), buffer: buffer,
		more: make(chan struct{}, 1), done: make(chan struct{}),
	}
	a.next = p.end
	a.parts = append(a.parts, p)
	return p
}

// work brings one part after the other.
func (a *lookahead) work(ctx context.Context) {
	for p := a.claim(ctx); p != nil; p = a.claim(ctx) {
		s := &span{
			download: a.download, offset: p.start, end: p.end, part: true, pass: p.fill, room: p.room,
			undivided: func() error { return oci.ErrUndivided },
		}
		err := s.complete(ctx)
		p.finish(err)
		if err != nil {
			if ctx.Err() == nil && !errors.Is(err, oci.ErrUndivided) {
				a.fail(err)
			}
			return
		}
	}
}

// passPart passes on a part while it comes.
func (a *lookahead) passPart(ctx context.Context, p *part) error {
	for passed := int64(0); passed < p.end-p.start; {
		if filled := p.filled.Load(); passed < filled {
			piece := (*p.buffer)[passed:min(filled, passed+copyBuffer)]
			a.digest(piece)
			a.pass(piece)
			passed += int64(len(piece))
			continue
		}
		select {
		case <-p.more:
		case <-p.done:
			if p.err != nil && p.filled.Load() == passed {
				return p.err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	<-p.done
	a.claims.Lock()
	a.parts = a.parts[1:]
	a.claims.Unlock()
	a.store.memory.give(p.buffer)
	return nil
}

// alone has the rest of the layer come over one connection, as the registry wants
// it.
func (a *lookahead) alone() {
	a.registry.undivided.Store(true)
	a.stop()
}

// stop ends what is on its way before its turn, and gives back its room.
func (a *lookahead) stop() {
	a.halt()
	a.group.Wait()
	for _, p := range a.parts {
		a.arrive(max(a.offset, p.start) - p.start - p.filled.Load())
		a.store.memory.give(p.buffer)
	}
	a.parts, a.next = nil, a.offset
}
