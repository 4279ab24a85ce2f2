package pull

import (
	"context"
	"fmt"
	"sync"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// checkDiskEvery is how many bytes are written between two looks at the disk's
// free space.
const checkDiskEvery = 64 << 20

// download is one layer on its way from the registry.
type download struct {
	*puller
	index    int
	layer    ocispec.Descriptor
	digester digest.Digester
	to       *pipe
	offset   int64     // bytes that are passed on and part of the digest
	times    *timeline // of this layer, whatever the pull does meanwhile

	mu      sync.Mutex
	arrived int64 // bytes that are here, passed on or not
}

// fetch passes a layer's bytes on to the pipe, and sees at the end that they are
// those that the manifest names.
func (p *puller) fetch(ctx context.Context, index int, to *pipe) error {
	layer := p.documents.manifest.Layers[index]
	if err := p.store.keeper.makeRoom(ctx, layer.Size); err != nil {
		return err
	}
	d := &download{
		puller: p, index: index, layer: layer, digester: layer.Digest.Algorithm().Digester(), to: to,
		times: &timeline{now: p.store.config.Now},
	}
	defer d.tellTimes()
	leave, err := d.place(ctx, p.store.limits.downloads)
	if err != nil {
		return err
	}
	defer leave()
	if err := d.complete(ctx); err != nil {
		return err
	}
	if got := d.digester.Digest(); got != layer.Digest {
		return layerAltered(p.request.Image, layer.Digest, fmt.Errorf("its digest is %s", got))
	}
	p.board.enter(index, Unpacking)
	return nil
}

// place waits for a place.
func (d *download) place(ctx context.Context, among places) (leave func(), err error) {
	defer d.timeline.enter(waiting)()
	defer d.times.enter(waiting)()
	return among.take(ctx)
}

// complete passes on all of the layer: a large one in parts, if the registry
// sends those.
func (d *download) complete(ctx context.Context) error {
	alone := d.registry.undivided.Load() || d.store.config.Limits.Connections == 1
	if d.store.memory.isLarge(d.layer.Size) && !alone {
		return d.inParts(ctx)
	}
	return d.straight(0).complete(ctx)
}

// straight is a span that is passed on while it comes: up to end, or to that of the
// layer if 0.
func (d *download) straight(end int64) *span {
	s := &span{download: d, offset: d.offset, end: end, part: end > 0, undivided: func() error { return nil }}
	if !s.part {
		s.end = d.layer.Size
	}
	s.pass = func(p []byte) {
		d.digest(p)
		d.times.change(transferring, -1) // waiting for the unpacking is nothing that the registry does
		d.pass(p)
		d.times.change(transferring, 1)
	}
	return s
}

func (d *download) digest(p []byte) { _, _ = d.digester.Hash().Write(p) } // it never fails

func (d *download) pass(p []byte) {
	_, _ = d.to.Write(p) // it never fails: the pipe drains
	d.offset += int64(len(p))
}

// arrive notes that more bytes of the layer are here, or fewer.
func (d *download) arrive(n int64) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.arrived += n
	d.board.reach(d.index, d.arrived)
}

// tellTimes writes down what the layer's time went on.
func (d *download) tellTimes() {
	d.board.report(d.index, func(l *LayerReport) {
		l.Wait += d.times.of(waiting)
		l.Transfer += d.times.of(transferring)
	})
}
