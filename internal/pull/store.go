// Package pull turns an image's name into a root filesystem: it asks the
// registry what the image is now, fetches what is missing, checks every
// digest, unpacks, and mounts a writable copy for one execution. What it
// fetched it keeps in a Store, a directory of its own, so that the next pull
// of the same image is one request.
//
// It works with containerd's libraries inside the process; there is no daemon.
// It knows no credentials (a Request brings them) and runs nothing (that is
// package engine). Start with Open, then Store.Pull and Store.Mount.
package pull

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/errdefs"
	"github.com/containerd/log"
	"github.com/containerd/platforms"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"github.com/sirupsen/logrus"
	logrusslog "github.com/sirupsen/logrus/hooks/slog"
	"go.etcd.io/bbolt"
	"golang.org/x/sync/semaphore"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
)

// Config says where a Store is and what it may use. Only Root is required.
type Config struct {
	// Root is the store's directory, an absolute path; it is made if missing,
	// readable by its owner alone. It must be on a filesystem that overlayfs
	// can write to (ext4, xfs, btrfs, tmpfs; no overlay).
	Root string

	// MaxUnpacked bounds the bytes of one image's files; 200 GiB if 0.
	MaxUnpacked int64

	// FloorFree is how many bytes of the disk a pull leaves free, and what is not in
	// use is removed for; 512 MiB if 0.
	FloorFree int64

	// MaxStored bounds the bytes on the disk of all layers together, as far as
	// they are not in use: the least recently used images are removed. 0 is no
	// bound but the disk's.
	MaxStored int64

	// AllowDevices unpacks device nodes; an image that has one is refused
	// otherwise. They never open: root filesystems are mounted nodev.
	AllowDevices bool

	// Platform is what images must be made for; this machine's if zero.
	Platform ocispec.Platform

	// Parallel is how many layers of one image are fetched and unpacked at once;
	// 4 if 0.
	Parallel int

	// Igzip is the program of Intel's ISA-L that undoes gzip, an absolute path: on
	// amd64 several times as fast as what is built in, which is used if "".
	Igzip string

	// PartSize is how many bytes of a large layer one request brings: of a layer
	// that is larger than four times that, several parts are fetched at once, if
	// the registry sends parts; 8 MiB if 0.
	PartSize int64

	// Ahead is how many bytes of parts may be in memory before their turn, over
	// all pulls of the store; 32 MiB if 0. With less than PartSize each layer is
	// fetched in one.
	Ahead int64

	// Limits are over all pulls of the store.
	Limits Limits

	// RetryWait is the pause before a dropped connection is tried again,
	// doubled with each try; half a second if 0.
	RetryWait time.Duration

	// StallTimeout is how long a download may bring no byte; a minute if 0.
	StallTimeout time.Duration

	// ProgressEvery is the shortest time between two calls of a Request's
	// Progress; 200 ms if 0.
	ProgressEvery time.Duration

	// Now is the clock; time.Now if nil.
	Now func() time.Time

	// Logger gets what concerns the operator; nobody does if nil.
	Logger *slog.Logger
}

func (c Config) withDefaults() Config {
	if c.MaxUnpacked == 0 {
		c.MaxUnpacked = 200 << 30
	}
	if c.FloorFree == 0 {
		c.FloorFree = 512 << 20
	}
	if c.Platform.OS == "" {
		c.Platform = platforms.DefaultSpec()
	}
	c.Platform = platforms.Normalize(c.Platform)
	if c.Parallel == 0 {
		c.Parallel = 4
	}
	if c.PartSize == 0 {
		c.PartSize = 8 << 20
	}
	if c.Ahead == 0 {
		c.Ahead = 32 << 20
	}
	if c.RetryWait == 0 {
		c.RetryWait = 500 * time.Millisecond
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = time.Minute
	}
	if c.ProgressEvery == 0 {
		c.ProgressEvery = 200 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Store holds the images of one worker. It belongs to one process at a time
// and is safe for concurrent use. A process that is killed leaves a store that
// opens again and goes on where it was.
type Store struct {
	config Config
	disk   disk
	lock   *os.File

	bolt      *bbolt.DB
	db        *metadata.DB
	content   content.Store
	backend   snapshots.Snapshotter // the one below db, which db does not close
	snapshots snapshots.Snapshotter
	leases    leases.Manager
	records   images.Store

	memory  *memory // for layers that arrive in parts
	limits  limits
	windows *semaphore.Weighted // bytes of zstd windows that are larger than usual
	busy    keyedLock           // images, layers and chains that a pull is working on
	mounted mounts
	keeper  *keeper
	logrus  *logrus.Entry
}

// Names inside Root and inside the metadata.
const (
	namespace   = "fairlead"
	snapshotter = "overlayfs"

	overlayDir  = "overlay" // the layers
	lockFile    = "lock"
	bootFile    = "boot"
	rootfsDir   = "rootfs"   // where root filesystems are mounted
	writableDir = "writable" // what is written to them
	rubbishDir  = "rubbish"  // what is to be removed of that
	emptyDir    = "empty"    // the root filesystem of an image without layers

	directory  = 0o700
	secretFile = 0o600
)

// Open opens the store in config.Root and makes it if it is not there. Another
// process that has it open is a Conflict fault; a machine where no overlay can
// be mounted (no root, or the wrong filesystem) is an Invalid fault that says
// what to do. Root filesystems that a killed process left mounted stay until
// Reap, since containers may still run in them.
func Open(config Config) (_ *Store, err error) {
	config = config.withDefaults()
	if err := config.Limits.Check(""); err != nil {
		return nil, err
	}
	if err := prepareRoot(config.Root); err != nil {
		return nil, err
	}
	s := &Store{config: config, disk: disk{root: config.Root, floor: config.FloorFree}, memory: newMemory(config.PartSize, config.Ahead), limits: newLimits(config.Limits), windows: semaphore.NewWeighted(maxWindow)}
	s.logrus = quietLogrus(config.Logger)
	defer func() {
		if err != nil {
			err = errors.Join(err, s.closeFiles())
		}
	}()
	if s.lock, err = lockRoot(config.Root); err != nil {
		return nil, err
	}
	if err := s.openDatabases(); err != nil {
		return nil, fmt.Errorf("opening the image store in %s: %w", config.Root, err)
	}
	if err := s.findMounted(); err != nil {
		return nil, fmt.Errorf("opening the image store in %s: %w", config.Root, err)
	}
	ctx := s.context(context.Background())
	if err := s.forgetUnsynced(ctx); err != nil {
		return nil, fmt.Errorf("mending the image store in %s: %w", config.Root, err)
	}
	if err := s.removeHalfUnpacked(ctx); err != nil {
		return nil, fmt.Errorf("mending the image store in %s: %w", config.Root, err)
	}
	startKeeper(s)
	return s, nil
}

// Close ends the background work and closes the files. Mounted root
// filesystems stay mounted. It must not be called before every Pull has
// returned.
func (s *Store) Close() error {
	s.keeper.stop()
	return s.closeFiles()
}

func (s *Store) closeFiles() error {
	var errs []error
	if s.backend != nil {
		errs = append(errs, s.backend.Close())
	}
	if s.bolt != nil {
		errs = append(errs, s.bolt.Close())
	}
	if s.lock != nil {
		errs = append(errs, s.lock.Close())
	}
	return errors.Join(errs...)
}

func prepareRoot(root string) error {
	if !filepath.IsAbs(root) || strings.ContainsAny(root, `:,\`) {
		return fault.InvalidField("root", "store_root", "%q is no absolute path without colon, comma and backslash", root)
	}
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		return fault.New(fault.Invalid, "root_needed", "images are unpacked and mounted by root on Linux").
			WithHint("Start the worker as root (sudo).")
	}
	for _, dir := range []string{rootfsDir, writableDir, rubbishDir, emptyDir} {
		if err := os.MkdirAll(filepath.Join(root, dir), directory); err != nil {
			return fmt.Errorf("making the image store: %w", err)
		}
	}
	if err := os.Chmod(root, directory); err != nil {
		return fmt.Errorf("making the image store: %w", err)
	}
	return CheckOverlay(root)
}

// CheckOverlay reports whether an overlay filesystem can be mounted on a directory
// that is there: it tries. The error is an Invalid fault.
func CheckOverlay(dir string) error {
	if err := overlayutils.Supported(dir); err != nil {
		return fault.New(fault.Invalid, "overlay_missing", "no overlay filesystem can be mounted in %s", dir).
			WithHint("Put the image store on ext4, xfs (with ftype=1) or btrfs, and check that the kernel has overlayfs.").WithCause(err)
	}
	return nil
}

func lockRoot(root string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(root, lockFile), os.O_CREATE|os.O_RDWR, secretFile)
	if err != nil {
		return nil, fmt.Errorf("locking the image store: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if err == nil {
		return file, nil
	}
	_ = file.Close()
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, fault.New(fault.Conflict, "store_in_use", "another process is using the image store in %s", root).
			WithHint("Give each worker on a machine a directory of its own.")
	}
	return nil, fmt.Errorf("locking the image store: %w", err)
}

func (s *Store) openDatabases() error {
	blobs, err := local.NewStore(filepath.Join(s.config.Root, "content"))
	if err != nil {
		return err
	}
	// Directories are removed by the garbage collection, outside every lock.
	layers, err := overlay.NewSnapshotter(filepath.Join(s.config.Root, overlayDir), overlay.AsynchronousRemove, overlay.WithUpperdirLabel)
	if err != nil {
		return err
	}
	s.backend = layers
	s.bolt, err = bbolt.Open(filepath.Join(s.config.Root, "metadata.db"), secretFile, &bbolt.Options{
		Timeout:        time.Second, // the lock on Root is ours, so nobody else has it open
		NoFreelistSync: true,
		FreelistType:   bbolt.FreelistMapType,
	})
	if err != nil {
		return err
	}
	s.db = metadata.NewDB(s.bolt, blobs, map[string]snapshots.Snapshotter{snapshotter: layers})
	s.db.RegisterCollectibleResource(mountResource, &s.mounted)
	if err := s.db.Init(s.context(context.Background())); err != nil {
		return err
	}
	s.content = s.db.ContentStore()
	s.snapshots = s.db.Snapshotter(snapshotter)
	s.leases = metadata.NewLeaseManager(s.db)
	s.records = metadata.NewImageStore(s.db)
	return nil
}

// forgetUnsynced drops what was pulled and had not reached the disk for
// certain when the machine (not just the process) went down: everything that
// only a lease holds. What has a record is durable.
func (s *Store) forgetUnsynced(ctx context.Context) error {
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return err
	}
	path := filepath.Join(s.config.Root, bootFile)
	known, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if string(known) == string(boot) {
		return nil
	}
	held, err := s.leases.List(ctx)
	if err != nil {
		return err
	}
	for _, lease := range held {
		if err := s.leases.Delete(ctx, lease); err != nil {
			return err
		}
	}
	if len(held) > 0 {
		if _, err := s.db.GarbageCollect(ctx); err != nil {
			return err
		}
	}
	return os.WriteFile(path, boot, secretFile)
}

// removeHalfUnpacked removes the snapshots that a killed process was unpacking into,
// and directories that it had made for one and not noted yet: the next snapshot would
// find its own place taken.
func (s *Store) removeHalfUnpacked(ctx context.Context) error {
	keys, err := s.activeSnapshots(ctx, unpackPrefix)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if err := s.snapshots.Remove(ctx, key); err != nil {
			return err
		}
	}
	cleaner, cleans := s.backend.(snapshots.Cleaner)
	if !cleans {
		return nil
	}
	err = cleaner.Cleanup(ctx)
	if errdefs.IsNotFound(err) { // no snapshot was ever noted
		layers := filepath.Join(s.config.Root, overlayDir, "snapshots")
		return errors.Join(os.RemoveAll(layers), os.Mkdir(layers, directory))
	}
	return err
}

// activeSnapshots are the keys of writable snapshots that begin with prefix.
func (s *Store) activeSnapshots(ctx context.Context, prefix string) ([]string, error) {
	var keys []string
	err := s.snapshots.Walk(ctx, func(_ context.Context, info snapshots.Info) error {
		if info.Kind == snapshots.KindActive && strings.HasPrefix(info.Name, prefix) {
			keys = append(keys, info.Name)
		}
		return nil
	})
	return keys, err
}

// context carries what containerd's libraries read from a context: the
// namespace, and a logger that is not the process's standard error.
func (s *Store) context(ctx context.Context) context.Context {
	return log.WithLogger(namespaces.WithNamespace(ctx, namespace), s.logrus)
}

// quietDefault is for the logger of containerd's that there is once in a process.
var quietDefault sync.Once

// quietLogrus passes containerd's warnings on to logger and writes nothing
// itself.
//
// The content store asks no context: it tells the default logger, and at every
// start, that a filesystem has no fs-verity, which nothing here needs.
func quietLogrus(logger *slog.Logger) *logrus.Entry {
	quietDefault.Do(func() {
		quiet := logrus.New()
		quiet.SetOutput(io.Discard)
		log.L = logrus.NewEntry(quiet)
	})
	bridge := logrus.New()
	bridge.SetOutput(io.Discard)
	bridge.SetLevel(logrus.WarnLevel)
	bridge.AddHook(logrusslog.NewHook(logger.With("library", "containerd"), nil))
	return logrus.NewEntry(bridge)
}

// disk guards the free space of the store's filesystem.
type disk struct {
	root  string
	floor int64
}

// free is what a process without privileges could still write.
func (d disk) free() (bytes int64, inodes uint64, err error) {
	var stat unix.Statfs_t
	if err := unix.Statfs(d.root, &stat); err != nil {
		return 0, 0, fmt.Errorf("reading the free space of %s: %w", d.root, err)
	}
	inodes = stat.Ffree
	if stat.Files == 0 { // a filesystem that does not count them
		inodes = 1
	}
	return int64(stat.Bavail) * stat.Bsize, inodes, nil
}

// mayWrite reports a disk_full fault unless need more bytes leave the floor
// free.
func (d disk) mayWrite(need int64) error {
	free, _, err := d.free()
	if err != nil {
		return err
	}
	if free-need < d.floor {
		return d.full(need, nil)
	}
	return nil
}

// diskFull is the code of a fault that says so.
const diskFull = "disk_full"

// full is the disk_full fault, with the figures of this moment.
func (d disk) full(need int64, cause error) error {
	free, inodes, err := d.free()
	if err != nil {
		return errors.Join(cause, err)
	}
	f := fault.New(fault.Exhausted, diskFull, "the disk of the image store, %s, is full: %s are free, the pull needs at least %s more, and %s must stay free after it",
		d.root, size(free), size(need), size(d.floor))
	if inodes == 0 {
		f = fault.New(fault.Exhausted, diskFull, "the filesystem of the image store, %s, cannot hold more files (%s are free)", d.root, size(free))
	}
	return f.WithHint("Free space on the worker's disk, give the image store a larger one, or use a smaller image.").WithCause(cause)
}

// stillFull is the disk_full fault after all was removed that is not in use.
func (d disk) stillFull(need, occupied int64, removed int) error {
	f := fault.From(d.full(need, nil))
	if f.Code != diskFull {
		return f
	}
	return fault.New(f.Kind, f.Code, "%s; images in use and under way take %s of it, and nothing else is left to remove (%d images were removed just now)",
		f.Message, size(occupied), removed).WithHint("%s", f.Hint)
}

func isDiskFullFault(err error) bool { return err != nil && fault.From(err).Code == diskFull }

// isDiskFull reports whether an error of the operating system means that.
func isDiskFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT)
}
