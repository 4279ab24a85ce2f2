package mirror

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/wire"
)

// Extension is what a cache tells of itself, below wire.CacheBase. It is safe for
// concurrent use, and its errors are *fault.Error.
type Extension interface {
	// Status tells how the cache is, of what the client may know.
	Status(ctx context.Context, client Client) (wire.CacheStatus, error)

	// Warm has what an image is made of be kept. Report is called for each blob, one
	// at a time.
	Warm(ctx context.Context, client Client, ref image.Reference, wish wire.CacheWarm, report func(wire.CacheWarmed)) (digest string, err error)

	// Unpin lets an image go that was pinned.
	Unpin(ctx context.Context, client Client, ref image.Reference) error
}

// Nouns of the extension.
const (
	nounStatus noun = "_fairlead/cache/status"
	nounWarm   noun = "_fairlead/cache/warm"
	nounUnpin  noun = "_fairlead/cache/unpin"
)

// extension is what of the extension a path leads to; false for every other path.
func (d *door) extension(path string) (noun, bool) {
	for _, n := range []noun{nounStatus, nounWarm, nounUnpin} {
		if d.config.Extension != nil && path == base+string(n) {
			return n, true
		}
	}
	return nounBase, false
}

// warmMost bounds a request of the extension, in bytes.
const warmMost = 16 << 10

// status serves how the cache is.
func (d *door) status(w *recorder, r *http.Request, v *visit) error {
	status, err := d.config.Extension.Status(r.Context(), v.client)
	if err != nil {
		return err
	}
	return writeJSON(w, "application/json", status)
}

// warm has an image be kept, and tells of it as it goes, a line of JSON for each blob.
func (d *door) warm(w *recorder, r *http.Request, v *visit) error {
	var asked wire.CacheWarm
	if err := readBody(r, &asked); err != nil {
		return err
	}
	ref, err := image.ParseReference(asked.Image)
	if err != nil {
		return err
	}
	v.target.ref = ref
	lines := &lineWriter{to: w, stall: d.config.Stall}
	digest, err := d.config.Extension.Warm(r.Context(), v.client, ref, asked, func(line wire.CacheWarmed) { lines.write(line) })
	if err != nil {
		if w.status == 0 {
			return err // with a status of its own
		}
		v.failure = fault.From(err)
		lines.write(wire.CacheWarmed{Problem: problemOf(v.failure)})
		return nil
	}
	lines.write(wire.CacheWarmed{Digest: digest})
	return lines.err
}

// unpin lets an image go that was pinned.
func (d *door) unpin(w *recorder, r *http.Request, v *visit) error {
	var asked wire.CacheUnpin
	if err := readBody(r, &asked); err != nil {
		return err
	}
	ref, err := image.ParseReference(asked.Image)
	if err != nil {
		return err
	}
	v.target.ref = ref
	if err := d.config.Extension.Unpin(r.Context(), v.client, ref); err != nil {
		return err
	}
	return writeJSON(w, "application/json", struct{}{})
}

// readBody reads what is asked for.
func readBody(r *http.Request, asked any) error {
	decoder := json.NewDecoder(io.LimitReader(r.Body, warmMost))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(asked); err != nil {
		return fault.New(fault.Invalid, "body_invalid", "the request cannot be read: %v", err).
			WithHint(`Send JSON such as {"image": "HOST/REPOSITORY:TAG"}.`)
	}
	return nil
}

func problemOf(f *fault.Error) *wire.Problem {
	return &wire.Problem{Kind: string(f.Kind), Code: f.Code, Detail: f.Sentence(), Message: f.Message, Hint: f.Hint}
}

// lineWriter sends lines of JSON at once.
type lineWriter struct {
	to    *recorder
	stall time.Duration
	err   error
}

func (l *lineWriter) write(line wire.CacheWarmed) {
	if l.err != nil {
		return
	}
	text, err := json.Marshal(line)
	if err != nil {
		l.err = fmt.Errorf("writing a line: %w", err)
		return
	}
	l.to.Header().Set("Content-Type", "application/x-ndjson")
	l.to.extend()
	if _, err := l.to.Write(append(text, '\n')); err != nil {
		l.err = gone(err)
		return
	}
	if err := l.to.control.Flush(); err != nil {
		l.err = gone(err)
	}
}
