package api

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io"
	"mime"
	"net/http"
	"net/url"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

type dataQuery struct {
	Execution string `query:"output_execution" doc:"Id, PROJECT:COUNTER or PROJECT:latest: only its outputs"`
	Project   string `query:"project" doc:"Id, name or OWNER/NAME"`
	Page
}

func (d *door) listData(ctx context.Context, v *visit, in *dataQuery) (list wire.List[wire.Datum], err error) {
	data, count, err := d.config.Executions.Data(ctx, v.actor, in.Execution, in.Project, in.rows())
	if err != nil {
		return list, err
	}
	return listOf(v, in.Page, each(data, v.datum), count), nil
}

type datumKey struct {
	Datum string `path:"datum" doc:"Id"`
}

func (d *door) getDatum(ctx context.Context, v *visit, in *datumKey) (wire.Datum, error) {
	datum, err := d.config.Executions.Datum(ctx, v.actor, in.Datum)
	return v.datum(datum), err
}

func (d *door) purgeDatum(ctx context.Context, v *visit, in *datumKey) (wire.Datum, error) {
	datum, err := d.config.Executions.Purge(ctx, v.actor, in.Datum)
	return v.datum(datum), err
}

func (v *visit) datum(d execution.Datum) wire.Datum {
	return wire.Datum{
		ID: d.ID, URL: v.resource("data", d.ID), URI: execution.DatumURL + d.ID, Name: d.Name, Size: d.Size, SHA256: d.SHA256,
		CTime: wire.NewTime(d.CreatedAt), Purged: d.IsPurged(), Project: d.ProjectID,
		OutputExecution: wire.Left{ID: d.ExecutionID, Counter: d.Counter, URL: v.resource("executions", d.ExecutionID)},
	}
}

// linkLife is how long a download link holds.
const linkLife = 15 * time.Minute

// links signs addresses that are good without a token. Its key lives as long as
// the process.
type links struct{ key [sha256.Size]byte }

func newLinks() *links {
	l := new(links)
	_, _ = rand.Read(l.key[:]) // never fails, see crypto/rand
	return l
}

func (l *links) sign(id string, until int64) string {
	mac := hmac.New(sha256.New, l.key[:])
	_, _ = mac.Write([]byte(id + "\n" + strconv.FormatInt(until, 10)))
	return hex.EncodeToString(mac.Sum(nil))
}

func (l *links) good(id, until, signature string, now time.Time) bool {
	seconds, err := strconv.ParseInt(until, 10, 64)
	return err == nil && now.Unix() < seconds && hmac.Equal([]byte(signature), []byte(l.sign(id, seconds)))
}

// downloadDatum tells an address of the bytes that needs no token.
func (d *door) downloadDatum(ctx context.Context, v *visit, in *datumKey) (wire.Download, error) {
	datum, err := d.config.Executions.Datum(ctx, v.actor, in.Datum)
	if err != nil {
		return wire.Download{}, err
	}
	until := d.config.Now().Add(linkLife).Unix()
	query := url.Values{"expires": {strconv.FormatInt(until, 10)}, "signature": {d.links.sign(datum.ID, until)}}
	return wire.Download{URL: v.resource("data", datum.ID) + "content/?" + query.Encode()}, nil
}

func describeContent(op *huma.Operation, _ huma.Registry) {
	for name, text := range map[string]string{"expires": "Until when the link holds, in seconds since 1970", "signature": "What the server signed the link with"} {
		op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Required: true, Schema: &huma.Schema{Type: huma.TypeString}, Description: text})
	}
	slices.SortFunc(op.Parameters, func(a, b *huma.Param) int { return strings.Compare(a.Name, b.Name) })
	answers(op, "application/octet-stream", bytesOf("The file"))
}

// datumContent sends a datum to whoever has a link that holds.
func (d *door) datumContent(w http.ResponseWriter, r *http.Request, _ *visit) error {
	id, query := r.PathValue("datum"), r.URL.Query()
	if !d.links.good(id, query.Get("expires"), query.Get("signature"), d.config.Now()) {
		return fault.New(fault.Denied, "link_expired", "this link holds no longer").
			WithHint("Ask for another: GET data/ID/download/.")
	}
	datum, err := d.config.Executions.LinkedDatum(r.Context(), id)
	if err != nil {
		return err
	}
	return d.sendDatum(w, r, datum)
}

// sendDatum sends a datum's bytes, or those from where a client asks to go on.
func (d *door) sendDatum(w http.ResponseWriter, r *http.Request, datum execution.Datum) error {
	offset := resumeAt(r.Header.Get("Range"), datum.Size)
	body, err := d.config.Executions.OpenDatum(r.Context(), datum, offset)
	if err != nil {
		return err
	}
	defer func() { _ = body.Close() }() // only read
	header := w.Header()
	header.Set("Content-Type", "application/octet-stream")
	header.Set("Content-Disposition", mime.FormatMediaType("attachment", map[string]string{"filename": path.Base(datum.Name)}))
	header.Set("Content-Length", strconv.FormatInt(datum.Size-offset, 10))
	header.Set("ETag", `"`+datum.SHA256+`"`)
	header.Set("Accept-Ranges", "bytes")
	header.Set("X-Content-Type-Options", "nosniff")
	status := http.StatusOK
	if offset > 0 {
		header.Set("Content-Range", "bytes "+strconv.FormatInt(offset, 10)+"-"+strconv.FormatInt(datum.Size-1, 10)+"/"+strconv.FormatInt(datum.Size, 10))
		status = http.StatusPartialContent
	}
	w.WriteHeader(status)
	if _, err := io.Copy(w, body); err != nil && !errors.Is(err, context.Canceled) {
		panic(http.ErrAbortHandler) // the client must see that it has not all of it
	}
	return nil
}

// resumeAt is the offset of a range to the end, which is what clients resume
// with; 0 for any other.
func resumeAt(header string, size int64) int64 {
	const prefix = "bytes="
	if len(header) < len(prefix)+2 || header[:len(prefix)] != prefix || header[len(header)-1] != '-' {
		return 0
	}
	offset, err := strconv.ParseInt(header[len(prefix):len(header)-1], 10, 64)
	if err != nil || offset <= 0 || offset >= size {
		return 0
	}
	return offset
}

func describeOutput(op *huma.Operation, registry huma.Registry) {
	op.Parameters = append(op.Parameters, &huma.Param{
		Name: "name", In: "query", Required: true, Schema: &huma.Schema{Type: huma.TypeString}, Description: "Path below the outputs",
	})
	op.RequestBody = &huma.RequestBody{Required: true, Content: map[string]*huma.MediaType{"application/octet-stream": {Schema: bytesOf("The file")}}}
	answersJSON[wire.Datum](op, registry)
}

// addOutput keeps a file of an execution's outputs, while it arrives.
func (d *door) addOutput(w http.ResponseWriter, r *http.Request, v *visit) error {
	held, err := d.config.Dispatch.Held(r.Context(), v.actor, r.PathValue("lease"))
	if err != nil {
		return err
	}
	datum, err := d.config.Executions.AddOutput(r.Context(), v.actor, held, r.URL.Query().Get("name"), r.Body)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusCreated, v.datum(datum))
}

func describeInput(op *huma.Operation, _ huma.Registry) {
	answers(op, "application/octet-stream", bytesOf("The file"))
}

// leaseInput sends a datum to the worker whose execution has it among its inputs.
func (d *door) leaseInput(w http.ResponseWriter, r *http.Request, v *visit) error {
	held, err := d.config.Dispatch.Held(r.Context(), v.actor, r.PathValue("lease"))
	if err != nil {
		return err
	}
	datum, err := d.config.Executions.Input(r.Context(), held, r.PathValue("datum"))
	if err != nil {
		return err
	}
	return d.sendDatum(w, r, datum)
}

type metadataQuery struct {
	Execution string `path:"execution" doc:"Id, PROJECT:COUNTER or PROJECT:latest"`
	After     int64  `query:"after" doc:"Only those with a higher number"`
	Limit     int    `query:"limit" doc:"At most so many; 0: as many as there may be at once"`
}

func (d *door) listMetadata(ctx context.Context, v *visit, in *metadataQuery) (list wire.List[wire.Metadatum], err error) {
	metadata, count, err := d.config.Executions.Metadata(ctx, v.actor, in.Execution, in.After, in.Limit)
	if err != nil {
		return list, err
	}
	return wire.List[wire.Metadatum]{Count: int(count), Results: each(metadata, func(m execution.Metadatum) wire.Metadatum {
		return wire.Metadatum{Number: m.Number, CTime: wire.NewTime(m.Time), Value: m.Body}
	})}, nil
}
