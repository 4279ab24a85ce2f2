package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
)

// selectSession lists a session as scanSession reads it.
const selectSession = `SELECT id, user_id, agent, remote, created_at, last_used_at, expires_at FROM sessions`

func scanSession(row scanner) (s account.Session, err error) {
	err = row.Scan(&s.ID, &s.UserID, &s.Agent, &s.Remote, instant{&s.CreatedAt}, instant{&s.LastUsedAt}, instant{&s.ExpiresAt})
	return s, err
}

// CreateSession implements account.SessionStore.
func (s *Store) CreateSession(ctx context.Context, session account.Session, hash string, idleSince time.Time, event audit.Event) error {
	return s.write(ctx, sessionNoun.named(session.ID), func(ctx context.Context, tx *Tx) error {
		if err := insertSession(ctx, tx, session, hash, idleSince); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// insertSession stores the session, forgets those whose time is over, and leaves
// the user as many as they may have.
func insertSession(ctx context.Context, tx *Tx, session account.Session, hash string, idleSince time.Time) error {
	position, err := nextPosition(ctx, tx)
	if err != nil {
		return err
	}
	if _, err := tx.exec(ctx, `DELETE FROM sessions WHERE expires_at <= $1 OR last_used_at <= $2`,
		micros(session.CreatedAt), micros(idleSince)); err != nil {
		return err
	}
	_, err = tx.exec(ctx, `
		INSERT INTO sessions (id, position, hash, user_id, agent, remote, created_at, last_used_at, expires_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
		session.ID, position, hash, session.UserID, session.Agent, session.Remote,
		micros(session.CreatedAt), micros(session.LastUsedAt), micros(session.ExpiresAt))
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `
		DELETE FROM sessions WHERE user_id = $1 AND id NOT IN (
			SELECT id FROM sessions WHERE user_id = $1 ORDER BY last_used_at DESC, position DESC LIMIT $2)`,
		session.UserID, account.SessionsMost)
	return err
}

// SessionByHash implements account.SessionStore.
func (s *Store) SessionByHash(ctx context.Context, hash string) (session account.Session, err error) {
	err = s.read(ctx, sessionNoun.named("of that text"), func(r runner) error {
		session, err = scanSession(r.row(ctx, selectSession+` WHERE hash = $1`, hash))
		return err
	})
	return session, err
}

// Sessions implements account.SessionStore.
func (s *Store) Sessions(ctx context.Context, userID string) (sessions []account.Session, err error) {
	err = s.read(ctx, sessionNoun.named(userID), func(r runner) error {
		rows, err := r.query(ctx, selectSession+` WHERE user_id = $1 ORDER BY last_used_at DESC, position DESC`, userID)
		sessions, err = collect(rows, err, scanSession)
		return err
	})
	return sessions, err
}

// TouchSession implements account.SessionStore.
func (s *Store) TouchSession(ctx context.Context, id string, at time.Time, remote string) error {
	return s.write(ctx, sessionNoun.named(id), func(ctx context.Context, tx *Tx) error {
		return tx.must(ctx, `UPDATE sessions SET last_used_at = $1, remote = $2 WHERE id = $3`, micros(at), remote, id)
	})
}

// DeleteSession implements account.SessionStore.
func (s *Store) DeleteSession(ctx context.Context, userID, id string, event audit.Event) error {
	return s.write(ctx, sessionNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM sessions WHERE id = $1 AND user_id = $2`, id, userID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// DeleteOtherSessions implements account.SessionStore.
func (s *Store) DeleteOtherSessions(ctx context.Context, userID, keep string, event audit.Event) error {
	return s.write(ctx, sessionNoun.named(userID), func(ctx context.Context, tx *Tx) error {
		if err := deleteSessions(ctx, tx, userID, keep); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// SetPasswordAndEndSessions implements account.SessionStore.
func (s *Store) SetPasswordAndEndSessions(ctx context.Context, userID, passwordHash, keep string, event audit.Event) error {
	return s.write(ctx, userNoun.named(userID), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `UPDATE users SET password_hash = $1 WHERE id = $2`, passwordHash, userID); err != nil {
			return err
		}
		if err := deleteSessions(ctx, tx, userID, keep); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// deleteSessions ends all of a user's sessions but the one of the id keep.
func deleteSessions(ctx context.Context, tx *Tx, userID, keep string) error {
	_, err := tx.exec(ctx, `DELETE FROM sessions WHERE user_id = $1 AND id <> $2`, userID, keep)
	return err
}
