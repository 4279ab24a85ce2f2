package api_test

import (
	"bufio"
	"cmp"
	"encoding/json"
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
