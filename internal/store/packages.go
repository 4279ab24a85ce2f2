package store

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
)

// Packages keeps uploaded code in a directory, one file for each identifier; it
// implements execution.Packages. Make it with OpenPackages; safe for concurrent
// use, also by several processes.
//
// A file has the name of its hash from the first moment on: it is written under
// another one, flushed, and then linked into place.
type Packages struct{ dir string }

var _ execution.Packages = (*Packages)(nil)

// Names in the directory.
const (
	packageSuffix = ".tar.gz"
	uploadPrefix  = "upload-"
)

// OpenPackages makes the directory where it is not there, and removes what
// uploads left behind that ended with their process.
func OpenPackages(dir string) (*Packages, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, packagesUnreadable(dir, err)
	}
	p := &Packages{dir: dir}
	if err := p.sweep(); err != nil {
		return nil, packagesUnreadable(dir, err)
	}
	return p, nil
}

// sweep removes uploads that nobody writes: whoever does has a lock on the file,
// and the lock ends with the process.
func (p *Packages) sweep() error {
	orphans, err := filepath.Glob(filepath.Join(escapeGlob(p.dir), uploadPrefix+"*"))
	if err != nil {
		return err
	}
	for _, path := range orphans {
		file, err := os.Open(path) // our own directory
		if errors.Is(err, fs.ErrNotExist) {
			continue // its upload ended just now
		}
		if err != nil {
			return err
		}
		if lockFile(file) == nil {
			err = os.Remove(path)
		}
		if err := errors.Join(err, file.Close()); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(path)
}

func lockFile(file *os.File) error {
	return syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) // a descriptor fits
}

// Put implements execution.Packages.
func (p *Packages) Put(ctx context.Context, r io.Reader, most int64) (identifier string, size int64, err error) {
	file, err := os.CreateTemp(p.dir, uploadPrefix+"*") // with O_EXCL, for its owner alone
	if err != nil {
		return "", 0, packagesUnreadable(p.dir, err)
	}
	defer func() { _, _ = os.Remove(file.Name()), file.Close() }() // its content has another name by then
	if err := lockFile(file); err != nil {
		return "", 0, packagesUnreadable(p.dir, err)
	}
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(file, hash), io.LimitReader(untilDone{ctx, r}, most+1))
	switch {
	case err != nil:
		return "", 0, uploadFailed(p.dir, err)
	case size > most:
		return "", 0, fault.New(fault.Exhausted, "package_large", "the package has more than %d bytes", most).
			WithHint("Leave out what the step does not need: name it in .vhignore.")
	}
	identifier = source.Identifier([sha256.Size]byte(hash.Sum(nil)))
	if err := p.keep(file, identifier); err != nil {
		return "", 0, uploadFailed(p.dir, err)
	}
	return identifier, size, nil
}

// keep flushes the file and gives it its name; one that is there stays.
func (p *Packages) keep(file *os.File, identifier string) error {
	if err := file.Sync(); err != nil {
		return err
	}
	if err := os.Link(file.Name(), p.path(identifier)); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	dir, err := os.Open(p.dir)
	if err != nil {
		return err
	}
	return errors.Join(dir.Sync(), dir.Close()) // the name is durable too
}

// Open implements execution.Packages.
func (p *Packages) Open(_ context.Context, identifier string) (io.ReadSeekCloser, int64, error) {
	unknown := packageNoun.named(identifier).unknown()
	if !isIdentifier(identifier) {
		return nil, 0, unknown
	}
	file, err := os.Open(p.path(identifier))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, 0, unknown
	}
	if err != nil {
		return nil, 0, packagesUnreadable(p.dir, err)
	}
	info, err := file.Stat()
	if err != nil {
		return nil, 0, errors.Join(packagesUnreadable(p.dir, err), file.Close())
	}
	return file, info.Size(), nil
}

// path is the file of an identifier, without the tilde that a shell would read.
func (p *Packages) path(identifier string) string {
	return filepath.Join(p.dir, strings.TrimPrefix(identifier, "~")+packageSuffix)
}

func isIdentifier(text string) bool {
	sum, err := hex.DecodeString(strings.TrimPrefix(text, "~"))
	return err == nil && len(sum) == sha256.Size && text == source.Identifier([sha256.Size]byte(sum))
}

// untilDone reads until its context ends.
type untilDone struct {
	ctx context.Context
	r   io.Reader
}

// Read implements io.Reader.
func (u untilDone) Read(into []byte) (int, error) {
	if err := u.ctx.Err(); err != nil {
		return 0, err
	}
	return u.r.Read(into)
}

// uploadFailed tells a failure of our disk from one of whoever sends.
func uploadFailed(dir string, err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fault.New(fault.Exhausted, "disk_full", "the disk of the uploaded packages is full").
			WithHint("Make room on it and send the package again.").WithCause(err)
	}
	if ours, is := errors.AsType[*fs.PathError](err); is && strings.HasPrefix(ours.Path, dir) {
		return packagesUnreadable(dir, err)
	}
	return fmt.Errorf("taking a package: %w", err)
}

func packagesUnreadable(dir string, err error) error {
	return fault.New(fault.Unavailable, "packages_unreadable", "the directory of the uploaded packages, %q, cannot be used", dir).
		WithHint("It must belong to the user that runs Fairlead.").WithCause(err)
}
