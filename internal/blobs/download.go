package blobs

import (
	"context"
	"errors"
	"fmt"
	"hash"
	"io"
	"math/rand/v2"
	"os"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

const (
	// triesMost is how often in a row a download may bring less than progress bytes.
	triesMost = 5
	progress  = 64 << 10

	// pauseMost is the longest wait between two tries, and askedMost the longest that
	// an upstream may ask for.
	pauseMost = 10 * time.Second
	askedMost = 2 * time.Minute

	copyBuffer = 256 << 10
)

// download brings all of the blob into the spool, and looks whether it is the one. The
// hint is its size as a manifest has it; 0 or less is unknown.
func (f *filling) download(ctx context.Context, hint int64) error {
	file, err := f.store.place.spool.create(f.store.config.Now())
	if err != nil {
		return spoolFull(f.store.place.spool.dir, err)
	}
	f.change(func() { f.spool = file })
	d := &download{
		filling: f, hint: hint, hash: f.digest.Algorithm().Hash(), buffer: make([]byte, copyBuffer),
	}
	for failures := 0; ; {
		before := f.arrived
		err := d.attempt(ctx)
		if err == nil {
			return d.verify()
		}
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		wait, passing := isPassing(err)
		if !passing || isThrottled(err) && f.arrived == 0 {
			if isAltered(err) || isSpool(err) || !f.refused(broken(f.digest, err)) {
				return broken(f.digest, err)
			}
			failures = 0
			continue
		}
		if f.arrived-before >= progress {
			failures = 0
		}
		if failures++; failures >= triesMost {
			return broken(f.digest, err)
		}
		backoff := min(f.store.config.Backoff<<(failures-1), pauseMost)
		if err := pause(ctx, max(wait, backoff/2+rand.N(backoff/2+1))); err != nil { //nolint:gosec // spreads tries, guards nothing
			return err
		}
	}
}

// isPassing reports whether an error may be another time, and how long the upstream
// wants to be left alone.
func isPassing(err error) (wait time.Duration, passing bool) {
	f, told := errors.AsType[*fault.Error](err)
	if !told {
		return 0, true
	}
	again := f.Kind == fault.Unavailable || f.Kind == fault.Exhausted
	return f.RetryAfter, again && f.RetryAfter <= askedMost && !isAltered(err) && !isSpool(err)
}

// isThrottled reports whether the upstream takes no more requests. Before the first byte
// that is for the caller to know, who has a client to tell.
func isThrottled(err error) bool {
	f, told := errors.AsType[*fault.Error](err)
	return told && f.Kind == fault.Exhausted
}

// isSpool reports whether it is our own disk that failed.
func isSpool(err error) bool {
	f, told := errors.AsType[*fault.Error](err)
	return told && (f.Code == "spool_full" || f.Code == "spool_unusable" || f.Code == "blob_too_large")
}

// refused takes note that whose Fetch is used was refused, and goes on with another's;
// it reports whether there is one.
func (f *filling) refused(err error) (more bool) {
	f.change(func() {
		refused := f.asks
		for _, c := range f.clients {
			if c != refused && c.err == nil && c.fetch != nil {
				f.asks, more = c, true
				break
			}
		}
		if more {
			refused.err = err
		}
	})
	return more
}

// download is a filling as the goroutine sees it that writes it.
type download struct {
	*filling
	hint   int64
	hash   hash.Hash
	buffer []byte
}

// attempt makes one request and takes what comes of it. No error means that all is
// here. A connection that brings nothing for too long is an os.ErrDeadlineExceeded.
func (d *download) attempt(ctx context.Context) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := d.store.config.StallTimeout
	stalled := time.AfterFunc(patience, func() { cancel(os.ErrDeadlineExceeded) })
	defer stalled.Stop()

	d.mu.Lock()
	fetch := d.asks.fetch
	d.mu.Unlock()
	from, err := fetch(watched, d.arrived)
	if err == nil {
		err = d.take(from, func() { stalled.Reset(patience) })
		if closing := from.Body.Close(); err == nil && closing != nil && !d.isWhole() {
			err = closing
		}
	}
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), os.ErrDeadlineExceeded) {
		return fmt.Errorf("nothing came for %s: %w", patience, os.ErrDeadlineExceeded)
	}
	return err
}

func (d *download) isWhole() bool { return d.size >= 0 && d.arrived == d.size }

// take takes what a stream brings. Came is called when something did.
func (d *download) take(from Stream, came func()) error {
	if err := d.settle(from); err != nil {
		return err
	}
	skip := d.arrived - from.Offset
	// What is told is one thing, and what comes another: a byte more than that is
	// looked for, where the stream has no length that ends it.
	for from.Size < 0 || !d.isWhole() {
		n, err := from.Body.Read(d.buffer)
		came()
		known := min(skip, int64(n))
		skip -= known
		if err := d.append(d.buffer[known:n]); err != nil {
			return err
		}
		switch {
		case err == nil:
		case !errors.Is(err, io.EOF):
			return err
		case d.size < 0 && skip == 0:
			d.change(func() { d.size = d.arrived })
			return nil
		case !d.isWhole():
			return fmt.Errorf("%d of %d bytes arrived: %w", d.arrived, d.size, io.ErrUnexpectedEOF)
		default:
			return nil
		}
	}
	return nil
}

// settle compares what an upstream says of its answer with what is known.
func (d *download) settle(from Stream) error {
	size := from.Size
	if size < 0 && d.size < 0 && d.hint > 0 {
		size = d.hint
	}
	switch {
	case from.Offset < 0 || from.Offset > d.arrived:
		return fmt.Errorf("bytes from %d on came, and from %d on are wanted: %w", from.Offset, d.arrived, io.ErrUnexpectedEOF)
	case size >= 0 && d.size >= 0 && size != d.size:
		return blobAltered(d.digest, "it had %d bytes first, and %d then", d.size, size)
	case size > d.store.config.MaxBlob:
		return blobTooLarge(d.digest, d.store.config.MaxBlob)
	case size >= 0 && d.size < 0:
		if size < d.arrived {
			return blobAltered(d.digest, "%d bytes came of %d", d.arrived, size)
		}
		d.change(func() { d.size = size })
	}
	return nil
}

// append puts what comes next into the spool.
func (d *download) append(p []byte) error {
	switch all := d.arrived + int64(len(p)); {
	case len(p) == 0:
		return nil
	case d.size >= 0 && all > d.size:
		return blobAltered(d.digest, "more came than its %d bytes", d.size)
	case all > d.store.config.MaxBlob:
		return blobTooLarge(d.digest, d.store.config.MaxBlob)
	}
	if _, err := d.spool.WriteAt(p, d.arrived); err != nil {
		return spoolFull(d.store.place.spool.dir, err)
	}
	_, _ = d.hash.Write(p) // a hash takes everything
	d.came(len(p))
	return nil
}

// verify looks whether what came is what the digest says.
func (d *download) verify() error {
	if came := d.digest.Algorithm().FromBytes(nil); d.size == 0 && d.digest != came {
		return blobAltered(d.digest, "nothing came")
	}
	if came := fmt.Sprintf("%x", d.hash.Sum(nil)); came != d.digest.Encoded() {
		return blobAltered(d.digest, "what came has the digest %s:%s", d.digest.Algorithm(), came)
	}
	return nil
}
