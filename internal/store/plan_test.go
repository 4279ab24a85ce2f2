package store

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
)

// planOf is how SQLite does a statement.
func planOf(t *testing.T, s *Store, text string, args ...any) string {
	t.Helper()
	rows, err := s.reads.QueryContext(t.Context(), "EXPLAIN QUERY PLAN "+text, args...)
	steps, err := collect(rows, err, func(row scanner) (step string, err error) {
		var id, parent, unused int
		return step, row.Scan(&id, &parent, &unused, &step)
	})
	if err != nil {
		t.Fatal(err)
	}
	return strings.Join(steps, "\n")
}

func planned(t *testing.T) *Store {
	t.Helper()
	s, err := Open(t.Context(), t.TempDir()+"/fairlead.db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = s.Close() })
	return s
}

func TestAPageOfExecutionsIsReadOffOneIndexAndNotSorted(t *testing.T) {
	s := planned(t)
	for _, test := range []struct {
		filter execution.Filter
		index  string
	}{
		{execution.Filter{ProjectIDs: []string{"a", "b"}}, "executions_by_position"},
		{execution.Filter{ProjectIDs: []string{"a", "b"}, Statuses: []execution.Status{execution.Error, execution.Crashed}, CreatedBy: "ada"}, "executions_by_position"},
		{execution.Filter{ProjectIDs: []string{"a"}}, "executions_by_project"},
		{execution.Filter{ProjectIDs: []string{"a"}, Statuses: []execution.Status{execution.Error}, CreatedBy: "ada"}, "executions_by_project"},
	} {
		text, args := positionsOf(test.filter)
		plan := planOf(t, s, text, args...)
		if !strings.Contains(plan, "COVERING INDEX "+test.index) || strings.Contains(plan, "ORDER BY") {
			t.Errorf("%+v is found so:\n%s", test.filter, plan)
		}
	}
}

func TestEventsOfAnObjectAreReadOffItsIndexWhoeverAsks(t *testing.T) {
	s := planned(t)
	indexes := []string{"audit_events_by_object (object_id=?)", "audit_events_by_object_name (object_name=?)"}
	for _, organizations := range [][]int64{{1}, {1, 2}} {
		for _, verb := range []audit.Verb{"", "credential", audit.CredentialCheck} {
			search, err := newSearch(t.Context(), s.texts, audit.Filter{OrganizationIDs: organizations, Object: "hub", Verb: verb})
			if err != nil {
				t.Fatal(err)
			}
			var found []string
			for _, branch := range search.branches {
				text, args := search.within(branch, ` ORDER BY id DESC`, 20)
				found = append(found, planOf(t, s, text, args...))
			}
			if !slices.EqualFunc(found, indexes, strings.HasSuffix) {
				t.Error(fmt.Sprint(organizations, verb), "are found so:\n", strings.Join(found, "\n"))
			}
		}
	}
}
