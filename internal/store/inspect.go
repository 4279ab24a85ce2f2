package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"fairlead.dev/fairlead/internal/fault"
)

// Inspection is what a look at a database's file says, without changing it.
type Inspection struct {
	Path string
	Done int // changes of its tables
	All  int // that this program knows

	Corrupt string // what SQLite finds wrong; "": nothing

	Bytes, WALBytes int64
}

// Inspect looks at a database that a server may have open. It makes no file; one that
// is not there is a NotFound fault.
func Inspect(ctx context.Context, dsn string) (i Inspection, err error) {
	if i.Path, err = parseDSN(dsn); err != nil {
		return i, err
	}
	info, err := os.Stat(i.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return i, fault.New(fault.NotFound, "database_missing", "there is no database %q", i.Path).WithHint("It is made on the first start; put it back from a backup if there was one.")
	}
	unreadable := func(err error) error {
		return fault.New(fault.Unavailable, "database_unreadable", "the database %q cannot be read", i.Path).
			WithHint("Run as the user that owns it, and look whether its disk is well.").WithCause(err)
	}
	if err != nil {
		return i, unreadable(err)
	}
	i.Bytes = info.Size()
	if info, err := os.Stat(i.Path + "-wal"); err == nil {
		i.WALBytes = info.Size()
	}
	db, err := sql.Open("sqlite", fileURL(i.Path, readPragmas())+"&mode=ro")
	if err != nil {
		return i, unreadable(err)
	}
	defer func() { _ = db.Close() }() // only read
	if err := db.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&i.Corrupt); err != nil {
		return i, unreadable(err)
	}
	if i.Corrupt == "ok" {
		i.Corrupt = ""
	}
	if err := db.QueryRowContext(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&i.Done); err != nil {
		return i, unreadable(fmt.Errorf("reading the version of the tables: %w", err))
	}
	files, err := fs.Glob(migrations, "migrations/*.sql")
	i.All = len(files)
	return i, err
}
