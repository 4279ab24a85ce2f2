package unpack

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	// mostOpen is how many directories stay open: those of a deep path and its
	// neighbours.
	mostOpen = 128

	// mostLinks is how many symbolic links one path may lead through; the kernel
	// takes 40.
	mostLinks = 40

	impliedMode = 0o755
)

// tree is a directory that is filled. Names in it are paths without "..", from
// the directory on. Symbolic links in it are followed as if it were the root.
type tree struct {
	dir   string
	root  int
	umask uint32

	open    map[string]int  // directories by their paths without links
	implied map[string]bool // directories that were made only because something is in them

	// forgotten is told what is not there any more.
	forgotten func(gone func(name string) bool)
}

// place is where a file is or is to be.
type place struct {
	directory int    // open
	parent    string // its path without links; "" is the root
	base      string
}

func (p place) name() string { return path.Join(p.parent, p.base) }

func (t *tree) path(p place) string { return filepath.Join(t.dir, p.parent, p.base) }

func openTree(dir string) (*tree, error) {
	umask, err := readUmask()
	if err != nil {
		return nil, err
	}
	t := &tree{dir: dir, umask: umask, open: make(map[string]int), implied: make(map[string]bool)}
	t.root, err = unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: dir, Err: err}
	}
	return t, nil
}

// Directory is the path of a directory in dir without links, which are followed as
// if dir were the root, at most forty. What is none is ENOTDIR.
func Directory(dir, name string) (string, error) {
	t, err := openTree(dir)
	if err != nil {
		return "", err
	}
	defer t.close()
	at, err := t.walk(name, "", t.enter)
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, at.parent), nil
}

func (t *tree) close() {
	t.closeOthers()
	_ = unix.Close(t.root) // a directory
}

func (t *tree) closeOthers() {
	for name, fd := range t.open {
		_ = unix.Close(fd) // a directory
		delete(t.open, name)
	}
}

// place opens the directory of a file that is to be made, and makes it where it is
// missing.
func (t *tree) place(directory, base string) (place, error) {
	return t.walk(directory, base, t.enterOrMake)
}

// find opens the directory of a file that is there. It is the caller's to close.
func (t *tree) find(directory, base string) (place, error) {
	at, err := t.walk(directory, base, t.enter)
	if err != nil {
		return place{}, err
	}
	at.directory, err = unix.FcntlInt(uintptr(at.directory), unix.F_DUPFD_CLOEXEC, 0)
	return at, err
}

// walk opens a directory, entering each on the way.
func (t *tree) walk(directory, base string, enter func(in int, name, base string) (int, error)) (place, error) {
	if fd, known := t.open[directory]; known {
		return place{fd, directory, base}, nil
	}
	at, fd := "", t.root
	for links, rest := 0, directory; rest != ""; {
		var component string
		component, rest, _ = strings.Cut(rest, "/")
		switch component {
		case "", ".":
			continue
		case "..":
			above, err := t.walk(strings.TrimPrefix(path.Dir("/"+at), "/"), "", t.enter)
			if err != nil {
				return place{}, err
			}
			at, fd = above.parent, above.directory
			continue
		}
		name := path.Join(at, component)
		next, err := enter(fd, name, component)
		if err == nil {
			at, fd = name, next
			continue
		}
		if !errors.Is(err, unix.ENOTDIR) {
			return place{}, err
		}
		target, linkErr := readLinkAt(fd, component)
		if linkErr != nil { // it is none
			return place{}, err
		}
		if links++; links > mostLinks {
			return place{}, &fs.PathError{Op: "open", Path: directory, Err: unix.ELOOP}
		}
		if strings.HasPrefix(target, "/") {
			at, fd = "", t.root
		}
		rest = target + "/" + rest
	}
	return place{fd, at, base}, nil
}

// enter opens a directory in another one. What is there and none, or a link to one,
// is ENOTDIR.
func (t *tree) enter(in int, name, base string) (int, error) {
	if fd, known := t.open[name]; known {
		return fd, nil
	}
	fd, err := openAt(in, base, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW, 0)
	if err != nil {
		return 0, &fs.PathError{Op: "open", Path: name, Err: err}
	}
	if len(t.open) >= mostOpen {
		t.closeOthers()
	}
	t.open[name] = fd
	return fd, nil
}

// enterOrMake makes the directory where it is missing. One that the layer has
// removed and puts something in again, shows nothing of what is below.
func (t *tree) enterOrMake(in int, name, base string) (int, error) {
	fd, err := t.enter(in, name, base)
	removed := false
	if errors.Is(err, unix.ENOTDIR) {
		var statErr error
		if removed, statErr = isWhiteout(in, base); statErr != nil {
			return 0, statErr
		}
	}
	if !removed && !errors.Is(err, fs.ErrNotExist) {
		return fd, err
	}
	if removed {
		err = unix.Unlinkat(in, base, 0)
	} else {
		err = nil
	}
	if err == nil {
		err = unix.Mkdirat(in, base, impliedMode)
	}
	if err != nil {
		return 0, &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	if fd, err = t.enter(in, name, base); err != nil {
		return 0, err
	}
	if t.umask&impliedMode != 0 {
		err = unix.Fchmod(fd, impliedMode)
	}
	if !removed {
		t.implied[name] = true
		return fd, err
	}
	return fd, errors.Join(err, unix.Fsetxattr(fd, opaqueAttribute, []byte("y"), 0))
}

// directory makes the directory at a place that the layer names, or takes what
// stands there of it.
func (t *tree) directory(at place) error {
	_, err := t.enterOrMake(at.directory, at.name(), at.base)
	if errors.Is(err, unix.ENOTDIR) {
		if err = t.remove(at); err == nil {
			_, err = t.enterOrMake(at.directory, at.name(), at.base)
		}
	}
	delete(t.implied, at.name())
	return err
}

// replace makes something at a place, instead of what is there.
func (t *tree) replace(at place, make func() error) error {
	err := make()
	if !errors.Is(err, unix.EEXIST) {
		return err
	}
	if err := t.remove(at); err != nil {
		return err
	}
	return make()
}

// remove removes what is at a place with all that is in it.
func (t *tree) remove(at place) error {
	if err := os.RemoveAll(t.path(at)); err != nil {
		return err
	}
	name := at.name()
	gone := func(other string) bool {
		rest, below := strings.CutPrefix(other, name)
		return below && (rest == "" || rest[0] == '/')
	}
	for other, fd := range t.open {
		if gone(other) {
			_ = unix.Close(fd) // a directory
			delete(t.open, other)
		}
	}
	for other := range t.implied {
		if gone(other) {
			delete(t.implied, other)
		}
	}
	t.forgotten(gone)
	return nil
}

func openAt(directory int, base string, flags int, mode uint32) (int, error) {
	for {
		fd, err := unix.Openat(directory, base, flags|unix.O_CLOEXEC, mode)
		if !errors.Is(err, unix.EINTR) {
			return fd, err
		}
	}
}

func readLinkAt(directory int, base string) (string, error) {
	target := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(directory, base, target)
	if err != nil {
		return "", err
	}
	return string(target[:n]), nil
}

func writeAll(fd int, content []byte) error {
	for len(content) > 0 {
		n, err := unix.Write(fd, content)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		content = content[max(n, 0):]
	}
	return nil
}

func isZero(content []byte) bool {
	for len(content) > 0 {
		n := min(len(content), len(zeros))
		if string(content[:n]) != string(zeros[:n]) {
			return false
		}
		content = content[n:]
	}
	return true
}

var zeros [4096]byte

// readUmask reads what the process takes from the mode of each file that it makes.
// To ask by umask(2) would change it for a moment.
func readUmask() (uint32, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0, err
	}
	_, after, _ := strings.Cut(string(status), "\nUmask:")
	line, _, _ := strings.Cut(after, "\n")
	umask, err := strconv.ParseUint(strings.TrimSpace(line), 8, 32)
	if err != nil {
		return 0, fmt.Errorf("reading the umask of this process: %w", err)
	}
	return uint32(umask), nil
}
