package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"fairlead.dev/fairlead/internal/fault"
)

// Limits of the connections.
const (
	// busyTimeout is how long one process waits for another one's write.
	busyTimeout = 10 * time.Second

	// readersMost is how many reads go on at the same time. They are short and
	// bound by the processor; each has a page cache of its own.
	readersMost = 4

	// walBytes is what the write-ahead log is cut back to after a burst.
	walBytes = 64 << 20

	// cacheKiB is a connection's page cache.
	cacheKiB = 8 << 10
)

var schemeRule = regexp.MustCompile(`^([A-Za-z][A-Za-z0-9+.]*):`)

// parseDSN is the file that dsn names, as an absolute path.
func parseDSN(dsn string) (string, error) {
	const hint = "Name a file, such as /var/lib/fairlead/fairlead.db."
	path, scheme := dsn, ""
	if match := schemeRule.FindStringSubmatch(dsn); match != nil {
		scheme, path = strings.ToLower(match[1]), dsn[len(match[0]):]
	}
	switch {
	case scheme == "postgres" || scheme == "postgresql":
		return "", fault.InvalidField("database", "database_postgres", "this Fairlead keeps its state in SQLite and cannot use PostgreSQL yet").WithHint(hint)
	case scheme != "" && scheme != "sqlite":
		return "", fault.InvalidField("database", "database_unknown", "%.40q is no sort of database that Fairlead knows", scheme).WithHint(hint)
	case path == "":
		return "", fault.InvalidField("database", "blank", "says no file").WithHint(hint)
	case strings.HasPrefix(path, ":memory:"):
		return "", fault.InvalidField("database", "database_memory", "a database in memory would be lost with the process").WithHint(hint)
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		return "", fault.InvalidField("database", "path", "%.200q is no path", path).WithHint(hint).WithCause(err)
	}
	return absolute, nil
}

// claimFile sees to it that the file is there and nobody's but its owner's;
// SQLite gives the files beside it the same mode. The file is never opened when
// it was there: to close it would drop the locks that SQLite has in this
// process.
func claimFile(path string) error {
	refused := func(err error) error {
		return fault.New(fault.Invalid, "database_unreadable", "the database %q cannot be opened", path).
			WithHint("Name a file in a directory that is there and that this user may write to.").WithCause(err)
	}
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600) // the operator's own path
	if err == nil {
		err = file.Close()
	} else if errors.Is(err, fs.ErrExist) {
		err = os.Chmod(path, 0o600)
	}
	if err != nil {
		return refused(err)
	}
	if info, err := os.Stat(path); err != nil || !info.Mode().IsRegular() {
		return refused(err)
	}
	return nil
}

// openWrites opens the one connection that writes. SQLite has one writer at a
// time anyway, and a queue of our own is fair where its lock is not.
func openWrites(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileURL(path, writePragmas()))
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetMaxOpenConns(1)
	return db, nil
}

// openReads opens the connections that read. They are kept, since what is
// prepared on them goes with them.
func openReads(path string) (*sql.DB, error) {
	db, err := sql.Open("sqlite", fileURL(path, readPragmas()))
	if err != nil {
		return nil, fmt.Errorf("opening the database: %w", err)
	}
	db.SetMaxOpenConns(readersMost)
	db.SetMaxIdleConns(readersMost)
	return db, nil
}

// writePragmas are the settings of the connection that writes.
func writePragmas() []string {
	return append(commonPragmas(),
		"journal_mode(WAL)",                             // readers never wait for the writer, nor it for them
		"synchronous(FULL)",                             // a commit is flushed before it returns: what was acknowledged survives a power cut
		fmt.Sprintf("journal_size_limit(%d)", walBytes), // a burst of logs does not keep its disk for ever
		"foreign_keys(1)",                               // off by default, for the sake of old programs
	)
}

// readPragmas are the settings of the connections that read.
func readPragmas() []string {
	return append(commonPragmas(), "query_only(1)") // a write that goes past the writer is a mistake
}

func commonPragmas() []string {
	return []string{
		fmt.Sprintf("busy_timeout(%d)", busyTimeout.Milliseconds()), // another process may be writing or checkpointing
		fmt.Sprintf("cache_size(-%d)", cacheKiB),                    // negative: in KiB
		"temp_store(MEMORY)",                                        // sorting leaves nothing in /tmp
		"trusted_schema(0)",                                         // the file cannot make us call functions
	}
}

// trailGuards are the triggers that keep the rows of the audit trail as they
// were written: a row is hashed once, and goes only when it is below the floor,
// which moves to a row that is there. Whoever owns the file can drop them; Verify
// is for that.
var trailGuards = []string{
	`CREATE TRIGGER IF NOT EXISTS audit_events_append BEFORE INSERT ON audit_events
	WHEN NEW.id <= (SELECT head_id FROM audit_chain) OR length(NEW.hash) <> 32
	BEGIN SELECT RAISE(ABORT, 'the audit trail is written at its end only'); END`,
	`CREATE TRIGGER IF NOT EXISTS audit_events_keep BEFORE UPDATE ON audit_events
	WHEN length(OLD.hash) > 0 OR NEW.id <> OLD.id OR NEW.time <> OLD.time OR NEW.actor <> OLD.actor OR NEW.actor_id <> OLD.actor_id
		OR NEW.remote <> OLD.remote OR NEW.verb <> OLD.verb OR NEW.result <> OLD.result OR NEW.organization_id <> OLD.organization_id
		OR NEW.object_id <> OLD.object_id OR NEW.object_name <> OLD.object_name OR NEW.execution_id <> OLD.execution_id OR NEW.details <> OLD.details
	BEGIN SELECT RAISE(ABORT, 'a row of the audit trail is never changed'); END`,
	`CREATE TRIGGER IF NOT EXISTS audit_events_remove BEFORE DELETE ON audit_events
	WHEN OLD.id > (SELECT floor_id FROM audit_chain)
	BEGIN SELECT RAISE(ABORT, 'a row of the audit trail is removed only for its age'); END`,
	`CREATE TRIGGER IF NOT EXISTS audit_chain_forward BEFORE UPDATE ON audit_chain
	WHEN NEW.id <> OLD.id OR NEW.old_id <> OLD.old_id OR NEW.head_id < OLD.head_id OR NEW.floor_id < OLD.floor_id OR NEW.floor_id > NEW.head_id
		OR NEW.head_id = OLD.head_id AND NEW.head_hash <> OLD.head_hash
		OR NEW.floor_id = OLD.floor_id AND NEW.floor_hash <> OLD.floor_hash
		OR NEW.floor_id > OLD.floor_id AND NEW.floor_hash <> (SELECT hash FROM audit_events WHERE id = NEW.floor_id)
	BEGIN SELECT RAISE(ABORT, 'the chain of the audit trail goes forward only'); END`,
	`CREATE TRIGGER IF NOT EXISTS audit_chain_stay BEFORE DELETE ON audit_chain
	BEGIN SELECT RAISE(ABORT, 'the chain of the audit trail stays'); END`,
	`CREATE TRIGGER IF NOT EXISTS audit_chain_one BEFORE INSERT ON audit_chain
	BEGIN SELECT RAISE(ABORT, 'there is one chain of the audit trail'); END`,
}

// guardTrail sees to it that the triggers are there, also in a file that was put
// together from a dump of the tables.
func guardTrail(ctx context.Context, db *sql.DB) error {
	for _, text := range trailGuards {
		if _, err := db.ExecContext(ctx, text); err != nil {
			return fmt.Errorf("guarding the audit trail: %w", err)
		}
	}
	return nil
}

// fileURL is the driver's name of the file with those settings, whatever
// characters are in the path.
func fileURL(path string, pragmas []string) string {
	file := url.URL{Scheme: "file", Path: path, RawQuery: url.Values{"_pragma": pragmas}.Encode()}
	return file.String()
}
