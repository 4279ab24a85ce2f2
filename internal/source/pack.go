// Package source carries a project's code from the directory in which a step
// was started to the machine that runs it: as one gzipped tar that is the same,
// byte for byte, whenever the code is, so that its hash names it.
//
// Pack makes the package and leaves out what the ignore files say; Unpack takes
// one from anybody and lets nothing of it leave the directory it is given. The
// package stores and sends nothing.
package source

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"fairlead.dev/fairlead/internal/fault"
)

// Options bound a package. The zero value has the defaults.
type Options struct {
	// MaxBytes bounds the content of all files together; 0: 1 GiB.
	MaxBytes int64

	// MaxFiles bounds the number of files and links; 0: 100,000.
	MaxFiles int
}

func (o Options) withDefaults() Options {
	return Options{MaxBytes: cmp.Or(o.MaxBytes, 1<<30), MaxFiles: cmp.Or(o.MaxFiles, 100_000)}
}

// Manifest says what is in a package.
type Manifest struct {
	// Identifier names the package by its bytes; see Identifier.
	Identifier string

	Files        int   // files and links
	ContentBytes int64 // of all files together
	PackedBytes  int64 // of the package, compressed

	// Skipped is what no ignore file names and a package still cannot hold.
	Skipped []Skipped
}

// Skipped is one thing that was left out of a package, and why.
type Skipped struct {
	Name   string // relative, with slashes
	Reason string // such as "it is a socket"
}

// Identifier is the name of the package whose compressed bytes have that hash:
// a tilde and the hash in hexadecimal.
func Identifier(sum [sha256.Size]byte) string { return "~" + hex.EncodeToString(sum[:]) }

// Pack writes the code in dir to w as a gzipped tar.
//
// The package holds regular files, with no more of their mode than whether the
// owner may execute them, and symbolic links that stay inside dir. It holds no
// times, no owners and no empty directories, and depends on nothing but the
// names and contents; another release of Go may compress otherwise. Left out are
// .git, .hg and .svn, and what .gitignore and .vhignore say, both in git's
// syntax and in any directory, the later one winning; the ignore files of the
// repository around dir count too. Other links, sockets, devices and pipes are
// left out and reported.
//
// Refused are a file that cannot be read, a package beyond the limits, and one
// without a file. Nothing is written to w before the limits were checked; after
// any later error, what w got is of no use.
func Pack(ctx context.Context, dir string, w io.Writer, options Options) (Manifest, error) {
	root, err := os.OpenRoot(dir)
	if err != nil {
		return Manifest{}, fault.New(fault.Invalid, "source_unreadable", "the directory %q cannot be read", dir).WithCause(err)
	}
	defer func() { _ = root.Close() }()

	rules, err := rulesAround(dir)
	if err != nil {
		return Manifest{}, err
	}
	found := tree{root: root, options: options.withDefaults()}
	if err := found.walk(ctx, nil, rules); err != nil {
		return Manifest{}, err
	}
	if err := found.checkLimits(dir); err != nil {
		return Manifest{}, err
	}

	hash, size := sha256.New(), byteCount(0)
	if err := found.write(ctx, io.MultiWriter(w, hash, &size)); err != nil {
		return Manifest{}, err
	}
	return Manifest{
		Identifier:   Identifier([sha256.Size]byte(hash.Sum(nil))),
		Files:        len(found.entries),
		ContentBytes: found.bytes,
		PackedBytes:  int64(size),
		Skipped:      found.skipped,
	}, nil
}

// write writes the entries to w as a gzipped tar.
func (t *tree) write(ctx context.Context, w io.Writer) error {
	p := NewWriter(w)
	for _, e := range t.entries {
		if err := t.writeEntry(ctx, p, e); err != nil {
			return err
		}
	}
	return p.Close()
}

func (t *tree) writeEntry(ctx context.Context, w *Writer, e entry) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if e.link != "" {
		return w.Link(e.name, e.link)
	}

	file, err := t.root.Open(e.name)
	if errors.Is(err, fs.ErrNotExist) {
		return changed(e.name)
	}
	if err != nil {
		return unreadable(e.name, err)
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return unreadable(e.name, err)
	}
	if !info.Mode().IsRegular() || info.Size() != e.bytes {
		return changed(e.name)
	}
	err = w.File(e.name, e.executable, e.bytes, cancelable{ctx, file})
	if errors.Is(err, io.EOF) {
		return changed(e.name)
	}
	return err
}

func named(name string, err error) error {
	if err != nil {
		return fmt.Errorf("packing %q: %w", name, err)
	}
	return nil
}

func unreadable(name string, err error) error {
	return fault.New(fault.Invalid, "source_unreadable", "%q cannot be read", name).
		WithHint("Let your user read it, or leave it out with a line in .vhignore.").WithCause(err)
}

func changed(name string) error {
	return fault.New(fault.Conflict, "source_changed", "%q changed while it was being packed", name).
		WithHint("Try again, or leave it out with a line in .vhignore if it is written all the time.")
}

// byteCount is a writer that counts.
type byteCount int64

func (c *byteCount) Write(p []byte) (int, error) {
	*c += byteCount(len(p))
	return len(p), nil
}

// cancelable reads until its context ends. It lives for one copy.
type cancelable struct {
	ctx context.Context
	r   io.Reader
}

func (c cancelable) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	return c.r.Read(p)
}
