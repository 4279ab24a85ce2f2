package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"time"

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

// download is one layer on its way from the registry.
type download struct {
	*puller
	index    int
	layer    ocispec.Descriptor
	digester digest.Digester
	to       *pipe
	offset   int64 // bytes that are passed on and part of the digest

	stalled *time.Timer // ends a connection that brings nothing
}

// fetch passes a layer's bytes on to the pipe, and sees at the end that they are
// those that the manifest names.
func (p *puller) fetch(ctx context.Context, index int, to *pipe) error {
	layer := p.documents.manifest.Layers[index]
	if err := p.store.keeper.makeRoom(ctx, layer.Size); err != nil {
		return err
	}
	d := &download{puller: p, index: index, layer: layer, digester: layer.Digest.Algorithm().Digester(), to: to}
	if err := d.complete(ctx); err != nil {
		return err
	}
	if got := d.digester.Digest(); got != layer.Digest {
		return layerAltered(p.request.Image, layer.Digest, fmt.Errorf("its digest is %s", got))
	}
	p.board.enter(index, Unpacking)
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
			return d.explain(err)
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
func (d *download) explain(err error) error {
	answer, answered := errors.AsType[*oci.Error](err)
	switch {
	case errors.Is(err, errBlobLength), errors.Is(err, errShort),
		answered && answer.Status == http.StatusRequestedRangeNotSatisfiable:
		return layerAltered(d.request.Image, d.layer.Digest, err)
	case answered && answer.Status == http.StatusNotFound:
		return layerMissing(d.request.Image, d.layer.Digest, err)
	default:
		return d.registry.explain(err)
	}
}

// attempt makes one request and copies what comes of it. A connection that
// brings nothing for too long is an os.ErrDeadlineExceeded.
func (d *download) attempt(ctx context.Context) error {
	watched, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	patience := d.store.config.StallTimeout
	d.stalled = time.AfterFunc(patience, func() { cancel(os.ErrDeadlineExceeded) })
	defer d.stalled.Stop()

	asked := d.store.config.Now()
	d.board.requested(d.index)
	waited := d.timeline.enter(waiting)
	var from stream
	err := d.registry.authorized(watched, func(authorization oci.Authorization) (err error) {
		d.stalled.Reset(patience)
		from, err = d.registry.open(watched, d.layer, d.offset, authorization)
		return err
	})
	waited()
	if err == nil {
		defer from.close()
		err = d.copy(from, asked)
	}
	if err != nil && ctx.Err() == nil && errors.Is(context.Cause(watched), os.ErrDeadlineExceeded) {
		return fmt.Errorf("%s brought nothing for %s: %w", d.layer.Digest, patience, os.ErrDeadlineExceeded)
	}
	return err
}

// copy passes on what a stream brings, up to the layer's size.
func (d *download) copy(from stream, asked time.Time) (err error) {
	buffer := make([]byte, copyBuffer)
	skip := d.offset - from.start // a registry without ranges sends all of it again
	blocked := d.to.waited()
	var begin time.Time
	for d.offset < d.layer.Size {
		var n int
		n, err = from.Read(buffer[:min(int64(len(buffer)), skip+d.layer.Size-d.offset)])
		if n > 0 && begin.IsZero() {
			defer d.timeline.enter(transferring)()
			begin = d.store.config.Now()
			d.board.enter(d.index, Downloading)
			d.board.report(d.index, func(l *LayerReport) { l.Wait += begin.Sub(asked) })
			d.board.arrived(d.index, 0)
		}
		known := int(min(skip, int64(n)))
		skip -= int64(known)
		d.stalled.Stop() // waiting for the unpacking is nothing that the registry does
		d.pass(buffer[known:n])
		d.stalled.Reset(d.store.config.StallTimeout)
		if n > 0 {
			d.board.arrived(d.index, n)
		}
		if err != nil {
			break
		}
	}
	if !begin.IsZero() {
		end := d.store.config.Now()
		spent := max(0, end.Sub(begin)-(d.to.waited()-blocked))
		d.board.report(d.index, func(l *LayerReport) { l.Transfer += spent })
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

func (d *download) pass(p []byte) {
	_, _ = d.digester.Hash().Write(p) // a hash never fails
	_, _ = d.to.Write(p)              // nor does the pipe
	d.offset += int64(len(p))
	d.board.reach(d.index, d.offset)
}
