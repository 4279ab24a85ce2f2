package far

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// The ways to the registry: as fast as this machine goes, and what a worker
// beside its registry may have.
const (
	Unthrottled = "unthrottled"
	Shaped      = "shaped"
)

// Links are all of them.
var Links = []string{Unthrottled, Shaped}

// The shaped link.
const (
	// LinkRate is what all connections over the shaped link carry together, in
	// bytes in a second: 1 Gbit/s.
	LinkRate  = 125_000_000
	roundTrip = 20 * time.Millisecond
)

// wire passes connections on to the registry. Unthrottled, the kernel moves
// the bytes without this process seeing them. Shaped, all connections together
// share one link in each direction: it carries LinkRate bytes in a second, and
// each arrives half a round trip after it was sent. A new connection costs a
// round trip more, as its handshake would. Lost packets and TCP's slow start are
// not played; nor are the bytes of IP's and TCP's headers.
type wire struct {
	listener net.Listener
	target   string
	shaped   atomic.Bool
	up, down link
	sent     atomic.Int64 // bytes that came from the registry

	mu    sync.Mutex
	conns map[net.Conn]bool
	group sync.WaitGroup
}

func newWire() (*wire, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	return &wire{listener: listener, conns: make(map[net.Conn]bool)}, err
}

// use says how connections from now on are passed on.
func (w *wire) use(name string) { w.shaped.Store(name == Shaped) }

// serve passes connections on to target until close.
func (w *wire) serve(target string) {
	w.target = target
	w.group.Go(func() {
		for {
			near, err := w.listener.Accept()
			if err != nil {
				return
			}
			w.group.Go(func() { w.pass(near) })
		}
	})
}

func (w *wire) close() error {
	err := w.listener.Close()
	w.cut()
	w.group.Wait()
	return err
}

// cut ends all connections, and every new one at once.
func (w *wire) cut() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
	}
	w.conns = nil
}

// dropAll ends all connections; new ones are taken.
func (w *wire) dropAll() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for c := range w.conns {
		_ = c.Close()
		delete(w.conns, c)
	}
}

// keep reports false once the wire is cut.
func (w *wire) keep(c net.Conn) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.conns != nil {
		w.conns[c] = true
	}
	return w.conns != nil
}

func (w *wire) drop(c net.Conn) {
	w.mu.Lock()
	delete(w.conns, c)
	w.mu.Unlock()
	_ = c.Close()
}

func (w *wire) pass(near net.Conn) {
	defer w.drop(near)
	isShaped := w.shaped.Load()
	if isShaped {
		<-time.After(roundTrip)
	}
	far, err := net.Dial("tcp", w.target)
	if err != nil {
		return
	}
	defer w.drop(far)
	if !w.keep(near) || !w.keep(far) {
		return
	}
	var group sync.WaitGroup
	for _, way := range []struct {
		to, from net.Conn
		link     *link
		count    *atomic.Int64
	}{{far, near, &w.up, new(atomic.Int64)}, {near, far, &w.down, &w.sent}} {
		group.Go(func() {
			if isShaped {
				_ = way.link.carry(way.to, way.from, way.count) // whoever is at the ends notices
			} else {
				splice(way.to, way.from, way.count)
			}
			_ = way.to.(*net.TCPConn).CloseWrite()
		})
	}
	group.Wait()
}

// splice moves a connection's bytes until it ends, by the kernel, and counts them
// a piece at a time.
func splice(to, from net.Conn, count *atomic.Int64) {
	const piece = 256 << 10
	for {
		n, err := io.CopyN(to, from, piece)
		count.Add(n)
		if err != nil {
			return
		}
	}
}

// link is one direction of the shaped link. The zero value is ready.
type link struct {
	mu   sync.Mutex
	free time.Time // when all that was sent so far is on its way
}

// parcel is some bytes on their way.
type parcel struct {
	bytes   []byte
	arrives time.Time
}

// Parcels are small, so that connections share the link evenly; as many may be
// on their way at once as the link carries in a round trip, for each connection.
const (
	parcelBytes = 32 << 10
	onTheWay    = int(LinkRate*int64(roundTrip)/int64(time.Second)) / parcelBytes
)

// carry moves a connection's bytes until it ends, and counts them.
func (l *link) carry(to io.Writer, from io.Reader, count *atomic.Int64) error {
	parcels := make(chan parcel, onTheWay)
	failed := make(chan struct{})
	var writeErr error
	var group sync.WaitGroup
	group.Go(func() {
		defer close(failed)
		for p := range parcels {
			wait(p.arrives)
			if _, writeErr = to.Write(p.bytes); writeErr != nil {
				return
			}
		}
	})
	var err error
	for err == nil {
		p := parcel{bytes: make([]byte, parcelBytes)}
		var n int
		n, err = from.Read(p.bytes)
		if n == 0 {
			continue
		}
		p.bytes = p.bytes[:n]
		count.Add(int64(n))
		sent := l.send(n)
		wait(sent)
		p.arrives = sent.Add(roundTrip / 2)
		select {
		case parcels <- p:
		case <-failed:
			err = io.ErrClosedPipe
		}
	}
	close(parcels)
	group.Wait()
	return errors.Join(err, writeErr)
}

// send is when n bytes that are there now have left. Who was woken late by some
// milliseconds may catch up.
func (l *link) send(n int) time.Time {
	const late = 4 * time.Millisecond
	l.mu.Lock()
	defer l.mu.Unlock()
	if earliest := time.Now().Add(-late); l.free.Before(earliest) {
		l.free = earliest
	}
	l.free = l.free.Add(time.Duration(n) * time.Second / LinkRate)
	return l.free
}

func wait(until time.Time) {
	if d := time.Until(until); d > 0 {
		<-time.After(d)
	}
}
