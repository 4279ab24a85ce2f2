package store_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/pressly/goose/v3"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/store"
)

// raw opens the database in dir past the store, as its owner can.
func raw(t *testing.T, dir string) *sql.DB {
	t.Helper()
	db, err := sql.Open("sqlite", filepath.Join(dir, "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	return db
}

func run(t *testing.T, db *sql.DB, statements ...string) {
	t.Helper()
	for _, text := range statements {
		if _, err := db.ExecContext(t.Context(), text); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
	}
}

// unguarded drops the triggers, as the file's owner can.
var unguarded = []string{
	`DROP TRIGGER audit_events_append`, `DROP TRIGGER audit_events_keep`, `DROP TRIGGER audit_events_remove`,
	`DROP TRIGGER audit_chain_forward`, `DROP TRIGGER audit_chain_stay`, `DROP TRIGGER audit_chain_one`,
}

func record(t *testing.T, s *store.Store, n int) {
	t.Helper()
	for i := range n {
		event := audit.Event{Time: time.UnixMicro(int64(1 + i)), Actor: "ada", Verb: audit.KeysRotate, Result: "ok", ObjectName: fmt.Sprint(i), Details: map[string]string{"key": "1"}}
		if err := s.Record(t.Context(), event); err != nil {
			t.Fatal(err)
		}
	}
}

func verify(t *testing.T, s *store.Store, noted audit.Point) audit.Report {
	t.Helper()
	report, err := audit.Verify(t.Context(), s, noted, nil)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

func TestARowOfTheTrailCannotBeChangedOrRemoved(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	record(t, s, 5)
	db := raw(t, dir)
	for _, text := range []string{
		`UPDATE audit_events SET actor = 'eve' WHERE id = 3`,
		`UPDATE audit_events SET hash = '' WHERE id = 3`,
		`UPDATE audit_events SET id = 30 WHERE id = 3`,
		`DELETE FROM audit_events WHERE id = 5`,
		`DELETE FROM audit_events`,
		`INSERT OR REPLACE INTO audit_events SELECT id, time, 'eve', actor_id, remote, verb, result, organization_id, object_id, object_name, execution_id, details, hash, previous FROM audit_events WHERE id = 3`,
		`UPDATE OR REPLACE audit_events SET actor = 'eve' WHERE id = 3`,
		`INSERT INTO audit_events SELECT 9, time, 'eve', actor_id, remote, verb, result, organization_id, object_id, object_name, execution_id, details, '', '' FROM audit_events WHERE id = 3`,
		`UPDATE audit_chain SET old_id = 9`,
		`UPDATE audit_chain SET head_id = 4`,
		`UPDATE audit_chain SET head_hash = x'00'`,
		`UPDATE audit_chain SET floor_id = 3, floor_hash = x'00'`,
		`UPDATE audit_chain SET floor_id = 9, floor_hash = head_hash`,
		`UPDATE audit_chain SET floor_hash = head_hash`,
		`DELETE FROM audit_chain`,
		`INSERT INTO audit_chain VALUES (2, 0, '', 0, '', 0)`,
		`INSERT OR REPLACE INTO audit_chain VALUES (1, 0, '', 0, '', 0)`,
	} {
		if _, err := db.ExecContext(t.Context(), text); err == nil || !strings.Contains(err.Error(), "audit trail") {
			t.Errorf("%s: %v", text, err)
		}
	}
	if report := verify(t, s, audit.Point{}); report.Problem != nil || report.Count != 5 {
		t.Errorf("got %+v", report)
	}
}

func TestVerifyNamesTheFirstRowThatIsWrongAndHow(t *testing.T) {
	for name, test := range map[string]struct {
		by   []string
		want audit.Problem
	}{
		"an actor":              {[]string{`UPDATE audit_events SET actor = 'eve' WHERE id = 3`, `UPDATE audit_events SET actor = 'eve' WHERE id = 4`}, audit.Problem{ID: 3, Flaw: audit.Changed}},
		"a detail":              {[]string{`UPDATE audit_events SET details = '{"key":"2"}' WHERE id = 3`}, audit.Problem{ID: 3, Flaw: audit.Changed}},
		"details that are none": {[]string{`UPDATE audit_events SET details = '{' WHERE id = 3`}, audit.Problem{ID: 3, Flaw: audit.Changed}},
		"a time that is none":   {[]string{`UPDATE audit_events SET time = 'noon' WHERE id = 3`}, audit.Problem{ID: 3, Flaw: audit.Changed}},
		"a hash":                {[]string{`UPDATE audit_events SET hash = x'00' WHERE id = 3`}, audit.Problem{ID: 3, Flaw: audit.Changed}},
		"no hash":               {[]string{`UPDATE audit_events SET hash = '' WHERE id = 3`}, audit.Problem{ID: 3, Flaw: audit.Changed}},
		"one row gone":          {[]string{`DELETE FROM audit_events WHERE id = 3`}, audit.Problem{ID: 3, Flaw: audit.Missing}},
		"the first gone":        {[]string{`DELETE FROM audit_events WHERE id < 3`}, audit.Problem{ID: 1, Flaw: audit.Missing}},
		"the last gone":         {[]string{`DELETE FROM audit_events WHERE id > 4`}, audit.Problem{ID: 5, Flaw: audit.Missing}},
		"all gone":              {[]string{`DELETE FROM audit_events`}, audit.Problem{ID: 1, Flaw: audit.Missing}},
		"gone as if for age": {
			[]string{`UPDATE audit_chain SET floor_id = 2, floor_hash = (SELECT hash FROM audit_events WHERE id = 2)`, `DELETE FROM audit_events WHERE id <= 2`},
			audit.Problem{ID: 2, Flaw: audit.Missing},
		},
		"the floor without its rows": {[]string{`UPDATE audit_chain SET floor_id = 2, floor_hash = (SELECT hash FROM audit_events WHERE id = 2)`}, audit.Problem{ID: 1, Flaw: audit.OutOfOrder}},
		"two in each other's place": {
			[]string{`UPDATE audit_events SET id = 30 WHERE id = 3`, `UPDATE audit_events SET id = 3 WHERE id = 4`, `UPDATE audit_events SET id = 4 WHERE id = 30`},
			audit.Problem{ID: 3, Flaw: audit.Changed},
		},
		"the head": {[]string{`UPDATE audit_chain SET head_hash = x'` + strings.Repeat("00", 32) + `'`}, audit.Problem{ID: 5, Flaw: audit.Changed}},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			defer func() { _ = s.Close() }()
			record(t, s, 5)
			db := raw(t, dir)
			run(t, db, unguarded...)
			run(t, db, test.by...)
			got := verify(t, s, audit.Point{}).Problem
			if got == nil || got.ID != test.want.ID || got.Flaw != test.want.Flaw || got.Sentence == "" {
				t.Errorf("got %+v, want %+v", got, test.want)
			}
		})
	}
}

// forge writes a row and its hash anew, and those of all rows behind it, if all.
func forge(t *testing.T, s *store.Store, db *sql.DB, id int64, all bool) {
	t.Helper()
	_, links, err := s.ReadChain(t.Context(), id-1, 100)
	if err != nil {
		t.Fatal(err)
	}
	previous := links[0].Previous
	for i, link := range links {
		e := link.Event
		if i == 0 {
			e.Actor = "eve"
		}
		e.Previous = previous
		previous = e.Digest()
		if _, err := db.ExecContext(t.Context(), `UPDATE audit_events SET actor = $1, hash = $2, previous = $3 WHERE id = $4`, e.Actor, previous[:], e.Previous[:], e.ID); err != nil {
			t.Fatal(err)
		}
		if !all {
			return
		}
	}
	if _, err := db.ExecContext(t.Context(), `UPDATE audit_chain SET head_hash = $1`, previous[:]); err != nil {
		t.Fatal(err)
	}
}

func TestARowThatWasHashedAnewIsFoundByTheNextOne(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	record(t, s, 5)
	db := raw(t, dir)
	run(t, db, unguarded...)
	forge(t, s, db, 3, false)
	if got := verify(t, s, audit.Point{}).Problem; got == nil || got.ID != 4 || got.Flaw != audit.OutOfOrder {
		t.Errorf("got %+v", got)
	}
}

func TestAChainThatWasWrittenAnewIsFoundByANotedHead(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	record(t, s, 5)
	noted := verify(t, s, audit.Point{}).Chain.Head
	record(t, s, 2)
	for _, point := range []audit.Point{noted, {Hash: noted.Hash}} {
		if got := verify(t, s, point); got.Problem != nil || got.Noted != audit.NotedThere || got.Count != 7 {
			t.Errorf("got %+v", got)
		}
	}
	db := raw(t, dir)
	run(t, db, unguarded...)
	forge(t, s, db, 3, true)
	if got := verify(t, s, audit.Point{}); got.Problem != nil {
		t.Errorf("without a noted head it is found, which nobody can: %+v", got.Problem)
	}
	for point, want := range map[audit.Point]audit.Problem{
		noted:                       {ID: 5, Flaw: audit.HeadDiffers},
		{Hash: noted.Hash}:          {ID: 7, Flaw: audit.HeadDiffers},
		{Hash: noted.Hash, ID: 100}: {ID: 100, Flaw: audit.Missing},
	} {
		got := verify(t, s, point)
		if got.Problem == nil || got.Problem.ID != want.ID || got.Problem.Flaw != want.Flaw || got.Noted != audit.NotedWrong {
			t.Errorf("%v: got %+v, want %+v", point, got.Problem, want)
		}
	}
}

// older makes a database as the Fairlead before the chain left it, with n rows.
func older(t *testing.T, dir string, n int) {
	t.Helper()
	db := raw(t, dir)
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, os.DirFS("migrations"), goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := provider.UpTo(t.Context(), 6); err != nil {
		t.Fatal(err)
	}
	tx, err := db.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range n {
		_, err := tx.ExecContext(t.Context(), `INSERT INTO audit_events (id, time, actor, actor_id, remote, verb, result, organization_id, object_id, object_name, execution_id, details)
			VALUES ($1, $2, 'ada', '1', '', 'keys.rotate', 'ok', 0, '', '', '', '{"n":"x"}')`, i+1, i)
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(tx.Commit(), func() error {
		_, err := db.ExecContext(context.Background(), `UPDATE counters SET value = $1 WHERE name = 'audit'`, n)
		return err
	}(), db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestRowsFromBeforeTheChainAreHashedAtTheFirstStart(t *testing.T) {
	const rows = 2500
	dir := t.TempDir()
	older(t, dir, rows)
	s := open(t, dir)
	record(t, s, 1)
	first := verify(t, s, audit.Point{})
	if first.Problem != nil || first.Count != rows+1 || first.First.ID != 1 {
		t.Errorf("got %+v", first)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}

	// As a kill amid it leaves them: hashed up to the end of a batch.
	db := raw(t, dir)
	run(t, db, unguarded...)
	run(t, db, `DELETE FROM audit_events WHERE id > 2500`,
		`UPDATE audit_events SET hash = '', previous = '' WHERE id > 1000`,
		`UPDATE audit_chain SET head_id = 1000, head_hash = (SELECT hash FROM audit_events WHERE id = 1000)`)
	s = open(t, dir)
	defer func() { _ = s.Close() }()
	record(t, s, 1)
	if diff := cmp.Diff(first, verify(t, s, audit.Point{})); diff != "" {
		t.Errorf("(-at once +in two):\n%s", diff)
	}
	if _, err := db.ExecContext(t.Context(), `DELETE FROM audit_events WHERE id = 1`); err == nil {
		t.Error("the triggers are not there again")
	}
}
