package source

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// ignoreFiles are the names of ignore files; of two in one directory, the later
// one wins.
var ignoreFiles = []string{".gitignore", ".vhignore"}

// maxIgnoreFile bounds an ignore file, in bytes.
const maxIgnoreFile = 1 << 20

// ruleset is what ignore files say, the rule that wins last. Of the rules that
// match a name the last one decides; what is in an ignored directory is never
// looked at, so that no rule brings it back.
//
// The syntax is git's, https://git-scm.com/docs/gitignore, but that ? and [é]
// stand for a character, where git takes a byte.
type ruleset struct {
	rules []rule

	// above are the names of the directories from the repository's to the one
	// that is packed.
	above []string
}

// rulesAround are the rules of the repository that dir is in, as far as they
// stand above dir.
func rulesAround(dir string) (ruleset, error) {
	here, err := filepath.Abs(dir)
	if err == nil {
		here, err = filepath.EvalSymlinks(here)
	}
	if err != nil {
		return ruleset{}, unreadable(dir, err)
	}
	top := here
	for {
		if _, err := os.Lstat(filepath.Join(top, ".git")); err == nil {
			break
		}
		parent := filepath.Dir(top)
		if parent == top {
			return ruleset{}, nil // no repository
		}
		top = parent
	}

	root, err := os.OpenRoot(top)
	if err != nil {
		return ruleset{}, unreadable(top, err)
	}
	defer func() { _ = root.Close() }()
	var set ruleset
	// In a worktree .git is a file, and the excludes are elsewhere.
	if info, err := root.Lstat(".git"); err == nil && info.IsDir() {
		if err := set.read(root, filepath.Join(".git", "info", "exclude"), nil); err != nil {
			return ruleset{}, err
		}
	}
	below, err := filepath.Rel(top, here)
	if err != nil || below == "." {
		return set, err
	}
	parts := strings.Split(filepath.ToSlash(below), "/")
	for depth := range parts {
		for _, name := range ignoreFiles {
			if err := set.read(root, filepath.Join(append(slices.Clip(parts[:depth]), name)...), parts[:depth]); err != nil {
				return ruleset{}, err
			}
		}
	}
	set.above = parts
	return set, nil
}

// within is s with the rules of the ignore files among the children of the
// directory parts of root.
func (s ruleset) within(root *os.Root, parts []string, children []fs.DirEntry) (ruleset, error) {
	s.rules = slices.Clip(s.rules) // a sibling directory must not see ours
	for _, name := range ignoreFiles {
		if !slices.ContainsFunc(children, func(child fs.DirEntry) bool { return child.Name() == name }) {
			continue
		}
		file := filepath.Join(append(slices.Clip(parts), name)...)
		if err := s.read(root, file, s.fromTop(parts)); err != nil {
			return ruleset{}, err
		}
	}
	return s, nil
}

// ignore reports whether the file or directory of that name, whose directory is
// not ignored, is to be left out.
func (s ruleset) ignore(parts []string, isDirectory bool) bool {
	parts = s.fromTop(parts)
	for _, rule := range slices.Backward(s.rules) {
		if rule.match(parts, isDirectory) {
			return !rule.negated
		}
	}
	return false
}

func (s ruleset) fromTop(parts []string) []string {
	if len(s.above) == 0 {
		return parts
	}
	return slices.Concat(s.above, parts)
}

// read appends the rules of one ignore file, which may be absent, for the
// directory base. As git does, it follows no link.
func (s *ruleset) read(root *os.Root, name string, base []string) error {
	info, err := root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) || err == nil && !info.Mode().IsRegular() {
		return nil
	}
	if err != nil {
		return unreadable(name, err)
	}
	file, err := root.Open(name)
	if err != nil {
		return unreadable(name, err)
	}
	defer func() { _ = file.Close() }()
	text, err := io.ReadAll(io.LimitReader(file, maxIgnoreFile+1))
	if err != nil {
		return unreadable(name, err)
	}
	if len(text) > maxIgnoreFile {
		return fault.New(fault.Invalid, "source_ignore_too_large", "the ignore file %q is larger than %s", name, readable(maxIgnoreFile)).
			WithHint("Name folders and wildcards rather than single files.")
	}
	s.rules = append(s.rules, parseRules(text, base)...)
	return nil
}

// parseRules reads the text of an ignore file in the directory base.
func parseRules(text []byte, base []string) []rule {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	var rules []rule
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, maxIgnoreFile+1)
	for lines.Scan() { // which takes off \r\n
		if rule, ok := parseRule(lines.Text()); ok {
			rule.base = base
			rules = append(rules, rule)
		}
	}
	return rules
}
