package blobs

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"regexp"
	"strconv"
	"strings"
	"syscall"

	"github.com/Azure/azure-sdk-for-go/sdk/azcore"
	"github.com/aws/smithy-go"
	storagedriver "github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/depot/bucket"
	"fairlead.dev/fairlead/internal/fault"
)

// ErrNotFound is what Open and Stat wrap for a blob that is not kept.
var ErrNotFound = errors.New("the blob is not kept here")

var (
	errNoRegion  = errors.New("no region is set")
	errAbandoned = errors.New("nobody waits for the blob any more")
	errClosed    = errors.New("the store of blobs is closed")
)

// server is who the clouds are told of, in what there is to mend.
var server = bucket.Asker{Name: "the cache", Writes: true}

// asFault says what went wrong between the store and where it keeps its blobs.
func (p *place) asFault(err error) error {
	if err == nil {
		return nil
	}
	if _, told := errors.AsType[*fault.Error](err); told || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	if isFull(err) {
		return fault.New(fault.Exhausted, "blobs_full", "%s is full", p.name).
			WithHint("Make room, or give the cache a smaller limit.").WithCause(err)
	}
	if err = unwrap(err); errors.Is(err, context.Canceled) {
		return err
	}
	answer := bucket.Explain(err)
	hint, cause := answer.Mend(server), bucket.Hush(err)
	if errors.Is(err, errNoRegion) {
		answer.Trouble = bucket.Region
		hint = bucket.Answer{Trouble: bucket.Region}.Mend(server)
	}
	if errors.Is(err, fs.ErrPermission) {
		answer.Trouble, hint = bucket.Denied, "Let the user that the cache runs as read and write there."
	}
	switch answer.Trouble {
	case bucket.NoBucket:
		return fault.New(fault.NotFound, "blobs_bucket", "%s is not there%s", p.name, answer.Said()).WithHint("%s", hint).WithCause(cause)
	case bucket.Login:
		return fault.New(fault.Denied, "blobs_login", "%s does not accept this cache's login%s", p.name, answer.Said()).WithHint("%s", hint).WithCause(cause)
	case bucket.Denied:
		return fault.New(fault.Denied, "blobs_denied", "%s does not let this cache in%s", p.name, answer.Said()).WithHint("%s", hint).WithCause(cause)
	case bucket.Region:
		return fault.New(fault.Invalid, "blobs_region", "%s is in another region than this cache asks, or none is set%s", p.name, answer.Said()).WithHint("%s", hint).WithCause(cause)
	case bucket.Busy:
		return fault.New(fault.Exhausted, "blobs_busy", "%s takes no more requests at the moment%s", p.name, answer.Said()).WithHint("%s", hint).WithCause(cause)
	default:
		return fault.New(fault.Unavailable, "blobs_unreachable", "%s does not answer as it should%s", p.name, answer.Said()).
			WithHint("Try again; the operator finds the reason in the log.").WithCause(cause)
	}
}

// isMissing reports whether an error says that there is no such object.
func isMissing(err error) bool {
	_, is := errors.AsType[storagedriver.PathNotFoundError](err)
	return is
}

func isFull(err error) bool {
	inside := unwrap(err)
	return errors.Is(inside, syscall.ENOSPC) || errors.Is(inside, syscall.EDQUOT)
}

// coded is the error of the library that the driver speaks to S3 with.
type coded interface {
	error
	Code() string
	Message() string
	OrigErr() error
}

// unwrap takes an error out of distribution's, which has no Unwrap, and gives one
// of S3 the form that package bucket knows.
func unwrap(err error) error {
	if outside, is := errors.AsType[storagedriver.Error](err); is && outside.Detail != nil {
		err = outside.Detail
	}
	inside, is := errors.AsType[coded](err)
	if !is {
		return unflattened(err)
	}
	code := inside.Code()
	switch {
	case code == "NoCredentialProviders":
		code = "InvalidAccessKeyId"
	case code == "BucketRegionError":
		code = "PermanentRedirect"
	case strings.Contains(code, " "), code == "RequestError", code == "SerializationError": // of the library's own
		return err
	}
	return &smithy.GenericAPIError{Code: code, Message: inside.Message()}
}

// flattened finds what the driver for Azure leaves of an answer's error where it makes
// a text of it.
var flattened = regexp.MustCompile(`(?s)RESPONSE ([0-9]{3}):.*ERROR CODE: (\w+)`)

// unflattened is that error again, without the text.
func unflattened(err error) error {
	if _, whole := errors.AsType[*azcore.ResponseError](err); whole {
		return err
	}
	if strings.HasSuffix(err.Error(), context.Canceled.Error()) {
		return context.Canceled
	}
	parts := flattened.FindStringSubmatch(err.Error())
	if parts == nil {
		return err
	}
	status, _ := strconv.Atoi(parts[1]) // three digits
	return &azcore.ResponseError{StatusCode: status, ErrorCode: parts[2]}
}

// blobMissing is the error of Open and Stat for what is not there.
func blobMissing(d digest.Digest) error {
	return fault.New(fault.NotFound, "blob_missing", "%s is not in the cache", d).WithCause(ErrNotFound)
}

func digestInvalid(d digest.Digest) error {
	return fault.New(fault.Invalid, "blob_digest", "%q is no digest of SHA-256 or SHA-512", string(d)).
		WithHint("Write it as sha256: and 64 hexadecimal digits.")
}

// blobAltered is of an upstream that sent something else than it was asked for.
func blobAltered(d digest.Digest, what string, args ...any) *fault.Error {
	return fault.New(fault.Unavailable, "blob_altered", "%s did not arrive as what its digest says: "+what, append([]any{d}, args...)...).
		WithHint("Try again; if it happens again, something between the cache and the registry alters what it sends, or the registry's own copy is damaged.")
}

func blobSize(d digest.Digest, want, size int64) error {
	return fault.New(fault.Invalid, "blob_size", "%s has %d bytes, and not %d as its descriptor says", d, size, want).
		WithHint("Either the manifest that names it is wrong, and the image has to be pushed again, or something else was sent in the blob's place.")
}

func blobTooLarge(d digest.Digest, most int64) error {
	return fault.New(fault.Exhausted, "blob_too_large", "%s is larger than the %d bytes that the cache takes of one blob", d, most)
}

// isAltered reports whether an upstream's bytes are not the blob's, so that to go on
// is no use.
func isAltered(err error) bool {
	f, is := errors.AsType[*fault.Error](err)
	return is && f.Code == "blob_altered"
}

// broken is the fault of a download that failed for good.
func broken(d digest.Digest, err error) error {
	if _, told := errors.AsType[*fault.Error](err); told {
		return err
	}
	if errors.Is(err, errClosed) || errors.Is(err, errAbandoned) {
		return err
	}
	if errors.Is(err, io.EOF) {
		err = io.ErrUnexpectedEOF // what it means here; io.EOF would end a client's stream as if it were whole
	}
	return fault.New(fault.Unavailable, "blob_broken", "the download of %s broke off", d).
		WithHint("Try again.").WithCause(err)
}

// spoolFull is of a local disk that has no room for a download.
func spoolFull(dir string, err error) error {
	if !isFull(err) {
		return fault.New(fault.Unavailable, "spool_unusable", "%s cannot be written to", dir).
			WithHint("Check the disk, and that the cache's user may write there.").WithCause(err)
	}
	return fault.New(fault.Exhausted, "spool_full", "%s, where downloads are on their way to the cache, is full", dir).
		WithHint("Make room there, or spool on another disk.").WithCause(err)
}

func spoolMissing() error {
	return fault.InvalidField("spool", "spool_missing", "a bucket needs a local directory for what is on its way to it").
		WithHint("Name one on a disk with room for the largest blobs.")
}

func digestWrong(d digest.Digest) error {
	return fault.New(fault.Invalid, "blob_digest_wrong", "the content is not what %s says", d).
		WithHint("Fetch it again.")
}
