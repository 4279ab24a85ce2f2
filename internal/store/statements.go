package store

import (
	"context"
	"database/sql"
	"errors"
	"strconv"
	"strings"
	"sync"
)

// runner runs statements that change nothing: a Tx, a snapshot, or the readers.
type runner interface {
	query(ctx context.Context, text string, args ...any) (*sql.Rows, error)
	row(ctx context.Context, text string, args ...any) scanner
}

// scanner is one row of a result.
type scanner interface{ Scan(into ...any) error }

// statements prepares each text once. The texts are constants: what is put
// together at run time goes through a snapshot. Safe for concurrent use.
type statements struct {
	on interface {
		PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
	}

	mu     sync.RWMutex
	byText map[string]*sql.Stmt
}

func newStatements(on interface {
	PrepareContext(ctx context.Context, text string) (*sql.Stmt, error)
},
) *statements {
	return &statements{on: on, byText: make(map[string]*sql.Stmt)}
}

func (s *statements) prepared(ctx context.Context, text string) (*sql.Stmt, error) {
	s.mu.RLock()
	statement := s.byText[text]
	s.mu.RUnlock()
	if statement != nil {
		return statement, nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if statement := s.byText[text]; statement != nil {
		return statement, nil
	}
	// Not broken off with the asker: the next one uses it too.
	statement, err := s.on.PrepareContext(context.WithoutCancel(ctx), text)
	if err != nil {
		return nil, err
	}
	s.byText[text] = statement
	return statement, nil
}

func (s *statements) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	statement, err := s.prepared(ctx, text)
	if err != nil {
		return nil, err
	}
	return statement.QueryContext(ctx, args...)
}

func (s *statements) row(ctx context.Context, text string, args ...any) scanner {
	statement, err := s.prepared(ctx, text)
	if err != nil {
		return failedRow{err}
	}
	return statement.QueryRowContext(ctx, args...)
}

func (s *statements) close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var errs []error
	for _, statement := range s.byText {
		errs = append(errs, statement.Close())
	}
	clear(s.byText)
	return errors.Join(errs...)
}

// failedRow is the row of a statement that could not be prepared.
type failedRow struct{ err error }

func (r failedRow) Scan(...any) error { return r.err }

// snapshot is one state of the database.
type snapshot struct{ tx *sql.Tx }

func (s snapshot) query(ctx context.Context, text string, args ...any) (*sql.Rows, error) {
	return s.tx.QueryContext(ctx, text, args...)
}

func (s snapshot) row(ctx context.Context, text string, args ...any) scanner {
	return s.tx.QueryRowContext(ctx, text, args...)
}

// collect reads all rows with scan.
func collect[T any](rows *sql.Rows, err error, scan func(row scanner) (T, error)) ([]T, error) {
	if err != nil {
		return nil, err
	}
	defer func() { _ = rows.Close() }() // its error is rows.Err
	var all []T
	for rows.Next() {
		one, err := scan(rows)
		if err != nil {
			return nil, err
		}
		all = append(all, one)
	}
	return all, rows.Err()
}

// conditions put together the WHERE of a list: one condition after the other,
// with its arguments.
type conditions struct {
	texts []string
	args  []any
}

// arg adds an argument and returns its placeholder.
func (c *conditions) arg(value any) string {
	c.args = append(c.args, value)
	return "$" + strconv.Itoa(len(c.args))
}

// in is `column IN (…)`; of no values it is never true.
func in[T any](c *conditions, column string, values []T) string {
	if len(values) == 0 {
		return "1 = 0"
	}
	places := make([]string, len(values))
	for i, value := range values {
		places[i] = c.arg(value)
	}
	return column + " IN (" + strings.Join(places, ", ") + ")"
}

func (c *conditions) add(text string) { c.texts = append(c.texts, text) }

// where is all of them, which must hold together.
func (c *conditions) where() string { return " WHERE " + strings.Join(c.texts, " AND ") }

// page adds the arguments of a part of the list.
func (c *conditions) page(limit, offset int) string {
	return " LIMIT " + c.arg(max(limit, 0)) + " OFFSET " + c.arg(max(offset, 0))
}
