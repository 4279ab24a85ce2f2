package web_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"

	"golang.org/x/net/html"

	"fairlead.dev/fairlead/internal/audit"
)

// organization is the id of an organisation, as paths have it.
func (h *house) organization(who, name string) int64 {
	h.t.Helper()
	found, err := h.accounts.Organization(h.t.Context(), h.actors[who], name)
	h.must(err)
	return found.ID
}

// record writes rows of an organisation.
func (h *house) record(organization int64, count int, event audit.Event) {
	h.t.Helper()
	events := make([]audit.Event, count)
	for i := range events {
		events[i] = event
		events[i].OrganizationID = organization
	}
	h.must(h.store.Record(h.t.Context(), events...))
}

func auditPath(organization int64) string { return fmt.Sprintf("/o/%d/audit/", organization) }

// rowIDs are the ids of the rows that a page of the trail shows.
func (s shown) rowIDs() (ids []int64) {
	for node := range s.root.Descendants() {
		if text, found := strings.CutPrefix(attribute(node, "id"), "row-"); found {
			id, _ := strconv.ParseInt(text, 10, 64)
			ids = append(ids, id)
		}
	}
	return ids
}

// rel is where the link of that relation leads; "": there is none.
func (s shown) rel(name string) string {
	for node := range s.root.Descendants() {
		if node.Type == html.ElementNode && attribute(node, "rel") == name {
			return attribute(node, "href")
		}
	}
	return ""
}

func TestAnAdminReadsTheirOrganisationsTrailAndNoOther(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	acme, evil := h.organization("ada", "acme"), h.organization("eve", "evil")
	h.record(evil, 1, audit.Event{Actor: "eve", Verb: audit.GrantIssue, Result: "ok", ObjectName: "the-plans-of-evil"})
	ada := h.visitor("ada")
	page := ada.get(auditPath(acme))
	page.wants(t, http.StatusOK, "Audit of acme", "credential.create", "Acme's registry", "project.create", "fairlead audit verify --file audit.jsonl --head ")
	for _, path := range []string{
		auditPath(acme), auditPath(acme) + "?object=the-plans-of-evil", auditPath(acme) + fmt.Sprintf("?organization=%d", evil),
		auditPath(acme) + "export/?object=the-plans-of-evil&format=csv", auditPath(acme) + fmt.Sprintf("export/?organization=%d", evil),
	} {
		got := ada.get(path)
		got.wants(t, http.StatusOK)
		if strings.Contains(got.words(), "the-plans-of-evil") {
			t.Errorf("%s: %s", path, got.text)
		}
	}
	ada.get(auditPath(evil)).wants(t, http.StatusNotFound)
	ada.get(auditPath(evil)+"export/").wants(t, http.StatusNotFound)
	ada.get("/audit/").wants(t, http.StatusForbidden, "Only an operator")
	ada.get("/audit/export/").wants(t, http.StatusForbidden)
	ben := h.visitor("ben")
	ben.get(auditPath(acme)).wants(t, http.StatusForbidden, "Only an admin of an organisation or an operator may read the audit trail")
	ben.get(auditPath(acme)+"export/").wants(t, http.StatusForbidden)
	root := h.visitor("root").get("/audit/")
	root.wants(t, http.StatusOK, "user.create", "fairlead audit verify --head ")
	if strings.Contains(root.text, "the-plans-of-evil") {
		t.Error("an operator reads the rows of an organisation that is not theirs")
	}
}

func TestTheTrailIsReadPageByPageInBothDirections(t *testing.T) {
	h := newHouse(t)
	acme := h.organization("ada", "acme")
	h.record(acme, 120, audit.Event{Actor: "ada", Verb: audit.GrantIssue, Result: "ok"})
	v := h.visitor("ada")
	var down [][]int64
	var last shown
	for next := auditPath(acme) + "?verb=grant"; next != ""; next = last.rel("next") {
		last = v.get(next)
		last.wants(t, http.StatusOK, "120 rows")
		down = append(down, last.rowIDs())
		if len(down) == 1 {
			h.record(acme, 1, audit.Event{Actor: "ada", Verb: audit.CredentialCheck, Result: "ok"}) // moves nothing
		}
	}
	all := slices.Concat(down...)
	if len(down) != 3 || len(all) != 120 || all[0]-all[119] != 119 || !slices.IsSortedFunc(all, func(a, b int64) int { return int(b - a) }) {
		t.Errorf("downwards: %v", down)
	}
	for i := len(down) - 2; i >= 0; i-- {
		last = v.get(last.rel("prev"))
		if got := last.rowIDs(); !slices.Equal(got, down[i]) {
			t.Errorf("upwards, page %d: %v instead of %v", i, got, down[i])
		}
	}
	if last.rel("prev") != "" {
		t.Error("there is something newer than the newest")
	}
	h.record(acme, 1000, audit.Event{Actor: "ada", Verb: audit.GrantIssue, Result: "ok"})
	v.get(auditPath(acme)).wants(t, http.StatusOK, "more than 1,000 rows")
}

func TestTheTrailIsNarrowedAndDownloadedAsItIsShown(t *testing.T) {
	h := newHouse(t)
	acme := h.organization("ada", "acme")
	h.record(acme, 1, audit.Event{
		Actor: "mal", Verb: audit.CredentialCheck, Result: "denied", ObjectName: `=HYPERLINK("x")`, Details: map[string]string{"repository": "<script>alert(1)</script>"},
	})
	h.record(acme, 1, audit.Event{Actor: "<b>bold</b>", Verb: audit.CredentialUpdate, Result: "ok", ObjectName: "hub"})
	v := h.visitor("ada")
	page := v.get(auditPath(acme) + "?verb=credential&result=failed")
	page.wants(t, http.StatusOK, "1 row", "denied", `=HYPERLINK("x")`, "<script>alert(1)</script>")
	if strings.Contains(page.text, "<script>alert") || len(page.rowIDs()) != 1 {
		t.Errorf("the page is %s", page.text)
	}
	if whole := v.get(auditPath(acme)); strings.Contains(whole.text, "<b>bold") {
		t.Error("a name is markup")
	}
	table := v.get(auditPath(acme) + "export/?verb=credential&result=failed&format=csv")
	rows, err := csv.NewReader(strings.NewReader(table.text)).ReadAll()
	h.must(err)
	if table.header.Get("Content-Disposition") != `attachment; filename="audit.csv"` || len(rows) != 2 || rows[1][9] != `'=HYPERLINK("x")` {
		t.Errorf("the table is %q", rows)
	}
	lines := v.get(auditPath(acme) + "export/?verb=credential")
	report, err := audit.VerifyFile(t.Context(), strings.NewReader(lines.text), audit.Point{}, false, nil)
	if err != nil || report.Count != 2 || report.Problem != nil {
		t.Errorf("the lines are %s: %+v, %v", lines.text, report, err)
	}
	v.get(auditPath(acme)+"?actor=nobody").wants(t, http.StatusOK, "No row is like that.")
	wrong := v.get(auditPath(acme) + "?since=noon&actor=mal")
	wrong.wants(t, http.StatusUnprocessableEntity)
	if got := wrong.wordsOf("since-problem"); !strings.Contains(got, "noon") || attribute(wrong.byID("actor"), "value") != "mal" {
		t.Errorf("beside the field: %q", got)
	}
	v.get(auditPath(acme)+"export/?format=xls").wants(t, http.StatusUnprocessableEntity, "Write jsonl or csv.")
}
