package gitfetch

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
)

// What package source unpacks at most, by default.
const (
	nameMost  = 1024
	depthMost = 100
	linkMost  = 1024
)

// pointerMost is the size of the largest file that git-lfs reads as a pointer.
const pointerMost = 1024

// Pack writes the files of a commit to w as a package of code, as source.Pack
// does of a directory that holds them: the same commit gives the same bytes. It
// holds every file that is committed, ignored or not, with whether it may be
// executed, and symbolic links that stay inside. Left out, each with a warning,
// are submodules, pointers of Git LFS, links that lead out, folders of version
// control, and names that no package holds.
//
// Commit is a whole hash, as Resolve gives it; it is fetched if it is not here.
// Nothing is written to w before every object was found and the limits were
// checked; after a later error, what w got is of no use.
func (f *Fetcher) Pack(ctx context.Context, r Remote, commit string, w io.Writer) ([]string, error) {
	if !isHash(commit, 40) {
		return nil, fault.InvalidField("commit", "git_rev", "this is no whole hash of a commit, which has 40 digits")
	}
	v, err := f.open(r)
	if err != nil {
		return nil, err
	}
	warnings, err := v.pack(ctx, plumbing.NewHash(commit), w)
	if !errors.Is(err, errIncomplete) {
		return warnings, err
	}
	// It is not here, or not whole, or this login was not let in lately.
	if err := v.provide(ctx, commit); err != nil {
		return nil, err
	}
	warnings, err = v.pack(ctx, plumbing.NewHash(commit), w)
	if errors.Is(err, errIncomplete) {
		return nil, broken(err)
	}
	return warnings, err
}

// provide gets a commit into the copy, with a new copy if it has to be.
func (v *visit) provide(ctx context.Context, commit string) error {
	if err := v.cache.acquire(ctx, readersMost); err != nil {
		return err
	}
	defer v.cache.lock.Release(readersMost)
	if _, err := v.resolve(ctx, commit); err != nil {
		return err
	}
	copied, err := v.cache.load()
	if err != nil {
		return err
	}
	err = v.listing(copied).find(ctx, plumbing.NewHash(commit))
	copied.close()
	if !errors.Is(err, errIncomplete) {
		return nil // what else is wrong with it, packing tells
	}
	if err := v.cache.forget(); err != nil {
		return err
	}
	_, err = v.resolve(ctx, commit)
	return err
}

// pack writes a commit of the copy. It is errIncomplete, with nothing written,
// if the copy or the right to it is not enough.
func (v *visit) pack(ctx context.Context, commit plumbing.Hash, w io.Writer) (warnings []string, err error) {
	defer guard(&err)
	if err := v.cache.acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer v.cache.lock.Release(1)
	if !v.f.isProven(v.remote, v.address) {
		return nil, errIncomplete
	}
	copied, err := v.cache.load()
	if err != nil {
		return nil, err
	}
	defer copied.close()
	l := v.listing(copied)
	if err := l.find(ctx, commit); err != nil {
		return nil, err
	}
	if len(l.entries) == 0 {
		return nil, fault.New(fault.Invalid, "source_empty", "the commit %s holds no file that can be packed", commit).
			WithHint("Push the project's files, with valohai.yaml among them, and take that commit.")
	}
	err = l.write(ctx, w)
	if _, damaged := errors.AsType[damage](err); damaged {
		return nil, broken(errors.Join(err, v.cache.forget()))
	}
	return l.warnings, err
}

// damage is an object that was found and cannot be read.
type damage struct{ error }

func (d damage) Unwrap() error { return d.error }

// listing is what a package will hold of a commit.
type listing struct {
	*copied
	mostBytes int64
	mostFiles int

	entries  []entry
	visited  int // files and directories
	bytes    int64
	warnings []string
}

// entry is one file or link.
type entry struct {
	name       string
	hash       plumbing.Hash
	bytes      int64
	executable bool
	link       string // where a link leads; empty for a file
}

func (v *visit) listing(c *copied) *listing {
	return &listing{copied: c, mostBytes: v.f.config.MostBytes, mostFiles: v.f.config.MostFiles}
}

func (l *listing) warn(name, why string) {
	l.warnings = append(l.warnings, fmt.Sprintf("%.200q is left out: %s", name, why))
}

// find lists a commit.
func (l *listing) find(ctx context.Context, hash plumbing.Hash) error {
	commit, err := object.GetCommit(l.storage, hash)
	if err != nil {
		return missing(err)
	}
	return l.walk(ctx, "", commit.TreeHash)
}

// missing is an object that is not here, or not readable, which comes to the same.
func missing(err error) error { return fmt.Errorf("%w: %w", errIncomplete, err) }

// walk lists a directory, in the order of names.
func (l *listing) walk(ctx context.Context, directory string, hash plumbing.Hash) error {
	tree, err := object.GetTree(l.storage, hash)
	if err != nil {
		return missing(err)
	}
	children := slices.Clone(tree.Entries)
	slices.SortFunc(children, func(a, b object.TreeEntry) int { return cmp.Compare(a.Name, b.Name) })
	last := ""
	for _, child := range children {
		if err := ctx.Err(); err != nil {
			return err
		}
		if l.visited++; l.visited > l.mostFiles {
			return tooLarge("the commit holds more than %d files and directories", l.mostFiles)
		}
		name := path.Join(directory, child.Name)
		if why := unfit(name, child.Name, last); why != "" {
			l.warn(name, why)
			continue
		}
		last = child.Name
		if err := l.add(ctx, name, child); err != nil {
			return err
		}
	}
	return nil
}

// unfit says why a package holds nothing of that name; empty if it does.
func unfit(name, base, last string) string {
	switch {
	case base == "" || base == "." || base == ".." || strings.ContainsAny(base, "/\x00"):
		return "its name is none of a file"
	case base == last:
		return "there is another of that name"
	case slices.Contains([]string{".git", ".hg", ".svn"}, strings.ToLower(base)):
		return "version control keeps itself there"
	case len(name) > nameMost || strings.Count(name, "/") >= depthMost:
		return fmt.Sprintf("its name is longer than %d bytes or more than %d directories deep", nameMost, depthMost)
	}
	return ""
}

// add lists one child of a directory.
func (l *listing) add(ctx context.Context, name string, child object.TreeEntry) error {
	switch child.Mode {
	case filemode.Dir:
		return l.walk(ctx, name, child.Hash)
	case filemode.Submodule:
		l.warn(name, "it is a submodule, and only the repository itself is fetched")
		return nil
	case filemode.Symlink, filemode.Regular, filemode.Deprecated, filemode.Executable:
	default:
		l.warn(name, "it is neither a file, a directory nor a link")
		return nil
	}
	size, err := l.storage.EncodedObjectSize(child.Hash)
	if err != nil {
		return missing(err)
	}
	e := entry{name: name, hash: child.Hash, bytes: size, executable: child.Mode == filemode.Executable}
	if child.Mode == filemode.Symlink {
		return l.addLink(e)
	}
	if size <= pointerMost {
		content, err := l.read(child.Hash)
		if err != nil {
			return err
		}
		if isPointer(content) {
			l.warn(name, "it is a pointer of Git LFS, and the file itself is not in the repository")
			return nil
		}
	}
	if l.bytes += size; l.bytes > l.mostBytes {
		return tooLarge("the commit's files have more than %s, and a package holds no more", readable(l.mostBytes))
	}
	l.entries = append(l.entries, e)
	return nil
}

func (l *listing) addLink(e entry) error {
	if e.bytes > linkMost {
		l.warn(e.name, "it is a link whose target is too long")
		return nil
	}
	target, err := l.read(e.hash)
	if err != nil {
		return err
	}
	if source.LeadsOutside(e.name, string(target)) {
		l.warn(e.name, fmt.Sprintf("it is a link that leads out of the project, to %.200q", target))
		return nil
	}
	e.link = string(target)
	l.entries = append(l.entries, e)
	return nil
}

// read reads a small object.
func (l *listing) read(hash plumbing.Hash) ([]byte, error) {
	content, err := l.content(hash)
	if err != nil {
		return nil, missing(err)
	}
	defer func() { _ = content.Close() }()
	text, err := io.ReadAll(content)
	if err != nil {
		return nil, missing(err)
	}
	return text, nil
}

func (l *listing) content(hash plumbing.Hash) (io.ReadCloser, error) {
	blob, err := l.storage.EncodedObject(plumbing.BlobObject, hash)
	if err != nil {
		return nil, err
	}
	return blob.Reader()
}

// isPointer reports whether git-lfs keeps the file elsewhere.
func isPointer(content []byte) bool {
	for _, version := range []string{"https://git-lfs.github.com/spec/", "https://hawser.github.com/spec/"} {
		if bytes.HasPrefix(content, []byte("version "+version)) && bytes.Contains(content, []byte("\noid ")) {
			return true
		}
	}
	return false
}

// write writes what was listed.
func (l *listing) write(ctx context.Context, w io.Writer) error {
	p := source.NewWriter(w)
	for _, e := range l.entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if e.link != "" {
			if err := p.Link(e.name, e.link); err != nil {
				return err
			}
			continue
		}
		content, err := l.content(e.hash)
		if err != nil {
			return damage{err}
		}
		err = p.File(e.name, e.executable, e.bytes, watched{ctx, content})
		if errors.Is(err, io.EOF) {
			err = damage{err} // it ended before its size
		}
		if err := errors.Join(err, content.Close()); err != nil {
			return err
		}
	}
	return p.Close()
}

// watched reads an object until its context ends, and marks what the object
// cannot give. It lives for one file.
type watched struct {
	ctx context.Context
	r   io.Reader
}

func (c watched) Read(p []byte) (int, error) {
	if err := c.ctx.Err(); err != nil {
		return 0, err
	}
	n, err := c.r.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		err = damage{err}
	}
	return n, err
}
