package store

import (
	"context"
	"fmt"

	"fairlead.dev/fairlead/internal/execution"
)

// AppendLog implements execution.LogStore.
func (s *Store) AppendLog(ctx context.Context, leaseID string, batch int64, lines []execution.Line, metadata ...execution.Metadatum) error {
	added, err := s.newLines(lines)
	if err != nil {
		return err
	}
	return s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		var id string
		var stored int64
		err := tx.row(ctx, `SELECT id, batch FROM executions WHERE lease_id = $1 AND lease_id <> ''`, leaseID).Scan(&id, &stored)
		if err != nil || batch <= stored {
			return err
		}
		if err := s.appendLines(ctx, tx, id, added); err != nil {
			return err
		}
		if err := appendMetadata(ctx, tx, id, metadata); err != nil {
			return err
		}
		return tx.must(ctx, `UPDATE executions SET batch = $1 WHERE id = $2`, batch, id)
	})
}

// newLines are lines to append, made ready before the transaction, as if they
// came after no other. Most often they can be stored just so.
type newLines struct {
	lines  []execution.Line
	chunks []chunk
	first  int64 // the time of the first
}

func (s *Store) newLines(lines []execution.Line) (newLines, error) {
	chunks, first, err := s.codec.chunks(lines, 0)
	return newLines{lines: lines, chunks: chunks, first: first}, err
}

// appendLines appends the lines to the execution's log.
func (s *Store) appendLines(ctx context.Context, tx *Tx, executionID string, added newLines) error {
	if len(added.lines) == 0 {
		return nil
	}
	var stored, last int64
	err := tx.row(ctx, `SELECT log_lines, log_time FROM executions WHERE id = $1`, executionID).Scan(&stored, &last)
	if err != nil {
		return err
	}
	if added.first <= last {
		if added.chunks, _, err = s.codec.chunks(added.lines, last); err != nil {
			return err
		}
	}
	for _, c := range added.chunks {
		_, err := tx.exec(ctx, `INSERT INTO log_chunks (execution_id, first, lines, body) VALUES ($1, $2, $3, $4)`,
			executionID, stored+1, c.lines, c.body)
		if err != nil {
			return err
		}
		stored, last = stored+int64(c.lines), c.last
	}
	return tx.must(ctx, `UPDATE executions SET log_lines = $1, log_time = $2 WHERE id = $3`, stored, last, executionID)
}

// ReadLog implements execution.LogStore.
func (s *Store) ReadLog(ctx context.Context, executionID string, after int64, limit int) (lines []execution.Line, err error) {
	after = max(after, 0)
	err = s.read(ctx, executionNoun.named(executionID), func(r runner) error {
		var total int64
		if err := r.row(ctx, `SELECT log_lines FROM executions WHERE id = $1`, executionID).Scan(&total); err != nil {
			return err
		}
		if after >= total || limit <= 0 {
			return nil
		}
		// The chunk that holds the line after `after` is found by its first
		// line; what comes before it is never looked at.
		rows, err := r.query(ctx, `
			SELECT first, body FROM log_chunks
			WHERE execution_id = $1
				AND first >= (SELECT max(first) FROM log_chunks WHERE execution_id = $1 AND first <= $2)
			ORDER BY first`, executionID, after+1)
		if err != nil {
			return err
		}
		defer func() { _ = rows.Close() }() // its error is rows.Err
		for len(lines) < limit && rows.Next() {
			var first int64
			var body []byte
			if err := rows.Scan(&first, &body); err != nil {
				return err
			}
			if lines, err = s.codec.unpack(lines, body, first, after, limit); err != nil {
				return fmt.Errorf("from line %d on: %w", first, err)
			}
		}
		return rows.Err()
	})
	return lines, err
}

// LogLength implements execution.LogStore.
func (s *Store) LogLength(ctx context.Context, executionID string) (length int64, err error) {
	err = s.read(ctx, executionNoun.named(executionID), func(r runner) error {
		return r.row(ctx, `SELECT log_lines FROM executions WHERE id = $1`, executionID).Scan(&length)
	})
	return length, err
}
