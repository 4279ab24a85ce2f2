package api_test

import (
	"bufio"
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/wire"
)

func TestTheTrailIsVerifiedForOperatorsAlone(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	var list wire.List[wire.AuditEvent]
	h.call("root", http.MethodGet, "audit/", nil, &list)
	var verified wire.AuditVerification
	h.call("root", http.MethodGet, "audit/verify/", nil, &verified)
	if !verified.Intact || verified.Count < int64(list.Count) || verified.Last.ID != verified.Head.ID || verified.First.ID != 1 || verified.Removed != nil {
		t.Errorf("got %+v", verified)
	}
	h.names["head"] = verified.Head.Hash
	h.play(t, []scenario{
		{name: "an admin", as: "ada", method: "GET", path: "audit/verify/", status: 403, want: []string{`"code":"not_operator"`}},
		{name: "a worker", as: "worker", method: "GET", path: "audit/verify/", status: 403},
		{name: "no head", as: "root", method: "GET", path: "audit/verify/?head=x", status: 400, want: []string{`"head":[`, `"code":"audit_hash"`}},
		{name: "the head", as: "root", method: "GET", path: "audit/verify/?head={head}", status: 200, want: []string{`"noted":"there"`, `"intact":true`}},
		{name: "another row", as: "root", method: "GET", path: "audit/verify/?head={head}@1", status: 200, want: []string{`"noted":"wrong"`, `"intact":false`, `"flaw":"head_differs"`, `"id":1`}},
	})
}

func TestAVerificationIsFollowedLineByLine(t *testing.T) {
	h := newHouse(t)
	request := h.request("root", http.MethodGet, "audit/verify/", nil)
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	defer func() { _ = response.Body.Close() }() // only read
	var last wire.AuditVerifyEvent
	lines := 0
	for scan := bufio.NewScanner(response.Body); scan.Scan(); lines++ {
		last = wire.AuditVerifyEvent{}
		h.must(json.Unmarshal(scan.Bytes(), &last))
		if lines == 0 && (last.Progress == nil || last.Progress.Done != last.Progress.All) {
			t.Errorf("the first line is %s", scan.Text())
		}
	}
	if lines != 2 || last.Verification == nil || !last.Verification.Intact {
		t.Errorf("%d lines, the last is %+v", lines, last)
	}
}

func TestARowOfTheAPIHasWhatItsHashIsOf(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	var list wire.List[wire.AuditEvent]
	h.call("ada", http.MethodGet, "audit/", nil, &list)
	if len(list.Results) == 0 {
		t.Fatal("there are no rows")
	}
	for _, row := range list.Results {
		previous, err := audit.ParseHash(row.Previous)
		h.must(err)
		event := audit.Event{
			ID: row.ID, Time: row.Time.Or(), Actor: row.Actor, ActorID: row.ActorID, Remote: row.Remote, Verb: audit.Verb(row.Verb), Result: row.Result,
			OrganizationID: row.Organization, ObjectID: row.ObjectID, ObjectName: row.ObjectName, ExecutionID: row.Execution, Details: row.Details, Previous: previous,
		}
		if got := event.Digest().String(); got != row.Hash {
			t.Errorf("row %d: its hash is %s, and that of what is shown %s", row.ID, row.Hash, got)
		}
	}
}

func TestTheTrailIsListedAsItIsAskedFor(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.play(t, []scenario{
		{name: "a noun", as: "ada", method: "GET", path: "audit/?verb=credential", status: 200, want: []string{`"count":2`, `"more":false`, `"verb":"credential.create"`}, not: []string{"project.create"}},
		{name: "a verb", as: "ada", method: "GET", path: "audit/?verb=project.create", status: 200, want: []string{`"count":1`, `"object_name":"vision"`}},
		{name: "an actor", as: "ada", method: "GET", path: "audit/?actor=ada&verb=project", status: 200, want: []string{`"count":1`}},
		{name: "another actor", as: "ada", method: "GET", path: "audit/?actor=nobody", status: 200, want: []string{`"count":0`, `"next":null`, `"results":[]`}},
		{name: "an object's name", as: "ada", method: "GET", path: "audit/?object=vision", status: 200, want: []string{`"verb":"project.create"`}},
		{name: "an object's id", as: "ada", method: "GET", path: "audit/?object={credential}", status: 200, want: []string{`"verb":"credential.create"`}},
		{name: "what failed", as: "ada", method: "GET", path: "audit/?result=failed&verb=project", status: 200, want: []string{`"count":0`}},
		{name: "since a date", as: "ada", method: "GET", path: "audit/?since=2020-01-01&verb=project", status: 200, want: []string{`"count":1`}},
		{name: "until a time", as: "ada", method: "GET", path: "audit/?until=2020-01-01T00:00:00%2B02:00", status: 200, want: []string{`"count":0`}},
		{name: "no times", as: "ada", method: "GET", path: "audit/?until=noon&since=x", status: 400, want: []string{`"until":[`, `"since":[`, `"code":"time"`}},
		{name: "one's organisation", as: "ada", method: "GET", path: "audit/?organization=acme&verb=project", status: 200, want: []string{`"count":1`}},
		{name: "another's organisation", as: "ada", method: "GET", path: "audit/?organization=evil", status: 404, want: []string{`"code":"organization_unknown"`}},
		{name: "a member's organisation", as: "ben", method: "GET", path: "audit/?organization=acme", status: 403, want: []string{`"code":"not_admin"`}},
		{name: "what belongs to none", as: "ada", method: "GET", path: "audit/?organization=0", status: 403, want: []string{`"code":"not_admin"`}},
		{name: "what belongs to none, for an operator", as: "root", method: "GET", path: "audit/?organization=0&verb=user.create", status: 200, want: []string{`"organization":0`}, not: []string{`"organization":1`}},
	})
}

func TestTheTrailIsReadPageByPage(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	var whole wire.AuditList
	h.call("root", http.MethodGet, "audit/", nil, &whole)
	var ids []int64
	for next := "audit/?limit=2"; next != ""; {
		var page wire.AuditList
		h.call("root", http.MethodGet, next, nil, &page)
		if page.Count != whole.Count || len(page.Results) > 2 {
			t.Fatalf("%d of %d", len(page.Results), page.Count)
		}
		for _, row := range page.Results {
			ids = append(ids, row.ID)
		}
		if next = ""; page.Next != nil {
			_, next, _ = strings.Cut(*page.Next, wire.Base)
		}
	}
	if len(ids) != len(whole.Results) || len(ids) < 5 || !slices.IsSortedFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) }) {
		t.Errorf("got %v of %d", ids, len(whole.Results))
	}
}

// export reads an export.
func (h *house) export(who, query string) (kind, text string) {
	h.t.Helper()
	response, err := http.DefaultClient.Do(h.request(who, http.MethodGet, "audit/export/"+query, nil))
	h.must(err)
	defer func() { _ = response.Body.Close() }() // only read
	all, err := io.ReadAll(response.Body)
	h.must(err)
	if response.StatusCode != http.StatusOK {
		h.t.Fatalf("got %d %s", response.StatusCode, all)
	}
	return response.Header.Get("Content-Type"), string(all)
}

func TestAnExportHasEveryRowOnceAndIsVerified(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	for i := range 1100 { // more than two batches
		h.must(h.audit.Record(t.Context(), audit.Event{Verb: audit.KeysRotate, Result: "ok", ObjectName: fmt.Sprint(i)}))
	}
	kind, text := h.export("root", "?organization=0")
	report, err := audit.VerifyFile(t.Context(), strings.NewReader(text), audit.Point{}, false, nil)
	h.must(err)
	if kind != "application/x-ndjson" || report.Problem != nil || report.Count != int64(strings.Count(text, "\n")) || report.Count < 1100 || report.Absent == 0 {
		t.Errorf("%s: %+v", kind, report)
	}
	var list wire.AuditList
	h.call("root", http.MethodGet, "audit/?verb=user&organization=0", nil, &list)
	line, err := json.Marshal(list.Results[len(list.Results)-1])
	h.must(err)
	if _, text := h.export("root", "?verb=user&organization=0"); !strings.HasPrefix(text, string(line)+"\n") {
		t.Errorf("a line is not what the list has of the row:\n%s\n%s", text, line)
	}
	if _, text := h.export("ada", "?verb=keys"); text != "" {
		t.Errorf("ada reads %s", text)
	}
}

func TestAnExportIsATableForSpreadsheets(t *testing.T) {
	h := newHouse(t)
	h.must(h.audit.Record(t.Context(), audit.Event{Verb: audit.KeysRotate, Result: "ok", ObjectName: "=HYPERLINK(\"x\")", Details: map[string]string{"key": "1"}}))
	kind, text := h.export("root", "?format=csv&verb=keys")
	rows, err := csv.NewReader(strings.NewReader(text)).ReadAll()
	h.must(err)
	if kind != "text/csv; charset=utf-8" || len(rows) != 2 || rows[0][0] != "id" || rows[1][9] != `'=HYPERLINK("x")` || rows[1][11] != `{"key":"1"}` {
		t.Errorf("%s: %q", kind, rows)
	}
	h.play(t, []scenario{
		{name: "another format", as: "root", method: "GET", path: "audit/export/?format=xls", status: 400, want: []string{`"format":[`}},
		{name: "no time", as: "root", method: "GET", path: "audit/export/?since=x", status: 400, want: []string{`"since":[`}},
		{name: "a member", as: "ben", method: "GET", path: "audit/export/", status: 403, want: []string{`"code":"not_admin"`}},
		{name: "a worker", as: "worker", method: "GET", path: "audit/export/", status: 403},
		{name: "a file's name", as: "root", method: "GET", path: "audit/export/?format=csv", status: 200, want: []string{"attachment; filename=\"audit.csv\""}},
	})
}
