package store_test

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

func TestARowThatCannotBeReadIsShownAsOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	record(t, s, 5)
	db := raw(t, dir)
	run(t, db, unguarded...)
	run(t, db, `UPDATE audit_events SET details = '{' WHERE id = 3`, `UPDATE audit_events SET time = 'noon' WHERE id = 4`)
	filter := audit.Filter{OrganizationIDs: []int64{0}, Limit: 10}
	newest, count, err := s.Events(t.Context(), filter)
	if err != nil || count != 5 || len(newest) != 5 {
		t.Fatalf("%d of %d, %v", len(newest), count, err)
	}
	for i, link := range newest {
		broken := i == 1 || i == 2
		if link.ID != int64(5-i) || (link.Broken != nil) != broken || broken && link.Actor != "" {
			t.Errorf("got %+v", link)
		}
	}
	filter.Since = time.UnixMicro(1)
	if oldest, err := s.EventsAfter(t.Context(), filter, 2); err != nil || len(oldest) != 3 || oldest[0].Broken == nil {
		t.Errorf("got %+v, %v", oldest, err)
	}
}

func BenchmarkAPageOfAHundredThousandRows(b *testing.B) {
	s := benchStore(b)
	const rows, batch = 100_000, 1000
	for i := range rows / batch {
		events := make([]audit.Event, batch)
		for j := range events {
			n := i*batch + j
			e := audit.Event{
				Time: time.UnixMicro(int64(n) * 1e6), Actor: fmt.Sprint("worker gpu-", n%10), Verb: audit.GrantIssue, Result: audit.ResultOK,
				OrganizationID: int64(1 + n%3), ObjectID: fmt.Sprint("c", n%10), ObjectName: fmt.Sprint("hub", n%10), ExecutionID: fmt.Sprint("e", n/4),
				Details: map[string]string{"repository": "acme/train", "registry": "ghcr.io"},
			}
			switch {
			case n%1000 == 0:
				e.Actor, e.Verb, e.Result = "ada", audit.CredentialCheck, "unauthorized"
			case n < 10:
				e.Actor, e.Verb, e.ObjectID, e.ObjectName = "ben", audit.CredentialCreate, "c0", "first"
			}
			events[j] = e
		}
		must(b, s.Record(b.Context(), events...))
	}
	for _, test := range []struct {
		name   string
		filter audit.Filter
	}{
		{"all", audit.Filter{}},
		{"grants", audit.Filter{Verb: audit.GrantIssue}},
		{"a_noun", audit.Filter{Verb: "credential"}},
		{"a_verb_that_failed", audit.Filter{Verb: audit.GrantIssue, Result: audit.Failed}},
		{"failed", audit.Filter{Result: audit.Failed}},
		{"a_code", audit.Filter{Result: "unauthorized"}},
		{"ok", audit.Filter{Result: audit.ResultOK}},
		{"a_rare_actor", audit.Filter{Actor: "ben"}},
		{"a_common_actor", audit.Filter{Actor: "worker gpu-1"}},
		{"nobody", audit.Filter{Actor: "nobody"}},
		{"a_rare_object", audit.Filter{Object: "first"}},
		{"a_common_object", audit.Filter{Object: "c1"}},
		{"a_common_object_and_a_rare_actor", audit.Filter{Object: "c1", Actor: "ada"}},
		{"an_old_hour", audit.Filter{Since: time.Unix(1000, 0), Until: time.Unix(4600, 0)}},
		{"since", audit.Filter{Since: time.Unix(99_000, 0)}},
		{"until", audit.Filter{Until: time.Unix(100, 0)}},
		{"an_execution", audit.Filter{ExecutionID: "e777"}},
		{"deep", audit.Filter{Before: 500}},
	} {
		test.filter.OrganizationIDs, test.filter.Limit = []int64{0, 1, 2, 3}, 100
		b.Run(test.name, func(b *testing.B) {
			for b.Loop() {
				_, _, err := s.Events(b.Context(), test.filter)
				must(b, err)
			}
		})
	}
}
