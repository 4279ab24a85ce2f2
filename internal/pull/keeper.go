package pull

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sys/unix"
)

// Times of what is kept.
const (
	// leaseLifetime is how long what an unfinished pull fetched is kept for
	// the next try.
	leaseLifetime = 24 * time.Hour

	// useResolution is how exact a record's last use is.
	useResolution = time.Hour

	// tidyEvery is how often the disk is looked at, which others fill too.
	tidyEvery = 5 * time.Minute
)

// pulled is an image that is complete and not yet recorded.
type pulled struct {
	name   string             // repository and digest
	target ocispec.Descriptor // what the registry answered
	size   int64              // Image.Size
	lease  *leases.Lease      // holds it until it is recorded; nil: something else does
}

// keeper does what no pull has to wait for: it makes new images durable and
// records them, and removes what nothing refers to. One goroutine does it all.
type keeper struct {
	store  *Store
	wake   chan struct{}
	asked  chan errand
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	pending []pulled
	used    map[string]use // of images by name, as far as they are known
}

// use is when an image was used last, and when it was by its record.
type use struct{ last, recorded time.Time }

// errand is something that the keeper's goroutine does for another one.
type errand struct {
	do   func(ctx context.Context) error
	done chan<- error
}

// startKeeper gives a store its keeper.
func startKeeper(s *Store) {
	ctx, cancel := context.WithCancel(s.context(context.Background()))
	k := &keeper{
		store: s, cancel: cancel,
		wake: make(chan struct{}, 1), asked: make(chan errand), done: make(chan struct{}),
		used: make(map[string]use),
	}
	k.nudge() // for what a killed process left
	s.keeper = k
	go k.run(ctx)
}

// stop records what is pending and ends the goroutine.
func (k *keeper) stop() {
	k.cancel()
	<-k.done
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	ticker := time.NewTicker(tidyEvery)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			last := context.WithoutCancel(ctx)
			if err := k.record(last); err != nil {
				k.store.config.Logger.Warn("an image was not recorded and will be pulled again", "error", err)
			}
			if err := k.store.writeInventory(last); err != nil {
				k.store.config.Logger.Warn("what the image store holds was not written down", "error", err)
			}
			return
		case errand := <-k.asked:
			errand.done <- errand.do(ctx)
		case <-ticker.C:
			k.nudge()
		case <-k.wake:
			if err := k.tidy(ctx); err != nil && ctx.Err() == nil {
				k.store.config.Logger.Warn("tidying the image store", "error", err)
			}
		}
	}
}

// keep hands an image over to be recorded.
func (k *keeper) keep(p pulled) {
	now := k.store.config.Now()
	k.mu.Lock()
	k.pending = append(k.pending, p)
	k.used[p.name] = use{now, now}
	k.mu.Unlock()
	k.nudge()
}

// touch takes note that a recorded image is used, and says whether that is to be
// recorded too.
func (k *keeper) touch(name string) (record bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	used := k.used[name]
	used.last = k.store.config.Now()
	k.used[name] = used
	return used.last.Sub(used.recorded) >= useResolution
}

// forget drops what is known of an image that is removed.
func (k *keeper) forget(name string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	delete(k.used, name)
}

// lastUse is when an image was used last, and whether it was ever kept.
func (k *keeper) lastUse(ctx context.Context, name string) (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if used, known := k.used[name]; known {
		return used.last, true
	}
	record, err := k.store.records.Get(ctx, name)
	if err != nil { // it is pulled again, and the error comes up there
		return time.Time{}, false
	}
	k.used[name] = use{record.UpdatedAt, record.UpdatedAt}
	return record.UpdatedAt, true
}

// nudge has the store tidied soon.
func (k *keeper) nudge() {
	select {
	case k.wake <- struct{}{}:
	default: // it will be already
	}
}

func (k *keeper) tidy(ctx context.Context) error {
	if err := k.record(ctx); err != nil {
		return err
	}
	if err := k.sweep(ctx); err != nil {
		return err
	}
	if err := k.store.emptyRubbish(); err != nil {
		return err
	}
	if err := k.trim(ctx); err != nil {
		return err
	}
	return k.store.writeInventory(ctx)
}

// record makes the pending images durable and gives them a record, so that
// they outlive their leases. The files of a layer are on the disk for certain
// only after the sync: an image is recorded after it, never before.
func (k *keeper) record(ctx context.Context) error {
	k.mu.Lock()
	pending := k.pending
	k.pending = nil
	k.mu.Unlock()

	isNew := func(p pulled) bool {
		_, err := k.store.records.Get(ctx, p.name)
		return p.lease != nil || err != nil
	}
	if slices.ContainsFunc(pending, isNew) {
		if err := syncFilesystem(k.store.config.Root); err != nil {
			return err
		}
	}
	for _, p := range pending {
		if err := k.recordOne(ctx, p); err != nil {
			return fmt.Errorf("recording %s: %w", p.name, err)
		}
	}
	return nil
}

func (k *keeper) recordOne(ctx context.Context, p pulled) error {
	record := images.Image{Name: p.name, Target: p.target, Labels: map[string]string{sizeLabel: strconv.FormatInt(p.size, 10)}}
	_, err := k.store.records.Create(ctx, record)
	if errdefs.IsAlreadyExists(err) {
		_, err = k.store.records.Update(ctx, record) // sets the time of its last use
	}
	if err != nil || p.lease == nil {
		return err
	}
	if err := k.store.leases.Delete(ctx, *p.lease); err != nil && !errdefs.IsNotFound(err) { // a later pull took it over
		return err
	}
	return nil
}

// syncFilesystem waits until everything written to the filesystem of path is
// on the disk.
func syncFilesystem(path string) error {
	file, err := os.Open(filepath.Clean(path))
	if err != nil {
		return fmt.Errorf("syncing the image store: %w", err)
	}
	defer func() { _ = file.Close() }() // nothing was written through it
	if err := unix.Syncfs(int(file.Fd())); err != nil {
		return fmt.Errorf("syncing the image store: %w", err)
	}
	return nil
}

// do has the keeper's goroutine do something, and waits for it.
func (k *keeper) do(ctx context.Context, what func(ctx context.Context) error) error {
	done := make(chan error, 1)
	select {
	case k.asked <- errand{what, done}:
	case <-k.done:
		return os.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Collect records what was pulled, removes what nothing refers to, and what is more
// than the store may keep, now. The store does so by itself after each pull and
// release; call it to wait for the disk space.
func (s *Store) Collect(ctx context.Context) error { return s.keeper.do(ctx, s.keeper.tidy) }
