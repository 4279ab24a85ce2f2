// Package inputs brings the files that a step's inputs name to this machine, and
// keeps them for the next step that names them.
//
// Knowing the address of a file is not having it: what is here already is given
// out only after its origin has answered this very request and told that the
// file is still the same.
package inputs

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Source is a file that is somewhere else.
type Source struct {
	// URL is http, https, s3, gs or azure.
	URL string

	// SHA256 is what the bytes must have, in hexadecimal; "" where nobody knows.
	SHA256 string

	// Trusted tells that whoever gave SHA256 has asked who may read the file: it
	// is then found by that alone, without asking its origin.
	Trusted bool

	// Header goes with each request to the URL's own host.
	Header http.Header
}

// File is a file that was placed.
type File struct {
	Name   string // what its origin calls it
	Size   int64
	SHA256 string
	Cached bool // it was here
}

// Config is what a Cache is made of.
type Config struct {
	// Dir is the cache's own; it is made if it is missing.
	Dir string

	// MostBytes bounds the cache; 0 is 50 GB. One file may be larger: it is
	// there for as long as it takes to place it.
	MostBytes int64

	// Client sends requests; one that reaches no link-local address if nil.
	Client *http.Client
}

// Cache keeps downloaded files. Make it with Open; safe for concurrent use, by
// one process.
type Cache struct {
	config Config

	mu   sync.Mutex
	busy map[string]*entry
}

// entry is a file that somebody is using or waits for.
type entry struct {
	lock  sync.Mutex
	users int
}

const (
	mostBytes  = 50e9
	halfSuffix = ".half"
)

// Open opens the cache and removes what a killed process left half done.
func Open(config Config) (*Cache, error) {
	config.MostBytes = cmp.Or(config.MostBytes, int64(mostBytes))
	if config.Client == nil {
		config.Client = newClient()
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the cache of inputs: %w", err)
	}
	halves, err := filepath.Glob(filepath.Join(config.Dir, "*"+halfSuffix))
	if err != nil {
		return nil, fmt.Errorf("clearing the cache of inputs: %w", err)
	}
	for _, half := range halves {
		if err := os.Remove(half); err != nil {
			return nil, fmt.Errorf("clearing the cache of inputs: %w", err)
		}
	}
	return &Cache{config: config, busy: make(map[string]*entry)}, nil
}

// Place copies the source's file to where dest says when it is told the name
// that the origin gives it. A file that comes several times at once is fetched
// once. progress is called now and then with what came and what is to come, 0
// where that is not known; it may be nil. Every error is a fault, and shows of a
// URL neither its query nor a secret.
func (c *Cache) Place(ctx context.Context, source Source, dest func(name string) (string, error), progress func(done, total int64)) (File, error) {
	origin, err := c.originOf(ctx, source)
	if err != nil {
		return File{}, err
	}
	defer origin.close()
	var about about
	key := "sha256:" + source.SHA256
	if !source.Trusted || source.SHA256 == "" {
		if about, err = origin.about(ctx); err != nil {
			return File{}, err
		}
		key = about.key(source.URL)
	}
	path, err := dest(origin.name(about))
	if err != nil {
		return File{}, err
	}
	if key == "" { // nobody could tell whether it is still the same
		return c.fetch(ctx, source, origin, about, path, progress)
	}
	kept := filepath.Join(c.config.Dir, hashOf(key))
	release := c.enter(kept)
	defer release()
	file, err := c.kept(ctx, source, kept, path)
	if err == nil || !errors.Is(err, fs.ErrNotExist) {
		file.Name = filepath.Base(path)
		return file, err
	}
	if file, err = c.fetch(ctx, source, origin, about, kept, progress); err != nil {
		return File{}, err
	}
	file.Name = filepath.Base(path)
	if err := copyFile(ctx, kept, path); err != nil {
		return File{}, placing(err)
	}
	c.evict()
	return file, nil
}

// kept places a file that is here, or says fs.ErrNotExist.
func (c *Cache) kept(ctx context.Context, source Source, kept, path string) (File, error) {
	sum, err := os.ReadFile(kept + ".sha256")
	if err != nil {
		return File{}, fs.ErrNotExist
	}
	info, err := os.Stat(kept)
	if err != nil {
		return File{}, fs.ErrNotExist
	}
	file := File{Size: info.Size(), SHA256: string(sum), Cached: true}
	if source.SHA256 != "" && source.SHA256 != file.SHA256 {
		return File{}, wrongSum(source, file.SHA256)
	}
	if err := copyFile(ctx, kept, path); err != nil {
		return File{}, placing(err)
	}
	now := time.Now()
	_ = os.Chtimes(kept, now, now) // it was used; that it could not be noted costs an eviction at most
	return file, nil
}

// fetch downloads to a path, which is whole and right or not there.
func (c *Cache) fetch(ctx context.Context, source Source, from origin, about about, path string, progress func(done, total int64)) (_ File, err error) {
	half := path + halfSuffix
	out, err := os.OpenFile(half, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o644) //nolint:gosec // every user of the container reads it
	if err != nil {
		return File{}, placing(err)
	}
	defer func() { _ = os.Remove(half) }() // not there once it has its name
	hash := sha256.New()
	counted := &counter{w: io.MultiWriter(out, hash), total: about.size, tell: progress}
	err = from.copy(ctx, about, counted)
	if closeErr := out.Close(); err == nil && closeErr != nil {
		err = placing(closeErr)
	}
	if err != nil {
		return File{}, err
	}
	file := File{Name: filepath.Base(path), Size: counted.done, SHA256: hex.EncodeToString(hash.Sum(nil))}
	if source.SHA256 != "" && source.SHA256 != file.SHA256 {
		return File{}, wrongSum(source, file.SHA256)
	}
	if filepath.Dir(path) == filepath.Clean(c.config.Dir) {
		if err := os.WriteFile(path+".sha256", []byte(file.SHA256), 0o600); err != nil {
			return File{}, placing(err)
		}
	}
	if err := os.Rename(half, path); err != nil {
		return File{}, placing(err)
	}
	return file, nil
}

// enter has the file of a path to oneself, until release.
func (c *Cache) enter(path string) (release func()) {
	c.mu.Lock()
	e := c.busy[path]
	if e == nil {
		e = new(entry)
		c.busy[path] = e
	}
	e.users++
	c.mu.Unlock()
	e.lock.Lock()
	return func() {
		e.lock.Unlock()
		c.mu.Lock()
		defer c.mu.Unlock()
		if e.users--; e.users == 0 {
			delete(c.busy, path)
		}
	}
}

// evict removes the files that were not used for longest, until the rest fits.
// One that somebody uses stays.
func (c *Cache) evict() {
	c.mu.Lock()
	defer c.mu.Unlock()
	entries, err := os.ReadDir(c.config.Dir)
	if err != nil {
		return // the next one may read it
	}
	type keptFile struct {
		path string
		info fs.FileInfo
	}
	var files []keptFile
	var sum int64
	for _, entry := range entries {
		info, err := entry.Info()
		if err != nil || filepath.Ext(entry.Name()) != "" {
			continue
		}
		files = append(files, keptFile{filepath.Join(c.config.Dir, entry.Name()), info})
		sum += info.Size()
	}
	slices.SortFunc(files, func(a, b keptFile) int { return a.info.ModTime().Compare(b.info.ModTime()) })
	for _, file := range files {
		if sum <= c.config.MostBytes {
			return
		}
		if c.busy[file.path] != nil {
			continue
		}
		// The sum first: without it the file does not count.
		if os.Remove(file.path+".sha256") == nil && os.Remove(file.path) == nil {
			sum -= file.info.Size()
		}
	}
}

func hashOf(key string) string {
	sum := sha256.Sum256([]byte(key))
	return hex.EncodeToString(sum[:])
}

// counter counts what is written and tells of it.
type counter struct {
	w     io.Writer
	done  int64
	total int64
	tell  func(done, total int64)
}

func (c *counter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	c.done += int64(n)
	if c.tell != nil {
		c.tell(c.done, c.total)
	}
	if err != nil {
		return n, placing(err)
	}
	return n, nil
}

// copyFile makes a file of its own at path: a step may write to its inputs, and
// must not write to anybody else's.
func copyFile(ctx context.Context, from, path string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()                                       // only read
	out, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o644) //nolint:gosec // every user of the container reads it
	if err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { _ = in.Close() }) // ends the copying
	defer stop()
	_, err = io.Copy(out, in)
	if closeErr := out.Close(); err == nil {
		err = closeErr
	}
	return cmp.Or(ctx.Err(), err)
}

// placing is the fault of this machine's own disk.
func placing(err error) error {
	var told *fault.Error
	if errors.As(err, &told) || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if isFull(err) {
		return fault.New(fault.Exhausted, "disk_full", "the worker's disk has no room for the inputs").
			WithHint("Make room on the worker.").WithCause(err)
	}
	if errors.Is(err, fs.ErrExist) {
		return fault.New(fault.Invalid, "input_twice", "two files of an input have the same name").
			WithHint("Give them different names, or set keep-directories on the input.").WithCause(err)
	}
	return fmt.Errorf("placing an input: %w", err)
}

func wrongSum(source Source, got string) error {
	return fault.New(fault.Invalid, "input_checksum", "%s has the SHA-256 %s, and %s is asked for", shown(source.URL), got, source.SHA256).
		WithHint("The file has changed: check the address, or the checksum.")
}
