// Package unpack writes the archive of an image's layer as a directory that
// overlayfs can stack upon others.
//
// It works in one pass over the archive, with few system calls for each file:
// directories stay open while files are made in them, and get their owners,
// modes and times at the end. Nothing in an archive reaches what is outside of the
// directory. What may be in an archive, and how much of it, is the caller's to say.
package unpack

import (
	"archive/tar"
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// copyBuffer is how much of a file is written at once.
const copyBuffer = 256 << 10

// Options are what a layer may do. The zero value allows everything.
type Options struct {
	// Admit is asked about each entry before it is made. It may change the
	// entry; its error ends the unpacking. Nil admits all.
	Admit func(*tar.Header) error

	// Bottom is a layer with nothing below: what it says about layers below,
	// means nothing.
	Bottom bool
}

// Result is what a layer says about those below it.
type Result struct {
	// Implied are the directories that the layer has something in and does not
	// name, ordered from the top down. In an overlay they hide the owner, mode,
	// times and extended attributes of the same directories below.
	Implied []string

	// Hides says that the layer removes something of those below, or was asked to
	// at the bottom.
	Hides bool

	// HidesAll says that nothing of the layers below is to be seen, which overlayfs
	// has no mark for.
	HidesAll bool
}

// Layer unpacks an archive into dir, an empty directory that nobody else writes
// to, and leaves the rest of the archive unread once its end is reached. Owners,
// modes with setuid, times and extended attributes are the archive's; a time before
// 1970 is 1970's begin, as in other engines. Whiteouts are made as overlayfs reads
// them (https://docs.kernel.org/filesystems/overlayfs.html#whiteouts-and-opaque-directories)
// and hide only what is below, never what the same layer has
// (https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts).
//
// It needs root. An error may leave files behind.
func Layer(ctx context.Context, dir string, archive io.Reader, options Options) (Result, error) {
	t, err := openTree(dir)
	if err != nil {
		return Result{}, fmt.Errorf("unpacking a layer: %w", err)
	}
	defer t.close()
	u := unpacker{tree: t, options: options, directories: make(map[string]attributes), buffer: make([]byte, copyBuffer)}
	u.tree.forgotten = func(gone func(string) bool) {
		for name := range u.directories {
			if gone(name) {
				delete(u.directories, name)
			}
		}
	}
	entries := tar.NewReader(bufio.NewReaderSize(archive, copyBuffer))
	for {
		header, err := entries.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err == nil {
			err = ctx.Err()
		}
		if err == nil {
			err = u.entry(ctx, header, entries)
		}
		if err != nil {
			return Result{}, err
		}
	}
	if err := u.finish(); err != nil {
		return Result{}, err
	}
	implied := make([]string, 0, len(t.implied))
	for name := range t.implied {
		implied = append(implied, name)
	}
	slices.Sort(implied)
	return Result{Implied: implied, Hides: u.hides, HidesAll: u.hidesAll}, nil
}

// unpacker is one layer being unpacked.
type unpacker struct {
	tree        *tree
	options     Options
	hides       bool
	hidesAll    bool
	marks       []string              // names of whiteouts that were made
	directories map[string]attributes // to be given at the end, by path
	buffer      []byte
}

// entry makes one entry of the archive.
func (u *unpacker) entry(ctx context.Context, header *tar.Header, content io.Reader) error {
	header.Name = strings.TrimPrefix(path.Clean("/"+header.Name), "/")
	if u.options.Admit != nil {
		if err := u.options.Admit(header); err != nil {
			return err
		}
	}
	if header.Name == "" || header.Typeflag == tar.TypeXGlobalHeader {
		return nil // the root directory is the mount's own
	}
	directory, base := path.Split(header.Name)
	place, err := u.tree.place(strings.TrimSuffix(directory, "/"), base)
	if errors.Is(err, unix.ENOTDIR) && strings.HasPrefix(base, whiteout) {
		return nil // of what was in a directory that the layer makes something else of
	}
	if err == nil {
		err = u.make(ctx, place, header, content)
	}
	if err != nil {
		return fmt.Errorf("%.200q: %w", header.Name, err)
	}
	return nil
}

func (u *unpacker) make(ctx context.Context, at place, header *tar.Header, content io.Reader) error {
	if hidden, is := strings.CutPrefix(at.base, whiteout); is {
		return u.hide(at, hidden)
	}
	switch header.Typeflag {
	case tar.TypeDir:
		return u.directory(at, header)
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.file(ctx, at, header, content)
	case tar.TypeSymlink:
		err := u.tree.replace(at, func() error { return unix.Symlinkat(header.Linkname, at.directory, at.base) })
		return u.attribute(err, at, header)
	case tar.TypeLink:
		return u.attribute(u.link(at, header.Linkname), at, header)
	case tar.TypeChar, tar.TypeBlock, tar.TypeFifo:
		return u.attribute(u.node(at, header), at, header)
	default:
		return fmt.Errorf("an entry of the type %q is not known: %w", header.Typeflag, tar.ErrHeader)
	}
}

// attribute ends the making of what is neither a file nor a directory.
func (u *unpacker) attribute(err error, at place, header *tar.Header) error {
	if err != nil {
		return err
	}
	return attributesOf(header).give(u.tree.path(at))
}

// directory makes one, or takes over what is there of it.
func (u *unpacker) directory(at place, header *tar.Header) error {
	if err := u.tree.directory(at); err != nil {
		return err
	}
	given := attributesOf(header)
	if before, twice := u.directories[at.name()]; twice {
		given.extended = before.and(given.extended)
	}
	u.directories[at.name()] = given
	return nil
}

// file writes a regular file.
func (u *unpacker) file(ctx context.Context, at place, header *tar.Header, content io.Reader) (err error) {
	given := attributesOf(header)
	var fd int
	err = u.tree.replace(at, func() (err error) {
		fd, err = openAt(at.directory, at.base, unix.O_WRONLY|unix.O_CREAT|unix.O_EXCL|unix.O_NOFOLLOW, given.mode&0o777)
		return err
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unix.Close(fd)) }()
	if err := u.write(ctx, fd, content, header.Size); err != nil {
		return err
	}
	return given.giveFile(fd, at, u.tree.umask)
}

// write copies a file's content. Where a whole buffer of it is zeros, it leaves a
// hole.
func (u *unpacker) write(ctx context.Context, fd int, content io.Reader, size int64) error {
	hole := false
	for left := size; left > 0; {
		chunk := u.buffer[:min(left, int64(len(u.buffer)))]
		n, err := io.ReadFull(content, chunk)
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		left -= int64(n)
		if hole = len(chunk) == len(u.buffer) && isZero(chunk); hole {
			_, err = unix.Seek(fd, int64(n), io.SeekCurrent)
		} else {
			err = writeAll(fd, chunk)
		}
		if err != nil {
			return &fs.PathError{Op: "write", Path: "the file", Err: err}
		}
	}
	if hole {
		return unix.Ftruncate(fd, size)
	}
	return nil
}

// link makes a hard link to what is in the same layer.
func (u *unpacker) link(at place, target string) error {
	directory, base := path.Split(strings.TrimPrefix(path.Clean("/"+target), "/"))
	from, err := u.tree.find(strings.TrimSuffix(directory, "/"), base)
	if err != nil {
		return fmt.Errorf("the target %.200q of the link: %w", target, err)
	}
	defer func() { _ = unix.Close(from.directory) }()           // a directory
	if at, err = u.tree.place(at.parent, at.base); err != nil { // the way to the target may have closed it
		return err
	}
	err = u.tree.replace(at, func() error { return unix.Linkat(from.directory, from.base, at.directory, at.base, 0) })
	if err != nil {
		return fmt.Errorf("the target %.200q of the link: %w", target, err)
	}
	return nil
}

// node makes a device or a named pipe.
func (u *unpacker) node(at place, header *tar.Header) error {
	kinds := map[byte]uint32{tar.TypeChar: unix.S_IFCHR, tar.TypeBlock: unix.S_IFBLK, tar.TypeFifo: unix.S_IFIFO}
	const most = 1<<32 - 1
	if header.Devmajor < 0 || header.Devmajor > most || header.Devminor < 0 || header.Devminor > most {
		return fmt.Errorf("no device has the number %d:%d: %w", header.Devmajor, header.Devminor, tar.ErrHeader)
	}
	device := 0
	if header.Typeflag != tar.TypeFifo {
		device = int(unix.Mkdev(uint32(header.Devmajor), uint32(header.Devminor)))
	}
	const private = 0o600 // until it has its owner
	return u.tree.replace(at, func() error {
		return unix.Mknodat(at.directory, at.base, kinds[header.Typeflag]|private, device)
	})
}

// finish gives directories what they are to have, now that nothing is made in them
// any more.
func (u *unpacker) finish() error {
	if u.hidesAll {
		if err := u.clear(); err != nil {
			return err
		}
	}
	for name, given := range u.directories {
		if err := given.give(filepath.Join(u.tree.dir, name)); err != nil {
			return fmt.Errorf("%.200q: %w", name, err)
		}
	}
	return nil
}
