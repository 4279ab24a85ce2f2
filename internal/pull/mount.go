package pull

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"

	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/gc"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
)

// Files of one writable root filesystem, in writableDir/KEY.
const (
	upperDir   = "upper"
	workDir    = "work"
	layersFile = "layers" // the image, and the names of the snapshots below, one in each line
)

// upperLabel is where the overlay snapshotter says that a snapshot's own files
// are.
const upperLabel = "containerd.io/snapshot/overlay.upperdir"

// keyShape is a key that is safe as a file name and in a mount's options.
var keyShape = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}$`)

// Mount gives one execution a root filesystem of its own: the image's files,
// writable, at Root/rootfs/KEY. What is written to it is gone with Unmount and
// is never synced to the disk. A key is a file name of letters, digits, dots,
// dashes and underscores; one that is mounted already is a Conflict fault.
//
// It neither copies files nor writes to the store's databases, so that it
// takes the same fraction of a millisecond while other pulls keep the disk
// busy.
func (s *Store) Mount(ctx context.Context, img Image, key string) (rootfs string, err error) {
	if !keyShape.MatchString(key) {
		return "", fault.InvalidField("key", "mount_key", "%.80q is no name for a root filesystem", key)
	}
	if !s.mounted.add(key, held{img.name, img.snapshots}) {
		return "", fault.New(fault.Conflict, "mount_exists", "the root filesystem %s is mounted already", key).
			WithHint("Unmount it first, or use another key.")
	}
	s.mounted.remove(img.hold)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Unmount(context.WithoutCancel(ctx), key))
		}
	}()
	lower, err := s.directories(s.context(ctx), img.snapshots)
	if err != nil {
		return "", err
	}
	rootfs = filepath.Join(s.config.Root, rootfsDir, key)
	writable := filepath.Join(s.config.Root, writableDir, key)
	if err := makeWritable(writable, rootfs, img); err != nil {
		if isDiskFull(err) {
			return "", s.disk.full(0, err)
		}
		return "", fmt.Errorf("making the root filesystem %s: %w", key, err)
	}
	if err := mountOverlay(rootfs, writable, lower); err != nil {
		return "", fmt.Errorf("mounting the root filesystem %s: %w", key, err)
	}
	return rootfs, nil
}

func makeWritable(writable, rootfs string, img Image) error {
	const public = 0o755 // the upper directory is the root directory that a container sees
	return errors.Join(
		os.Mkdir(writable, directory),
		os.WriteFile(filepath.Join(writable, layersFile), []byte(strings.Join(append([]string{img.name}, img.snapshots...), "\n")), secretFile),
		os.Mkdir(filepath.Join(writable, upperDir), public),
		os.Mkdir(filepath.Join(writable, workDir), directory),
		os.Mkdir(rootfs, public),
	)
}

// directories are where the files of snapshots are.
func (s *Store) directories(ctx context.Context, snapshots []string) ([]string, error) {
	if len(snapshots) == 0 {
		return []string{filepath.Join(s.config.Root, emptyDir)}, nil
	}
	dirs := make([]string, len(snapshots))
	for i, name := range snapshots {
		info, err := s.snapshots.Stat(ctx, name)
		if err != nil {
			return nil, fmt.Errorf("looking for the layers of the image: %w", err)
		}
		dirs[i] = info.Labels[upperLabel]
	}
	return dirs, nil
}

// mountOverlay mounts without syncing (volatile, Linux 5.10) where the kernel
// can: nothing of it is to outlive the machine.
// https://docs.kernel.org/filesystems/overlayfs.html#volatile-mount
func mountOverlay(rootfs, writable string, lower []string) error {
	overlay := mount.Mount{
		Type: "overlay", Source: "overlay",
		Options: []string{
			"nodev", // no image brings devices of its own
			"lowerdir=" + strings.Join(lower, ":"),
			"upperdir=" + filepath.Join(writable, upperDir),
			"workdir=" + filepath.Join(writable, workDir),
		},
	}
	if _, err := os.Stat("/sys/module/overlay/parameters/index"); err == nil {
		overlay.Options = append(overlay.Options, "index=off") // layers are shared by many mounts
	}
	volatile := overlay
	volatile.Options = append(slices.Clone(overlay.Options), "volatile")
	err := volatile.Mount(rootfs)
	if errors.Is(err, unix.EINVAL) {
		return overlay.Mount(rootfs)
	}
	return err
}

// Unmount takes a root filesystem away with all that was written to it. It
// returns at once; Collect waits for the disk space. One that is not there is
// fine.
func (s *Store) Unmount(_ context.Context, key string) error {
	if !keyShape.MatchString(key) {
		return nil // there is none of that name
	}
	rootfs := filepath.Join(s.config.Root, rootfsDir, key)
	for {
		// Detached, so that a process that has it open does not keep it.
		err := unix.Unmount(rootfs, unix.MNT_DETACH|unix.UMOUNT_NOFOLLOW)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, fs.ErrNotExist) { // nothing is mounted there
			break
		}
		if err != nil {
			return fmt.Errorf("unmounting the root filesystem %s: %w", key, err)
		}
	}
	if err := os.Remove(rootfs); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("unmounting the root filesystem %s: %w", key, err)
	}
	// Under a name of its own from the first moment on: a directory made for it
	// could be emptied out at once.
	rubbish := filepath.Join(s.config.Root, rubbishDir, key+"-"+rand.Text())
	if err := os.Rename(filepath.Join(s.config.Root, writableDir, key), rubbish); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("removing the root filesystem %s: %w", key, err)
	}
	s.mounted.remove(key)
	s.keeper.nudge()
	return nil
}

// emptyRubbish removes what was written to root filesystems that are
// unmounted.
func (s *Store) emptyRubbish() error {
	entries, err := os.ReadDir(filepath.Join(s.config.Root, rubbishDir))
	if err != nil {
		return fmt.Errorf("removing root filesystems: %w", err)
	}
	var errs []error
	for _, entry := range entries {
		errs = append(errs, os.RemoveAll(filepath.Join(s.config.Root, rubbishDir, entry.Name())))
	}
	return errors.Join(errs...)
}

// Reap unmounts every root filesystem that keep does not want, those of a
// killed process first of all. No container may run in them any more.
func (s *Store) Reap(ctx context.Context, keep func(key string) bool) error {
	left, err := s.leftKeys()
	if err != nil {
		return err
	}
	var errs []error
	for key := range left {
		if !keep(key) {
			errs = append(errs, s.Unmount(ctx, key))
		}
	}
	return errors.Join(errs...)
}

// leftKeys are the keys of all root filesystems that have any file here.
func (s *Store) leftKeys() (map[string]bool, error) {
	keys := make(map[string]bool)
	for _, dir := range []string{rootfsDir, writableDir} {
		entries, err := os.ReadDir(filepath.Join(s.config.Root, dir))
		if err != nil {
			return nil, fmt.Errorf("looking for root filesystems: %w", err)
		}
		for _, entry := range entries {
			keys[entry.Name()] = true
		}
	}
	return keys, nil
}

// findMounted takes note of what an earlier process mounted, so that nothing
// of it is removed until Reap.
func (s *Store) findMounted() error {
	keys, err := s.leftKeys()
	if err != nil {
		return err
	}
	for key := range keys {
		names, err := os.ReadFile(filepath.Join(s.config.Root, writableDir, key, layersFile))
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("looking for root filesystems: %w", err)
		}
		name, snapshots, _ := strings.Cut(string(names), "\n")
		s.mounted.add(key, held{name, strings.Split(snapshots, "\n")})
	}
	return nil
}

// mountResource is what the garbage collection knows mounts by: one of the
// numbers that containerd leaves free.
const mountResource = metadata.ResourceMount + 1

// mounts are the root filesystems that are mounted, and the images that are about to
// be, which the garbage collection must leave. The zero value is ready.
type mounts struct {
	mu   sync.Mutex
	held map[string]held
}

// held is an image in use.
type held struct {
	name      string // repository and digest
	snapshots []string
}

// add reports false if the key is there already.
func (m *mounts) add(key string, what held) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.held == nil {
		m.held = make(map[string]held)
	}
	if _, there := m.held[key]; there {
		return false
	}
	m.held[key] = what
	return true
}

// hold adds what is not mounted yet, under a key of its own.
func (m *mounts) hold(what held) (key string) {
	key = "about to be mounted " + rand.Text()
	m.add(key, what)
	return key
}

func (m *mounts) remove(key string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.held, key)
}

// users is how often an image is in use.
func (m *mounts) users(name string) (users int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, h := range m.held {
		if h.name == name {
			users++
		}
	}
	return users
}

// StartCollection tells a garbage collection what is mounted.
func (m *mounts) StartCollection(context.Context) (metadata.CollectionContext, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var all inUse
	for _, h := range m.held {
		all = append(all, h.snapshots...)
	}
	return all, nil
}

// ReferenceLabel is empty: no label of other resources refers to a mount.
func (m *mounts) ReferenceLabel() string { return "" }

// inUse are snapshots that one garbage collection must leave.
type inUse []string

// Active names the snapshots.
func (u inUse) Active(ns string, fn func(gc.Node)) {
	if ns != namespace {
		return
	}
	for _, name := range u {
		fn(gc.Node{Type: metadata.ResourceSnapshot, Namespace: namespace, Key: snapshotter + "/" + name})
	}
}

// All names nothing: mounts are not for the garbage collection to remove.
func (u inUse) All(func(gc.Node)) {}

// Leased names nothing, since no lease holds a mount.
func (u inUse) Leased(string, string, func(gc.Node)) {}

// Remove has nothing to do.
func (u inUse) Remove(gc.Node) {}

// Cancel has nothing to do.
func (u inUse) Cancel() error { return nil }

// Finish has nothing to do.
func (u inUse) Finish() error { return nil }
