package oci

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
)

// ErrUndivided is a registry that sends no part of a blob.
var ErrUndivided = errors.New("the registry sends no part of the blob")

// ErrBlobLength is a blob that the registry says has another length than its
// descriptor's.
var ErrBlobLength = errors.New("the registry's length of the blob is not the manifest's")

// Blob is a blob on its way from a registry: the caller reads it, checks it, and
// closes it.
type Blob struct {
	io.ReadCloser

	Start int64 // offset of the first byte that comes
	Whole bool  // all of the blob comes, whatever was asked for
}

// OpenBlob asks for a blob of a repository from offset on, up to its end or, if end is
// not 0, up to that. A registry that cannot do so answers with the whole, or for a
// part that has an end with an ErrUndivided. What comes may be anything; only its
// length, where the registry says it, is seen to be the descriptor's.
func (c *Client) OpenBlob(ctx context.Context, repository string, d Descriptor, offset, end int64, authorization Authorization) (Blob, error) {
	path := c.route.Repository(repository, "blobs", d.Digest.String())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.route.URL(path).String(), http.NoBody)
	if err != nil {
		return Blob{}, fmt.Errorf("making a request for %s: %w", path, err)
	}
	request.Header.Set("Accept-Encoding", "identity")
	switch {
	case end > 0:
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", offset, end-1))
	case offset > 0:
		request.Header.Set("Range", fmt.Sprintf("bytes=%d-", offset))
	}
	authorization.Apply(request)
	response, err := c.http.Do(request)
	if err != nil {
		return Blob{}, RedactError(err)
	}
	opened, err := blobOf(response, repository, d.Size, offset, cmp.Or(end, d.Size))
	if err != nil {
		_ = response.Body.Close()
		if end > 0 && isRangeRefused(err) {
			err = fmt.Errorf("%w: %w", ErrUndivided, err)
		}
		return Blob{}, err
	}
	return opened, nil
}

// blobOf is what an answer brings of a blob of that size, of which the part up to
// end was asked for.
func blobOf(response *http.Response, repository string, size, offset, end int64) (Blob, error) {
	blob := Blob{ReadCloser: response.Body}
	switch response.StatusCode {
	case http.StatusOK:
		blob.Whole, end = true, size
	case http.StatusPartialContent: // https://www.rfc-editor.org/rfc/rfc9110#name-content-range
		blob.Start = offset
		said := response.Header.Get("Content-Range")
		part := fmt.Sprintf("bytes %d-%d/", offset, end-1)
		if said != part+"*" && said != part+strconv.FormatInt(size, 10) {
			return Blob{}, fmt.Errorf("%w: another part than the one asked for", ErrBlobLength)
		}
	default:
		return Blob{}, ReadError(response, repository)
	}
	if n := response.ContentLength; n >= 0 && blob.Start+n != end {
		return Blob{}, fmt.Errorf("%w: %d and %d", ErrBlobLength, blob.Start+n, end)
	}
	return blob, nil
}

// isRangeRefused reports whether an answer refuses to send a part of a blob.
func isRangeRefused(err error) bool {
	answer, ok := errors.AsType[*Error](err)
	return ok && (answer.Status == http.StatusRequestedRangeNotSatisfiable || answer.Status == http.StatusNotImplemented)
}
