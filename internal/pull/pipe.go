package pull

import (
	"errors"
	"io"
	"sync"
)

// pipeBytes is how far one may be ahead of the other: enough that neither waits for
// the other's bursts.
const pipeBytes = 2 << 20

// pipe carries a layer from one goroutine that works on it to the next, through a
// buffer of fixed size. One goroutine writes and one reads.
type pipe struct {
	// idle is called by the reader when it has nothing to read, and busy when it
	// has again. Neither is called under the lock.
	idle, busy func()

	// drains takes what is written after the reader has gone, and throws it away,
	// so that a download can still be seen to be what it should. Otherwise a write
	// then fails.
	drains bool

	mu      sync.Mutex
	changed *sync.Cond
	buffer  []byte
	start   int // of what is to be read
	filled  int
	written error // why no more is written; io.EOF at the end
	read    error // why no more is read
}

func newPipe() *pipe {
	p := &pipe{idle: func() {}, busy: func() {}, buffer: make([]byte, pipeBytes)}
	p.changed = sync.NewCond(&p.mu)
	return p
}

// Write waits until there is room.
func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for n := 0; n < len(b); {
		for p.filled == len(p.buffer) && p.read == nil {
			p.changed.Wait()
		}
		if p.read != nil {
			if p.drains {
				return len(b), nil
			}
			return n, p.read
		}
		end := (p.start + p.filled) % len(p.buffer)
		room := min(len(p.buffer)-p.filled, len(p.buffer)-end)
		copied := copy(p.buffer[end:end+room], b[n:])
		n += copied
		p.filled += copied
		p.changed.Broadcast()
	}
	return len(b), nil
}

// finish says that no more comes: nil is the end of the layer.
func (p *pipe) finish(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if err == nil {
		err = io.EOF
	}
	p.written = err
	p.changed.Broadcast()
}

// failed reports whether the layer broke off.
func (p *pipe) failed() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.written != nil && !errors.Is(p.written, io.EOF)
}

// leave says that nobody reads any more.
func (p *pipe) leave() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.read = io.ErrClosedPipe
	p.changed.Broadcast()
}

// Read waits until there is something.
func (p *pipe) Read(b []byte) (int, error) {
	run, err := p.next()
	n := copy(b, run)
	p.skip(n)
	return n, err
}

// WriteTo has all that comes be written, as it lies in the buffer.
func (p *pipe) WriteTo(w io.Writer) (written int64, err error) {
	for {
		run, err := p.next()
		if errors.Is(err, io.EOF) {
			return written, nil
		}
		if err != nil {
			return written, err
		}
		n, err := w.Write(run[:min(len(run), copyBuffer)]) // so that there is room again soon
		written += int64(n)
		p.skip(n)
		if err != nil {
			return written, err
		}
	}
}

// next is what comes next of what is to be read, in one piece; it waits until there is
// something. It stays as it is until it is skipped.
func (p *pipe) next() ([]byte, error) {
	if run, ready, err := p.look(false); ready {
		return run, err
	}
	p.idle()
	defer p.busy()
	run, _, err := p.look(true)
	return run, err
}

// look is next, which where there is nothing is not ready, or waits.
func (p *pipe) look(wait bool) (run []byte, ready bool, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for wait && p.filled == 0 && p.written == nil && p.read == nil {
		p.changed.Wait()
	}
	if p.read != nil {
		return nil, true, p.read
	}
	if p.filled == 0 {
		return nil, p.written != nil, p.written
	}
	return p.buffer[p.start:min(p.start+p.filled, len(p.buffer))], true, nil
}

// skip makes room of so many bytes that were read.
func (p *pipe) skip(n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.start = (p.start + n) % len(p.buffer)
	p.filled -= n
	p.changed.Broadcast()
}
