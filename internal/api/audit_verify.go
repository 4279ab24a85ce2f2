package api

import (
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

func describeVerify(op *huma.Operation, schemas huma.Registry) {
	queryParameter(op, "head", huma.TypeString, "A head that was noted before, to compare with: HASH@ID, or HASH alone")
	answersJSON[wire.AuditVerification](op, schemas)
	answers(op, jsonLines, &huma.Schema{
		Type: huma.TypeString,
		Description: "Asked for with `Accept: " + jsonLines + "`: an AuditVerifyEvent a line, with the progress now and then, and at the end the " +
			"verification, or the problem that kept it from being made. For long trails, so that nothing in between takes the connection for dead.",
	})
}

// verifyAudit reads the whole chain.
func (d *door) verifyAudit(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.actor.MayOperate(); err != nil {
		return err
	}
	var noted audit.Point
	if text := r.URL.Query().Get("head"); text != "" {
		var err error
		if noted, err = audit.ParsePoint(text); err != nil {
			f := fault.From(err)
			return fault.InvalidField("head", f.Code, "%s", f.Message).WithHint("%s", f.Hint)
		}
	}
	if !strings.Contains(r.Header.Get("Accept"), jsonLines) {
		report, err := audit.Verify(r.Context(), d.config.Audit, noted, nil)
		if err != nil {
			return err
		}
		return writeJSON(w, http.StatusOK, verificationOf(report))
	}
	w.Header().Set("Content-Type", jsonLines)
	w.Header().Set("X-Accel-Buffering", "no") // proxies that know it pass every line on at once
	w.WriteHeader(http.StatusOK)
	control := http.NewResponseController(w)
	send := func(event wire.AuditVerifyEvent) {
		text, err := json.Marshal(event)
		if err != nil {
			return // texts and numbers always can be written
		}
		_ = control.SetWriteDeadline(time.Now().Add(writeWait))
		_, _ = w.Write(append(text, '\n')) // who has gone is noticed by the request's context
		_ = control.Flush()
	}
	report, err := audit.Verify(r.Context(), d.config.Audit, noted, func(done, all int64) {
		send(wire.AuditVerifyEvent{Progress: &wire.AuditProgress{Done: done, All: all}})
	})
	if err != nil {
		p := d.problem(r.Context(), v, err)
		send(wire.AuditVerifyEvent{Problem: &p.Problem})
		return nil
	}
	shown := verificationOf(report)
	send(wire.AuditVerifyEvent{Verification: &shown})
	return nil
}

func verificationOf(report audit.Report) wire.AuditVerification {
	shown := wire.AuditVerification{
		Intact: report.Problem == nil, Count: report.Count, Noted: string(report.Noted),
		Head: wire.AuditPoint{ID: report.Chain.Head.ID, Hash: report.Chain.Head.Hash.String()},
	}
	if floor := report.Chain.Floor; floor.ID > 0 {
		shown.Removed = &wire.AuditPoint{ID: floor.ID, Hash: floor.Hash.String()}
	}
	point := func(event *audit.Event) *wire.AuditPoint {
		if event == nil {
			return nil
		}
		return &wire.AuditPoint{ID: event.ID, Hash: event.Hash.String(), Time: wire.NewTime(event.Time)}
	}
	shown.First, shown.Last = point(report.First), point(report.Last)
	if p := report.Problem; p != nil {
		shown.Flaw = &wire.AuditFlaw{ID: p.ID, Flaw: string(p.Flaw), Sentence: p.Sentence}
	}
	return shown
}
