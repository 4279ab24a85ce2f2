// Package depot keeps files under keys: in a directory, or in a bucket of S3,
// Google Cloud Storage or Azure Blob Storage.
//
// Open one, and Close it. It is safe for concurrent use, and never holds a
// whole file in memory.
package depot

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"gocloud.dev/blob/fileblob"

	"fairlead.dev/fairlead/internal/depot/bucket"
	"fairlead.dev/fairlead/internal/fault"
)

// Depot is one place where files are kept.
type Depot struct {
	bucket *bucket.Bucket
	name   string // its URL without what may be a secret
}

// schemes are the kinds of depot, as a URL names them.
var schemes = []string{"file", "s3", "gs", "azblob"}

// Open opens the depot at a URL: file:///DIRECTORY, which is made if it is
// missing, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER. A
// prefix of all keys is the parameter prefix. Clouds are logged in to as their
// own tools do, with what the environment or the machine has. The error is an
// Invalid fault; whether a bucket is there is not asked.
func Open(ctx context.Context, address string) (*Depot, error) {
	u, err := url.Parse(address)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.User != nil {
		return nil, fault.InvalidField("outputs", "depot_url", "is no URL of a place for files").
			WithHint("Write it as file:///DIRECTORY, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER.")
	}
	d := &Depot{name: u.Scheme + "://" + u.Host + u.Path}
	if u.Scheme == "file" {
		d.bucket, err = openDirectory(u)
	} else {
		d.bucket, err = bucket.Open(ctx, u)
	}
	if err != nil {
		f := fault.InvalidField("outputs", "depot_open", "%s cannot be opened: %v", d.name, bucket.Hush(err)).
			WithHint("Check the URL, and that this process may use it.")
		if mend := bucket.Explain(err).Mend(server); mend != "" {
			f = f.WithHint("%s", mend)
		}
		return nil, f
	}
	return d, nil
}

// server is who the clouds are told of, in what there is to mend.
var server = bucket.Asker{Name: "the server", Writes: true}

func openDirectory(u *url.URL) (*bucket.Bucket, error) {
	if u.Host != "" || !path.IsAbs(u.Path) {
		return nil, errors.New("a directory is written with three slashes, as file:///srv/outputs")
	}
	dir := filepath.FromSlash(u.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Beside the files, so that a finished one is moved and never copied.
	files, err := fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, DirFileMode: 0o700, Metadata: fileblob.MetadataDontWrite})
	if err != nil {
		return nil, err
	}
	return bucket.New(files), nil
}

// Close ends the connections.
func (d *Depot) Close() error {
	if err := d.bucket.Close(); err != nil {
		return fmt.Errorf("closing %s: %w", d.name, err)
	}
	return nil
}

// Put stores what it reads under a key, and returns its size in bytes and its
// SHA-256 in hexadecimal. What failed or was broken off leaves nothing.
func (d *Depot) Put(ctx context.Context, key string, r io.Reader) (size int64, sum string, err error) {
	from := &source{r: r, hash: sha256.New()}
	if err := d.bucket.Put(ctx, key, from); err != nil {
		if from.err != nil {
			return 0, "", broken(from.err)
		}
		return 0, "", d.fault(err, key)
	}
	return from.size, hex.EncodeToString(from.hash.Sum(nil)), nil
}

// source counts and sums up what is read, and notes its error, so that neither
// side is blamed for the other.
type source struct {
	r    io.Reader
	size int64
	hash hash.Hash
	err  error
}

func (s *source) Read(p []byte) (int, error) {
	n, err := s.r.Read(p)
	s.size += int64(n)
	s.hash.Write(p[:n]) // never fails
	if err != nil && !errors.Is(err, io.EOF) {
		s.err = err
	}
	return n, err
}

// broken is the fault of what came in; one that says what it is passes through.
func broken(err error) error {
	if told := (*fault.Error)(nil); errors.As(err, &told) || errors.Is(err, context.Canceled) {
		return err
	}
	return fault.New(fault.Unavailable, "upload_broken", "the file ended before its time").WithCause(err)
}

// Open reads from an offset on, and goes on where a connection to a cloud
// breaks.
func (d *Depot) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	reader, err := d.bucket.Read(ctx, key, offset, bucket.Version{})
	if err != nil {
		return nil, d.fault(err, key)
	}
	return reader, nil
}

// Delete is no error where nothing is there.
func (d *Depot) Delete(ctx context.Context, key string) error {
	err := d.bucket.Delete(ctx, key)
	if err == nil || bucket.Explain(err).Trouble == bucket.Missing {
		return nil
	}
	return d.fault(err, key)
}

// fault says what went wrong.
func (d *Depot) fault(err error, key string) error {
	switch {
	case errors.Is(err, context.Canceled):
		return bucket.Hush(err)
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Exhausted, "depot_full", "%s is full", d.name).
			WithHint("Make room, or purge outputs that nobody needs.").WithCause(err)
	}
	answer := bucket.Explain(err)
	hint, err := answer.Mend(server), bucket.Hush(err)
	switch answer.Trouble {
	case bucket.Missing, bucket.Changed:
		return fault.New(fault.NotFound, "depot_missing", "%s has no file %s, or another of that name", d.name, path.Base(key)).
			WithHint("It was deleted or replaced there, by somebody else than Fairlead.").WithCause(err)
	case bucket.NoBucket:
		return fault.New(fault.NotFound, "depot_bucket", "%s is not there%s", d.name, answer.Said()).WithHint("%s", hint).WithCause(err)
	case bucket.Login:
		return fault.New(fault.Denied, "depot_login", "%s does not accept this server's login%s", d.name, answer.Said()).WithHint("%s", hint).WithCause(err)
	case bucket.Denied:
		return fault.New(fault.Denied, "depot_denied", "%s does not let this server in%s", d.name, answer.Said()).WithHint("%s", hint).WithCause(err)
	case bucket.Region:
		return fault.New(fault.Invalid, "depot_region", "%s is in another region than this server asks%s", d.name, answer.Said()).WithHint("%s", hint).WithCause(err)
	case bucket.Busy:
		return fault.New(fault.Exhausted, "depot_busy", "%s takes no more requests at the moment%s", d.name, answer.Said()).WithHint("%s", hint).WithCause(err)
	default:
		return fault.New(fault.Unavailable, "depot_unreachable", "%s does not answer as it should%s", d.name, answer.Said()).
			WithHint("Try again; the operator finds the reason in the server's log.").WithCause(err)
	}
}
