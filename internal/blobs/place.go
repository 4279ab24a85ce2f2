package blobs

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path"
	"path/filepath"
	"time"

	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"
	"golang.org/x/sync/semaphore"

	"fairlead.dev/fairlead/internal/depot/bucket"
)

// Folders of a place.
const (
	blobsAt   = "/blobs"   // /blobs/ALGORITHM/HEX, whole and verified
	usageAt   = "/usage"   // what was used when and by whom, in segments
	uploadsAt = "/uploads" // on their way; in a directory they are the spool
)

const (
	// uploadsMost is how many blobs go to a bucket at the same time: each holds a
	// part of up to smallMost, or what its driver cuts, in memory.
	uploadsMost = 4

	// smallMost is how large a blob may be to go to a bucket in one request.
	smallMost = 4 << 20

	// giveUpMost is how long an upload may take to give itself up.
	giveUpMost = 10 * time.Second

	// uploadAge is how old an upload to a bucket must be to be taken for one that a
	// killed process left.
	uploadAge = 24 * time.Hour
)

// place is where blobs are kept, by way of one of distribution's drivers. What it
// puts under a name is there whole or not at all.
//
// The drivers do not promise that of their Writer. What it writes to a directory or
// to Azure can be seen before it is committed; so there it is written under another
// name and then moved, which a directory does at once, and Azure by a copy inside the
// account that is an empty blob until it is done. S3's and Google's uploads become
// objects when they are committed.
type place struct {
	driver storagedriver.StorageDriver
	kind   kind
	name   string // for people
	spool  spool

	uploads *semaphore.Weighted
}

func openPlace(ctx context.Context, a address, spoolDir string) (*place, error) {
	p := &place{kind: a.kind, name: a.String(), uploads: semaphore.NewWeighted(uploadsMost)}
	driver, err := a.open(ctx)
	if err != nil {
		return nil, p.asFault(err)
	}
	p.driver = driver
	if a.kind == directory { // so that a finished one is moved and never copied
		spoolDir = filepath.Join(a.dir(), filepath.FromSlash(uploadsAt))
	}
	if p.spool, err = openSpool(spoolDir); err != nil {
		return nil, spoolFull(spoolDir, err)
	}
	return p, nil
}

func blobPath(d digest.Digest) string {
	return path.Join(blobsAt, d.Algorithm().String(), d.Encoded())
}

// put stores a small document.
func (p *place) put(ctx context.Context, at string, content []byte, now time.Time) error {
	if p.kind != directory { // one request, which is taken or not
		return p.driver.PutContent(ctx, at, content)
	}
	// The driver's own way leaves a file of another name beside it when it is killed.
	file, err := p.spool.create(now)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err == nil {
		err = p.keep(ctx, at, file, int64(len(content)))
	}
	return errors.Join(err, file.discard())
}

// jot stores a small document in a directory. A killed process leaves all of it; a power
// cut may leave a part, or nothing.
func (p *place) jot(ctx context.Context, at string, content []byte, now time.Time) error {
	file, err := p.spool.create(now)
	if err != nil {
		return err
	}
	if _, err = file.Write(content); err == nil {
		err = p.move(ctx, at, file)
	}
	return errors.Join(err, file.discard())
}

// move gives a file of a directory's spool its name, and leaves it open.
func (p *place) move(ctx context.Context, at string, file *spooled) error {
	if err := p.driver.Move(ctx, path.Join(uploadsAt, file.name), at); err != nil {
		return err
	}
	file.moved()
	return nil
}

// keep stores a file of the spool, which it leaves open.
func (p *place) keep(ctx context.Context, at string, file *spooled, size int64) error {
	if p.kind == directory {
		// On the disk before it has its name: after a power cut, too, a name means
		// that all of it is here.
		if err := file.Sync(); err != nil {
			return err
		}
		return p.move(ctx, at, file)
	}
	if err := p.uploads.Acquire(ctx, 1); err != nil {
		return err
	}
	defer p.uploads.Release(1)
	from := io.NewSectionReader(file, 0, size)
	if size <= smallMost {
		content := make([]byte, size)
		if _, err := io.ReadFull(from, content); err != nil {
			return err
		}
		return p.driver.PutContent(ctx, at, content)
	}
	if err := p.upload(ctx, at, from, file.name); err != nil {
		return err
	}
	stored, err := p.driver.Stat(ctx, at)
	if err == nil && stored.Size() != size {
		err = fmt.Errorf("%d of %d bytes arrived", stored.Size(), size)
	}
	return err
}

// upload brings a large blob to a bucket.
func (p *place) upload(ctx context.Context, at string, from io.Reader, name string) error {
	to := at
	if p.kind == microsoft {
		to = path.Join(uploadsAt, name)
	}
	// A writer keeps the context for its requests. It ends with this one, so that
	// nothing goes on behind a failure.
	writing, abandon := context.WithCancel(ctx)
	defer abandon()
	writer, err := p.driver.Writer(writing, to, false)
	if err != nil {
		return err
	}
	if _, err = io.Copy(writer, from); err == nil {
		err = writer.Commit(writing)
	}
	if err != nil {
		abandon()
		return errors.Join(err, p.giveUp(ctx, writer, to))
	}
	if p.kind != google { // whose Close would write once more
		if err := writer.Close(); err != nil {
			return err
		}
	}
	if to == at {
		return nil
	}
	return p.driver.Move(ctx, to, at)
}

// giveUp takes back what came of an upload.
func (p *place) giveUp(ctx context.Context, writer storagedriver.FileWriter, to string) error {
	ending, done := context.WithTimeout(context.WithoutCancel(ctx), giveUpMost)
	defer done()
	switch p.kind {
	case google:
		// The driver's Cancel removes the object of that name, and its Close puts
		// another in its place, which may be what somebody else has stored. An upload
		// that nobody goes on with costs nothing and is forgotten in a week.
		// https://cloud.google.com/storage/docs/resumable-uploads#introduction
		return nil
	case microsoft:
		if err := p.driver.Delete(ending, to); err != nil && !isMissing(err) {
			return err
		}
		return nil
	default:
		_ = writer.Cancel(ending) // refused where a failed commit has given up already
		return nil
	}
}

// open reads an object from a byte on. Of a directory it gives an *os.File.
func (p *place) open(ctx context.Context, at string, offset int64) (io.ReadCloser, error) {
	return p.driver.Reader(ctx, at, offset)
}

// read reads a small object.
func (p *place) read(ctx context.Context, at string, most int64) ([]byte, error) {
	body, err := p.open(ctx, at, 0)
	if err != nil {
		return nil, err
	}
	content, err := io.ReadAll(io.LimitReader(body, most+1))
	if int64(len(content)) > most {
		err = fmt.Errorf("%s has more than %d bytes", at, most)
	}
	return content, errors.Join(err, body.Close())
}

// about is what is told of a blob.
type about struct {
	size     int64
	modified time.Time
}

// stat tells of a blob. Azure shows a copy that is not done, or failed, as empty; so
// what is empty and should not be is missing.
func (p *place) stat(ctx context.Context, d digest.Digest) (about, error) {
	found, err := p.driver.Stat(ctx, blobPath(d))
	if err != nil {
		return about{}, err
	}
	if found.IsDir() || found.Size() == 0 && d != d.Algorithm().FromBytes(nil) {
		return about{}, storagedriver.PathNotFoundError{Path: blobPath(d), DriverName: p.driver.Name()}
	}
	return about{found.Size(), found.ModTime()}, nil
}

// list gives the names in a folder; none, where there is no such folder.
func (p *place) list(ctx context.Context, folder string) ([]string, error) {
	paths, err := p.driver.List(ctx, folder)
	if isMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for i := range paths {
		paths[i] = path.Base(paths[i])
	}
	return paths, nil
}

// remove is no error where nothing is there.
func (p *place) remove(ctx context.Context, at string) error {
	err := p.driver.Delete(ctx, at)
	if isMissing(err) || err != nil && p.kind == google && bucket.Explain(unwrap(err)).Trouble == bucket.Missing {
		return nil
	}
	return err
}

// sweep removes what killed processes left on the way.
func (p *place) sweep(ctx context.Context, now time.Time) error {
	errs := []error{p.spool.sweep()}
	if p.kind == microsoft {
		names, err := p.list(ctx, uploadsAt)
		errs = append(errs, err)
		for _, name := range names {
			if made, ours := timeOf(name); ours && now.Sub(made) > uploadAge {
				errs = append(errs, p.remove(ctx, path.Join(uploadsAt, name)))
			}
		}
	}
	return errors.Join(errs...)
}

// file is what of an opened object net/http can send without copying; nil for a
// bucket's.
func file(body io.ReadCloser) *os.File {
	opened, _ := body.(*os.File)
	return opened
}
