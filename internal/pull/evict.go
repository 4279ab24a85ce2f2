package pull

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// occupiesLabel holds what a snapshot's files take on the disk, in bytes.
const occupiesLabel = "fairlead.dev/occupies"

// unused is something that the store keeps for later alone.
type unused struct {
	name    string // of an image, or of the manifest of a pull that broke off
	lastUse time.Time
	remove  func(ctx context.Context) error
}

// evict removes what is not in use, until there is enough room: first what pulls
// that broke off left, then images, the least recently used first. It returns how
// many it removed. Only the keeper's goroutine calls it.
func (k *keeper) evict(ctx context.Context, enough func() (bool, error)) (removed int, err error) {
	candidates, err := k.unused(ctx)
	if err != nil {
		return 0, err
	}
	for _, c := range candidates {
		if done, err := enough(); err != nil || done {
			return removed, err
		}
		if err := c.remove(ctx); err != nil && !errdefs.IsNotFound(err) {
			return removed, fmt.Errorf("removing %s from the image store: %w", c.name, err)
		}
		if err := k.sweep(ctx); err != nil {
			return removed, err
		}
		removed++
		k.store.config.Logger.Info("an image was removed to make room", "image", c.name, "last_use", c.lastUse)
	}
	return removed, nil
}

// sweep removes what nothing refers to, from the disk too.
func (k *keeper) sweep(ctx context.Context) error {
	// A collection is short, and leaves a goroutine behind when it is cancelled.
	if _, err := k.store.db.GarbageCollect(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("removing what is no longer used: %w", err)
	}
	return nil
}

// unused are what may be removed, in that order.
func (k *keeper) unused(ctx context.Context) ([]unused, error) {
	left, err := k.leftovers(ctx)
	if err != nil {
		return nil, err
	}
	records, err := k.store.records.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing the images of the store: %w", err)
	}
	var images []unused
	for _, record := range records {
		if k.store.mounted.users(record.Name) > 0 {
			continue
		}
		last, _ := k.lastUse(ctx, record.Name)
		images = append(images, unused{record.Name, last, func(ctx context.Context) error {
			k.forget(record.Name)
			return k.store.records.Delete(ctx, record.Name)
		}})
	}
	byLastUse := func(a, b unused) int {
		return cmp.Or(a.lastUse.Compare(b.lastUse), cmp.Compare(a.name, b.name))
	}
	slices.SortFunc(left, byLastUse)
	slices.SortFunc(images, byLastUse)
	return append(left, images...), nil
}

// leftovers are what pulls that broke off have left. One that is under way, or
// done and not yet recorded, has left nothing.
func (k *keeper) leftovers(ctx context.Context) ([]unused, error) {
	held, err := k.store.leases.List(ctx)
	if err != nil {
		return nil, fmt.Errorf("listing what pulls have left: %w", err)
	}
	held = slices.DeleteFunc(held, func(l leases.Lease) bool {
		return k.store.busy.isHeld(imageLock(digest.Digest(l.Labels[manifestLabel])))
	})
	k.mu.Lock() // after the look at the locks: a pull hands its lease over before it lets go of its own
	defer k.mu.Unlock()
	var left []unused
	for _, lease := range held {
		isPending := func(p pulled) bool { return p.lease != nil && p.lease.ID == lease.ID }
		if !slices.ContainsFunc(k.pending, isPending) {
			left = append(left, unused{lease.Labels[manifestLabel], lease.CreatedAt, func(ctx context.Context) error {
				return k.store.leases.Delete(ctx, lease)
			}})
		}
	}
	return left, nil
}

// trim keeps the store within the operator's limits, as far as what is in use lets
// it.
func (k *keeper) trim(ctx context.Context) error {
	_, err := k.evict(ctx, func() (bool, error) {
		free, _, err := k.store.disk.free()
		if err != nil || free < k.store.disk.floor {
			return false, err
		}
		most := k.store.config.MaxStored
		if most == 0 {
			return true, nil
		}
		occupied, err := k.store.occupied(ctx)
		return occupied <= most, err
	})
	return err
}

// makeRoom sees that need more bytes may be written, removing for it what is not in
// use. Where that is not enough it returns a disk_full fault with the figures.
func (k *keeper) makeRoom(ctx context.Context, need int64) error {
	disk := k.store.disk
	if err := disk.mayWrite(need); !isDiskFullFault(err) {
		return err
	}
	return k.do(ctx, func(ctx context.Context) error {
		if err := k.record(ctx); err != nil {
			return err
		}
		var full error
		removed, err := k.evict(ctx, func() (bool, error) {
			full = disk.mayWrite(need)
			return full == nil, nil
		})
		if err != nil {
			return err
		}
		if full = disk.mayWrite(need); !isDiskFullFault(full) {
			return full
		}
		occupied, err := k.store.occupied(ctx)
		if err != nil {
			return err
		}
		return disk.stillFull(need, occupied, removed)
	})
}

// occupied is what the layers in the store take on the disk.
func (s *Store) occupied(ctx context.Context) (total int64, err error) {
	err = s.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		total += occupies(info)
		return nil
	})
	if err != nil {
		return 0, fmt.Errorf("adding up the image store: %w", err)
	}
	return total, nil
}

// occupies is what a layer takes on the disk; 0 for one that is not finished.
func occupies(info snapshots.Info) int64 {
	bytes, err := strconv.ParseInt(info.Labels[occupiesLabel], 10, 64)
	if err != nil {
		return 0
	}
	return bytes
}
