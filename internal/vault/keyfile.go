package vault

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// maxKeyFileSize bounds what is read as a key file. A key takes some 300 bytes.
const maxKeyFileSize = 1 << 20

// keyFile is the place of the keys on disk. Every change of it is a new file
// that takes the name in one step, made under a lock, so that a reader sees the
// keys before or after a change and two changes never undo each other.
type keyFile struct{ path string }

// fileState tells one content of the file from the next: each is a file of its
// own.
type fileState struct {
	device, inode uint64
	size          int64
	modified      time.Time
}

func stateOf(info fs.FileInfo) fileState {
	stat := info.Sys().(*syscall.Stat_t)
	return fileState{device: uint64(stat.Dev), inode: stat.Ino, size: info.Size(), modified: info.ModTime()}
}

// unchanged reports whether the file is still the one of that state.
func (k keyFile) unchanged(state fileState) bool {
	info, err := os.Stat(k.path)
	return err == nil && stateOf(info) == state
}

// read reads the keys and refuses a file that is not safe.
func (k keyFile) read() (*keyring, error) {
	// Not blocking, for the case that somebody put a FIFO there.
	file, err := os.OpenFile(k.path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if errors.Is(err, fs.ErrNotExist) {
		if link, linkErr := os.Lstat(k.path); linkErr == nil && link.Mode()&fs.ModeSymlink != 0 {
			return nil, k.refused("vault_key_dangling", "is a symbolic link to a file that is not there").
				WithHint("Put the file back, or remove the link.").WithCause(err)
		}
		return nil, fault.New(fault.NotFound, "vault_key_missing", "there is no key file %q", k.path).
			WithHint("Put it back from a backup: what it sealed opens with it alone.").WithCause(err)
	}
	if err != nil {
		return nil, k.refused("vault_key_unreadable", "cannot be read").
			WithHint("Run as the user that owns it.").WithCause(err)
	}
	defer func() { _ = file.Close() }()

	info, err := file.Stat()
	if err != nil {
		return nil, fmt.Errorf("looking at the key file: %w", err)
	}
	if err := k.check(info); err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(file, maxKeyFileSize))
	if err != nil {
		return nil, fmt.Errorf("reading the key file: %w", err)
	}
	ring, err := parseKeyring(text)
	if err != nil {
		return nil, k.refused("vault_key_broken", "holds no whole keyset").
			WithHint("Put it back from a backup; do not delete it, since what it sealed opens with it alone.").WithCause(err)
	}
	ring.read = stateOf(info)
	return ring, nil
}

// check refuses a file that somebody else may read, or may have put there.
func (k keyFile) check(info fs.FileInfo) error {
	if !info.Mode().IsRegular() {
		return k.refused("vault_key_irregular", "is not a file").WithHint("Name a file.")
	}
	if info.Mode().Perm()&0o077 != 0 {
		return k.refused("vault_key_open", "may be read by others (mode %#o)", info.Mode().Perm()).
			WithHint("Run: chmod 600 %s", k.path)
	}
	link, err := os.Lstat(k.path)
	if err != nil {
		return fmt.Errorf("looking at the key file: %w", err)
	}
	// Root may serve a file of the service's own user, but follows no link of
	// theirs.
	isLink := link.Mode()&fs.ModeSymlink != 0
	if (isLink || os.Geteuid() != 0) && !(isOurs(info) && isOurs(link)) {
		return k.refused("vault_key_foreign", "leads to a file of another user").
			WithHint("Own the file yourself, and name it directly.")
	}
	return nil
}

// isOurs reports whether the file belongs to us or to root, who may read all.
func isOurs(info fs.FileInfo) bool {
	owner := int(info.Sys().(*syscall.Stat_t).Uid)
	return owner == os.Geteuid() || owner == 0
}

func (k keyFile) refused(code, what string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, code, "the key file %q %s", k.path, fmt.Sprintf(what, args...))
}

// create makes the file with one new key, or reads the one that another process
// made first, and reports which.
func (k keyFile) create() (ring *keyring, created bool, err error) {
	if err := os.MkdirAll(filepath.Dir(k.path), 0o700); err != nil {
		return nil, false, k.unwritable(err)
	}
	fresh, err := newKeyring()
	if err != nil {
		return nil, false, err
	}
	temporary, err := k.writeBeside(k.path, fresh)
	if err != nil {
		return nil, false, err
	}
	defer func() { _ = os.Remove(temporary) }()
	// A link, other than a rename, never replaces what is there.
	err = os.Link(temporary, k.path)
	if err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, false, k.unwritable(err)
	}
	created = err == nil
	if err := syncDirectory(filepath.Dir(k.path)); err != nil {
		return nil, false, err
	}
	ring, err = k.read()
	return ring, created, err
}

// change replaces the keys in the file by what edit makes of them.
func (k keyFile) change(edit func(*keyring) (*keyring, error)) (*keyring, error) {
	unlock, err := k.lock()
	if err != nil {
		return nil, err
	}
	defer unlock()

	old, err := k.read()
	if err != nil {
		return nil, err
	}
	changed, err := edit(old)
	if err != nil {
		return nil, err
	}
	target, err := filepath.EvalSymlinks(k.path)
	if err != nil {
		return nil, fmt.Errorf("following the key file: %w", err)
	}
	temporary, err := k.writeBeside(target, changed)
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.Remove(temporary) }()
	if err := keepOwner(temporary, target); err != nil {
		return nil, err
	}
	if err := os.Rename(temporary, target); err != nil {
		return nil, k.unwritable(err)
	}
	if err := syncDirectory(filepath.Dir(target)); err != nil {
		return nil, err
	}
	return k.read()
}

// writeBeside writes the keys to a new file, readable by its owner alone, in
// the directory of target, and returns its name once it is on the disk.
func (k keyFile) writeBeside(target string, ring *keyring) (name string, err error) {
	text, err := ring.text()
	if err != nil {
		return "", err
	}
	// CreateTemp opens with O_EXCL and 0600.
	file, err := os.CreateTemp(filepath.Dir(target), "."+filepath.Base(target)+".*")
	if err != nil {
		return "", k.unwritable(err)
	}
	_, err = file.Write(text)
	if err = errors.Join(err, file.Sync(), file.Close()); err != nil {
		return "", k.unwritable(errors.Join(err, os.Remove(file.Name())))
	}
	return file.Name(), nil
}

// keepOwner gives the file at name to the owner of the one at target: root who
// rotates must not lock the server out.
func keepOwner(name, target string) error {
	info, err := os.Stat(target)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // the reader says it better
	}
	if err != nil {
		return fmt.Errorf("looking at the key file: %w", err)
	}
	stat := info.Sys().(*syscall.Stat_t)
	if int(stat.Uid) == os.Geteuid() {
		return nil
	}
	if err := os.Chown(name, int(stat.Uid), int(stat.Gid)); err != nil {
		return fmt.Errorf("keeping the key file's owner: %w", err)
	}
	return nil
}

// lock waits until no other process changes the file.
func (k keyFile) lock() (unlock func(), err error) {
	file, err := os.OpenFile(k.path+".lock", os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, k.unwritable(err)
	}
	if err := keepOwner(file.Name(), k.path); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	for err = syscall.EINTR; errors.Is(err, syscall.EINTR); {
		err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("locking the key file: %w", err), file.Close())
	}
	return func() { _ = file.Close() }, nil // closing unlocks
}

func (k keyFile) unwritable(err error) *fault.Error {
	return k.refused("vault_key_unwritable", "cannot be written").
		WithHint("Its directory must be there, have room, and belong to the user that runs Fairlead.").WithCause(err)
}

// syncDirectory makes a change of names in a directory last.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("opening the key file's directory: %w", err)
	}
	if err := errors.Join(directory.Sync(), directory.Close()); err != nil {
		return fmt.Errorf("syncing the key file's directory: %w", err)
	}
	return nil
}
