package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/oci"
)

// layerTries is how often a download that brought nothing new is taken up
// again before its error stands.
const layerTries = 5

// layers fetches the missing layers side by side and unpacks each one as soon as
// it and all below it are there. It returns how long it only waited for layers,
// and how long it unpacked.
func (p *puller) layers(ctx context.Context, lease leases.Lease) (waited, unpacking time.Duration, err error) {
	present, err := p.present(ctx, lease)
	if err != nil {
		return 0, 0, err
	}
	p.startBoard(present)
	telling, told := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		if p.request.Progress != nil {
			p.board.tell(telling, p.store.config.ProgressEvery, p.request.Progress)
		}
	}()
	defer func() {
		told()
		<-done
	}()

	missing := p.manifest.Layers[present:]
	var need int64
	for _, layer := range missing {
		need += layer.Size
	}
	if err := p.store.disk.mayWrite(need); len(missing) > 0 && err != nil {
		return 0, 0, err
	}
	group, ctx := errgroup.WithContext(ctx)
	slots := make(chan struct{}, p.store.config.Parallel)
	arrived := make([]chan struct{}, len(missing))
	for i := range missing {
		arrived[i] = make(chan struct{})
		group.Go(func() error {
			slots <- struct{}{}
			defer func() { <-slots }()
			err := p.fetchLayer(ctx, present+i)
			if err == nil {
				close(arrived[i])
			}
			return err
		})
	}
	group.Go(func() error {
		for i := range missing {
			begin := p.store.config.Now()
			select {
			case <-arrived[i]:
			case <-ctx.Done():
				return ctx.Err()
			}
			ready := p.store.config.Now()
			waited += ready.Sub(begin)
			if err := p.unpackLayer(ctx, present+i); err != nil {
				return err
			}
			unpacking += p.store.config.Now().Sub(ready)
		}
		return nil
	})
	err = group.Wait()
	return waited, unpacking, err
}

// present is how many layers, from the bottom up, are unpacked already. They are
// leased before they are looked for, so that none goes away afterwards.
func (p *puller) present(ctx context.Context, lease leases.Lease) (int, error) {
	for i := len(p.config.chain) - 1; i >= 0; i-- {
		chain := p.config.chain[i].String()
		resource := leases.Resource{ID: chain, Type: "snapshots/" + snapshotter}
		if err := p.store.leases.AddResource(ctx, lease, resource); err != nil {
			return 0, fmt.Errorf("keeping what is here: %w", err)
		}
		_, err := p.store.snapshots.Stat(ctx, chain)
		if err == nil {
			return i + 1, nil
		}
		if !errdefs.IsNotFound(err) {
			return 0, fmt.Errorf("looking at what is here: %w", err)
		}
	}
	return 0, nil
}

// fetchLayer gets a layer's bytes into the store, checked. What another pull
// fetches is waited for.
func (p *puller) fetchLayer(ctx context.Context, i int) error {
	layer := p.manifest.Layers[i]
	begin := p.store.config.Now()
	unlock, err := p.store.busy.lock(ctx, layer.Digest.String())
	if err != nil {
		return err
	}
	defer unlock()
	f := &layerFetch{puller: p, index: i, layer: layer}
	writer, err := content.OpenWriter(ctx, p.store.content, content.WithRef(f.ref()), content.WithDescriptor(layer))
	if errdefs.IsAlreadyExists(err) { // and it is leased now
		p.board.enter(i, Downloaded)
		return nil
	}
	if err != nil {
		return fmt.Errorf("opening layer %s: %w", layer.Digest, err)
	}
	defer func() { _ = writer.Close() }() // what is not committed stays for the next try
	f.writer = writer
	p.board.report(i, func(r *LayerReport) { r.Existed = false })
	if err := f.download(ctx); err != nil {
		return err
	}
	f.end = p.store.config.Now()
	p.board.report(i, func(r *LayerReport) {
		r.begin, r.end = f.first, f.end
		r.Wait = f.first.Sub(begin) + f.paused
		r.Transfer = f.end.Sub(f.first) - f.paused
	})
	err = writer.Commit(ctx, layer.Size, layer.Digest)
	if err == nil || errdefs.IsAlreadyExists(err) {
		p.board.enter(i, Downloaded)
		return nil
	}
	if isDiskFull(err) {
		return err
	}
	if errdefs.IsFailedPrecondition(err) {
		return errors.Join(layerAltered(p.request.Image, layer.Digest, err), f.abort(ctx))
	}
	return fmt.Errorf("keeping layer %s: %w", layer.Digest, err)
}

// layerFetch is the download of one layer, over one or more connections.
type layerFetch struct {
	*puller
	index  int
	layer  ocispec.Descriptor
	writer content.Writer

	first, end time.Time     // of the transfer
	paused     time.Duration // between two connections
}

func (f *layerFetch) ref() string { return "layer-" + f.layer.Digest.String() }

func (f *layerFetch) abort(ctx context.Context) error {
	if err := f.writer.Close(); err != nil {
		return err
	}
	if err := f.store.content.Abort(ctx, f.ref()); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("dropping a layer that is not what it should be: %w", err)
	}
	return nil
}

// download writes the layer's bytes, from where an earlier try came to. A
// connection that breaks is taken up at the byte.
func (f *layerFetch) download(ctx context.Context) error {
	wait := f.store.config.RetryWait
	for fruitless := 0; ; {
		status, err := f.writer.Status()
		if err != nil {
			return fmt.Errorf("looking at layer %s: %w", f.layer.Digest, err)
		}
		if status.Offset >= f.layer.Size {
			f.started()
			return nil
		}
		before := status.Offset
		err = f.registry.authorized(ctx, func(authorization oci.Authorization) error {
			return f.connection(ctx, before, authorization)
		})
		if err == nil {
			continue // for a registry that sent less than it said
		}
		if errors.Is(err, errBlobLength) {
			return errors.Join(layerAltered(f.request.Image, f.layer.Digest, err), f.abort(ctx))
		}
		if status, err := f.writer.Status(); err == nil && status.Offset > before {
			fruitless, wait = 0, f.store.config.RetryWait
		}
		if fruitless++; fruitless >= layerTries || ctx.Err() != nil || !(isPassingForLayers(err) || errors.Is(err, errStalled)) {
			return err
		}
		f.board.report(f.index, func(r *LayerReport) { r.Retries++ })
		begin := f.store.config.Now()
		if err := pause(ctx, wait); err != nil {
			return err
		}
		f.paused += f.store.config.Now().Sub(begin)
		wait *= 2
	}
}

func (f *layerFetch) started() {
	if f.first.IsZero() {
		f.first = f.store.config.Now()
	}
}

// connection writes what one connection brings.
func (f *layerFetch) connection(ctx context.Context, offset int64, authorization oci.Authorization) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := time.AfterFunc(f.store.config.StallTimeout, func() { cancel(errStalled) })
	defer stalled.Stop()
	stream, err := f.registry.open(ctx, f.layer, offset, authorization)
	if err != nil {
		return stallOr(ctx, err)
	}
	defer stream.close()
	f.started()
	if stream.start != offset { // it cannot send a part
		if err := f.writer.Truncate(stream.start); err != nil {
			return fmt.Errorf("beginning layer %s again: %w", f.layer.Digest, err)
		}
	}
	f.board.enter(f.index, Downloading)
	written := &layerWriter{fetch: f, at: stream.start, alive: func() { stalled.Reset(f.store.config.StallTimeout) }}
	n, err := io.CopyBuffer(written, io.LimitReader(stream, f.layer.Size-stream.start), make([]byte, copyBuffer))
	f.board.report(f.index, func(r *LayerReport) { r.Fetched += n })
	switch {
	case written.err != nil:
		return written.err
	case err != nil:
		return stallOr(ctx, oci.RedactError(err))
	case stream.start+n < f.layer.Size:
		return io.ErrUnexpectedEOF
	default:
		return nil
	}
}

// copyBuffer is large enough that the system calls cost little.
const copyBuffer = 256 << 10

// stallOr is the stall that ended a connection, or the error itself.
func stallOr(ctx context.Context, err error) error {
	if errors.Is(context.Cause(ctx), errStalled) {
		return errStalled
	}
	return err
}

// layerWriter writes into the store, tells how far the layer is, and looks after
// the disk now and then.
type layerWriter struct {
	fetch   *layerFetch
	at      int64
	checked int64
	alive   func()
	err     error // of the disk, not of the network
}

// checkEvery is how many bytes are written between two looks at the disk.
const checkEvery = 16 << 20

func (w *layerWriter) Write(p []byte) (int, error) {
	w.alive()
	if w.at-w.checked >= checkEvery {
		w.checked = w.at
		if w.err = w.fetch.store.disk.mayWrite(0); w.err != nil {
			return 0, w.err
		}
	}
	n, err := w.fetch.writer.Write(p)
	w.at += int64(n)
	w.fetch.board.reach(w.fetch.index, w.at)
	if err != nil {
		w.err = fmt.Errorf("writing layer %s: %w", w.fetch.layer.Digest, err)
	}
	return n, w.err
}
