package mirror

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"strconv"

	specs "github.com/opencontainers/distribution-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
)

// Codes of faults that the door makes itself and that have a row below.
const (
	codePath   = "path_unknown"
	codeMethod = "method_unknown"
	codeDigest = "digest"
	codeRange  = "range_outside"
	codePage   = "page"
)

// row says how a fault is told. The first row that fits is used.
type row struct {
	code string     // the fault's; "" fits all
	kind fault.Kind // "" fits all
	noun noun       // what was asked for; "" fits all

	oci    string
	status int
}

// statusFull is for a disk of ours, where 429 would blame the client.
const statusFull = http.StatusInsufficientStorage

// table is the one from a fault to the specification's codes, and UNKNOWN, which
// registries give where none of those fits.
// https://github.com/opencontainers/distribution-spec/blob/v1.1.1/spec.md#error-codes
var table = []row{
	{code: codePath, oci: "UNSUPPORTED", status: http.StatusNotFound},
	{code: codeMethod, oci: "UNSUPPORTED", status: http.StatusMethodNotAllowed},
	{code: codePage, oci: "UNSUPPORTED", status: http.StatusBadRequest},
	{code: codeRange, oci: "SIZE_INVALID", status: http.StatusRequestedRangeNotSatisfiable},
	{code: codeDigest, oci: "DIGEST_INVALID", status: http.StatusBadRequest},

	// What an upstream gave that is of no use.
	{code: "digest_mismatch", oci: "DIGEST_INVALID", status: http.StatusBadGateway},
	{code: "blob_altered", oci: "DIGEST_INVALID", status: http.StatusBadGateway},
	{code: "blob_size", oci: "SIZE_INVALID", status: http.StatusBadGateway},
	{code: "blob_too_large", oci: "SIZE_INVALID", status: http.StatusBadGateway},
	{code: "digest_invalid", oci: "DIGEST_INVALID", status: http.StatusBadGateway},
	{code: "manifest_too_large", oci: "MANIFEST_INVALID", status: http.StatusBadGateway},
	{code: "manifest_invalid", oci: "MANIFEST_INVALID", status: http.StatusBadGateway},

	{code: "registry_unnamed", oci: "NAME_UNKNOWN", status: http.StatusNotFound},
	{code: "repository_not_found", oci: "NAME_UNKNOWN", status: http.StatusNotFound},
	{kind: fault.NotFound, noun: nounManifests, oci: "MANIFEST_UNKNOWN", status: http.StatusNotFound},
	{kind: fault.NotFound, noun: nounReferrers, oci: "MANIFEST_UNKNOWN", status: http.StatusNotFound},
	{kind: fault.NotFound, noun: nounBlobs, oci: "BLOB_UNKNOWN", status: http.StatusNotFound},
	{kind: fault.NotFound, oci: "NAME_UNKNOWN", status: http.StatusNotFound},

	{kind: fault.Invalid, oci: "NAME_INVALID", status: http.StatusBadRequest},
	{kind: fault.Unauthenticated, oci: "UNAUTHORIZED", status: http.StatusUnauthorized},
	{kind: fault.Denied, oci: "DENIED", status: http.StatusForbidden},
	{code: "disk_full", oci: "UNKNOWN", status: statusFull},
	{code: "spool_full", oci: "UNKNOWN", status: statusFull},
	{code: "blobs_full", oci: "UNKNOWN", status: statusFull},
	{kind: fault.Exhausted, oci: "TOOMANYREQUESTS", status: http.StatusTooManyRequests},
	{kind: fault.Unavailable, oci: "UNKNOWN", status: http.StatusServiceUnavailable},
	{kind: fault.Conflict, oci: "UNKNOWN", status: http.StatusConflict},
	{oci: "UNKNOWN", status: http.StatusInternalServerError},
}

// rowOf finds the row of a fault.
func rowOf(f *fault.Error, n noun) row {
	for _, row := range table {
		if (row.code == "" || row.code == f.Code) && (row.kind == "" || row.kind == f.Kind) && (row.noun == "" || row.noun == n) {
			return row
		}
	}
	panic("the table ends in a row that fits all")
}

// notForWriting is the fault of everything but GET and HEAD.
func notForWriting(method string) error {
	return fault.New(fault.Invalid, codeMethod, "the cache is for pulling, and %.20q is none of it", method).
		WithHint("Push to the registry itself.")
}

// gone is the fault of a client that did not wait.
func gone(err error) *fault.Error {
	return fault.New(fault.Unavailable, "client_gone", "the client did not wait for the answer").WithCause(err)
}

// fail answers with an error, or cuts the connection where an answer has begun.
func (d *door) fail(w *recorder, r *http.Request, v *visit, err error) {
	f := fault.From(err)
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		f = gone(err)
	}
	if f.Kind == fault.Unauthenticated && v.client != nil {
		// The upstream does not know Fairlead. Whoever asks is known here, and
		// would log in for nothing.
		refused := *f
		refused.Kind = fault.Denied
		f = &refused
	}
	v.failure = f
	if w.status != 0 {
		panic(http.ErrAbortHandler)
	}
	defer w.commit()
	row := rowOf(f, v.target.noun)
	// Docker shows the message alone, so the hint is in it.
	text, err := json.Marshal(specs.ErrorResponse{Errors: []specs.ErrorInfo{{Code: row.oci, Message: f.Sentence(), Detail: f.Code}}})
	if err != nil {
		text = []byte(`{"errors":[]}`) // texts always can be written
	}
	header := w.Header()
	for _, name := range []string{"Etag", "Docker-Content-Digest", "Warning", "Accept-Ranges"} {
		header.Del(name) // of what is not sent now
	}
	switch row.status {
	case http.StatusUnauthorized:
		header.Set("WWW-Authenticate", `Basic realm="Fairlead"`)
	case http.StatusMethodNotAllowed:
		header.Set("Allow", "GET, HEAD")
	}
	if f.RetryAfter > 0 {
		header.Set("Retry-After", strconv.Itoa(int(math.Ceil(f.RetryAfter.Seconds()))))
	}
	header.Set("Cache-Control", "no-store")
	header.Set("Content-Type", "application/json")
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(row.status)
	if r.Method != http.MethodHead {
		_, _ = w.Write(text) // nobody is left to tell
	}
}
