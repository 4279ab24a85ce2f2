// Package gitfetch brings code from git repositories elsewhere, over https and
// ssh: it keeps a copy of each in a directory, finds commits in it, and writes
// one as a package of code, the same bytes whenever the commit is the same.
//
// A copy is shared by all who fetch the same address, the right to it is not:
// nothing of it is given to a login that its host did not let in lately.
//
// Everything that hosts send is anybody's: sizes are bounded, and no name of it
// becomes a file here.
package gitfetch

import (
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"
	"golang.org/x/sync/semaphore"

	"fairlead.dev/fairlead/internal/fault"
)

// Config is what a Fetcher works with.
type Config struct {
	// Dir holds the copies. It belongs to one Fetcher of one process alone.
	Dir string

	// Dial opens every connection, and may refuse to; nil: a net.Dialer.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)

	// RootCAs sign the certificates of https hosts; nil: those of the system.
	RootCAs *x509.CertPool

	// AllowPlain lets http be spoken with this machine.
	AllowPlain bool

	// MostBytes bounds what one fetch receives, each object of a repository, and
	// the files of a package together; 0: 1 GiB. A copy takes up to three times
	// as much of the disk.
	MostBytes int64

	// MostFiles bounds the files and directories of a package; 0: 100,000.
	MostFiles int

	// Depth is how many commits of each branch and tag are fetched; 0: 100.
	Depth int
}

// Ref is a branch or a tag.
type Ref struct {
	Name    string // in full, such as refs/heads/main
	Commit  string // 40 hexadecimal digits; of an annotated tag, the commit that it names
	Time    time.Time
	Message string

	// Default is said of the branch that the repository shows first.
	Default bool
}

// Short is the name without what it is a name of: main, v1.0.
func (r Ref) Short() string {
	for _, prefix := range []string{headsPrefix, tagsPrefix} {
		if short, found := strings.CutPrefix(r.Name, prefix); found {
			return short
		}
	}
	return r.Name
}

// Commit is one state of the code.
type Commit struct {
	Hash    string // 40 hexadecimal digits
	Ref     string // the full name by which it was found; empty if by its hash
	Author  string
	Time    time.Time
	Message string
}

// proofLives is how long a login may use a copy without asking the host again.
const proofLives = 10 * time.Minute

// Fetcher fetches. Its methods may be called by many at once: of one repository
// one fetch runs at a time, of different ones all.
type Fetcher struct {
	config    Config
	transport *http.Transport
	now       func() time.Time

	mutex  sync.Mutex
	caches map[string]*cache
	salt   [32]byte                        // so that no proof tells of a secret
	proofs map[[sha256.Size]byte]time.Time // when a host last let a login in
}

// New starts a Fetcher, and removes what a killed one left half done.
func New(config Config) (*Fetcher, error) {
	config.MostBytes = cmp.Or(config.MostBytes, 1<<30)
	config.MostFiles = cmp.Or(config.MostFiles, 100_000)
	config.Depth = cmp.Or(config.Depth, 100)
	if config.Dial == nil {
		config.Dial = (&net.Dialer{Timeout: 15 * time.Second}).DialContext
	}
	if err := os.MkdirAll(config.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("making the directory of the repositories: %w", err)
	}
	for _, pattern := range []string{"known-hosts-*", "*" + newMark + "*", "*" + oldMark + "*"} {
		left, err := filepath.Glob(filepath.Join(config.Dir, pattern))
		for _, path := range left {
			err = errors.Join(err, os.RemoveAll(path))
		}
		if err != nil {
			return nil, fmt.Errorf("clearing the directory of the repositories: %w", err)
		}
	}
	f := &Fetcher{config: config, now: time.Now, caches: make(map[string]*cache), proofs: make(map[[sha256.Size]byte]time.Time)}
	_, _ = rand.Read(f.salt[:]) // it never fails
	f.transport = f.newTransport()
	return f, nil
}

// Close ends the connections that are kept for the next fetch.
func (f *Fetcher) Close() { f.transport.CloseIdleConnections() }

// open checks a remote and finds its copy.
func (f *Fetcher) open(r Remote) (*visit, error) {
	if err := Check(r); err != nil {
		return nil, err
	}
	a, err := parse(r.URL)
	if err != nil {
		return nil, err
	}
	if a.scheme == "http" && !f.config.AllowPlain {
		return nil, invalidURL("plain http is not fetched from").WithHint("Use https.")
	}
	name := fmt.Sprintf("%x", sha256.Sum256([]byte(a.String())))
	f.mutex.Lock()
	defer f.mutex.Unlock()
	c := f.caches[name]
	if c == nil {
		c = &cache{dir: filepath.Join(f.config.Dir, name), lock: semaphore.NewWeighted(readersMost)}
		f.caches[name] = c
	}
	return &visit{f: f, remote: r, address: a, cache: c}, nil
}

// proof names a login at an address.
func (f *Fetcher) proof(r Remote, a address) [sha256.Size]byte {
	h := sha256.New()
	h.Write(f.salt[:])
	for _, part := range []string{a.String(), r.Username, r.Token.Reveal(), r.SSHKey.Reveal(), r.KnownHosts} {
		fmt.Fprintf(h, "%d:%s", len(part), part)
	}
	return [sha256.Size]byte(h.Sum(nil))
}

// prove notes that the host let a login in just now.
func (f *Fetcher) prove(r Remote, a address) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	now := f.now()
	for proof, since := range f.proofs {
		if now.Sub(since) >= proofLives {
			delete(f.proofs, proof)
		}
	}
	f.proofs[f.proof(r, a)] = now
}

// disprove forgets a login that the host refused.
func (f *Fetcher) disprove(r Remote, a address) {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	delete(f.proofs, f.proof(r, a))
}

func (f *Fetcher) isProven(r Remote, a address) bool {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	since, found := f.proofs[f.proof(r, a)]
	return found && f.now().Sub(since) < proofLives
}

// Fetch brings the copy up to date and returns the branches and tags, sorted by
// name. Other refs are not fetched; not listed are a tag of something else than a
// commit, and a name with a control character or of more than 1,024 bytes. An empty repository has none.
func (f *Fetcher) Fetch(ctx context.Context, r Remote) ([]Ref, error) {
	v, err := f.open(r)
	if err != nil {
		return nil, err
	}
	if err := v.cache.acquire(ctx, readersMost); err != nil {
		return nil, err
	}
	defer v.cache.lock.Release(readersMost)
	if err := v.refresh(ctx, plumbing.ZeroHash); err != nil {
		return nil, err
	}
	copied, err := v.cache.load()
	if err != nil {
		return nil, err
	}
	defer copied.close()
	return copied.list()
}

// Forget removes the copy of a repository that nobody needs any more; the login
// does not matter. A later call fetches it anew.
func (f *Fetcher) Forget(ctx context.Context, r Remote) error {
	v, err := f.open(r)
	if err != nil {
		return err
	}
	if err := v.cache.acquire(ctx, readersMost); err != nil {
		return err
	}
	defer v.cache.lock.Release(readersMost)
	if err := errors.Join(v.cache.forget(), os.RemoveAll(v.cache.dir)); err != nil {
		return fmt.Errorf("removing the copy of a repository: %w", err)
	}
	return nil
}

// Resolve finds a commit: by the name of a tag or branch, in full or short, of
// which a tag comes first, as for git; by HEAD; or by its hash, or 7 digits of it
// at least. It asks the host, but for a hash that the copy has.
func (f *Fetcher) Resolve(ctx context.Context, r Remote, rev string) (Commit, error) {
	if rev == "" || len(rev) > 255 || strings.ContainsFunc(rev, func(c rune) bool {
		return unicode.IsControl(c) || unicode.IsSpace(c) || c == unicode.ReplacementChar
	}) {
		return Commit{}, fault.InvalidField("commit", "git_rev", "this is no name of a branch or tag and no hash of a commit").
			WithHint("Enter a branch, a tag, or a commit's hash of at least 7 digits.")
	}
	v, err := f.open(r)
	if err != nil {
		return Commit{}, err
	}
	if err := v.cache.acquire(ctx, readersMost); err != nil {
		return Commit{}, err
	}
	defer v.cache.lock.Release(readersMost)
	return v.resolve(ctx, rev)
}

func (v *visit) resolve(ctx context.Context, rev string) (Commit, error) {
	if isHash(rev, 7) && v.f.isProven(v.remote, v.address) {
		if found, err := v.find(rev, true); err == nil || fault.Is(err, fault.Invalid) {
			return found, err
		}
	}
	if err := v.refresh(ctx, plumbing.ZeroHash); err != nil {
		return Commit{}, err
	}
	found, err := v.find(rev, false)
	if !fault.Is(err, fault.NotFound) || !isHash(rev, 40) {
		return found, err
	}
	if err := v.refresh(ctx, plumbing.NewHash(rev)); err != nil {
		if isNotOurs(err) {
			return Commit{}, unknownRev(rev, v.f.config.Depth)
		}
		return Commit{}, err
	}
	return v.find(rev, false)
}

// find looks a commit up in the copy. byHash is for a copy that may be old: only
// what a hash names cannot have changed since.
func (v *visit) find(rev string, byHash bool) (Commit, error) {
	copied, err := v.cache.load()
	if err != nil {
		return Commit{}, err
	}
	defer copied.close()
	name := copied.state.named(rev)
	switch {
	case isHash(rev, 40):
		return copied.commit(plumbing.NewHash(rev), "", v.f.config.Depth)
	case name != "" && byHash: // a name that looks like a hash
		return Commit{}, unknownRev(rev, v.f.config.Depth)
	case name != "":
		return copied.commit(plumbing.NewHash(copied.state.Refs[name]), name, v.f.config.Depth)
	case !isHash(rev, 7):
		return Commit{}, unknownRev(rev, v.f.config.Depth)
	}
	hashes, err := copied.commitsWith(strings.ToLower(rev))
	switch {
	case err != nil:
		return Commit{}, err
	case len(hashes) == 0:
		return Commit{}, unknownRev(rev, v.f.config.Depth)
	case len(hashes) > 1:
		return Commit{}, fault.InvalidField("commit", "git_rev_ambiguous", "%d commits have a hash that starts with %s", len(hashes), rev).
			WithHint("Enter more digits of the hash.")
	}
	return copied.commit(hashes[0], "", v.f.config.Depth)
}

// isHash reports whether rev is a hash of that many digits, or of more.
func isHash(rev string, digits int) bool {
	return len(rev) >= digits && len(rev) <= 40 && !strings.ContainsFunc(rev, func(c rune) bool {
		return !slices.Contains([]rune("0123456789abcdefABCDEF"), c)
	})
}
