package source

import (
	"archive/tar"
	"cmp"
	"compress/flate"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"
	"syscall"

	"fairlead.dev/fairlead/internal/fault"
)

// maxDepth bounds the directories above a file: each costs time for each file.
const maxDepth = 100

// Limits bound what Unpack takes. The zero value has the defaults.
type Limits struct {
	// MaxBytes bounds the content of all files together; 0: 4 GiB.
	MaxBytes int64

	// MaxEntries bounds the number of files, links and directories, those that
	// are only parts of a name included; 0: 200,000.
	MaxEntries int

	// MaxNameLength bounds a name, in bytes; 0: 1,024.
	MaxNameLength int
}

func (l Limits) withDefaults() Limits {
	return Limits{
		MaxBytes:      cmp.Or(l.MaxBytes, 4<<30),
		MaxEntries:    cmp.Or(l.MaxEntries, 200_000),
		MaxNameLength: cmp.Or(l.MaxNameLength, 1024),
	}
}

// Unpack reads a gzipped tar from r into dir, which it makes if it is not
// there. The package may be anybody's: nothing is made outside dir, nothing that
// is there is replaced or written through, and no link of the package leads out,
// now or after further links of it were followed. Files become 0644, or 0755 if
// their owner may execute them, and directories 0755, whatever the umask; owners
// and times are not restored.
//
// A package that tries otherwise, that is not whole, or that is beyond the
// limits is refused; what was unpacked until then stays, for the caller to
// remove with dir. The compressed bytes are r's to bound.
func Unpack(ctx context.Context, r io.Reader, dir string, limits Limits) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("making the directory to unpack to: %w", err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return fmt.Errorf("opening the directory to unpack to: %w", err)
	}
	defer func() { _ = root.Close() }()

	zipped, err := gzip.NewReader(cancelable{ctx, r})
	if err != nil {
		return corrupt(err)
	}
	u := unpacking{root: root, limits: limits.withDefaults()}
	// Beside the contents, each entry has a header, or three with a long name.
	overhead := int64(u.limits.MaxEntries+1) * int64(4096+u.limits.MaxNameLength)
	stream := &bounded{r: zipped, left: u.limits.MaxBytes + overhead}
	archive := tar.NewReader(stream)
	for {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return corrupt(err)
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := u.take(header, archive); err != nil {
			return err
		}
	}
	// The checksum of the compressed bytes comes last.
	if _, err := io.Copy(io.Discard, stream); err != nil {
		return corrupt(err)
	}
	return nil
}

// unpacking is how far an Unpack is.
type unpacking struct {
	root   *os.Root
	limits Limits

	entries int
	bytes   int64

	// parent is the directory that was last made sure to be one.
	parent string
}

// take makes one entry.
func (u *unpacking) take(header *tar.Header, content io.Reader) error {
	if err := u.count(); err != nil {
		return err
	}
	if header.Typeflag == tar.TypeXGlobalHeader {
		return nil // a comment, as git archive writes one
	}
	name, err := u.localName(header.Name)
	if err != nil {
		return err
	}
	if name == "." && header.Typeflag == tar.TypeDir {
		return nil
	}
	if err := u.makeDirectories(path.Dir(name)); err != nil {
		return err
	}
	switch header.Typeflag {
	case tar.TypeReg, tar.TypeGNUSparse:
		return u.makeFile(name, header, content)
	case tar.TypeDir:
		return u.makeDirectories(name)
	case tar.TypeSymlink:
		if len(header.Linkname) > u.limits.MaxNameLength || leadsOutside(name, header.Linkname) {
			return hostile(header.Name, "is a link that leads out of the package, to %s", short(header.Linkname))
		}
		return made(name, u.root.Symlink(header.Linkname, name))
	case tar.TypeLink:
		return u.makeHardLink(name, header)
	default:
		return hostile(header.Name, "is neither a file, a directory nor a link")
	}
}

// count counts one more entry.
func (u *unpacking) count() error {
	if u.entries++; u.entries > u.limits.MaxEntries {
		return tooLarge("the package has more than %d entries", u.limits.MaxEntries)
	}
	return nil
}

// localName is the clean form of a name that stays inside.
func (u *unpacking) localName(name string) (string, error) {
	switch {
	case len(name) > u.limits.MaxNameLength:
		return "", hostile(name, "is longer than %d bytes", u.limits.MaxNameLength)
	case name == "" || strings.HasPrefix(name, "/") || strings.ContainsRune(name, 0):
		return "", hostile(name, "is no relative name")
	case strings.Count(name, "/") > maxDepth:
		return "", hostile(name, "is more than %d directories deep", maxDepth)
	}
	for part := range strings.SplitSeq(name, "/") {
		if part == ".." {
			return "", hostile(name, "leads out of the package")
		}
	}
	return path.Clean(name), nil
}

// makeDirectories makes sure that name and all above it are directories, and no
// links to such.
func (u *unpacking) makeDirectories(name string) error {
	if name == "." || name == u.parent {
		return nil
	}
	if err := u.makeDirectories(path.Dir(name)); err != nil {
		return err
	}
	err := u.root.Mkdir(name, 0o755)
	if errors.Is(err, fs.ErrExist) {
		info, err := u.root.Lstat(name)
		if err != nil {
			return made(name, err)
		}
		if !info.IsDir() {
			return hostile(name, "is named as a directory, and as something else before")
		}
		u.parent = name
		return nil
	}
	if err != nil {
		return made(name, err)
	}
	u.parent = name
	if err := u.count(); err != nil {
		return err
	}
	return made(name, u.root.Chmod(name, 0o755))
}

func (u *unpacking) makeFile(name string, header *tar.Header, content io.Reader) error {
	if header.Size > u.limits.MaxBytes-u.bytes {
		return tooLarge("the package unpacks to more than %s", readable(u.limits.MaxBytes))
	}
	u.bytes += header.Size

	mode := fs.FileMode(0o644)
	if header.Mode&0o100 != 0 {
		mode = 0o755
	}
	file, err := u.root.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, mode)
	if err != nil {
		return made(name, err)
	}
	_, err = io.Copy(file, content)
	err = errors.Join(err, file.Chmod(mode), file.Close())
	if _, disk := errors.AsType[*fs.PathError](err); disk {
		return made(name, err)
	}
	if err != nil {
		return corrupt(err)
	}
	return nil
}

// makeHardLink makes a further name of a file that the package brought before.
func (u *unpacking) makeHardLink(name string, header *tar.Header) error {
	target, err := u.localName(header.Linkname)
	if err != nil {
		return hostile(header.Name, "is a link that leads out of the package, to %s", short(header.Linkname))
	}
	info, err := u.root.Lstat(target)
	if err != nil || !info.Mode().IsRegular() {
		return hostile(header.Name, "is a link to %s, which is no file of the package before it", short(header.Linkname))
	}
	return made(name, u.root.Link(target, name))
}

// leadsOutside reports whether a symbolic link of that name may lead out of the
// directory that all names are relative to. A target is safe if it goes up only
// at its start, and no further than to the top: the directories that a link is
// in are no links, so that going up from there is what it seems to be, and each
// link that the rest passes is safe by itself.
func leadsOutside(name, target string) bool {
	if target == "" || strings.HasPrefix(target, "/") || strings.ContainsRune(target, 0) {
		return true
	}
	depth, down := strings.Count(name, "/"), false
	for part := range strings.SplitSeq(target, "/") {
		switch part {
		case "", ".":
		case "..":
			depth--
			if down || depth < 0 {
				return true
			}
		default:
			down = true
		}
	}
	return false
}

// made turns what the disk says about making name into a fault.
func made(name string, err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, fs.ErrExist):
		return hostile(name, "is there already, or twice in the package")
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Exhausted, "disk_full", "the disk is full: the package cannot be unpacked").
			WithHint("Make room where Fairlead keeps its data.").WithCause(err)
	case errors.Is(err, syscall.ENAMETOOLONG):
		return hostile(name, "is too long for this system").WithCause(err)
	default:
		return fmt.Errorf("unpacking %s: %w", short(name), err)
	}
}

// corrupt turns an error from reading the package into a fault if the package
// is to blame, and not the way it came.
func corrupt(err error) error {
	if _, is := errors.AsType[*fault.Error](err); is {
		return err
	}
	_, inflating := errors.AsType[flate.CorruptInputError](err)
	switch {
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return fault.New(fault.Invalid, "source_truncated", "the package of the project's code ends too early").
			WithHint("Send it again.").WithCause(err)
	case inflating, errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum),
		errors.Is(err, tar.ErrHeader), errors.Is(err, tar.ErrFieldTooLong):
		return fault.New(fault.Invalid, "source_corrupt", "the package of the project's code is no whole gzipped tar").
			WithHint("Send it again.").WithCause(err)
	default:
		return fmt.Errorf("reading the package: %w", err)
	}
}

func hostile(name, what string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "source_unsafe", "the entry %s of the package %s", short(name), fmt.Sprintf(what, args...)).
		WithHint("Pack the project anew, without it.")
}

func tooLarge(what string, args ...any) *fault.Error {
	return fault.New(fault.Exhausted, "source_too_large", what, args...).
		WithHint("Leave out what a step does not need with a line in .vhignore, such as data/.")
}

// short quotes a foreign name for a message.
func short(name string) string {
	const most = 120
	if len(name) > most {
		return fmt.Sprintf("%q…", name[:most])
	}
	return fmt.Sprintf("%q", name)
}

// bounded reads up to a number of bytes, and refuses a stream with more.
type bounded struct {
	r    io.Reader
	left int64
}

func (b *bounded) Read(p []byte) (int, error) {
	if b.left <= 0 {
		return 0, tooLarge("the package unpacks to more than the limit")
	}
	n, err := b.r.Read(p[:min(int64(len(p)), b.left)])
	b.left -= int64(n)
	return n, err
}
