package pull

import (
	"archive/tar"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/unpack"
)

const (
	// unpackPrefix begins the names of snapshots that are being unpacked into.
	unpackPrefix = "unpack "

	// unpackedLabel holds the bytes of a snapshot's files with those below it.
	unpackedLabel = "fairlead.dev/unpacked"
)

// unpacked reports whether a snapshot is there, and the bytes of its files
// with those below it. The snapshot of no layer, "", always is.
func (s *Store) unpacked(ctx context.Context, chain digest.Digest) (bytes int64, present bool, err error) {
	if chain == "" {
		return 0, true, nil
	}
	info, err := s.snapshots.Stat(ctx, chain.String())
	if errdefs.IsNotFound(err) {
		return 0, false, nil
	}
	if err != nil {
		return 0, false, fmt.Errorf("looking for %s: %w", chain, err)
	}
	bytes, err = strconv.ParseInt(info.Labels[unpackedLabel], 10, 64)
	return bytes, err == nil, err
}

// hold reports whether a snapshot is there, and if so has the pull's lease
// keep it.
func (p *puller) hold(ctx context.Context, chain digest.Digest) (held bool, bytes int64, err error) {
	if _, present, err := p.store.unpacked(ctx, chain); err != nil || !present {
		return false, 0, err
	}
	snapshot := leases.Resource{ID: chain.String(), Type: "snapshots/" + snapshotter}
	if err := p.store.leases.AddResource(ctx, p.lease, snapshot); err != nil {
		return false, 0, p.storing(err)
	}
	bytes, held, err = p.store.unpacked(ctx, chain) // a collection may have been faster than the lease
	return held, bytes, err
}

// layer makes the snapshot of a layer upon those below it. Its files are unpacked
// while it arrives, whether or not those are there yet, into a snapshot without a
// parent, which gets its parent when it is committed. What comes out must be what
// the configuration names. Arrived is called once nothing more comes.
func (p *puller) layer(ctx context.Context, index int, arrived func()) error {
	defer arrived()
	chain := p.documents.configuration.chain[index]
	// Whoever has this lock waits for layers below it alone, so that no two pulls
	// wait for each other.
	begin := p.store.config.Now()
	unlock, err := p.lock(ctx, "chain "+chain.String())
	if err != nil {
		return err
	}
	defer unlock()
	p.board.report(index, func(l *LayerReport) { l.Wait += p.store.config.Now().Sub(begin) })
	held, total, err := p.hold(ctx, chain)
	if err != nil {
		return err
	}
	if held {
		if err := p.prove(ctx, index); err != nil {
			return err
		}
		p.board.enter(index, Done)
		p.stack.commit(index, total)
		return nil
	}
	key := unpackPrefix + chain.String()
	mounts, err := p.prepare(ctx, key)
	if err != nil {
		return p.storing(err)
	}
	if err = p.build(ctx, index, key, mounts, arrived); err != nil {
		p.store.removeHalf(context.WithoutCancel(ctx), key, mounts)
		return err
	}
	p.board.enter(index, Done)
	return nil
}

// build unpacks a layer into the snapshot of that key and commits it upon those
// below.
func (p *puller) build(ctx context.Context, index int, key string, mounts []mount.Mount, arrived func()) error {
	root, err := destination(mounts)
	if err != nil {
		return err
	}
	files, implied, err := p.apply(ctx, index, root)
	arrived()
	if err != nil {
		return err
	}
	below, err := p.stack.below(ctx, index)
	if err != nil {
		return err
	}
	if below+files > p.store.config.MaxUnpacked { // with layers that were here already
		return imageTooLarge(p.request.Image, p.store.config.MaxUnpacked)
	}
	configuration := p.documents.configuration
	parent := ""
	if index > 0 {
		parent = configuration.chain[index-1].String()
		parents, err := p.store.directories(ctx, configuration.chain[index-1])
		if err == nil {
			err = inherit(root, parents, implied)
		}
		if err != nil {
			return p.storing(err)
		}
	}
	labels := snapshots.WithLabels(map[string]string{
		unpackedLabel: strconv.FormatInt(below+files, 10),
		p.fromLabel(): p.documents.manifest.Layers[index].Digest.String(),
	})
	chain := configuration.chain[index].String()
	if err := p.store.snapshots.Commit(ctx, chain, key, labels, snapshots.WithParent(parent)); err != nil {
		return p.storing(err)
	}
	p.stack.commit(index, below+files)
	return nil
}

// prove sees that a layer which is unpacked already is this image's by right:
// the registry says so, or its bytes are what the snapshot was made of.
func (p *puller) prove(ctx context.Context, index int) error {
	if given, err := p.given(ctx, index); err != nil || given {
		return err
	}
	// Nothing is done with what it unpacks to; reading checks it.
	if err := p.reading(ctx, index, func(io.Reader, *bound) error { return nil }); err != nil {
		return err
	}
	return p.labelSnapshot(ctx, index)
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

// apply unpacks a layer into the directory root and returns the bytes of its
// files, and the directories that it has files in without naming them.
func (p *puller) apply(ctx context.Context, index int, root string) (files int64, implied []string, err error) {
	err = p.reading(ctx, index, func(stream io.Reader, bound *bound) error {
		result, err := unpack.Layer(ctx, root, stream, unpack.Options{Admit: bound.admit, Bottom: index == 0})
		files, implied = bound.files, result.Implied
		return err
	})
	p.board.report(index, func(l *LayerReport) { l.Unpacked = files })
	return files, implied, err
}

// reading fetches a layer and has use read its archive while it arrives. It
// checks that all of the layer, and all of the archive, padding included, are
// what the manifest and the configuration name. Where both are wrong, it is the
// layer's bytes that are told of: what they unpack to is wrong because of them.
func (p *puller) reading(ctx context.Context, index int, use func(stream io.Reader, bound *bound) error) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	busy := p.unpackingTime(index)
	carried := newPipe(p.store.config.Now)
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
	bound := &bound{ref: p.request.Image, most: p.store.config.MaxUnpacked, all: &p.stack.files, disk: p.store.disk, archive: archive}
	stream := io.TeeReader(bound, digester.Hash())
	if err = use(stream, bound); err == nil {
		_, err = io.Copy(io.Discard, stream)
	}
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
	disk    disk
	archive io.Reader

	read      int64 // bytes of the archive
	files     int64 // bytes of the files in it, which may be more: some are mostly holes
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
	const inode = 4096 // what the smallest file takes on most filesystems
	need := int64(inode)
	if header.Typeflag == tar.TypeReg || header.Typeflag == tar.TypeGNUSparse {
		if header.Size > b.most || b.all.Add(header.Size) > b.most {
			return imageTooLarge(b.ref, b.most)
		}
		b.files += header.Size
		need += header.Size
	}
	if b.unchecked += need; b.unchecked < checkDiskEvery {
		return nil
	}
	b.unchecked = 0
	return b.disk.mayWrite(need)
}
