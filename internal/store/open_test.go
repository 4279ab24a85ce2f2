package store_test

import (
	"bufio"
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/store"
)

func TestADatabaseIsNamedByItsFile(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"plain.db", "with space.db", "a?b#c%20d&e.db", "röd.db"} {
		for _, prefix := range []string{"", "sqlite:"} {
			path := filepath.Join(dir, name)
			s, err := store.Open(t.Context(), prefix+path)
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if err := s.Close(); err != nil {
				t.Errorf("%s: %v", name, err)
			}
			if _, err := os.Stat(path); err != nil {
				t.Errorf("the database is not in the file that was named: %v", err)
			}
		}
	}
}

func TestWhatIsNoFileIsRefusedWithASentence(t *testing.T) {
	dir := t.TempDir()
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte(strings.Repeat("no database\n", 100)), 0o600); err != nil {
		t.Fatal(err)
	}
	for dsn, code := range map[string]string{
		"":                                   "blank",
		"sqlite:":                            "blank",
		"postgres://localhost/fairlead":      "database_postgres",
		"POSTGRESQL://localhost/fairlead":    "database_postgres",
		"mysql://localhost/fairlead":         "database_unknown",
		":memory:":                           "database_memory",
		"sqlite::memory:":                    "database_memory",
		dir:                                  "database_unreadable",
		filepath.Join(dir, "none", "one.db"): "database_unreadable",
		text:                                 "database_broken",
	} {
		s, err := store.Open(t.Context(), dsn)
		if err == nil {
			t.Errorf("%q was opened", dsn)
			_ = s.Close()
			continue
		}
		if f := fault.From(err); f.Code != code || f.Hint == "" {
			t.Errorf("%q: got %s (%v), want %s with a hint", dsn, f.Code, err, code)
		}
	}
}

func TestTheFilesAreTheOwnersAlone(t *testing.T) {
	path := filepath.Join(t.TempDir(), "fairlead.db")
	if err := os.WriteFile(path, nil, 0o644); err != nil { // what is to be mended
		t.Fatal(err)
	}
	s, err := store.Open(t.Context(), path)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = s.Close() }()
	for _, suffix := range []string{"", "-wal", "-shm"} {
		info, err := os.Stat(path + suffix)
		if err != nil {
			t.Fatal(err)
		}
		if mode := info.Mode().Perm(); mode != 0o600 {
			t.Errorf("%s has mode %o", info.Name(), mode)
		}
	}
}

func TestADatabaseOfALaterFairleadIsRefused(t *testing.T) {
	dir := t.TempDir()
	if err := open(t, dir).Close(); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", filepath.Join(dir, "fairlead.db"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := db.ExecContext(t.Context(), `INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)`); err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
	_, err = store.Open(t.Context(), filepath.Join(dir, "fairlead.db"))
	if fault.From(err).Code != "database_newer" {
		t.Errorf("got %v", err)
	}
}

func TestAClosedStoreIsUnavailable(t *testing.T) {
	s := open(t, t.TempDir())
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("closing it again: %v", err)
	}
	_, readErr := s.CountUsers(t.Context())
	_, _, listErr := s.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{0}})
	for _, err := range []error{readErr, listErr, s.Record(t.Context(), audit.Event{})} {
		if !fault.Is(err, fault.Unavailable) {
			t.Errorf("got %v", err)
		}
	}
}

func TestWhatIsGivenUpBeforeItBeganIsNotDone(t *testing.T) {
	s := open(t, t.TempDir())
	defer func() { _ = s.Close() }()
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.Record(gone, audit.Event{}); err == nil || fault.From(err).Cause != context.Canceled { //nolint:errorlint // exactly that
		t.Errorf("got %v", err)
	}
	_, count, err := s.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{0}})
	if err != nil || count != 0 {
		t.Errorf("%d events, %v", count, err)
	}
}

func TestTwoStoresShareOneFile(t *testing.T) {
	dir := t.TempDir()
	a, b := open(t, dir), open(t, dir)
	defer func() { _, _ = a.Close(), b.Close() }()
	var all sync.WaitGroup
	for i, s := range []*store.Store{a, b} {
		for n := range 50 {
			all.Go(func() {
				user := account.User{ID: fmt.Sprint(i, "/", n), Username: fmt.Sprint("u", i, "-", n)}
				if err := s.CreateUser(t.Context(), user, "", audit.Event{}); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	for _, s := range []*store.Store{a, b} {
		if count, err := s.CountUsers(t.Context()); err != nil || count != 100 {
			t.Errorf("%d users, %v", count, err)
		}
	}
}

// childDir is set for the child that TestWhatWasAcknowledgedSurvivesAKill kills.
const childDir = "FAIRLEAD_STORE_TEST_DIR"

// TestChild records events for ever, and prints a number once it is stored.
func TestChild(t *testing.T) {
	dir := os.Getenv(childDir)
	if dir == "" {
		return // not a child
	}
	s := open(t, dir)
	for n := 1; ; n++ {
		if err := s.Record(t.Context(), audit.Event{ObjectName: strconv.Itoa(n)}); err != nil {
			t.Fatal(err)
		}
		fmt.Println(n)
	}
}

func TestWhatWasAcknowledgedSurvivesAKill(t *testing.T) {
	dir := t.TempDir()
	child := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestChild$")
	child.Env = append(os.Environ(), childDir+"="+dir)
	output, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	acknowledged := 0
	for lines := bufio.NewScanner(output); lines.Scan(); {
		n, err := strconv.Atoi(lines.Text())
		if err != nil {
			t.Errorf("the child said %q", lines.Text())
			break
		}
		if acknowledged = n; n == 200 {
			break
		}
	}
	if err := child.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = child.Wait() // killed
	s := open(t, dir)
	defer func() { _ = s.Close() }()
	events, count, err := s.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{0}, Limit: 1})
	if err != nil {
		t.Fatal(err)
	}
	if acknowledged != 200 || count < acknowledged || events[0].ObjectName != strconv.Itoa(count) {
		t.Errorf("%d were acknowledged, %d are there, the last is %v", acknowledged, count, events)
	}
}
