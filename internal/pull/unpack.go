package pull

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"syscall"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
)

// unpackPrefix begins the keys of snapshots that are being unpacked into.
const unpackPrefix = "unpack-"

// unpackLayer makes a snapshot of a fetched layer on top of those below it. Of
// two pulls that want the same one, one unpacks it.
func (p *puller) unpackLayer(ctx context.Context, i int) error {
	chain := p.config.chain[i].String()
	unlock, err := p.store.busy.lock(ctx, "unpack "+chain)
	if err != nil {
		return err
	}
	defer unlock()
	begin := p.store.config.Now()
	p.board.enter(i, Unpacking)
	if _, err := p.store.snapshots.Stat(ctx, chain); err != nil {
		if !errdefs.IsNotFound(err) {
			return fmt.Errorf("looking at layer %s: %w", chain, err)
		}
		if err := p.unpackNew(ctx, i, chain); err != nil {
			return err
		}
	}
	p.board.report(i, func(r *LayerReport) { r.Unpack = p.store.config.Now().Sub(begin) })
	p.board.enter(i, Done)
	return nil
}

func (p *puller) unpackNew(ctx context.Context, i int, chain string) error {
	parent := ""
	if i > 0 {
		parent = p.config.chain[i-1].String()
	}
	key := unpackPrefix + rand.Text()
	mounts, err := p.store.snapshots.Prepare(ctx, key, parent)
	if err != nil {
		return fmt.Errorf("preparing layer %s: %w", chain, err)
	}
	err = mount.WithTempMount(ctx, mounts, func(root string) error { return p.apply(ctx, i, root) })
	if err == nil {
		err = p.store.snapshots.Commit(ctx, chain, key)
		if errdefs.IsAlreadyExists(err) {
			err = nil
		}
	}
	if err != nil {
		return errors.Join(err, ignoreNotFound(p.store.snapshots.Remove(context.WithoutCancel(ctx), key)))
	}
	return nil
}

func ignoreNotFound(err error) error {
	if errdefs.IsNotFound(err) {
		return nil
	}
	return err
}

// apply unpacks a layer into root and checks that what came out is what the
// image's configuration names.
func (p *puller) apply(ctx context.Context, i int, root string) error {
	layer := p.manifest.Layers[i]
	blob, err := p.store.content.ReaderAt(ctx, layer)
	if err != nil {
		return fmt.Errorf("reading layer %s: %w", layer.Digest, err)
	}
	defer func() { _ = blob.Close() }() // only read
	compressed := &countingReader{r: content.NewReader(blob), tell: func(n int64) { p.board.reach(i, n) }}
	stream, err := compression.DecompressStream(compressed)
	if err != nil {
		return layerBroken(p.request.Image, layer.Digest, err)
	}
	defer func() { _ = stream.Close() }() // only read
	want := p.config.RootFS.DiffIDs[i]
	bounded := &boundedReader{r: stream, puller: p, digester: want.Algorithm().Digester()}
	_, err = archive.Apply(ctx, root, bounded)
	if err == nil {
		_, err = io.Copy(io.Discard, bounded) // the padding is part of the digest
	}
	switch {
	case bounded.refused != nil:
		return bounded.refused
	case ctx.Err() != nil:
		return ctx.Err()
	case isDiskFull(err):
		return err
	case isOfSystem(err):
		return fmt.Errorf("unpacking layer %s: %w", layer.Digest, err)
	case err != nil:
		return layerBroken(p.request.Image, layer.Digest, err)
	case bounded.digester.Digest() != want:
		return layerBroken(p.request.Image, layer.Digest, fmt.Errorf("it unpacks to %s, not %s", bounded.digester.Digest(), want))
	default:
		return nil
	}
}

// isOfSystem reports whether this machine is to blame, and not the layer. A name
// that no filesystem takes is the layer's.
func isOfSystem(err error) bool {
	number, ok := errors.AsType[syscall.Errno](err)
	return ok && number != syscall.ENAMETOOLONG && number != syscall.EINVAL && number != syscall.ENOTDIR && number != syscall.EEXIST
}

// countingReader tells how much was read.
type countingReader struct {
	r    io.Reader
	n    int64
	tell func(int64)
}

func (c *countingReader) Read(b []byte) (int, error) {
	n, err := c.r.Read(b)
	c.n += int64(n)
	c.tell(c.n)
	return n, err
}

// boundedReader hashes what is unpacked, and refuses to go on where it is too
// much for the image or for the disk.
type boundedReader struct {
	r        io.Reader
	puller   *puller
	digester digest.Digester
	checked  int64
	refused  error
}

func (b *boundedReader) Read(buffer []byte) (int, error) {
	if b.refused != nil {
		return 0, b.refused
	}
	n, err := b.r.Read(buffer)
	_, _ = b.digester.Hash().Write(buffer[:n]) // a hash takes everything
	p := b.puller
	p.unpacked += int64(n)
	if most := p.store.config.MaxUnpacked; p.unpacked > most {
		b.refused = fault.New(fault.Exhausted, "image_too_large", "%s unpacks to more than %s, which is the most for one image here", p.request.Image, size(most)).
			WithHint("Use a smaller image, or have the worker's operator raise the limit.")
		return 0, b.refused
	}
	if p.unpacked-b.checked >= checkEvery {
		b.checked = p.unpacked
		if b.refused = p.store.disk.mayWrite(0); b.refused != nil {
			return 0, b.refused
		}
	}
	return n, err
}
