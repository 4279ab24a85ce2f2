package store

import (
	"context"
	"errors"
	"io/fs"
)

// errUndone undoes a change that was only a trial.
var errUndone = errors.New("undone")

// Answers reports whether the database can be read and changed: it makes a change
// and undoes it, so that nothing comes to the disk.
func (s *Store) Answers(ctx context.Context) error {
	var n int
	if err := s.read(ctx, database, func(r runner) error { return r.row(ctx, `SELECT count(*) FROM counters`).Scan(&n) }); err != nil {
		return err
	}
	err := s.writer.do(ctx, func(ctx context.Context, tx *Tx) error {
		if _, err := tx.exec(ctx, `UPDATE counters SET value = value`); err != nil {
			return err
		}
		return errUndone
	})
	if errors.Is(err, errUndone) {
		return nil
	}
	return toFault(err, database)
}

// Migrations is how many changes of the tables the database has, and how many this
// program knows.
func (s *Store) Migrations(ctx context.Context) (done, known int, err error) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return 0, 0, err
	}
	err = s.read(ctx, database, func(r runner) error {
		return r.row(ctx, `SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied`).Scan(&done)
	})
	return done, len(files), err
}
