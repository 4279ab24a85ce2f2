package gitfetch

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	gitcache "github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"golang.org/x/sync/semaphore"

	"fairlead.dev/fairlead/internal/fault"
)

// Names within the directory of copies: a copy being made, and one being removed.
const (
	newMark = ".new-"
	oldMark = ".old-"
)

const (
	headsPrefix = "refs/heads/"
	tagsPrefix  = "refs/tags/"
	stateFile   = "state.json"

	readersMost = 1 << 20
	packsMost   = 40       // of a copy; beyond them it is made anew
	refMost     = 1024     // of a ref's name, in bytes
	messageMost = 64 << 10 // of a commit's message, in bytes
)

// cache is the copy of one repository: packs as git keeps them, and beside them
// the state, which is written last and in one move. A copy without a state is
// none.
type cache struct {
	dir string

	// lock is held whole by who changes the copy, and one of it by who reads.
	lock *semaphore.Weighted
}

func (c *cache) acquire(ctx context.Context, n int64) error {
	err := c.lock.Acquire(ctx, n)
	if errors.Is(err, context.DeadlineExceeded) {
		return fault.New(fault.Unavailable, "git_busy", "the repository is being fetched for somebody else, and that takes long").
			WithHint("Try again later.").WithCause(err)
	}
	if err != nil {
		return fmt.Errorf("waiting for another fetch of the repository: %w", err)
	}
	return nil
}

// state says what a copy holds.
type state struct {
	Refs    map[string]string `json:"refs"` // full name to commit
	Default string            `json:"default,omitempty"`
	Shallow []string          `json:"shallow,omitempty"` // commits whose parents are not here
}

// named is the ref that a name stands for, or empty.
func (s state) named(rev string) string {
	if rev == "HEAD" {
		return s.Default
	}
	for _, name := range []string{rev, tagsPrefix + rev, headsPrefix + rev} {
		if _, found := s.Refs[name]; found {
			return name
		}
	}
	return ""
}

// copied is a copy, opened.
type copied struct {
	state   state
	storage *filesystem.Storage
}

func (c *copied) close() { _ = c.storage.Close() }

// openStorage opens the packs of a directory.
func openStorage(dir string) *filesystem.Storage {
	return filesystem.NewStorageWithOptions(osfs.New(dir, osfs.WithBoundOS()), gitcache.NewObjectLRU(32*gitcache.MiByte), filesystem.Options{
		ExclusiveAccess: true, KeepDescriptors: true, LargeObjectThreshold: 4 << 20,
	})
}

// load opens a copy. One that is not there or not whole is errIncomplete.
func (c *cache) load() (*copied, error) {
	text, err := os.ReadFile(filepath.Join(c.dir, stateFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errIncomplete
	}
	if err != nil {
		return nil, fmt.Errorf("reading the copy of a repository: %w", err)
	}
	read := &copied{}
	if json.Unmarshal(text, &read.state) != nil || read.state.Refs == nil {
		return nil, errIncomplete
	}
	read.storage = openStorage(c.dir)
	return read, nil
}

// forget makes the next fetch begin anew.
func (c *cache) forget() error {
	if err := os.Remove(filepath.Join(c.dir, stateFile)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("forgetting the copy of a repository: %w", err)
	}
	return nil
}

// isCrowded reports whether fetches piled up so much that a new copy is due.
func (c *cache) isCrowded(most int64) bool {
	files, err := os.ReadDir(filepath.Join(c.dir, "objects", "pack"))
	if err != nil {
		return true
	}
	packs, bytes := 0, int64(0)
	for _, file := range files {
		if info, err := file.Info(); err == nil && strings.HasSuffix(file.Name(), ".pack") {
			packs++
			bytes += info.Size()
		}
	}
	return packs > packsMost || bytes > 2*most
}

// save writes the state of the copy in dir, in one move.
func save(dir string, s state) error {
	text, err := json.Marshal(s)
	if err != nil {
		return fmt.Errorf("writing the state: %w", err)
	}
	file, err := os.CreateTemp(dir, "state-")
	if err != nil {
		return fmt.Errorf("keeping the copy of a repository: %w", err)
	}
	_, err = file.Write(text)
	err = errors.Join(err, file.Sync(), file.Close())
	if err == nil {
		err = os.Rename(file.Name(), filepath.Join(dir, stateFile))
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return fmt.Errorf("keeping the copy of a repository: %w", err)
	}
	return nil
}

// replace puts a new copy in the place of the old one.
func (c *cache) replace(dir string) error {
	old := strings.Replace(dir, newMark, oldMark, 1)
	if err := os.Rename(c.dir, old); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("putting the old copy away: %w", err)
	}
	if err := os.Rename(dir, c.dir); err != nil {
		return fmt.Errorf("putting the new copy in its place: %w", err)
	}
	if err := os.RemoveAll(old); err != nil {
		return fmt.Errorf("removing the old copy: %w", err)
	}
	return nil
}

// has reports whether an object is in the copy.
func (c *copied) has(hash plumbing.Hash) bool { return c.storage.HasEncodedObject(hash) == nil }

// list is what Fetch returns.
func (c *copied) list() ([]Ref, error) {
	var refs []Ref
	for _, name := range slices.Sorted(maps.Keys(c.state.Refs)) {
		found, err := object.GetCommit(c.storage, plumbing.NewHash(c.state.Refs[name]))
		if err != nil {
			return nil, broken(err)
		}
		refs = append(refs, Ref{
			Name: name, Commit: found.Hash.String(), Time: when(found), Message: clean(found.Message, messageMost),
			Default: name == c.state.Default,
		})
	}
	return refs, nil
}

// commit reads a commit of the copy.
func (c *copied) commit(hash plumbing.Hash, ref string, depth int) (Commit, error) {
	found, err := object.GetCommit(c.storage, hash)
	if errors.Is(err, plumbing.ErrObjectNotFound) {
		return Commit{}, unknownRev(hash.String(), depth)
	}
	if err != nil {
		return Commit{}, broken(err)
	}
	return Commit{
		Hash: hash.String(), Ref: ref, Author: clean(found.Author.Name, 255),
		Time: when(found), Message: clean(found.Message, messageMost),
	}, nil
}

// commitsWith are the commits whose hash has that prefix.
func (c *copied) commitsWith(prefix string) ([]plumbing.Hash, error) {
	whole, err := hex.DecodeString(prefix[:len(prefix)/2*2])
	if err != nil {
		return nil, fmt.Errorf("reading a hash: %w", err)
	}
	hashes, err := c.storage.HashesWithPrefix(whole)
	if err != nil {
		return nil, broken(err)
	}
	return slices.DeleteFunc(hashes, func(hash plumbing.Hash) bool {
		_, err := c.storage.EncodedObject(plumbing.CommitObject, hash)
		return err != nil || !strings.HasPrefix(hash.String(), prefix)
	}), nil
}

// clean is foreign text of a bounded length, without what steers a terminal.
func clean(text string, most int) string {
	text = strings.Map(func(c rune) rune {
		if unicode.IsControl(c) && c != '\n' && c != '\t' {
			return unicode.ReplacementChar
		}
		return c
	}, strings.ToValidUTF8(text[:min(len(text), most)], "�"))
	return strings.TrimSpace(text)
}

// when is the time of a commit; zero for one that no calendar has.
func when(commit *object.Commit) time.Time {
	at := commit.Committer.When.UTC()
	if at.Year() < 1 || at.Year() > 9999 {
		return time.Time{}
	}
	return at
}

// broken is said of a copy that cannot be read.
func broken(err error) error {
	return fault.New(fault.Unavailable, "git_copy_broken", "the server's copy of the repository is broken, and is made anew when it is next asked for").
		WithHint("Try again.").WithCause(err)
}
