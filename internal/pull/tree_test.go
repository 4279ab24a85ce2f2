package pull_test

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"
)

// node is all that can be seen of a file but its time of access, which reading
// changes, and its place on the disk: whether a hole is one is left to the
// filesystem, its content is not.
type node struct {
	Mode     string // its type, and the permissions with setuid, setgid and sticky
	Owner    string
	Modified string
	Device   string            // of a device
	Target   string            // of a symbolic link
	Size     int64             // of a regular file
	Content  string            // its hash
	Linked   string            // all its names, if there are several
	Xattrs   map[string]string // all but those of the kernel's own
}

// tree is every file below a directory, and the directory as ".".
type tree map[string]node

// wholeTree reads a tree with everything that can be seen of it.
func wholeTree(t testing.TB, root string) tree {
	t.Helper()
	read := make(tree)
	names := make(map[[2]uint64][]string) // of each inode that is no directory
	err := filepath.WalkDir(root, func(path string, _ fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		var stat unix.Stat_t
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		err = unix.Lstat(path, &stat)
		if errors.Is(err, fs.ErrNotExist) {
			read[name] = node{Mode: ghost}
			return nil
		}
		if err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		if stat.Mode&unix.S_IFMT != unix.S_IFDIR {
			inode := [2]uint64{stat.Dev, stat.Ino}
			names[inode] = append(names[inode], name)
		}
		read[name], err = readNode(path, stat)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, group := range names {
		if len(group) == 1 {
			continue
		}
		slices.Sort(group)
		for _, name := range group {
			n := read[name]
			n.Linked = strings.Join(group, " = ")
			read[name] = n
		}
	}
	return read
}

// kinds are the types of files.
var kinds = map[uint32]string{
	unix.S_IFREG: "file", unix.S_IFDIR: "directory", unix.S_IFLNK: "link", unix.S_IFIFO: "fifo",
	unix.S_IFCHR: "character device", unix.S_IFBLK: "block device", unix.S_IFSOCK: "socket",
}

func readNode(path string, stat unix.Stat_t) (n node, err error) {
	n = node{
		Mode:     fmt.Sprintf("%s %04o", kinds[stat.Mode&unix.S_IFMT], stat.Mode&^unix.S_IFMT),
		Owner:    fmt.Sprintf("%d:%d", stat.Uid, stat.Gid),
		Modified: time.Unix(stat.Mtim.Unix()).UTC().Format(time.RFC3339Nano),
	}
	switch stat.Mode & unix.S_IFMT {
	case unix.S_IFREG:
		n.Size = stat.Size
		n.Content, err = hashOf(path)
	case unix.S_IFLNK:
		n.Target, err = os.Readlink(path)
	case unix.S_IFCHR, unix.S_IFBLK:
		n.Device = fmt.Sprintf("%d:%d", unix.Major(stat.Rdev), unix.Minor(stat.Rdev))
	}
	if err != nil {
		return n, err
	}
	n.Xattrs, err = readXattrs(path)
	return n, err
}

func hashOf(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	hash := sha256.New()
	if _, err := io.Copy(hash, file); err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", hash.Sum(nil)), nil
}

// readXattrs are the extended attributes of a file itself; nil if it has none.
func readXattrs(path string) (map[string]string, error) {
	names := make([]byte, 1<<16) // the most that the kernel tells
	n, err := unix.Llistxattr(path, names)
	if err != nil || n == 0 {
		return nil, err
	}
	xattrs := make(map[string]string)
	for name := range strings.SplitSeq(strings.TrimSuffix(string(names[:n]), "\x00"), "\x00") {
		value := make([]byte, 1<<16)
		n, err := unix.Lgetxattr(path, name, value)
		if err != nil {
			return nil, &fs.PathError{Op: "lgetxattr " + name, Path: path, Err: err}
		}
		xattrs[name] = string(value[:n])
	}
	return xattrs, nil
}

// A tree of containerd's and one of Fairlead's may differ in these ways, and in no
// other.

// ghost is a name that is listed and leads to nothing. The kernel shows an
// overlay's whiteouts in directories that are of one layer alone, since it merges
// nothing there.
const ghost = "ghost"

// withoutGhosts takes away the ghosts that containerd has and Fairlead has not.
func withoutGhosts(theirs, ours tree) {
	maps.DeleteFunc(theirs, func(name string, n node) bool {
		_, there := ours[name]
		return n.Mode == ghost && !there
	})
}

// whenever is in place of a time that nothing gives. A layer that has something
// in a directory but no entry for it says nothing of the directory's time; then
// containerd leaves the moment at which it unpacked, and Fairlead the time that
// the directory has below, or its own moment if it is new. What a layer does say
// lies before the test, so that containerd's moments are told by the clock alone.
const whenever = "whenever"

// withoutMoments takes the times of directories away that are not of a layer:
// those of a tree that lie in the span in which it was unpacked. It does so in
// both trees.
func withoutMoments(theirs, ours tree, from, to time.Time) {
	for name, n := range theirs {
		modified, err := time.Parse(time.RFC3339Nano, n.Modified)
		if err != nil || !strings.HasPrefix(n.Mode, "directory") || modified.Before(from) || modified.After(to) {
			continue
		}
		theirs.loseTime(name)
		if strings.HasPrefix(ours[name].Mode, "directory") {
			ours.loseTime(name)
		}
	}
}

func (t tree) loseTime(name string) {
	n := t[name]
	n.Modified = whenever
	t[name] = n
}

// withoutStacking takes away the extended attributes that say how overlays are
// stacked, where an overlay may be mounted without rights. containerd lets a
// layer set them, and to Fairlead a layer has no say in how it is stacked
// (TestALayerHasNoSayInHowItIsStacked).
func withoutStacking(theirs tree) {
	for name, n := range theirs {
		n.Xattrs = maps.Clone(n.Xattrs)
		maps.DeleteFunc(n.Xattrs, func(xattr, _ string) bool { return strings.HasPrefix(xattr, "user.overlay.") })
		if len(n.Xattrs) == 0 {
			n.Xattrs = nil
		}
		theirs[name] = n
	}
}

// differences are the names that differ between a tree of containerd's and another.
func differences(theirs reference, other tree) (names []string, want, got tree) {
	want, got = maps.Clone(theirs.tree), maps.Clone(other)
	withoutGhosts(want, got)
	withoutMoments(want, got, theirs.from, theirs.to)
	withoutStacking(want)
	all := maps.Clone(want)
	maps.Copy(all, got)
	for name := range all {
		if !cmp.Equal(want[name], got[name]) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names, want, got
}

// wantSameTree checks that Fairlead's tree is containerd's.
func wantSameTree(t testing.TB, theirs reference, ours tree) {
	t.Helper()
	names, want, got := differences(theirs, ours)
	const most = 10 // to be shown
	for _, name := range names[:min(len(names), most)] {
		t.Errorf("%s (-containerd +Fairlead):\n%s", name, cmp.Diff(want[name], got[name]))
	}
	if len(names) > most {
		t.Errorf("and %d files more differ", len(names)-most)
	}
}
