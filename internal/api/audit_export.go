package api

import (
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/audit"
)

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
		Verb: query.Get("verb"), Result: query.Get("result"), Since: query.Get("since"), Until: query.Get("until"),
	})
	if err != nil {
		return err
	}
	format, err := audit.ParseFormat(query.Get("format"))
	if err != nil {
		return err
	}
	export, err := audit.BeginExport(ctx, d.config.Audit, filter, format)
	if err != nil {
		return err
	}
	header := w.Header()
	header.Set("Content-Type", format.Type())
	header.Set("Content-Disposition", `attachment; filename="`+format.FileName()+`"`)
	header.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	err = export.Write(ctx, w, func() { _ = control.SetWriteDeadline(time.Now().Add(writeWait)) }, control.Flush) // where it can be set
	if err != nil {
		if ctx.Err() == nil && !hungUp(err) {
			d.config.Logger.ErrorContext(ctx, "an export of the audit trail broke off", "error", err)
		}
		panic(http.ErrAbortHandler)
	}
	return nil
}
