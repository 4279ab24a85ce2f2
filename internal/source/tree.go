package source

import (
	"cmp"
	"context"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"

	"fairlead.dev/fairlead/internal/fault"
)

// tree is what a package will hold of a directory.
type tree struct {
	root    *os.Root
	options Options

	entries []entry
	bytes   int64 // of all entries
	skipped []Skipped
}

// entry is one file or link of a package.
type entry struct {
	name       string // relative, with slashes
	bytes      int64
	executable bool
	link       string // where a symbolic link leads; empty for a file
}

// neverPacked are the folders in which version control keeps itself.
var neverPacked = []string{".git", ".hg", ".svn"}

// walk finds what is to be packed in the directory whose name has those parts,
// and ends early once there are too many files.
func (t *tree) walk(ctx context.Context, parts []string, rules ruleset) error {
	directory := path.Join(parts...)
	children, err := t.readDirectory(cmp.Or(directory, "."))
	if err != nil {
		return unreadable(cmp.Or(directory, "."), err)
	}
	if rules, err = rules.within(t.root, parts, children); err != nil {
		return err
	}
	for _, child := range children {
		if err := ctx.Err(); err != nil {
			return err
		}
		name := append(slices.Clip(parts), child.Name())
		if slices.Contains(neverPacked, child.Name()) || rules.ignore(name, child.IsDir()) {
			continue
		}
		if child.IsDir() {
			err = t.walk(ctx, name, rules)
		} else {
			err = t.add(path.Join(name...), child)
		}
		if err != nil {
			return err
		}
		if len(t.entries) > t.options.MaxFiles {
			return nil
		}
	}
	return nil
}

// readDirectory lists a directory in the order of names.
func (t *tree) readDirectory(name string) ([]fs.DirEntry, error) {
	directory, err := t.root.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = directory.Close() }()
	children, err := directory.ReadDir(-1)
	slices.SortFunc(children, func(a, b fs.DirEntry) int { return cmp.Compare(a.Name(), b.Name()) })
	return children, err
}

// add takes up one file or link, or notes why not.
func (t *tree) add(name string, child fs.DirEntry) error {
	switch mode := child.Type(); {
	case mode.IsRegular():
		info, err := child.Info()
		if err != nil {
			return unreadable(name, err)
		}
		t.bytes += info.Size()
		t.entries = append(t.entries, entry{name: name, bytes: info.Size(), executable: info.Mode()&0o100 != 0})
	case mode&fs.ModeSymlink != 0:
		target, err := t.root.Readlink(name)
		if err != nil {
			return unreadable(name, err)
		}
		if leadsOutside(name, target) {
			t.skip(name, fmt.Sprintf("it is a link that leads out of the project, to %q", target))
			return nil
		}
		t.entries = append(t.entries, entry{name: name, link: target})
	case mode&fs.ModeSocket != 0:
		t.skip(name, "it is a socket")
	case mode&fs.ModeNamedPipe != 0:
		t.skip(name, "it is a named pipe")
	default:
		t.skip(name, "it is a device")
	}
	return nil
}

func (t *tree) skip(name, reason string) {
	t.skipped = append(t.skipped, Skipped{Name: name, Reason: reason})
}

// checkLimits refuses a package of nothing, or of too much.
func (t *tree) checkLimits(dir string) error {
	switch {
	case len(t.entries) == 0:
		return fault.New(fault.Invalid, "source_empty", "there is no file to pack in %q", dir).
			WithHint("Start in the project's directory, and see that no .gitignore or .vhignore, there or in the repository around it, names everything.")
	case len(t.entries) > t.options.MaxFiles:
		count := func(entry) int64 { return 1 }
		return fault.New(fault.Exhausted, "source_too_large", "the project has more than %d files, the most of them in %s",
			t.options.MaxFiles, strings.Join(t.largest(count, func(n int64) string { return fmt.Sprintf("%d files", n) }), ", ")).
			WithHint("Leave out what a step does not need with a line in .vhignore, such as data/.")
	case t.bytes > t.options.MaxBytes:
		bytes := func(e entry) int64 { return e.bytes }
		return fault.New(fault.Exhausted, "source_too_large", "the project's files have %s, and a package holds at most %s; the largest are %s",
			readable(t.bytes), readable(t.options.MaxBytes), strings.Join(t.largest(bytes, readable), ", ")).
			WithHint("Leave out what a step does not need with a line in .vhignore, such as data/.")
	}
	return nil
}

func readable(bytes int64) string { return humanize.IBytes(uint64(bytes)) }

// largest names up to three folders or files that hold the most: where one
// folder has nearly all, what is in it.
func (t *tree) largest(weigh func(entry) int64, show func(int64) string) []string {
	for folder := ""; ; {
		weights, total := t.weighChildren(folder, weigh)
		names := make([]string, 0, len(weights))
		for name := range weights {
			names = append(names, name)
		}
		slices.SortFunc(names, func(a, b string) int {
			return cmp.Or(cmp.Compare(weights[b], weights[a]), cmp.Compare(a, b))
		})
		if first := names[0]; strings.HasSuffix(first, "/") && weights[first] > total/10*9 {
			folder = first
			continue
		}
		names = names[:min(3, len(names))]
		for i, name := range names {
			names[i] = fmt.Sprintf("%q (%s)", name, show(weights[name]))
		}
		return names
	}
}

// weighChildren weighs each file and folder right in folder, which is empty or
// ends with a slash, and all of them together.
func (t *tree) weighChildren(folder string, weigh func(entry) int64) (weights map[string]int64, total int64) {
	weights = make(map[string]int64)
	for _, e := range t.entries {
		rest, inside := strings.CutPrefix(e.name, folder)
		if !inside {
			continue
		}
		child, _, deeper := strings.Cut(rest, "/")
		if deeper {
			child += "/"
		}
		weights[folder+child] += weigh(e)
		total += weigh(e)
	}
	return weights, total
}
