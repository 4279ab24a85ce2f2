package blobs

import (
	"context"
	"errors"
	"io"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Stream is what an upstream answers.
type Stream struct {
	// Body brings the bytes from Offset on. Its Read fails soon after the context of
	// the Fetch has ended. It is closed when it is not wanted any more.
	Body io.ReadCloser

	// Offset is where Body begins: at the offset that was asked for or, from an
	// upstream that knows no ranges, before it; what is known is passed over.
	Offset int64

	// Size is the whole blob's, in bytes; -1 if the upstream does not say.
	Size int64
}

// Fetch asks an upstream for a blob from an offset on. It is called again with
// another one when a connection breaks, also after whoever gave it has closed its
// Content. Its errors steer: a *fault.Error of the kinds Unavailable and, once something
// has arrived, Exhausted, and any error that is no fault, is tried again, not before its
// RetryAfter; every other is final for those who gave this Fetch.
type Fetch func(ctx context.Context, offset int64) (Stream, error)

// ongoing is how much of a download may be missing for it to go on when nobody waits
// for it any more, if it has begun to arrive; of a larger one, half of it.
const ongoing = 8 << 20

// filling is a download that any number of clients read while it arrives.
type filling struct {
	store  *Store
	digest digest.Digest
	from   Source // whose bytes they are; without a name, anybody's
	cancel context.CancelCauseFunc

	mu       sync.Mutex
	clients  []*client
	asks     *client  // whose Fetch is used; it may have left
	spool    *spooled // nil before the first byte
	size     int64    // -1 is unknown
	arrived  int64    // bytes in the spool
	verified bool     // all of it is there and right
	err      error    // why it ended otherwise
	ended    bool     // nobody writes to the spool any more
	changed  chan struct{}
	told     int64     // bytes of which those who wait were told
	toldAt   time.Time // and when
	later    *time.Timer
}

// client is one who reads a filling.
type client struct {
	filling *filling
	fetch   Fetch
	ctx     context.Context
	left    chan struct{} // closed when it leaves
	own     window

	err error // its own Fetch was refused; filling.mu guards it
}

// Fill gives a blob that is kept, or downloads it from its upstream, and gives it
// while it arrives. Whoever asks for the same blob meanwhile, in this process, shares
// the download, from any byte on: what has arrived is read at once, and what has not
// is waited for. What arrived whole and is right is kept; what is not, by length or
// digest, is kept never, and all who read it fail before its last byte. That it cannot
// be kept is logged and fails nobody.
//
// A descriptor's Digest is needed. Its Size is compared with the upstream's where it
// is above 0; a difference is a blob_size fault for this caller. The size that counts is
// the upstream's; if that does not say, the descriptor's; if neither does, Fill waits
// for the whole blob.
//
// A download whose connection breaks goes on at its byte, over a new one. It fails
// with the upstream's error, or a blob_broken fault, after five tries in a row that
// brought less than 64 KiB. A wait that the upstream asks for is kept, up to two
// minutes; a longer one ends the download, and an Exhausted fault before its first byte
// is final, so that the client can be told to wait. If the upstream refuses one caller's Fetch
// for good, that caller alone fails; the download goes on with another's, if one is
// there. Whether a caller may have the blob at all is the caller's to know.
//
// When the last client has left, the download goes on if half of it is here, or if it
// has begun to arrive and no more than 8 MiB are missing; otherwise it ends, and what
// came is dropped.
//
// The context is for Reads, too; the download has its own.
func (s *Store) Fill(ctx context.Context, want ocispec.Descriptor, fetch Fetch) (*Content, error) {
	return s.fill(ctx, Source{store: s}, want, fetch)
}

func (s *Store) fill(ctx context.Context, from Source, want ocispec.Descriptor, fetch Fetch) (*Content, error) {
	if !isDigest(want.Digest) {
		return nil, digestInvalid(want.Digest)
	}
	open := s.Open
	if from.name != "" {
		open = from.Open
	}
	for first := true; ; first = false {
		content, err := open(ctx, want.Digest)
		switch {
		case err == nil && want.Size > 0 && content.Size() != want.Size:
			return nil, errors.Join(blobSize(want.Digest, want.Size, content.Size()), content.Close())
		case err == nil, ctx.Err() != nil:
			return content, err
		case !errors.Is(err, ErrNotFound): // and the client need not suffer for it
			s.config.Logger.Warn("a blob is fetched anew, since the cache cannot be read", "digest", want.Digest, "error", err)
		}
		c, err := s.join(ctx, from, want, fetch, first)
		switch {
		case err != nil:
			return nil, err
		case c != nil:
			return c.content(want)
		}
	}
}

// join makes a client of the blob's filling, which begins if there is none. With look,
// none begins where the blob is kept: it may be since the caller found that it is not.
// There is no client then.
func (s *Store) join(ctx context.Context, from Source, want ocispec.Descriptor, fetch Fetch, look bool) (*client, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ctx.Err() != nil {
		return nil, errClosed
	}
	f := s.fillings[way{from.name, want.Digest}]
	begins := f == nil
	if begins && look {
		if r, _ := s.table.look(want.Digest); r.here {
			return nil, nil
		}
	}
	if begins {
		f = &filling{store: s, digest: want.Digest, from: from, size: -1}
	}
	c := &client{filling: f, fetch: fetch, ctx: ctx, left: make(chan struct{})}
	f.mu.Lock()
	f.clients = append(f.clients, c)
	f.mu.Unlock()
	if begins {
		f.asks = c
		filling, cancel := context.WithCancelCause(s.ctx)
		f.cancel = cancel
		s.fillings[f.way()] = f
		s.table.enter(want.Digest)
		s.group.Go(func() { f.run(filling, max(want.Size, -1)) })
	}
	return c, nil
}

// joinWhole makes a client of a filling that has all of its blob; nil, if there is
// none.
func (s *Store) joinWhole(ctx context.Context, d digest.Digest) *client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.fillings {
		if f.digest != d {
			continue
		}
		f.mu.Lock()
		if f.verified {
			defer f.mu.Unlock()
			c := &client{filling: f, ctx: ctx, left: make(chan struct{})}
			f.clients = append(f.clients, c)
			return c
		}
		f.mu.Unlock()
	}
	return nil
}

// way is a blob from an upstream.
type way struct {
	source string
	digest digest.Digest
}

func (f *filling) way() way { return way{f.from.name, f.digest} }

// content waits until the size is known.
func (c *client) content(want ocispec.Descriptor) (*Content, error) {
	f := c.filling
	for {
		f.mu.Lock()
		size, err, changed := f.size, c.failure(), f.wait()
		f.mu.Unlock()
		switch {
		case size >= 0 && want.Size > 0 && want.Size != size:
			c.leave()
			return nil, blobSize(want.Digest, want.Size, size)
		case err != nil:
			c.leave()
			return nil, err
		case size > 0 || size == 0 && c.isWhole(): // what is empty is right or not, and no Read would tell
			return newContent(f.digest, about{size: size}, c, func() {}), nil
		}
		select {
		case <-changed:
		case <-c.ctx.Done():
			c.leave()
			return nil, context.Cause(c.ctx)
		}
	}
}

func (c *client) isWhole() bool {
	c.filling.mu.Lock()
	defer c.filling.mu.Unlock()
	return c.filling.verified
}

// failure is why the client gets no more; the caller has the lock.
func (c *client) failure() error {
	if c.err != nil {
		return c.err
	}
	return c.filling.err
}

// wait is closed when something changes; the caller has the lock.
func (f *filling) wait() <-chan struct{} {
	if f.changed == nil {
		f.changed = make(chan struct{})
	}
	return f.changed
}

// change does something and tells those who wait.
func (f *filling) change(do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	f.tell()
}

// tell wakes those who wait; the caller has the lock.
func (f *filling) tell() {
	f.told, f.toldAt = f.arrived, time.Now()
	if f.changed != nil {
		close(f.changed)
		f.changed = nil
	}
}

// Who waits for a download is woken at once after a pause, and then for so many bytes
// or after so long: a connection brings some kilobytes at a time, and for each of them
// a hundred clients would be woken to send as little.
const (
	tellBytes = 256 << 10
	tellAfter = 2 * time.Millisecond
)

// came notes that more bytes are in the spool.
func (f *filling) came(n int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.arrived += int64(n)
	switch {
	case f.changed == nil:
	case f.arrived-f.told >= tellBytes, f.arrived == f.size, time.Since(f.toldAt) >= tellAfter:
		f.tell()
	case f.later == nil:
		f.later = time.AfterFunc(tellAfter, func() {
			f.mu.Lock()
			defer f.mu.Unlock()
			f.later = nil
			f.tell()
		})
	}
}

// readAt gives what is here from an offset on. The last byte is given when all are
// known to be right.
func (c *client) readAt(p []byte, offset int64) (int, error) {
	file, here, err := c.await(offset)
	if err != nil {
		return 0, err
	}
	n, err := file.ReadAt(p[:min(int64(len(p)), here)], offset)
	if n > 0 {
		return n, nil
	}
	return 0, broken(c.filling.digest, err)
}

// await waits until there are bytes from an offset on that may be given: they are in
// the file, here of them.
func (c *client) await(offset int64) (file *spooled, here int64, err error) {
	f := c.filling
	for {
		f.mu.Lock()
		most, err, file := f.arrived, c.failure(), f.spool
		if !f.verified {
			most = min(most, f.size-1)
		}
		var changed <-chan struct{}
		if offset >= most {
			changed = f.wait()
		}
		f.mu.Unlock()
		if err != nil {
			return nil, 0, err
		}
		if offset < most {
			select {
			case <-c.left:
				return nil, 0, os.ErrClosed
			default:
				return file, most - offset, nil
			}
		}
		select {
		case <-changed:
		case <-c.left:
			return nil, 0, os.ErrClosed
		case <-c.ctx.Done():
			return nil, 0, context.Cause(c.ctx)
		}
	}
}

func (c *client) close() error {
	c.leave()
	return c.own.close()
}

// leave ends the client. The last one ends the download, too, if little of it is here.
func (c *client) leave() {
	f, s := c.filling, c.filling.store
	close(c.left)
	s.mu.Lock()
	defer s.mu.Unlock()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.clients = slices.DeleteFunc(f.clients, func(other *client) bool { return other == c })
	if len(f.clients) > 0 {
		return
	}
	if !f.ended && !f.verified && !f.isMostlyHere() {
		f.cancel(errAbandoned)
		s.forget(f) // who comes now begins anew
	}
	f.tidy()
}

func (f *filling) isMostlyHere() bool {
	return f.size >= 0 && (2*f.arrived >= f.size || f.size-f.arrived <= ongoing && f.arrived > 0)
}

// tidy lets go of the spool's file when neither the download nor a client has it. The
// caller has the lock.
func (f *filling) tidy() {
	if !f.ended || len(f.clients) > 0 || f.spool == nil {
		return
	}
	if err := f.spool.discard(); err != nil {
		f.store.config.Logger.Warn("a file of the spool was not removed", "error", err)
	}
	f.spool = nil
}

// forget has nobody join a filling any more; the caller has the store's lock.
func (s *Store) forget(f *filling) {
	if s.fillings[f.way()] == f {
		delete(s.fillings, f.way())
	}
}

// run downloads a blob and keeps it.
func (f *filling) run(ctx context.Context, hint int64) {
	s := f.store
	defer f.cancel(nil)
	err := f.download(ctx, hint)
	if err != nil {
		s.mu.Lock()
		s.forget(f)
		s.mu.Unlock()
	} else {
		f.from.brought(f.digest) // before anybody can have all of it, and ask again
	}
	f.change(func() { f.verified, f.err = err == nil, err })
	switch {
	case err == nil:
		f.from.jot(ctx, f.digest)
		if kept, _ := s.table.look(f.digest); !kept.here || f.from.name == "" { // another upstream may have brought it
			s.keep(ctx, f.digest, f.spool, f.size)
		}
	case errors.Is(err, errAbandoned), errors.Is(err, errClosed):
	default:
		s.config.Logger.Warn("a blob was not downloaded", "digest", f.digest, "error", err)
	}
	s.mu.Lock()
	s.forget(f)
	s.mu.Unlock()
	s.table.leave(f.digest, err == nil, s.now())
	f.mu.Lock()
	defer f.mu.Unlock()
	f.ended = true
	f.tidy()
}
