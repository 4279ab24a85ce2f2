package pull

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
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
	asked  chan chan error
	cancel context.CancelFunc
	done   chan struct{}

	mu      sync.Mutex
	pending []pulled
	used    map[string]time.Time // last uses of images by name, as far as they are known
}

func startKeeper(s *Store) *keeper {
	ctx, cancel := context.WithCancel(s.context(context.Background()))
	k := &keeper{
		store: s, cancel: cancel,
		wake: make(chan struct{}, 1), asked: make(chan chan error), done: make(chan struct{}),
		used: make(map[string]time.Time),
	}
	k.nudge() // for what a killed process left
	go k.run(ctx)
	return k
}

// stop records what is pending and ends the goroutine.
func (k *keeper) stop() {
	k.cancel()
	<-k.done
}

func (k *keeper) run(ctx context.Context) {
	defer close(k.done)
	for {
		select {
		case <-ctx.Done():
			if err := k.record(context.WithoutCancel(ctx)); err != nil {
				k.store.config.Logger.Warn("an image was not recorded and will be pulled again", "error", err)
			}
			return
		case answer := <-k.asked:
			answer <- k.tidy(ctx)
		case <-k.wake:
			if err := k.tidy(ctx); err != nil && ctx.Err() == nil {
				k.store.config.Logger.Warn("tidying the image store", "error", err)
			}
		}
	}
}

// keep hands an image over to be recorded.
func (k *keeper) keep(p pulled) {
	k.mu.Lock()
	k.pending = append(k.pending, p)
	k.used[p.name] = k.store.config.Now()
	k.mu.Unlock()
	k.nudge()
}

// lastUse is when an image was used last, and whether it was ever kept.
func (k *keeper) lastUse(ctx context.Context, name string) (time.Time, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if used, known := k.used[name]; known {
		return used, true
	}
	record, err := k.store.records.Get(ctx, name)
	if err != nil { // it is pulled again, and the error comes up there
		return time.Time{}, false
	}
	k.used[name] = record.UpdatedAt
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
	// A collection is short, and leaves a goroutine behind when it is cancelled.
	if _, err := k.store.db.GarbageCollect(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("removing what is no longer used: %w", err)
	}
	return k.store.emptyRubbish()
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

// Collect records what was pulled and removes what nothing refers to, now.
// The store does so by itself after each pull and release; call it to wait for
// the disk space.
func (s *Store) Collect(ctx context.Context) error {
	answer := make(chan error, 1)
	select {
	case s.keeper.asked <- answer:
	case <-s.keeper.done:
		return os.ErrClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	select {
	case err := <-answer:
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// sizeLabel holds a record's Image.Size.
const sizeLabel = "fairlead.dev/size"

// StoredImage is an image that is on this worker.
type StoredImage struct {
	Name    string        // repository and digest
	Digest  digest.Digest // what the registry answered
	Size    int64         // bytes as the registry has them
	LastUse time.Time     // to the hour
}

// Images are the images that the store keeps, ordered by name. One that was
// pulled this moment may be missing until Collect.
func (s *Store) Images(ctx context.Context) ([]StoredImage, error) {
	records, err := s.records.List(s.context(ctx))
	if err != nil {
		return nil, fmt.Errorf("listing the images of the store: %w", err)
	}
	stored := make([]StoredImage, len(records))
	for i, record := range records {
		size, err := strconv.ParseInt(record.Labels[sizeLabel], 10, 64)
		if err != nil {
			return nil, fmt.Errorf("listing the images of the store: %s: %w", record.Name, err)
		}
		stored[i] = StoredImage{Name: record.Name, Digest: record.Target.Digest, Size: size, LastUse: record.UpdatedAt}
	}
	slices.SortFunc(stored, func(a, b StoredImage) int { return strings.Compare(a.Name, b.Name) })
	return stored, nil
}
