package pull

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
)

// mountPrefix begins the keys of snapshots that are mounted for an execution.
const mountPrefix = "mount-"

// Mount gives an execution a root filesystem of its own: a writable copy of the
// image, at a path that Unmount takes away. key names it among all that are
// mounted, and is a plain file name; one that is in use is a Conflict.
func (s *Store) Mount(ctx context.Context, img Image, key string) (rootfs string, err error) {
	if key == "" || key != filepath.Base(key) || strings.HasPrefix(key, ".") {
		return "", fault.InvalidField("key", "mount_key", "%.80q is no name of a root filesystem", key)
	}
	ctx = s.context(ctx)
	parent := img.chain.String()
	mounts, err := s.snapshots.Prepare(ctx, mountPrefix+key, parent, snapshots.WithLabels(map[string]string{
		labelRoot: s.config.Now().UTC().Format("2006-01-02T15:04:05Z"),
	}))
	if errdefs.IsAlreadyExists(err) {
		return "", fault.New(fault.Conflict, "mount_in_use", "the root filesystem %q is in use", key)
	}
	if err != nil {
		return "", s.mountFailed(err)
	}
	rootfs = filepath.Join(s.config.Root, rootfsDir, key)
	if err = os.Mkdir(rootfs, 0o755); err == nil {
		err = mount.All(mounts, rootfs)
	}
	if err != nil {
		return "", errors.Join(s.mountFailed(err), s.Unmount(context.WithoutCancel(ctx), key))
	}
	return rootfs, nil
}

func (s *Store) mountFailed(err error) error {
	if isDiskFull(err) {
		return s.disk.full(0, err)
	}
	return fmt.Errorf("mounting a root filesystem: %w", err)
}

// Unmount takes a root filesystem away with all that was written to it. One that
// is not there is fine.
func (s *Store) Unmount(ctx context.Context, key string) error {
	rootfs := filepath.Join(s.config.Root, rootfsDir, key)
	// Detached, so that a process that has it open does not keep it.
	if err := mount.UnmountAll(rootfs, unix.MNT_DETACH); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmounting a root filesystem: %w", err)
	}
	if err := os.Remove(rootfs); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmounting a root filesystem: %w", err)
	}
	if err := s.snapshots.Remove(s.context(ctx), mountPrefix+key); ignoreNotFound(err) != nil {
		return fmt.Errorf("removing a root filesystem: %w", err)
	}
	s.keeper.nudge() // for the directory itself
	return nil
}

// Reap unmounts every root filesystem that a killed process left and that keep
// does not want. Call it before the first Mount, when no container runs in them.
func (s *Store) Reap(ctx context.Context, keep func(key string) bool) error {
	left := make(map[string]bool)
	entries, err := os.ReadDir(filepath.Join(s.config.Root, rootfsDir))
	if err != nil {
		return fmt.Errorf("looking for root filesystems: %w", err)
	}
	for _, entry := range entries {
		left[entry.Name()] = true
	}
	keys, err := s.activeSnapshots(s.context(ctx), mountPrefix)
	if err != nil {
		return fmt.Errorf("looking for root filesystems: %w", err)
	}
	for _, key := range keys {
		left[strings.TrimPrefix(key, mountPrefix)] = true
	}
	var errs []error
	for key := range left {
		if !keep(key) {
			errs = append(errs, s.Unmount(ctx, key))
		}
	}
	return errors.Join(errs...)
}
