package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
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
