package mirror

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/fault"
)

// manifest serves a manifest or an index, by tag or by digest.
func (d *door) manifest(w *recorder, r *http.Request, v *visit) error {
	var found Manifest
	var content io.ReadSeeker
	var err error
	if r.Method == http.MethodHead {
		found.Descriptor, err = d.config.Backend.Resolve(r.Context(), v.client, v.target.ref)
		content = io.NewSectionReader(nil, 0, found.Size) // which HEAD does not read
	} else {
		found, err = d.config.Backend.Manifest(r.Context(), v.client, v.target.ref)
		content = bytes.NewReader(found.Content)
	}
	if err != nil {
		return err
	}
	if want := v.target.ref.Digest(); want != "" && found.Digest != want {
		return fmt.Errorf("the backend gave %s for %s", found.Digest, v.target.ref)
	}
	warn(w, found.Stale)
	return serveContent(w, r, found.MediaType, found.Digest, content)
}

// blob serves a blob, or one range of it.
func (d *door) blob(w *recorder, r *http.Request, v *visit) error {
	content, err := d.config.Backend.Blob(r.Context(), v.client, v.target.ref)
	if err != nil {
		return err
	}
	defer content.Close()
	body := io.ReadSeeker(content)
	if filed, is := content.(interface{ File() *os.File }); is && filed.File() != nil {
		body = filed.File()
	}
	return serveContent(w, r, "application/octet-stream", v.target.ref.Digest(), body)
}

// serveContent serves what a digest names: all of it, a range, or that the client
// has it already. A request for several ranges gets all of it, as RFC 9110,
// section 14.2, allows. Where not all of what was announced was sent, it does
// not return, and the client sees a connection that broke.
func serveContent(w *recorder, r *http.Request, mediaType string, d digest.Digest, content io.ReadSeeker) error {
	size, err := content.Seek(0, io.SeekEnd)
	if err != nil {
		return fmt.Errorf("finding the size of %s: %w", d, err)
	}
	header := w.Header()
	header.Set("Content-Type", mediaType)
	header.Set("Docker-Content-Digest", d.String())
	header.Set("Etag", `"`+d.String()+`"`)
	if strings.Contains(r.Header.Get("Range"), ",") {
		r = r.Clone(r.Context())
		r.Header.Del("Range")
	}
	http.ServeContent(w, r, "", time.Time{}, content)
	switch {
	case w.refused == http.StatusRequestedRangeNotSatisfiable:
		header.Set("Content-Range", "bytes */"+strconv.FormatInt(size, 10))
		return fault.New(fault.Invalid, codeRange, "%.100q is no range of %s, which has %d bytes", r.Header.Get("Range"), d, size).
			WithHint("Ask for bytes=FIRST-LAST within it.")
	case w.refused != 0:
		return fmt.Errorf("seeking in %s: %w", d, errors.New(http.StatusText(w.refused)))
	case r.Method == http.MethodHead || w.pending != http.StatusOK && w.pending != http.StatusPartialContent:
		return nil
	case w.status == 0 && w.failure != nil:
		header.Del("Content-Range") // nothing was sent, and this was all that there is to tell
		if f, told := errors.AsType[*fault.Error](w.failure); told {
			return f
		}
	}
	if announced := header.Get("Content-Length"); announced != strconv.FormatInt(w.written, 10) {
		return cut(w, r, d, announced)
	}
	return nil
}

// cut is the fault of content that ended early.
func cut(w *recorder, r *http.Request, d digest.Digest, announced string) error {
	switch err := w.failure; {
	case w.lost || r.Context().Err() != nil:
		return gone(err)
	case err == nil:
		return fault.New(fault.Unavailable, "content_cut", "%s ended after %d of %s bytes", d, w.written, announced)
	default:
		return fault.New(fault.Unavailable, "content_cut", "%s broke off after %d of %s bytes", d, w.written, announced).WithCause(err)
	}
}

// warn tells that an answer may be out of date. RFC 9111, section 5.5, has
// retired the header, and clients log it all the same.
func warn(w http.ResponseWriter, stale string) {
	if stale == "" {
		return
	}
	text := strings.Map(func(r rune) rune {
		switch {
		case r == '"' || r == '\\':
			return '\''
		case r < ' ' || r > '~':
			return '?'
		default:
			return r
		}
	}, stale)
	w.Header().Set("Warning", `110 Fairlead "Response is stale: `+text+`"`)
}
