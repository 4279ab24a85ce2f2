package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/oci"
)

const (
	// layerTries is how often in a row a layer may fail to bring a byte: with
	// the default wait a registry has half a minute to restart.
	layerTries = 7

	// checkDiskEvery is how many bytes are written between two looks at the
	// disk's free space.
	checkDiskEvery = 64 << 20

	copyBuffer = 256 << 10
)

// errShort is a layer that ended early without an error.
var errShort = fmt.Errorf("the layer ended early: %w", io.ErrUnexpectedEOF)

// download is one layer on its way into the store.
type download struct {
	*puller
	index   int
	layer   ocispec.Descriptor
	writer  content.Writer
	offset  int64 // bytes that are written and part of the digest
	resumed bool  // some of them are from an earlier pull

	unchecked int64 // bytes written since the last look at the disk
}

// fetch brings a layer into the store, unless it is there, and checks it.
func (p *puller) fetch(ctx context.Context, index int) error {
	layer := p.documents.manifest.Layers[index]
	begin := p.store.config.Now()
	unlock, err := p.lock(ctx, "layer "+layer.Digest.String())
	if err != nil {
		return err
	}
	defer unlock()
	p.board.report(index, func(l *LayerReport) { l.Wait += p.store.config.Now().Sub(begin) })

	// Another pull may have brought it while this one waited.
	given, err := p.given(ctx, index)
	if err != nil {
		return err
	}
	held, _, err := p.hold(ctx, p.documents.configuration.chain[index])
	if err != nil {
		return err
	}
	if given && held {
		return nil
	}
	writer, err := p.store.content.Writer(ctx, content.WithRef(p.ingestOf(layer.Digest)), content.WithDescriptor(layer))
	if errdefs.IsAlreadyExists(err) { // and the lease keeps it now
		if given {
			p.board.enter(index, Downloaded)
			return nil
		}
		writer, err = newHashWriter(begin), nil
	}
	if err != nil {
		return p.storing(err)
	}
	defer func() { _ = writer.Close() }() // of no effect once it is committed
	status, err := writer.Status()
	if err != nil {
		return p.storing(err)
	}
	d := &download{
		puller: p, index: index, layer: layer, writer: writer,
		offset: status.Offset, resumed: status.Offset > 0,
	}
	return d.run(ctx)
}

// ingestOf names the half of a layer that is here, of the image's registry.
func (p *puller) ingestOf(layer digest.Digest) string {
	return "layer " + layer.String() + " of " + p.request.Image.Host()
}

func (d *download) run(ctx context.Context) error {
	if d.offset > d.layer.Size {
		if err := d.restart(); err != nil {
			return err
		}
	}
	if err := d.store.disk.mayWrite(d.layer.Size - d.offset); err != nil {
		return err
	}
	for {
		if err := d.complete(ctx); err != nil {
			return err
		}
		if d.writer.Digest() == d.layer.Digest {
			break
		}
		if !d.resumed {
			return d.discard(ctx, fmt.Errorf("its digest is %s", d.writer.Digest()))
		}
		// The half from an earlier pull may be what is wrong.
		if err := d.restart(); err != nil {
			return err
		}
	}
	if err := d.writer.Commit(ctx, d.layer.Size, d.layer.Digest); err != nil && !errdefs.IsAlreadyExists(err) {
		return d.storing(err)
	}
	d.board.enter(d.index, Downloaded)
	return d.labelBlob(ctx, d.layer.Digest)
}

// ignoreNotFound is for what is not there to be removed.
func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// restart forgets the bytes that are there.
func (d *download) restart() error {
	if err := d.writer.Truncate(0); err != nil {
		return d.storing(err)
	}
	d.offset, d.resumed = 0, false
	return nil
}

// complete asks for the missing bytes until they are here, going on where the
// last connection broke.
func (d *download) complete(ctx context.Context) error {
	for failures := 0; d.offset < d.layer.Size; failures++ {
		before := d.offset
		err := d.attempt(ctx)
		if err == nil {
			return nil
		}
		if d.offset > before {
			failures = 0
		}
		if failures+1 >= layerTries || !isPassingForLayers(err) {
			return d.explain(ctx, err)
		}
		d.board.report(d.index, func(l *LayerReport) { l.Retries++ })
		begin := d.store.config.Now()
		if err := d.registry.pause(ctx, failures, err); err != nil {
			return err
		}
		d.board.report(d.index, func(l *LayerReport) { l.Wait += d.store.config.Now().Sub(begin) })
	}
	return nil
}

// explain makes a fault of what a download failed by for good.
func (d *download) explain(ctx context.Context, err error) error {
	answer, answered := errors.AsType[*oci.Error](err)
	switch {
	case errors.Is(err, errBlobLength), errors.Is(err, errShort),
		answered && answer.Status == http.StatusRequestedRangeNotSatisfiable:
		return d.discard(ctx, err)
	case answered && answer.Status == http.StatusNotFound:
		return layerMissing(d.request.Image, d.layer.Digest, err)
	default:
		return d.registry.explain(err)
	}
}

// discard removes what arrived, since it is not what the manifest names.
func (d *download) discard(ctx context.Context, cause error) error {
	fault := layerAltered(d.request.Image, d.layer.Digest, cause)
	err := errors.Join(d.writer.Close(), ignoreNotFound(d.store.content.Abort(context.WithoutCancel(ctx), d.ingestOf(d.layer.Digest))))
	if err != nil {
		return fault.WithCause(errors.Join(cause, err))
	}
	return fault
}

// attempt makes one request and copies what comes of it. A connection that
// brings nothing for too long is an os.ErrDeadlineExceeded.
func (d *download) attempt(ctx context.Context) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := d.store.config.StallTimeout
	stalled := time.AfterFunc(patience, func() { cancel(os.ErrDeadlineExceeded) })
	defer stalled.Stop()

	asked := d.store.config.Now()
	waited := d.timeline.enter(waiting)
	var from stream
	err := d.registry.authorized(watched, func(authorization oci.Authorization) (err error) {
		stalled.Reset(patience)
		from, err = d.registry.open(watched, d.layer, d.offset, authorization)
		return err
	})
	waited()
	if err == nil {
		defer from.close()
		from.Reader = &watchedReader{from.Reader, func() { stalled.Reset(patience) }}
		err = d.copy(from, asked)
	}
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s brought nothing for %s: %w", d.layer.Digest, patience, os.ErrDeadlineExceeded)
	}
	return err
}

// watchedReader tells of each read that brought something.
type watchedReader struct {
	io.Reader
	tell func()
}

func (w *watchedReader) Read(p []byte) (int, error) {
	n, err := w.Reader.Read(p)
	if n > 0 {
		w.tell()
	}
	return n, err
}

// copy writes what a stream brings, up to the layer's size.
func (d *download) copy(from stream, asked time.Time) (err error) {
	buffer := make([]byte, copyBuffer)
	skip := d.offset - from.start // a registry without ranges sends all of it again
	var begin time.Time
	for d.offset < d.layer.Size {
		var n int
		n, err = from.Read(buffer[:min(int64(len(buffer)), skip+d.layer.Size-d.offset)])
		if n > 0 && begin.IsZero() {
			defer d.timeline.enter(transferring)()
			begin = d.store.config.Now()
			d.board.enter(d.index, Downloading)
			d.board.report(d.index, func(l *LayerReport) {
				l.Wait += begin.Sub(asked)
				if l.begin.IsZero() {
					l.begin = begin
				}
			})
		}
		known := int(min(skip, int64(n)))
		skip -= int64(known)
		if writeErr := d.write(buffer[known:n]); writeErr != nil {
			return writeErr
		}
		d.board.report(d.index, func(l *LayerReport) { l.Existed = false; l.Fetched += int64(n) })
		if err != nil {
			break
		}
	}
	if !begin.IsZero() {
		d.board.report(d.index, func(l *LayerReport) {
			l.end = d.store.config.Now()
			l.Transfer += l.end.Sub(begin)
		})
	}
	switch {
	case d.offset == d.layer.Size:
		return nil
	case errors.Is(err, io.EOF):
		return errShort
	default:
		return oci.RedactError(err)
	}
}

func (d *download) write(p []byte) error {
	if d.unchecked += int64(len(p)); d.unchecked >= checkDiskEvery {
		d.unchecked = 0
		if err := d.store.disk.mayWrite(d.layer.Size - d.offset); err != nil {
			return err
		}
	}
	if _, err := d.writer.Write(p); err != nil {
		if isDiskFull(err) {
			return d.store.disk.full(d.layer.Size-d.offset, err)
		}
		return fmt.Errorf("writing layer %s: %w", d.layer.Digest, err)
	}
	d.offset += int64(len(p))
	d.board.reach(d.index, d.offset)
	return nil
}
