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
	"io"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	"gocloud.dev/blob/fileblob"
	_ "gocloud.dev/blob/gcsblob" // gs://
	_ "gocloud.dev/blob/s3blob"  // s3://
	"gocloud.dev/gcerrors"

	"fairlead.dev/fairlead/internal/fault"
)

// Depot is one place where files are kept.
type Depot struct {
	bucket *blob.Bucket
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
		d.bucket, err = blob.OpenBucket(ctx, address)
	}
	if err != nil {
		return nil, fault.InvalidField("outputs", "depot_open", "%s cannot be opened: %v", d.name, err).
			WithHint("Check the URL, and that this process may use it.")
	}
	return d, nil
}

func openDirectory(u *url.URL) (*blob.Bucket, error) {
	if u.Host != "" || !path.IsAbs(u.Path) {
		return nil, errors.New("a directory is written with three slashes, as file:///srv/outputs")
	}
	dir := filepath.FromSlash(u.Path)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	// Beside the files, so that a finished one is moved and never copied.
	return fileblob.OpenBucket(dir, &fileblob.Options{NoTempDir: true, DirFileMode: 0o700, Metadata: fileblob.MetadataDontWrite})
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
	writing, abandon := context.WithCancel(ctx)
	defer abandon()
	writer, err := d.bucket.NewWriter(writing, key, &blob.WriterOptions{ContentType: "application/octet-stream", DisableContentTypeDetection: true})
	if err != nil {
		return 0, "", d.fault(err, key)
	}
	hash := sha256.New()
	size, err = io.Copy(io.MultiWriter(writer, hash), r)
	if err != nil {
		abandon() // before Close, which otherwise keeps the half
		_ = writer.Close()
		return 0, "", d.fault(err, key)
	}
	if err := writer.Close(); err != nil {
		return 0, "", d.fault(err, key)
	}
	return size, hex.EncodeToString(hash.Sum(nil)), nil
}

// Open reads from an offset on.
func (d *Depot) Open(ctx context.Context, key string, offset int64) (io.ReadCloser, error) {
	reader, err := d.bucket.NewRangeReader(ctx, key, offset, -1, nil)
	if err != nil {
		return nil, d.fault(err, key)
	}
	return reader, nil
}

// Delete is no error where nothing is there.
func (d *Depot) Delete(ctx context.Context, key string) error {
	err := d.bucket.Delete(ctx, key)
	if err == nil || gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return d.fault(err, key)
}

// fault says what went wrong. An error of what was read passes through.
func (d *Depot) fault(err error, key string) error {
	var told *fault.Error
	switch {
	case errors.As(err, &told), errors.Is(err, context.Canceled):
		return err
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT):
		return fault.New(fault.Exhausted, "depot_full", "%s is full", d.name).
			WithHint("Make room, or purge outputs that nobody needs.").WithCause(err)
	}
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return fault.New(fault.NotFound, "depot_missing", "%s has no file %s", d.name, path.Base(key)).
			WithHint("It was deleted there, by somebody else than Fairlead.").WithCause(err)
	case gcerrors.PermissionDenied:
		return fault.New(fault.Denied, "depot_denied", "%s does not let this server in", d.name).
			WithHint("The operator finds the reason in the server's log.").WithCause(err)
	case gcerrors.ResourceExhausted:
		return fault.New(fault.Exhausted, "depot_busy", "%s takes no more requests at the moment", d.name).
			WithHint("Try again in a while.").WithCause(err)
	default:
		if strings.Contains(err.Error(), "unexpected EOF") || errors.Is(err, io.ErrUnexpectedEOF) {
			return fault.New(fault.Unavailable, "upload_broken", "the file ended before its time").WithCause(err)
		}
		return fault.New(fault.Unavailable, "depot_unreachable", "%s does not answer as it should", d.name).
			WithHint("Try again; the operator finds the reason in the server's log.").WithCause(err)
	}
}
