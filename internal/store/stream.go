package store

import (
	"context"
	"database/sql"
	"errors"
)

// StreamPosition implements audit.Streams.
func (s *Store) StreamPosition(ctx context.Context, name string) (position int64, err error) {
	err = s.read(ctx, auditTrail, func(r runner) error {
		err := r.row(ctx, `SELECT position FROM audit_streams WHERE name = $1`, name).Scan(&position)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return position, err
}

// MoveStream implements audit.Streams.
func (s *Store) MoveStream(ctx context.Context, name string, position int64) error {
	return s.write(ctx, auditTrail, func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `
			INSERT INTO audit_streams (name, position) VALUES ($1, $2)
			ON CONFLICT (name) DO UPDATE SET position = excluded.position WHERE excluded.position > audit_streams.position`, name, position)
		return err
	})
}
