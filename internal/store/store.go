// Package store keeps everything in a database: users, credentials,
// executions, logs and the audit trail. It implements the Store interfaces of
// account, registry, execution, notice and audit, and decides nothing by itself.
//
// Statements are written by hand, one file for each noun, in the SQL that
// SQLite and PostgreSQL share; what differs between the two is in sqlite.go.
// Every change is made by Store.write, which groups what comes at the same
// time into one transaction, so that many callers wait for one flush of the
// disk. Reads go past it and see what was last committed.
package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"

	"github.com/pressly/goose/v3"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/registry"
)

// Store is an open database. Make it with Open and Close it; safe for
// concurrent use. What a method that changes something has returned from
// without an error is on the disk.
//
// A read that is given up with its context is broken off. A change is given up
// only before it began; then it is carried through, and its result returned.
type Store struct {
	writes *sql.DB // one connection, which writer holds
	reads  *sql.DB
	writer *writer
	texts  *statements // prepared on reads
	codec  *codec
}

var (
	_ account.Store   = (*Store)(nil)
	_ registry.Store  = (*Store)(nil)
	_ execution.Store = (*Store)(nil)
	_ audit.Store     = (*Store)(nil)
	_ notice.Store    = (*Store)(nil)
)

// Open opens the database that dsn names and brings its tables up to date; a
// file that is not there is made. dsn is the path of a SQLite file, with or
// without `sqlite:` before it. Several processes may open the same file.
func Open(ctx context.Context, dsn string) (_ *Store, err error) {
	path, err := parseDSN(dsn)
	if err != nil {
		return nil, err
	}
	if err := claimFile(path); err != nil {
		return nil, err
	}
	s := new(Store)
	defer func() {
		if err != nil {
			err = errors.Join(toFault(err, database), s.Close())
		}
	}()
	if s.codec, err = newCodec(); err != nil {
		return nil, err
	}
	if s.writes, err = openWrites(path); err != nil {
		return nil, err
	}
	if err := migrate(ctx, s.writes, path); err != nil {
		return nil, err
	}
	if s.writer, err = startWriter(ctx, s.writes); err != nil {
		return nil, err
	}
	if s.reads, err = openReads(path); err != nil {
		return nil, err
	}
	s.texts = newStatements(s.reads)
	return s, s.chainOld(ctx)
}

// Close waits for the changes under way and closes the database. Whatever is
// called afterwards is refused as Unavailable. It may be called again.
func (s *Store) Close() error {
	var errs []error
	if s.writer != nil {
		errs = append(errs, s.writer.stop())
	}
	if s.texts != nil {
		errs = append(errs, s.texts.close())
	}
	for _, db := range []*sql.DB{s.reads, s.writes} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing the database: %w", err)
	}
	return nil
}

//go:embed migrations/*.sql
var migrations embed.FS

// migrate brings the tables up to date, and refuses those of a later Fairlead.
func migrate(ctx context.Context, db *sql.DB, path string) error {
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return err
	}
	provider, err := goose.NewProvider(goose.DialectSQLite3, db, files,
		goose.WithDisableGlobalRegistry(true), goose.WithLogger(goose.NopLogger()))
	if err != nil {
		return err
	}
	current, known, err := provider.GetVersions(ctx)
	if err != nil {
		return err
	}
	if current > known {
		return fault.New(fault.Invalid, "database_newer", "the database %q was changed by a later Fairlead than this one", path).
			WithHint("Start the later one, or put back the copy of the database from before the upgrade.")
	}
	if _, err = provider.Up(ctx); err != nil {
		return err
	}
	return guardTrail(ctx, db)
}

// read runs fn with the readers.
func (s *Store) read(ctx context.Context, about thing, fn func(r runner) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	return s.outcome(fn(s.texts), about)
}

// snapshot runs fn with one state of the database, for what takes several
// statements.
func (s *Store) snapshot(ctx context.Context, about thing, fn func(r runner) error) error {
	err := func() error {
		tx, err := s.reads.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer func() { _ = tx.Rollback() }() // nothing was written
		return fn(snapshot{tx})
	}()
	return s.outcome(err, about)
}

// outcome is toFault, for a read that Close may have overtaken.
func (s *Store) outcome(err error, about thing) error {
	if _, is := errors.AsType[*fault.Error](err); err != nil && !is && s.writer.isStopped() {
		return errClosed
	}
	return toFault(err, about)
}

// write runs fn as one transaction and returns when it is durable. fn is called
// from another goroutine, once, and not at all if ctx ends before.
func (s *Store) write(ctx context.Context, about thing, fn func(ctx context.Context, tx *Tx) error) error {
	return toFault(s.writer.do(ctx, fn), about)
}

// nextPosition is the place of a new row in the order of all.
func nextPosition(ctx context.Context, tx *Tx) (int64, error) { return advance(ctx, tx, "position", 1) }

// advance moves a counter on by n and returns where it was moved to.
func advance(ctx context.Context, tx *Tx, counter string, n int) (value int64, err error) {
	err = tx.row(ctx, `UPDATE counters SET value = value + $1 WHERE name = $2 RETURNING value`, n, counter).Scan(&value)
	return value, err
}
