package unpack

import (
	"archive/tar"
	"errors"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// xattrRecord begins the names of PAX records that hold extended attributes.
// https://man.archlinux.org/man/star.5
const xattrRecord = "SCHILY.xattr."

// attributes are what a file has beside its content.
type attributes struct {
	uid, gid int
	mode     uint32 // with setuid, setgid and sticky
	times    [2]unix.Timespec
	extended map[string]string
}

func attributesOf(header *tar.Header) attributes {
	const permissions = 0o7777
	modified, accessed := bounded(header.ModTime), bounded(header.AccessTime)
	if accessed.Before(modified) {
		accessed = modified
	}
	a := attributes{uid: header.Uid, gid: header.Gid, mode: uint32(header.Mode & permissions)}
	a.times = [2]unix.Timespec{timespec(accessed), timespec(modified)}
	for record, value := range header.PAXRecords {
		if name, is := strings.CutPrefix(record, xattrRecord); is {
			if a.extended == nil {
				a.extended = make(map[string]string)
			}
			a.extended[name] = value
		}
	}
	return a
}

// and are the extended attributes with others over them.
func (a attributes) and(others map[string]string) map[string]string {
	if len(a.extended) == 0 {
		return others
	}
	all := maps.Clone(a.extended)
	maps.Copy(all, others)
	return all
}

// bounded is a time that a filesystem can hold, or the begin of 1970.
func bounded(t time.Time) time.Time {
	first, last := time.Unix(0, 0), time.Unix(0, 1<<63-1)
	if t.Before(first) || t.After(last) {
		return first
	}
	return t
}

func timespec(t time.Time) unix.Timespec { return unix.NsecToTimespec(t.UnixNano()) }

// giveFile gives them to a file that was made just now, with as little as is
// needed: by this process, with the mode but for what the umask takes away.
func (a attributes) giveFile(fd int, at place, umask uint32) error {
	foreign := a.uid != os.Geteuid() || a.gid != os.Getegid()
	if foreign {
		if err := unix.Fchown(fd, a.uid, a.gid); err != nil {
			return fmt.Errorf("giving it to %d:%d: %w", a.uid, a.gid, err)
		}
	}
	for name, value := range a.extended {
		if err := ignored(unix.Fsetxattr(fd, name, []byte(value), 0), value); err != nil {
			return fmt.Errorf("setting its attribute %.80q: %w", name, err)
		}
	}
	if a.mode&^0o777 != 0 || a.mode&umask != 0 {
		if err := unix.Fchmod(fd, a.mode); err != nil {
			return fmt.Errorf("setting its mode: %w", err)
		}
	}
	if err := unix.UtimesNanoAt(at.directory, at.base, a.times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting its times: %w", err)
	}
	return nil
}

// give gives them to whatever is at a path without links before its last name.
func (a attributes) give(path string) error {
	if err := unix.Lchown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("giving it to %d:%d: %w", a.uid, a.gid, err)
	}
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		return err
	}
	kind := stat.Mode & unix.S_IFMT
	for name, value := range a.extended {
		err := ignored(unix.Lsetxattr(path, name, []byte(value), 0), value)
		if errors.Is(err, unix.EPERM) && strings.HasPrefix(name, "user.") && kind != unix.S_IFREG && kind != unix.S_IFDIR {
			continue // only files and directories have them: xattr(7)
		}
		if err != nil {
			return fmt.Errorf("setting its attribute %.80q: %w", name, err)
		}
	}
	if kind != unix.S_IFLNK { // whose mode means nothing
		if err := unix.Chmod(path, a.mode); err != nil {
			return fmt.Errorf("setting its mode: %w", err)
		}
	}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, path, a.times[:], unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("setting its times: %w", err)
	}
	return nil
}

// ignored passes over an extended attribute of a kind that the filesystem does not
// have. One that is too large for it is no full disk, which some filesystems say.
func ignored(err error, value string) error {
	const large = 1 << 10
	switch {
	case errors.Is(err, unix.ENOTSUP):
		return nil
	case errors.Is(err, unix.ENOSPC) && len(value) > large:
		return unix.E2BIG
	default:
		return err
	}
}
