package store_test

import (
	"path/filepath"
	"testing"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/store"
)

func TestTheNewestRowsAreVerifiedWithoutThoseBefore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	newest := func(n int64) (int64, *audit.Problem) {
		t.Helper()
		count, wrong, err := audit.VerifyNewest(t.Context(), s, n)
		if err != nil {
			t.Fatal(err)
		}
		return count, wrong
	}
	if count, wrong := newest(10); count != 0 || wrong != nil {
		t.Errorf("of an empty trail: %d, %+v", count, wrong)
	}
	record(t, s, 20)
	for n, want := range map[int64]int64{1: 1, 5: 5, 20: 20, 100: 20} {
		if count, wrong := newest(n); count != want || wrong != nil {
			t.Errorf("of the newest %d: %d, %+v", n, count, wrong)
		}
	}
	db := raw(t, dir)
	run(t, db, `DROP TRIGGER audit_events_keep`, `UPDATE audit_events SET actor = 'eve' WHERE id = 12`)
	if count, wrong := newest(5); count != 5 || wrong != nil {
		t.Errorf("a row before them is looked at: %d, %+v", count, wrong)
	}
	if _, wrong := newest(15); wrong == nil || wrong.ID != 12 || wrong.Flaw != audit.Changed {
		t.Errorf("the changed row is %+v", wrong)
	}
	run(t, db, `DROP TRIGGER audit_events_remove`, `DELETE FROM audit_events WHERE id >= 19`)
	if _, wrong := newest(5); wrong == nil || wrong.Flaw != audit.Missing {
		t.Errorf("the rows that are gone are %+v", wrong)
	}
}

func TestALookAtADatabaseMakesAndChangesNothing(t *testing.T) {
	dir := t.TempDir()
	if _, err := store.Inspect(t.Context(), filepath.Join(dir, "none.db")); !fault.Is(err, fault.NotFound) {
		t.Errorf("one that is not there: %v", err)
	}
	if made, err := filepath.Glob(filepath.Join(dir, "*")); err != nil || len(made) > 0 {
		t.Errorf("%q were made (%v)", made, err)
	}
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	record(t, s, 3)
	path, err := filepath.Glob(filepath.Join(dir, "*.db"))
	if err != nil || len(path) != 1 {
		t.Fatalf("%q, %v", path, err)
	}
	i, err := store.Inspect(t.Context(), path[0])
	if err != nil || i.Done != i.All || i.All == 0 || i.Corrupt != "" || i.Bytes == 0 || i.WALBytes == 0 {
		t.Errorf("%+v, %v", i, err)
	}
}
