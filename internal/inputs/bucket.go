package inputs

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/url"
	"strings"
	"syscall"
	"time"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/azureblob" // azblob://
	_ "gocloud.dev/blob/gcsblob"   // gs://
	_ "gocloud.dev/blob/s3blob"    // s3://
	"gocloud.dev/gcerrors"

	"fairlead.dev/fairlead/internal/fault"
)

// bucket is a file in a cloud's bucket. The worker logs in there as the cloud's
// own tools do, with what its environment or its machine has.
type bucket struct {
	bucket *blob.Bucket
	key    string
	url    *url.URL
}

// openBucket reads s3://BUCKET/KEY, gs://BUCKET/KEY and
// azure://ACCOUNT/CONTAINER/BLOB. Parameters of the address, such as S3's region,
// are gocloud.dev's.
func openBucket(ctx context.Context, u *url.URL) (*bucket, error) {
	at, key := *u, strings.TrimPrefix(u.Path, "/")
	at.Path = ""
	if u.Scheme == "azure" {
		container, blob, _ := strings.Cut(key, "/")
		query := u.Query()
		query.Set("storage_account", u.Host)
		at, key = url.URL{Scheme: "azblob", Host: container, RawQuery: query.Encode()}, blob
	}
	if key == "" || at.Host == "" {
		return nil, fault.New(fault.Invalid, "input_url", "%s names no file", shown(u.String())).
			WithHint("Write it as s3://BUCKET/KEY, gs://BUCKET/KEY or azure://ACCOUNT/CONTAINER/BLOB.")
	}
	opened, err := blob.OpenBucket(ctx, at.String())
	if err != nil {
		return nil, fault.New(fault.Unauthenticated, "input_login", "this worker cannot log in to where %s is", shown(u.String())).
			WithHint("Give the worker's machine a role or credentials of that cloud.").WithCause(err)
	}
	return &bucket{bucket: opened, key: key, url: u}, nil
}

func (b *bucket) close() { _ = b.bucket.Close() } // only read

func (b *bucket) name(about) string { return lastOf(b.key) }

func (b *bucket) about(ctx context.Context) (about, error) {
	attributes, err := b.bucket.Attributes(ctx, b.key)
	if err != nil {
		return about{}, b.fault(err)
	}
	return about{etag: attributes.ETag, modified: attributes.ModTime.UTC().Format(time.RFC3339Nano), size: attributes.Size}, nil
}

// copy relies on the clouds' own libraries to try again.
func (b *bucket) copy(ctx context.Context, _ about, w io.Writer) error {
	reader, err := b.bucket.NewReader(ctx, b.key, nil)
	if err != nil {
		return b.fault(err)
	}
	defer func() { _ = reader.Close() }() // only read
	if _, err := io.Copy(w, reader); err != nil {
		return b.fault(err)
	}
	return nil
}

func (b *bucket) fault(err error) error {
	var told *fault.Error
	if errors.As(err, &told) || errors.Is(err, context.Canceled) {
		return err
	}
	address := shown(b.url.String())
	switch gcerrors.Code(err) {
	case gcerrors.NotFound:
		return fault.New(fault.NotFound, "input_missing", "%s is not there", address).WithHint("Check the address of the input.").WithCause(err)
	case gcerrors.PermissionDenied:
		return fault.New(fault.Denied, "input_denied", "%s is not given to this worker", address).
			WithHint("Let the worker's role read the bucket.").WithCause(err)
	default:
		return fault.New(fault.Unavailable, "input_unreachable", "%s cannot be downloaded", address).
			WithHint("Check the bucket's name and region, and that the worker's machine has credentials of that cloud.").WithCause(err)
	}
}

// dispositionName is the name that a server gives a file.
func dispositionName(header string) string {
	_, parameters, err := mime.ParseMediaType(header)
	if err != nil || parameters["filename"] == "" {
		return ""
	}
	return lastOf(strings.ReplaceAll(parameters["filename"], `\`, "/"))
}

func isFull(err error) bool { return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) }
