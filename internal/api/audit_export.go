package api

import (
	"bufio"
	"context"
	"encoding/csv"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// exportBatch is how many rows of an export are in memory at once.
const exportBatch = 500

// csvType is the type of tables.
const csvType = "text/csv"

func describeExport(op *huma.Operation, _ huma.Registry) {
	queryParameter(op, "format", huma.TypeString, "jsonl, or csv for spreadsheets, where texts that would be formulas have an apostrophe before them")
	query := reflect.TypeFor[auditQuery]()
	for i := range query.NumField() {
		if field := query.Field(i); field.Type.Kind() == reflect.String {
			queryParameter(op, field.Tag.Get("query"), huma.TypeString, field.Tag.Get("doc"))
		}
	}
	answers(op, jsonLines, &huma.Schema{
		Type:        huma.TypeString,
		Description: "An AuditEvent a line, the oldest first, up to the newest of when it was asked for. `fairlead audit verify --file` verifies it.",
	})
	answers(op, csvType, &huma.Schema{Type: huma.TypeString, Description: "The same as a table with a head."})
}

// exportAudit writes all rows of a filter while it reads them. An answer that
// broke off is one that does not come to its end, so that nobody takes it for all.
func (d *door) exportAudit(w http.ResponseWriter, r *http.Request, v *visit) error {
	ctx, query := r.Context(), r.URL.Query()
	filter, err := d.auditFilter(ctx, v, auditQuery{
		Organization: query.Get("organization"), Actor: query.Get("actor"), Object: query.Get("object"), Execution: query.Get("execution"),
		Verb: query.Get("verb"), Result: query.Get("result"), Since: query.Get("since"), Until: query.Get("until"), Limit: exportBatch,
	})
	if err != nil {
		return err
	}
	var kind, name string
	switch query.Get("format") {
	case "", "jsonl":
		kind, name = jsonLines, "audit.jsonl"
	case "csv":
		kind, name = csvType+"; charset=utf-8", "audit.csv"
	default:
		return fault.InvalidField("format", "format", "%.40q is no format of an export", query.Get("format")).WithHint("Write jsonl or csv.")
	}
	chain, _, err := d.config.Audit.ReadChain(ctx, 0, 0)
	if err != nil {
		return err
	}
	filter.Before = chain.Head.ID + 1
	first, err := d.config.Audit.EventsAfter(ctx, filter, 0)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", kind)
	header.Set("Content-Disposition", `attachment; filename="`+name+`"`)
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	out := bufio.NewWriterSize(w, 64<<10)
	write := writeLines
	if kind != jsonLines {
		write = writeTable
		_ = csvRecord(out, audit.Columns()) // told by Flush
	}
	if err := d.export(ctx, filter, first, out, http.NewResponseController(w), write); err != nil {
		if ctx.Err() == nil && !hungUp(err) {
			d.config.Logger.ErrorContext(ctx, "an export of the audit trail broke off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}

func (d *door) export(ctx context.Context, filter audit.Filter, links []audit.Link, out *bufio.Writer, control *http.ResponseController, write func(*bufio.Writer, []audit.Link) error) error {
	for {
		_ = control.SetWriteDeadline(time.Now().Add(writeWait)) // where it can be set
		if err := write(out, links); err != nil {
			return err
		}
		if err := out.Flush(); err != nil {
			return err
		}
		if err := control.Flush(); err != nil {
			return err
		}
		if len(links) < filter.Limit {
			return nil
		}
		var err error
		if links, err = d.config.Audit.EventsAfter(ctx, filter, links[len(links)-1].ID); err != nil {
			return err
		}
	}
}

func writeLines(out *bufio.Writer, links []audit.Link) error {
	for _, link := range links {
		if _, err := out.Write(append(link.Line(), '\n')); err != nil {
			return err
		}
	}
	return nil
}

func writeTable(out *bufio.Writer, links []audit.Link) error {
	for _, link := range links {
		if err := csvRecord(out, link.Record()); err != nil {
			return err
		}
	}
	return nil
}

func csvRecord(out *bufio.Writer, cells []string) error {
	table := csv.NewWriter(out)
	if err := table.Write(cells); err != nil {
		return err
	}
	table.Flush()
	return table.Error()
}
