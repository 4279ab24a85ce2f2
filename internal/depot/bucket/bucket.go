// Package bucket opens a bucket of S3, Google Cloud Storage or Azure Blob
// Storage with what the environment or the machine has to log in with, reads it
// past connections that break, and says of a cloud's refusal what to mend.
package bucket

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"cloud.google.com/go/storage"
	"github.com/aws/aws-sdk-go-v2/service/s3"
	"gocloud.dev/blob"
	"gocloud.dev/blob/azureblob"
	"gocloud.dev/blob/gcsblob"
	"gocloud.dev/blob/s3blob"
	"gocloud.dev/gcp"
	"golang.org/x/oauth2"
	"golang.org/x/oauth2/google"
	"google.golang.org/api/option"
)

// Bucket holds files under keys. Make it with Open or New, and Close it; safe
// for concurrent use.
type Bucket struct {
	blobs *blob.Bucket
	cloud string // a URL's scheme; "" where it is no cloud
}

// New makes one of what is no cloud's.
func New(blobs *blob.Bucket) *Bucket { return &Bucket{blobs: blobs} }

// Open opens s3://BUCKET, gs://BUCKET or azblob://CONTAINER. The URL's
// parameters are gocloud.dev's, with prefix for what all keys begin with.
// Environment and files are read anew each time, so that a login that was mended
// is used without a restart. Of an error Explain says more.
func Open(ctx context.Context, u *url.URL) (*Bucket, error) {
	at, query := *u, u.Query()
	prefix := query.Get("prefix")
	query.Del("prefix")
	at.RawQuery = query.Encode()
	open := map[string]func(context.Context, *url.URL) (*blob.Bucket, error){"s3": openS3, "gs": openGoogle, "azblob": openAzure}[u.Scheme]
	if open == nil {
		return nil, fmt.Errorf("%q is no cloud's bucket", u.Scheme)
	}
	blobs, err := open(ctx, &at)
	if err != nil {
		return nil, Hush(err)
	}
	if prefix != "" {
		blobs = blob.PrefixedBucket(blobs, prefix)
	}
	return &Bucket{blobs: blobs, cloud: u.Scheme}, nil
}

var errNoRegion = errors.New("no region is set")

func openS3(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	blobs, err := new(s3blob.URLOpener).OpenBucketURL(ctx, u)
	if err != nil {
		return nil, err
	}
	var client *s3.Client
	if blobs.As(&client) && client.Options().Region == "" {
		return nil, errors.Join(errNoRegion, blobs.Close())
	}
	return blobs, nil
}

// googleAttempts bounds a library that otherwise tries for as long as its
// context lives.
const googleAttempts = 5

func openGoogle(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	transport := asKept{gcp.DefaultTransport()}
	opener := gcsblob.URLOpener{Client: gcp.NewAnonymousHTTPClient(transport)}
	emulated := os.Getenv("STORAGE_EMULATOR_HOST") != "" || os.Getenv("STORAGE_EMULATOR_HOST_GRPC") != ""
	if emulated {
		opener.TokenSource = oauth2.StaticTokenSource(new(oauth2.Token)) // which gRPC wants to have
	}
	if query := u.Query(); !emulated && query.Get("anonymous") != "true" && query.Get("access_id") != "-" {
		tokens, universe, err := googleLogin(ctx, query.Get("universe_domain"))
		if err != nil {
			return nil, err
		}
		if opener.Client, err = gcp.NewHTTPClient(transport, tokens); err != nil {
			return nil, err
		}
		opener.TokenSource = tokens
		if universe != "" {
			opener.Options.ClientOptions = append(opener.Options.ClientOptions, option.WithUniverseDomain(universe))
		}
	}
	blobs, err := opener.OpenBucketURL(ctx, u)
	if err != nil {
		return nil, err
	}
	var client *storage.Client
	if blobs.As(&client) {
		// Always: what is deleted twice is gone.
		client.SetRetry(storage.WithPolicy(storage.RetryAlways), storage.WithMaxAttempts(googleAttempts))
	}
	return blobs, nil
}

// asKept hides from Google's library that a file was put there with the encoding
// gzip. Its bytes come as they are kept, since they are asked for so; but the
// library takes them for unpacked, and when it goes on after a connection broke
// it leaves out as many bytes again as came before.
type asKept struct{ http.RoundTripper }

func (a asKept) RoundTrip(r *http.Request) (*http.Response, error) {
	response, err := a.RoundTripper.RoundTrip(r)
	if err == nil && r.Header.Get("Accept-Encoding") == "gzip" && response.Header.Get("Content-Encoding") == "gzip" {
		response.Header.Del("Content-Encoding")
		response.Header.Del("X-Goog-Stored-Content-Encoding")
	}
	return response, err
}

// ErrGoogleLogin is of a login that could not even be read. Whoever logs in to Google
// another way than Open may wrap it, for Explain.
var ErrGoogleLogin = errors.New("no login for Google Cloud")

// googleTokens are the logins that tokens are at hand for, by what they were
// read from.
var googleTokens sync.Map // of oauth2.TokenSource by [sha256.Size]byte

// googleLogin finds the login as Google's own tools do.
func googleLogin(ctx context.Context, universe string) (tokens oauth2.TokenSource, in string, err error) {
	// A source of tokens keeps its context and outlives the call.
	found, err := google.FindDefaultCredentialsWithParams(context.WithoutCancel(ctx), google.CredentialsParams{
		Scopes: []string{"https://www.googleapis.com/auth/devstorage.read_write"}, UniverseDomain: universe,
	})
	if err != nil {
		return nil, "", fmt.Errorf("%w: %w", ErrGoogleLogin, err)
	}
	if in, err = found.GetUniverseDomain(); err != nil {
		in = universe
	}
	if len(found.JSON) == 0 { // the machine's own, which has no file
		return found.TokenSource, in, nil
	}
	kept, _ := googleTokens.LoadOrStore(sha256.Sum256([]byte(in+"\n"+string(found.JSON))), found.TokenSource)
	tokens, ok := kept.(oauth2.TokenSource)
	if !ok {
		return nil, "", ErrGoogleLogin
	}
	return tokens, in, nil
}

func openAzure(ctx context.Context, u *url.URL) (*blob.Bucket, error) {
	opener := azureblob.URLOpener{MakeClient: azureblob.NewDefaultClient, ServiceURLOptions: *azureblob.NewDefaultServiceURLOptions()}
	return opener.OpenBucketURL(ctx, u)
}

// Close ends the connections.
func (b *Bucket) Close() error { return b.blobs.Close() }

// giveUpMost is how long an upload may take to give itself up.
const giveUpMost = 10 * time.Second

// Put stores what it reads under a key. Where r fails, or the context ends, it
// leaves nothing.
func (b *Bucket) Put(ctx context.Context, key string, r io.Reader) error {
	// An upload to S3 is given up by a name that comes with the answer to its
	// first request, so the context's end breaks off no request: the next read
	// fails, and the library gives up what it has begun.
	writing, abandon := context.WithCancel(context.WithoutCancel(ctx))
	defer abandon()
	stop := context.AfterFunc(ctx, func() { time.AfterFunc(giveUpMost, abandon) })
	defer stop()
	from := &failing{Reader: r, ctx: ctx}
	if b.cloud != "s3" && b.cloud != "azblob" {
		from.failed = abandon // without it, Close keeps the half
	}
	return Hush(b.blobs.Upload(writing, key, from, &blob.WriterOptions{
		ContentType: "application/octet-stream", DisableContentTypeDetection: true, BeforeWrite: persist,
	}))
}

// persist lets an upload to Google be tried again when its connection breaks:
// the same bytes come under the same key. Unlike for other requests, nothing else
// there bounds how often.
func persist(as func(any) bool) error {
	var object **storage.ObjectHandle
	if !as(&object) {
		return nil
	}
	var tries atomic.Int64
	*object = (*object).Retryer(storage.WithPolicy(storage.RetryAlways), storage.WithErrorFunc(func(err error) bool {
		return storage.ShouldRetry(err) && tries.Add(1) < googleAttempts
	}))
	return nil
}

// failing reads until its context ends.
type failing struct {
	io.Reader
	ctx    context.Context
	failed func()
}

func (f *failing) Read(p []byte) (int, error) {
	n, err := f.Reader.Read(p)
	if err == nil {
		err = f.ctx.Err()
	}
	if err != nil && !errors.Is(err, io.EOF) && f.failed != nil {
		f.failed()
	}
	return n, err
}

// Delete removes a file. Where there is none, its error Explain calls Missing.
func (b *Bucket) Delete(ctx context.Context, key string) error {
	return b.withWords(ctx, key, b.blobs.Delete(ctx, key))
}
