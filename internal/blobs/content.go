package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
)

// Content is a blob that is being read. It is for one goroutine, but that Close may be
// called by any, once or more, and ends a Read that waits. Nothing removes the blob
// before it is closed.
//
// Of a directory's it gives the file as it is, which was verified when it was stored.
// A bucket's, read from its beginning to its end, is verified once more on the way. A
// Read that cannot go on, since what came is not what the digest says, or no more
// comes, fails with a *fault.Error before the last byte was given, so that no client
// takes what is wrong for whole. What a range gives that ends before the blob does is
// verified by nobody yet while the blob is on its way: whoever puts ranges together
// verifies the whole, as the digest's name says.
type Content struct {
	digest   digest.Digest
	size     int64
	modified time.Time
	from     source
	offset   int64

	close func() error // once
}

// source is where a Content reads from.
type source interface {
	// readAt reads some bytes from an offset below the size on, waiting for them.
	readAt(p []byte, offset int64) (int, error)

	// close ends it, and a readAt that waits. It is called once.
	close() error
}

func newContent(d digest.Digest, about about, from source, closed func()) *Content {
	return &Content{
		digest: d, size: about.size, modified: about.modified, from: from,
		close: sync.OnceValue(func() error {
			defer closed()
			return from.close()
		}),
	}
}

// Digest is the blob's.
func (c *Content) Digest() digest.Digest { return c.digest }

// Size is in bytes.
func (c *Content) Size() int64 { return c.size }

// Modified is when the blob was stored; the zero time for one that is on its way.
func (c *Content) Modified() time.Time { return c.modified }

// File is the open file of a blob that a directory keeps, for net/http to send without
// copying (http.ServeContent takes it as it is); nil for every other. It has an offset
// of its own, and Close closes it.
func (c *Content) File() *os.File {
	if from, is := c.from.(fileSource); is {
		return from.File
	}
	return nil
}

// Arrived is Read for who has the kernel send the bytes of a blob that is on its way. It
// waits until there are some, gives a file that stands before them, and how many they
// are, at most as many as are wanted; the next Read, or Arrived, goes on behind them,
// and before it all of them must have been taken out of the file. There is no file
// where there are none to be had so, and Read is the way. The end is no error, and no
// file. Close closes the file.
func (c *Content) Arrived(most int64) (file *os.File, n int64, err error) {
	from, is := c.from.(*client)
	if !is || c.offset >= c.size || most <= 0 {
		return nil, 0, nil
	}
	spool, here, err := from.await(c.offset)
	if err != nil {
		return nil, 0, err
	}
	n = min(here, most)
	if file = from.own.from(spool, c.offset, n); file == nil {
		return nil, 0, nil
	}
	c.offset += n
	return file, n, nil
}

// Read waits for bytes that are on their way.
func (c *Content) Read(p []byte) (int, error) {
	if c.offset >= c.size {
		return 0, io.EOF
	}
	if len(p) == 0 {
		return 0, nil
	}
	n, err := c.from.readAt(p[:min(int64(len(p)), c.size-c.offset)], c.offset)
	c.offset += int64(n)
	return n, err
}

// Seek never waits.
func (c *Content) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekStart:
	case io.SeekCurrent:
		offset += c.offset
	case io.SeekEnd:
		offset += c.size
	default:
		return 0, fmt.Errorf("seeking from %d: %w", whence, errors.ErrUnsupported)
	}
	if offset < 0 {
		return 0, fmt.Errorf("seeking to %d: %w", offset, os.ErrInvalid)
	}
	c.offset = offset
	return offset, nil
}

// Close lets go of the blob.
func (c *Content) Close() error { return c.close() }

// fileSource is a whole file.
type fileSource struct{ *os.File }

func (f fileSource) readAt(p []byte, offset int64) (int, error) {
	n, err := f.ReadAt(p, offset)
	if n > 0 && errors.Is(err, io.EOF) {
		err = nil
	}
	if errors.Is(err, io.EOF) { // it was cut behind our back
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (f fileSource) close() error { return f.Close() }

const (
	// readTriesMost is how often in a row a bucket is asked for bytes that do not come,
	// and readWait the wait before the second time; it doubles.
	readTriesMost = 5
	readWait      = 200 * time.Millisecond
)

// bucketSource is an object of a bucket. When its connection breaks it goes on where
// it was. Read from the beginning on without a gap, it is verified.
type bucketSource struct {
	store  *Store
	digest digest.Digest
	size   int64
	ctx    context.Context
	cancel context.CancelFunc

	mu       sync.Mutex // readAt, or close
	body     io.ReadCloser
	at       int64 // where body is
	verifier digest.Verifier
	verified int64 // bytes that the verifier has seen
}

func (s *Store) newBucketSource(ctx context.Context, d digest.Digest, size int64) *bucketSource {
	reading, cancel := context.WithCancel(ctx)
	return &bucketSource{store: s, digest: d, size: size, ctx: reading, cancel: cancel, verifier: d.Verifier()}
}

func (b *bucketSource) readAt(p []byte, offset int64) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for failures := 0; ; {
		n, err := b.attempt(p, offset)
		switch {
		case n > 0:
			return b.verify(p[:n], offset)
		case err == nil:
			continue
		case b.ctx.Err() != nil:
			return 0, context.Cause(b.ctx)
		}
		if failures++; failures >= readTriesMost || isMissing(err) {
			return 0, b.store.place.asFault(fmt.Errorf("reading %s: %w", b.digest, err))
		}
		if err := pause(b.ctx, readWait<<(failures-1)); err != nil {
			return 0, err
		}
	}
}

// attempt reads once. It gives bytes or an error, or neither.
func (b *bucketSource) attempt(p []byte, offset int64) (int, error) {
	if b.body != nil && b.at != offset {
		b.drop()
	}
	if b.body == nil {
		body, err := b.store.place.open(b.ctx, blobPath(b.digest), offset)
		if err != nil {
			return 0, err
		}
		b.body, b.at = body, offset
	}
	n, err := b.body.Read(p)
	b.at += int64(n)
	if err != nil {
		b.drop()
	}
	if errors.Is(err, io.EOF) && n == 0 { // there must be more
		err = io.ErrUnexpectedEOF
	}
	return n, err
}

func (b *bucketSource) drop() {
	if b.body != nil {
		_ = b.body.Close() // what it gave was taken
		b.body = nil
	}
}

// verify looks at what comes next. The last bytes of what is wrong are not given, and
// the blob is removed.
func (b *bucketSource) verify(p []byte, offset int64) (int, error) {
	if offset != b.verified {
		return len(p), nil
	}
	_, _ = b.verifier.Write(p) // a hash takes everything
	b.verified += int64(len(p))
	if b.verified < b.size || b.verifier.Verified() {
		return len(p), nil
	}
	b.verified = -1
	b.store.discard(b.ctx, b.digest)
	return 0, blobAltered(b.digest, "%s keeps other bytes under its name", b.store.place.name)
}

func (b *bucketSource) close() error {
	b.cancel()
	b.mu.Lock()
	defer b.mu.Unlock()
	b.drop()
	return nil
}

// pause waits; the error is that of ctx.
func pause(ctx context.Context, wait time.Duration) error {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
