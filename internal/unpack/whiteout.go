package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"golang.org/x/sys/unix"
)

// Names by which a layer says what it removes.
// https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
const (
	whiteout = ".wh."           // before the name of what is removed
	special  = ".wh."           // after that: it is no file that is removed
	opaque   = special + ".opq" // all that is below in the directory
)

// opaqueAttribute marks a directory that nothing below is seen in.
const opaqueAttribute = "trusted.overlay.opaque"

// hide does what the whiteout of a name says.
func (u *unpacker) hide(at place, hidden string) error {
	u.hides = u.hides || hidden == opaque || !strings.HasPrefix(hidden, special)
	u.hidesAll = u.hidesAll || hidden == opaque && at.parent == ""
	switch {
	case hidden == "" || hidden == "." || hidden == "..":
		return fmt.Errorf("a whiteout of no file: %w", tar.ErrHeader)
	case u.options.Bottom:
		return nil
	case hidden == opaque:
		return unix.Fsetxattr(at.directory, opaqueAttribute, []byte("y"), 0)
	case strings.HasPrefix(hidden, special):
		return nil // a note of aufs to itself
	}
	at.base = hidden
	err := unix.Mknodat(at.directory, hidden, unix.S_IFCHR, 0)
	if !errors.Is(err, unix.EEXIST) {
		u.marks = append(u.marks, at.name())
		return err
	}
	// The layer has something of that name, which hides what is below by itself
	// unless both are directories.
	fd, err := u.tree.enter(at.directory, at.name(), hidden)
	if errors.Is(err, unix.ENOTDIR) {
		return nil
	}
	if err != nil {
		return err
	}
	delete(u.tree.implied, at.name()) // it is none of those below
	return unix.Fsetxattr(fd, opaqueAttribute, []byte("y"), 0)
}

// clear removes the whiteouts of a layer that hides everything: overlayfs shows those
// that have nothing below.
func (u *unpacker) clear() error {
	for _, name := range u.marks {
		parent, base := path.Split(name)
		at, err := u.tree.place(strings.TrimSuffix(parent, "/"), base)
		if err != nil {
			return err
		}
		is, err := isWhiteout(at.directory, at.base)
		if err == nil && is {
			err = unix.Unlinkat(at.directory, at.base, 0)
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// isWhiteout reports whether a name in a directory is one.
func isWhiteout(directory int, base string) (bool, error) {
	var stat unix.Stat_t
	if err := unix.Fstatat(directory, base, &stat, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return false, err
	}
	return stat.Mode&unix.S_IFMT == unix.S_IFCHR && stat.Rdev == 0, nil
}
