package pull

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/unpack"
)

// layer unpacks a layer while it arrives, unless it is here. What comes out must be
// what the configuration names.
func (p *puller) layer(ctx context.Context, index int) error {
	diffID := p.documents.configuration.RootFS.DiffIDs[index].String()
	begin := p.store.config.Now()
	unlock, err := p.lock(ctx, layerPrefix+diffID) // whoever has it waits for no other
	if err != nil {
		return err
	}
	defer unlock()
	p.board.report(index, func(l *LayerReport) { l.Wait += p.store.config.Now().Sub(begin) })
	found, held, err := p.hold(ctx, index)
	if err != nil {
		return err
	}
	if held {
		if err = p.prove(ctx, index, found); err == nil {
			err = p.count(found.bytes)
		}
	} else {
		err = p.make(ctx, index, unpackPrefix+diffID)
	}
	if err != nil {
		return err
	}
	p.board.enter(index, Done)
	return nil
}

// make makes the snapshot of a layer, unpacking it under key.
func (p *puller) make(ctx context.Context, index int, key string) error {
	mounts, err := p.prepare(ctx, key)
	if err != nil {
		return p.storing(err)
	}
	made, err := p.apply(ctx, index, mounts)
	if err == nil {
		err = p.commit(ctx, index, key, made)
	}
	if err != nil {
		p.store.removeHalf(context.WithoutCancel(ctx), key, mounts)
	}
	return err
}

// count adds to the bytes of the image's files what was here already.
func (p *puller) count(bytes int64) error {
	if p.files.Add(bytes) > p.store.config.MaxUnpacked {
		return imageTooLarge(p.request.Image, p.store.config.MaxUnpacked)
	}
	return nil
}

// prove sees that a layer which is unpacked already is this image's by right:
// the registry says so, or its bytes are what the snapshot was made of.
func (p *puller) prove(ctx context.Context, index int, found unpackedLayer) error {
	if given, err := p.given(ctx, index, found); err != nil || given {
		return err
	}
	// Nothing is done with what it unpacks to; reading checks it.
	if err := p.reading(ctx, index, func(io.Reader, *bound) error { return nil }); err != nil {
		return err
	}
	return p.labelSnapshot(ctx, index, found)
}

// prepare makes a snapshot to unpack into, in place of one that a failure
// left.
func (p *puller) prepare(ctx context.Context, key string) ([]mount.Mount, error) {
	mounts, err := p.store.snapshots.Prepare(ctx, key, "")
	if !errdefs.IsAlreadyExists(err) {
		return mounts, err
	}
	if err := p.store.snapshots.Remove(ctx, key); err != nil {
		return nil, err
	}
	return p.store.snapshots.Prepare(ctx, key, "")
}

// removeHalf removes a snapshot that was not finished. Its files go first: where
// the disk is full, the database has no room to note the removal before.
func (s *Store) removeHalf(ctx context.Context, key string, mounts []mount.Mount) {
	root, err := destination(mounts)
	if err == nil {
		err = os.RemoveAll(root)
	}
	if err = errors.Join(err, s.snapshots.Remove(ctx, key)); err != nil {
		s.config.Logger.Warn("a half unpacked layer stays until the store is opened again", "layer", key, "error", err)
	}
	s.keeper.nudge() // the rest is removed by the garbage collection
}

// layerMade is what came of unpacking a layer.
type layerMade struct {
	unpack.Result

	dir      string
	bytes    int64 // of its files
	occupies int64 // of the disk
}

// apply unpacks a layer into an empty snapshot.
func (p *puller) apply(ctx context.Context, index int, mounts []mount.Mount) (made layerMade, err error) {
	if made.dir, err = destination(mounts); err != nil {
		return made, err
	}
	err = p.reading(ctx, index, func(stream io.Reader, bound *bound) (err error) {
		made.Result, err = unpack.Layer(ctx, made.dir, stream, unpack.Options{Admit: bound.admit, Bottom: index == 0})
		made.bytes, made.occupies = bound.files, bound.occupied
		return err
	})
	p.board.report(index, func(l *LayerReport) { l.Unpacked = made.bytes })
	return made, err
}

// reading fetches a layer and has use read its archive while it arrives. It
// checks that all of the layer, and all of the archive, padding included, are
// what the manifest and the configuration name. Where both are wrong, it is the
// layer's bytes that are told of: what they unpack to is wrong because of them.
func (p *puller) reading(ctx context.Context, index int, use func(stream io.Reader, bound *bound) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	busy := p.unpackingTime(index)
	carried := newPipe()
	carried.idle, carried.busy, carried.drains = busy.stop, busy.start, true
	fetched := make(chan error, 1)
	go func() {
		err := p.fetch(ctx, index, carried)
		carried.finish(err)
		fetched <- err
	}()
	busy.start()
	unpackErr := p.unpack(ctx, index, carried, use)
	busy.stop()
	if unpackErr == nil {
		p.board.unpacked(index)
	}
	// Only of a layer that makes no sense can the rest still say why.
	alone := unpackErr != nil && !isBroken(unpackErr) && !carried.failed()
	if alone {
		cancel()
	}
	if fetchErr := <-fetched; fetchErr != nil && !alone {
		return fetchErr
	}
	return unpackErr
}

// isBroken reports whether an unpacking failed by what the layer holds.
func isBroken(err error) bool { return fault.From(err).Code == layerCorrupt }

// unpack reads a layer's archive from what arrives, and leaves that.
func (p *puller) unpack(ctx context.Context, index int, arriving *pipe, use func(stream io.Reader, bound *bound) error) error {
	layer := p.documents.manifest.Layers[index]
	archive, err := p.plain(ctx, arriving)
	if err != nil {
		arriving.leave()
		return p.unpackFailed(ctx, layer.Digest, err)
	}
	defer func() {
		arriving.leave()
		_ = archive.Close() // it is read to its end, or of no use
	}()
	want := p.documents.configuration.RootFS.DiffIDs[index]
	digester := want.Algorithm().Digester()
	bound := &bound{
		ref: p.request.Image, most: p.store.config.MaxUnpacked, all: &p.files, devices: p.store.config.AllowDevices,
		room: func(need int64) error { return p.store.keeper.makeRoom(ctx, need) },
	}
	err = p.store.limits.unpacking.work(ctx, archive, func(archive io.Reader) error {
		bound.archive = archive
		stream := io.TeeReader(bound, digester.Hash())
		if err := use(stream, bound); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, stream)
		return err
	})
	if err != nil {
		return p.unpackFailed(ctx, layer.Digest, err)
	}
	if got := digester.Digest(); got != want {
		return layerBroken(p.request.Image, layer.Digest, fmt.Errorf("it unpacks to %s, not to %s", got, want))
	}
	return nil
}

// stopwatch is the time that a layer's unpacking is at work and not waiting for
// more of the layer.
type stopwatch struct {
	*puller
	index int
	begin time.Time
	leave func()
}

func (p *puller) unpackingTime(index int) *stopwatch { return &stopwatch{puller: p, index: index} }

func (w *stopwatch) start() {
	w.begin, w.leave = w.store.config.Now(), w.timeline.enter(unpacking)
}

func (w *stopwatch) stop() {
	w.leave()
	spent := w.store.config.Now().Sub(w.begin)
	w.board.report(w.index, func(l *LayerReport) { l.Unpack += spent })
}

// unpackFailed tells the ends of an unpacking apart: ours, the machine's, and
// the layer's own fault.
func (p *puller) unpackFailed(ctx context.Context, layer digest.Digest, err error) error {
	if _, known := errors.AsType[*fault.Error](err); known {
		return err
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if isDiskFull(err) {
		return p.store.disk.full(0, err)
	}
	for _, machine := range []error{syscall.EIO, syscall.EROFS, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM} {
		if errors.Is(err, machine) {
			return p.storing(err)
		}
	}
	return layerBroken(p.request.Image, layer, err)
}

// destination is the directory that the files of a snapshot without a parent are
// in.
func destination(mounts []mount.Mount) (root string, err error) {
	if len(mounts) != 1 || mounts[0].Type != "bind" {
		return "", fmt.Errorf("a snapshot without a directory of its own: %v", mounts)
	}
	return mounts[0].Source, nil
}

// bound stops an archive that grows beyond what an image may have, or what the
// disk has room for, before it is written.
type bound struct {
	ref     image.Reference
	most    int64
	all     *atomic.Int64 // bytes of the files of all layers of the image
	room    func(need int64) error
	archive io.Reader
	devices bool // are allowed

	read      int64 // bytes of the archive
	files     int64 // bytes of the files in it, which may be more: some are mostly holes
	occupied  int64 // bytes that they take on the disk, if none is mostly holes
	unchecked int64 // bytes since the last look at the disk
}

func (b *bound) Read(p []byte) (int, error) {
	n, err := b.archive.Read(p)
	if b.read += int64(n); b.read > b.most {
		return 0, imageTooLarge(b.ref, b.most)
	}
	return n, err
}

// admit is asked about each entry before it is unpacked. It takes away what
// the kernel keeps of an overlay in extended attributes: a layer has no say in
// how it is stacked.
func (b *bound) admit(header *tar.Header) error {
	for key := range header.PAXRecords {
		if strings.HasPrefix(key, "SCHILY.xattr.trusted.") || strings.HasPrefix(key, "SCHILY.xattr.user.overlay.") {
			delete(header.PAXRecords, key)
		}
	}
	if header.Typeflag == tar.TypeChar || header.Typeflag == tar.TypeBlock {
		if header.Devmajor == 0 && header.Devminor == 0 {
			return fmt.Errorf("%.200q is a mark of overlayfs: %w", header.Name, tar.ErrHeader)
		}
		if !b.devices {
			return layerDevice(b.ref, header.Name)
		}
	}
	const block = 4096 // what the smallest file takes on most filesystems
	need := int64(block)
	if header.Typeflag == tar.TypeReg || header.Typeflag == tar.TypeGNUSparse {
		if header.Size > b.most || b.all.Add(header.Size) > b.most {
			return imageTooLarge(b.ref, b.most)
		}
		b.files += header.Size
		need += header.Size / block * block
	}
	b.occupied += need
	if b.unchecked += need; b.unchecked < checkDiskEvery {
		return nil
	}
	b.unchecked = 0
	return b.room(need)
}
