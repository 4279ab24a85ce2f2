// Package blobs keeps content by digest, for a cache: in a directory, or in a bucket
// of S3, Google Cloud Storage or Azure Blob Storage. It gives what it has, downloads
// what it has not while it gives it, and removes what was not used for longest.
//
// Open a Store, Fill it or Put into it, and Close it. It knows nothing of who may read
// what: it answers whoever asks.
//
// # What is where
//
// Below the URL are blobs/ALGORITHM/HEX, which are whole and verified; usage/, which
// tells what was used when and by which organisation; and uploads/, for what is on its
// way. What is kept is what is below blobs: usage decides only what goes first, and who
// it is counted for. Several processes may share a place. Each downloads by itself
// what it finds missing; usage they share.
//
// # What holds when a process is killed
//
// A download is spooled to a local file, and gets its name below blobs only when it is
// whole and right; in a directory, when it is also on the disk. So no name ever stands
// for anything else. A killed process leaves files in its spool, which the next one
// removes when it opens the spool, and in S3 maybe an unfinished upload, which the
// driver cannot find again: set the rule AbortIncompleteMultipartUpload on the bucket.
// Of usage, what was noted since the last flush is lost: a minute; in a directory, not who
// brought a blob.
//
// # What the drivers cannot do
//
// distribution's driver for S3 is built on Amazon's first library for Go, which has
// ended: it reads no profile of a configuration file unless AWS_SDK_LOAD_CONFIG is set,
// and sends an access list with each object, for which the login needs s3:PutObjectAcl
// beside s3:GetObject, s3:PutObject, s3:DeleteObject, s3:AbortMultipartUpload and
// s3:ListBucket. That for Google knows no emulator, and that for Azure no shared access
// signature.
package blobs

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"sync"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// Times of what several processes tell each other. For their order to hold, their
// clocks must not differ by more than announceEvery.
const (
	// announceEvery is how old the word may be that a blob of a bucket is used here,
	// for it to be opened without a new one.
	announceEvery = 4 * time.Minute

	// spareFor is how long a blob of a bucket stays after another process used it: that
	// process may be reading it.
	spareFor = 10 * time.Minute

	// tidyEvery is how often others' records are read, what there is is listed, and
	// what is too much is removed.
	tidyEvery = 5 * time.Minute

	// forgetAfter is how long a record is kept of a blob that is not there.
	forgetAfter = 24 * time.Hour
)

// Config is how a Store works. URL is needed; every other zero value means the default.
type Config struct {
	// URL is where blobs are kept: file:///DIRECTORY, which is made if it is missing,
	// s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER. The parameter
	// prefix is a folder in it; s3 also takes endpoint, and use_path_style=true. Clouds
	// are logged in to with what the environment or the machine has. The directory is
	// one of this machine: what another has open is not known here.
	URL string

	// Spool is a local directory for what is on its way; several processes may share
	// it. A bucket needs one. A directory spools in itself, so that what is finished is
	// moved and not copied.
	Spool string

	// Limit is how many bytes of blobs may be kept; 0 is no limit. More than that is
	// there for as long as it takes to remove the least recently used, and while what
	// is too much is pinned, being read, or was used by another process in the last ten
	// minutes. A blob that is larger by itself is given and not kept.
	Limit int64

	// MaxBlob is how many bytes one blob may have; default 64 GiB, our choice.
	MaxBlob int64

	// FlushEvery is how often use is written down: what a kill loses. Default a minute.
	FlushEvery time.Duration

	// StallTimeout is how long an upstream may bring nothing before its connection is
	// given up. Default 30 seconds.
	StallTimeout time.Duration

	// Backoff is the wait before the second try of a download, a half of it drawn; it
	// doubles, up to ten seconds. Default half a second.
	Backoff time.Duration

	Now    func() time.Time
	Logger *slog.Logger // default none
}

func (c Config) withDefaults() Config {
	if c.MaxBlob == 0 {
		c.MaxBlob = 64 << 30
	}
	if c.FlushEvery == 0 {
		c.FlushEvery = time.Minute
	}
	if c.StallTimeout == 0 {
		c.StallTimeout = 30 * time.Second
	}
	if c.Backoff == 0 {
		c.Backoff = 500 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Logger == nil {
		c.Logger = slog.New(slog.DiscardHandler)
	}
	return c
}

// Store keeps blobs. Make one with Open, and Close it. It is safe for concurrent use.
type Store struct {
	config  Config
	place   *place
	table   *table
	journal *journal

	ctx    context.Context // the store's life, which downloads share
	cancel context.CancelCauseFunc
	group  sync.WaitGroup // downloads and the keeper
	wake   chan struct{}

	tidying sync.Mutex

	mu       sync.Mutex
	fillings map[way]*filling
}

// Open opens a store, reads what is there and how it was used, and removes what a
// killed process left in the spool. An error is a *fault.Error: of a URL that is none,
// or of a place that does not let it in.
func Open(ctx context.Context, config Config) (*Store, error) {
	config = config.withDefaults()
	a, err := parseAddress(config.URL)
	if err != nil {
		return nil, err
	}
	if a.kind != directory && config.Spool == "" {
		return nil, spoolMissing()
	}
	at, err := openPlace(ctx, a, config.Spool)
	if err != nil {
		return nil, err
	}
	s := &Store{config: config, place: at, table: newTable(), wake: make(chan struct{}, 1), fillings: make(map[way]*filling)}
	s.journal = &journal{place: at, table: s.table, now: s.now, warn: config.Logger.Warn, read: make(map[string]bool)}
	if err := errors.Join(s.journal.refresh(ctx), s.look(ctx)); err != nil {
		return nil, at.asFault(err)
	}
	if err := at.spool.sweep(); err != nil {
		return nil, spoolFull(at.spool.dir, err)
	}
	s.ctx, s.cancel = context.WithCancelCause(context.WithoutCancel(ctx))
	s.nudge()
	s.group.Go(s.run)
	return s, nil
}

func (s *Store) now() moment { return momentOf(s.config.Now()) }

// Close ends downloads, whose clients fail, and uploads, whose blobs are not kept, and
// writes down what was used. What is being read stays readable until it is closed, if it
// is whole.
func (s *Store) Close() error {
	s.mu.Lock() // no download begins after this
	s.cancel(errClosed)
	s.mu.Unlock()
	s.group.Wait()
	ctx, done := context.WithTimeout(context.WithoutCancel(s.ctx), giveUpMost)
	defer done()
	return s.place.asFault(s.journal.flush(ctx))
}

// Open gives a blob that is kept; for one that is not, its error is a NotFound fault
// that wraps ErrNotFound. The context is for Reads of a bucket, too. Where it opens a
// blob of a bucket that nobody used for some minutes, it first writes that down for
// other processes to see, and looks whether one of them removes it: two requests more.
func (s *Store) Open(ctx context.Context, d digest.Digest) (*Content, error) {
	if !isDigest(d) {
		return nil, digestInvalid(d)
	}
	if c := s.joinWhole(ctx, d); c != nil {
		s.table.touch(d, "", s.now())
		return c.content(ocispec.Descriptor{Digest: d})
	}
	s.table.enter(d)
	content, err := s.openKept(ctx, d)
	if err != nil {
		s.table.leave(d, false, 0)
		return nil, err
	}
	return content, nil
}

func (s *Store) openKept(ctx context.Context, d digest.Digest) (*Content, error) {
	left := func() { s.table.leave(d, true, s.now()) }
	if s.place.kind == directory {
		body, err := s.place.open(ctx, blobPath(d), 0)
		if err != nil {
			return nil, s.unopened(d, err)
		}
		opened := file(body)
		info, err := opened.Stat()
		if err != nil {
			return nil, s.place.asFault(errors.Join(err, opened.Close()))
		}
		found := about{info.Size(), info.ModTime()}
		s.table.found(d, found, s.now())
		s.table.touch(d, "", s.now())
		return newContent(d, found, fileSource{opened}, left), nil
	}
	known, _ := s.table.look(d)
	if !known.here { // a question less where there is nothing
		if _, err := s.place.stat(ctx, d); err != nil {
			return nil, s.unopened(d, err)
		}
	}
	s.table.touch(d, "", s.now())
	stays, err := s.journal.announce(ctx, d)
	if err != nil {
		return nil, s.place.asFault(err)
	}
	if !stays {
		return nil, blobMissing(d)
	}
	found, err := s.place.stat(ctx, d)
	if err != nil {
		return nil, s.unopened(d, err)
	}
	s.table.found(d, found, s.now())
	return newContent(d, found, s.newBucketSource(ctx, d, found.size), left), nil
}

// unopened is the error of a blob that could not be opened.
func (s *Store) unopened(d digest.Digest, err error) error {
	if isMissing(err) {
		s.table.missing(d)
		return blobMissing(d)
	}
	return s.place.asFault(err)
}

// Info is what is told of a blob.
type Info struct {
	Digest   digest.Digest
	Size     int64     // bytes
	Modified time.Time // when it was stored
}

// Stat tells of a blob that is kept; its errors are those of Open. It is no use of it.
func (s *Store) Stat(ctx context.Context, d digest.Digest) (Info, error) {
	if !isDigest(d) {
		return Info{}, digestInvalid(d)
	}
	if r, _ := s.table.look(d); s.place.kind != directory && r.isCondemned() {
		return Info{}, blobMissing(d)
	}
	found, err := s.place.stat(ctx, d)
	if err != nil {
		return Info{}, s.unopened(d, err)
	}
	s.table.found(d, found, s.now())
	return Info{d, found.size, found.modified}, nil
}

// Put keeps a small document, such as a manifest, that is in memory already. What is
// not what its descriptor says is an Invalid fault.
func (s *Store) Put(ctx context.Context, want ocispec.Descriptor, content []byte) error {
	if err := verify(want, content); err != nil {
		return err
	}
	return s.put(ctx, want.Digest, content)
}

// verify fails where a document is not what its descriptor says.
func verify(want ocispec.Descriptor, content []byte) error {
	d := want.Digest
	switch {
	case !isDigest(d):
		return digestInvalid(d)
	case want.Size > 0 && want.Size != int64(len(content)):
		return blobSize(d, want.Size, int64(len(content)))
	case d.Algorithm().FromBytes(content) != d:
		return digestWrong(d)
	}
	return nil
}

// put keeps a document that was verified.
func (s *Store) put(ctx context.Context, d digest.Digest, content []byte) error {
	s.table.enter(d) // so that nobody removes it before its use is known
	defer s.table.leave(d, false, 0)
	if err := s.place.put(ctx, blobPath(d), content, s.config.Now()); err != nil {
		return s.place.asFault(err)
	}
	s.stored(d, int64(len(content)))
	return nil
}

// keep stores what was downloaded.
func (s *Store) keep(ctx context.Context, d digest.Digest, from *spooled, size int64) {
	if s.config.Limit > 0 && size > s.config.Limit {
		return
	}
	if err := s.place.keep(ctx, blobPath(d), from, size); err != nil {
		s.config.Logger.Warn("a blob was not kept", "digest", d, "error", s.place.asFault(err))
		return
	}
	s.stored(d, size)
}

func (s *Store) stored(d digest.Digest, size int64) {
	s.table.stored(d, size, s.now())
	if s.table.over(s.config.Limit) {
		s.nudge()
	}
}

// discard removes a blob whose bytes are wrong.
func (s *Store) discard(ctx context.Context, d digest.Digest) {
	s.config.Logger.Error("a blob is removed that is not what its digest says", "digest", d, "place", s.place.name)
	s.table.drop(d, s.now())
	if err := s.place.remove(ctx, blobPath(d)); err != nil {
		s.config.Logger.Warn("a blob was not removed", "digest", d, "error", s.place.asFault(err))
	}
}

// Touch takes note that an organisation used a blob: that counts for it as long as the
// blob stays. Open and Fill take note of the use, but know no organisation. A name has
// between 1 and 255 bytes of UTF-8; another, or another digest, is passed over.
func (s *Store) Touch(d digest.Digest, organization string) {
	if isDigest(d) && isOrganization(organization) && !isSource(organization) {
		s.table.touch(d, organization, s.now())
	}
}

// Pin has a blob stay, whatever the limit, when it is there and when it comes. It holds
// for all processes that share the place, and until Unpin, across restarts: what
// returns without an error is written down.
func (s *Store) Pin(ctx context.Context, d digest.Digest) error { return s.setPin(ctx, d, true) }

// Unpin takes a Pin back; it is no error if there is none.
func (s *Store) Unpin(ctx context.Context, d digest.Digest) error { return s.setPin(ctx, d, false) }

func (s *Store) setPin(ctx context.Context, d digest.Digest, pinned bool) error {
	if !isDigest(d) {
		return digestInvalid(d)
	}
	s.table.pin(d, pinned, s.now())
	return s.place.asFault(s.journal.flush(ctx))
}

// Usage tells what is kept: what this process did, and what others did up to some
// minutes ago.
func (s *Store) Usage() Usage { return s.table.usage() }

// Place is where blobs are kept, for people: a URL without what may be a secret.
func (s *Store) Place() string { return s.place.name }

// Limit is how many bytes may be kept; 0 is no limit.
func (s *Store) Limit() int64 { return s.config.Limit }

// Downloads is how many blobs are arriving now.
func (s *Store) Downloads() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.fillings)
}

// Flush writes down what was used. The store does so by itself; call it to wait for it.
func (s *Store) Flush(ctx context.Context) error { return s.place.asFault(s.journal.flush(ctx)) }

var _ io.ReadSeekCloser = (*Content)(nil)
