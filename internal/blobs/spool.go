package blobs

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// lockEvery is how often who waits for the lock looks whether it is free.
const lockEvery = 10 * time.Millisecond

// spool is a local directory of files on their way. The process that makes one holds
// its lock as long as it is open, so that what a killed process left is known and
// removed at once, and several processes may share the directory.
type spool struct {
	dir string
}

// spooled is a file of a spool. Its methods are not safe for concurrent use; reading
// from its file with offsets is.
type spooled struct {
	*os.File
	name string // in the spool; "" once it was moved away or removed
	dir  string
}

func openSpool(dir string) (spool, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return spool{}, err
	}
	return spool{dir}, nil
}

// create makes an empty file.
func (s spool) create(now time.Time) (*spooled, error) {
	const tries = 8
	for range tries {
		name := nameAt(now)
		file, err := os.OpenFile(filepath.Join(s.dir, name), os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
		if err != nil {
			return nil, err
		}
		// A sweep may have come between.
		if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) == nil && isLinked(file) {
			return &spooled{File: file, name: name, dir: s.dir}, nil
		}
		if err := file.Close(); err != nil {
			return nil, err
		}
	}
	return nil, fmt.Errorf("no file of %s stays: something removes them", s.dir)
}

// lock has its process alone tidy, until release, or until it ends.
func (s spool) lock(ctx context.Context) (release func() error, err error) {
	dir, err := os.Open(s.dir)
	if err != nil {
		return nil, err
	}
	for {
		err := unix.Flock(int(dir.Fd()), unix.LOCK_EX|unix.LOCK_NB)
		if err == nil {
			return dir.Close, nil
		}
		if !errors.Is(err, unix.EWOULDBLOCK) && !errors.Is(err, unix.EINTR) {
			return nil, errors.Join(err, dir.Close())
		}
		select {
		case <-time.After(lockEvery):
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), dir.Close())
		}
	}
}

func isLinked(file *os.File) bool {
	var about unix.Stat_t
	return unix.Fstat(int(file.Fd()), &about) == nil && about.Nlink > 0
}

// moved takes note that the file is somewhere else now.
func (f *spooled) moved() { f.name = "" }

// discard closes the file and removes it, unless it was moved.
func (f *spooled) discard() error {
	var err error
	if f.name != "" {
		err = os.Remove(filepath.Join(f.dir, f.name))
		f.name = ""
	}
	return errors.Join(err, f.Close())
}

// sweep removes the files that no living process holds.
func (s spool) sweep() error {
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		return err
	}
	var errs []error
	for _, entry := range entries {
		if _, ours := timeOf(entry.Name()); ours && entry.Type().IsRegular() {
			errs = append(errs, s.sweepOne(filepath.Join(s.dir, entry.Name())))
		}
	}
	return errors.Join(errs...)
}

func (s spool) sweepOne(path string) error {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // nothing was written through it
	if unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB) != nil {
		return nil // somebody is at it
	}
	if !isLinked(file) { // it was moved or removed a moment ago
		return nil
	}
	// Its maker lets go of the lock only after it has moved it away, so what has
	// this name still is this file.
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return nil
}

// nameAt makes a name that is nobody else's and tells when it was made.
func nameAt(now time.Time) string { return fmt.Sprintf("%013d-%s", now.UnixMilli(), rand.Text()) }

// timeOf is when a name of nameAt was made.
func timeOf(name string) (time.Time, bool) {
	const digits, all = 13, 13 + 1 + 26
	if len(name) != all || name[digits] != '-' {
		return time.Time{}, false
	}
	var millis int64
	for _, c := range name[:digits] {
		if c < '0' || c > '9' {
			return time.Time{}, false
		}
		millis = millis*10 + int64(c-'0')
	}
	return time.UnixMilli(millis), true
}
