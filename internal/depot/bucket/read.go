package bucket

import (
	"context"
	"errors"
	"io"
	"net/http"
	"time"

	"cloud.google.com/go/storage"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/Azure/azure-sdk-for-go/sdk/azcore/policy"
	azblob "github.com/Azure/azure-sdk-for-go/sdk/storage/azblob/blob"
	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
)

// Version names one state of a file. The zero Version is whichever there is.
type Version struct {
	etag       string
	generation int64 // Google's
}

// About is what a cloud says of a file.
type About struct {
	ETag     string
	Modified time.Time
	Size     int64
	Version  Version
}

// About asks what a file is now.
func (b *Bucket) About(ctx context.Context, key string) (About, error) {
	attributes, err := b.blobs.Attributes(ctx, key)
	if err != nil {
		return About{}, b.withWords(ctx, key, err)
	}
	about := About{ETag: attributes.ETag, Modified: attributes.ModTime, Size: attributes.Size, Version: Version{etag: attributes.ETag}}
	var object storage.ObjectAttrs
	if attributes.As(&object) {
		about.Version = Version{generation: object.Generation}
	}
	return about, nil
}

// errChanged is of a file that is not the one any more that was asked for.
var errChanged = errors.New("the file changed meanwhile")

// Attempts of a read that breaks off without having come on, and the wait before
// the second; it doubles.
const (
	attemptsMost = 6
	waitFirst    = 200 * time.Millisecond
)

// Reader reads a file. When the connection breaks it goes on where it was, as
// long as the file is still the same.
type Reader struct {
	ctx     context.Context
	bucket  *Bucket
	key     string
	version Version
	at      int64 // the next byte
	body    *blob.Reader
	tries   int // since it last came on
}

// Read opens a file from a byte on, in the state that is named.
func (b *Bucket) Read(ctx context.Context, key string, offset int64, version Version) (*Reader, error) {
	r := &Reader{ctx: ctx, bucket: b, key: key, version: version, at: offset}
	if err := r.open(); err != nil {
		return nil, Hush(err)
	}
	return r, nil
}

func (r *Reader) open() error {
	body, err := r.bucket.blobs.NewRangeReader(r.identity(), r.key, r.at, -1, &blob.ReaderOptions{BeforeRead: r.condition})
	if err != nil {
		return err
	}
	r.body = body
	if r.version == (Version{}) { // from now on it is this one
		r.version = versionOf(body)
	}
	return nil
}

// identity asks Azure for the bytes as they are kept: the transport otherwise
// unpacks what was put there with the encoding gzip, and neither size nor offset
// is the file's.
func (r *Reader) identity() context.Context {
	if r.bucket.cloud != "azblob" {
		return r.ctx
	}
	return policy.WithHTTPHeader(r.ctx, http.Header{"Accept-Encoding": {"identity"}})
}

// condition makes the request one for this state of the file alone, in each
// cloud's own way.
func (r *Reader) condition(as func(any) bool) error {
	var (
		options *[]func(*s3.Options)
		amazon  *s3.GetObjectInput
		google  **storage.ObjectHandle
		azure   *azblob.DownloadStreamOptions
	)
	if as(&options) { // which would write to standard error
		*options = append(*options, func(o *s3.Options) { o.DisableLogOutputChecksumValidationSkipped = true })
	}
	switch {
	case as(&amazon) && r.version.etag != "":
		amazon.IfMatch = &r.version.etag
	case as(&google):
		*google = (*google).ReadCompressed(true) // the bytes as they are kept
		if r.version.generation != 0 {
			*google = (*google).If(storage.Conditions{GenerationMatch: r.version.generation})
		}
	case as(&azure) && r.version.etag != "":
		azure.AccessConditions = &azblob.AccessConditions{
			ModifiedAccessConditions: &azblob.ModifiedAccessConditions{IfMatch: (*azcore.ETag)(&r.version.etag)},
		}
	}
	return nil
}

func versionOf(body *blob.Reader) Version {
	var (
		amazon s3.GetObjectOutput
		google *storage.Reader
		azure  azblob.DownloadStreamResponse
	)
	switch {
	case body.As(&amazon):
		return Version{etag: aws.ToString(amazon.ETag)}
	case body.As(&google):
		return Version{generation: google.Attrs.Generation}
	case body.As(&azure) && azure.ETag != nil:
		return Version{etag: string(*azure.ETag)}
	}
	return Version{}
}

// Read reads on.
func (r *Reader) Read(p []byte) (int, error) {
	for {
		n, err := r.read(p)
		if r.at += int64(n); n > 0 {
			r.tries = 0
		}
		switch {
		case err == nil, errors.Is(err, io.EOF):
			return n, err
		case n > 0: // and the error comes again, or does not
			return n, nil
		case !r.again(err):
			return 0, Hush(err)
		}
	}
}

func (r *Reader) read(p []byte) (int, error) {
	var n int
	var err error
	if r.body == nil {
		err = r.open()
	}
	if err == nil {
		n, err = r.body.Read(p)
	}
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if r.body != nil && r.version != (Version{}) {
		_ = r.body.Close() // it is broken
		r.body = nil
	}
	if Explain(err).Trouble == Missing { // a moment ago it was there
		err = errors.Join(errChanged, err)
	}
	return n, err
}

// again reports whether to try again after an error, when the wait is over.
func (r *Reader) again(err error) bool {
	r.tries++
	trouble := Explain(err).Trouble
	if r.version == (Version{}) || r.ctx.Err() != nil || r.tries >= attemptsMost || trouble != Busy && trouble != Unreachable {
		return false
	}
	timer := time.NewTimer(waitFirst << (r.tries - 1))
	defer timer.Stop()
	select {
	case <-r.ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}

// Close ends it.
func (r *Reader) Close() error {
	if r.body == nil {
		return nil
	}
	return r.body.Close()
}

// withWords is the error of a question whose answer had no body, and so did not
// tell the reason, as S3's to HEAD; the same question by GET tells it.
func (b *Bucket) withWords(ctx context.Context, key string, err error) error {
	if err == nil || b.cloud != "s3" || !isWordless(err) {
		return Hush(err)
	}
	reader, again := b.blobs.NewRangeReader(ctx, key, 0, 1, nil)
	if again == nil {
		_ = reader.Close() // only the reason was wanted
		return Hush(err)
	}
	return Hush(again)
}
