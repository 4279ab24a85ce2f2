package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
)

// selectIdentity lists an identity as scanIdentity reads it.
const selectIdentity = `SELECT issuer, subject, user_id, username, email, created_at, last_used_at FROM external_identities`

func scanIdentity(row scanner) (i account.Identity, err error) {
	err = row.Scan(&i.Issuer, &i.Subject, &i.UserID, &i.Username, &i.Email, instant{&i.CreatedAt}, instant{&i.LastUsedAt})
	return i, err
}

// Identity implements account.ExternalStore.
func (s *Store) Identity(ctx context.Context, issuer, subject string) (identity account.Identity, err error) {
	err = s.read(ctx, identityNoun.named(subject), func(r runner) error {
		identity, err = scanIdentity(r.row(ctx, selectIdentity+` WHERE issuer = $1 AND subject = $2`, issuer, subject))
		return err
	})
	return identity, err
}

// Identities implements account.ExternalStore.
func (s *Store) Identities(ctx context.Context, userID string) (identities []account.Identity, err error) {
	err = s.read(ctx, userNoun.named(userID), func(r runner) error {
		rows, err := r.query(ctx, selectIdentity+` WHERE user_id = $1 ORDER BY position`, userID)
		identities, err = collect(rows, err, scanIdentity)
		return err
	})
	return identities, err
}

// CreateExternalUser implements account.ExternalStore.
func (s *Store) CreateExternalUser(ctx context.Context, user account.User, identity account.Identity, event audit.Event) error {
	return s.write(ctx, userNoun.named(user.Username), func(ctx context.Context, tx *Tx) error {
		if err := insertUser(ctx, tx, user, ""); err != nil {
			return err
		}
		if err := insertIdentity(ctx, tx, identity); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// LinkIdentity implements account.ExternalStore.
func (s *Store) LinkIdentity(ctx context.Context, identity account.Identity, event audit.Event) error {
	return s.write(ctx, identityNoun.named(identity.Subject), func(ctx context.Context, tx *Tx) error {
		if err := insertIdentity(ctx, tx, identity); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

func insertIdentity(ctx context.Context, tx *Tx, i account.Identity) error {
	position, err := nextPosition(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `
		INSERT INTO external_identities (issuer, subject, position, user_id, username, email, created_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
		i.Issuer, i.Subject, position, i.UserID, i.Username, i.Email, micros(i.CreatedAt), micros(i.LastUsedAt))
	return err
}

// UnlinkIdentity implements account.ExternalStore.
func (s *Store) UnlinkIdentity(ctx context.Context, userID, issuer, subject string, event audit.Event) error {
	return s.write(ctx, identityNoun.named(subject), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM external_identities WHERE issuer = $1 AND subject = $2 AND user_id = $3`, issuer, subject, userID); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `
			DELETE FROM sessions WHERE user_id = $1 AND id IN (SELECT session_id FROM external_sessions WHERE issuer = $2 AND subject = $3)`,
			userID, issuer, subject)
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// CreateExternalSession implements account.ExternalStore.
func (s *Store) CreateExternalSession(ctx context.Context, session account.Session, hash string, idleSince time.Time, external account.ExternalSession,
	identity account.Identity, event audit.Event,
) error {
	return s.write(ctx, sessionNoun.named(session.ID), func(ctx context.Context, tx *Tx) error {
		if err := insertSession(ctx, tx, session, hash, idleSince); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `
			INSERT INTO external_sessions (session_id, issuer, subject, sid, version, key_id, sealed, refresh_at, away_since)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			session.ID, external.Issuer, external.Subject, external.SID, external.Version, int64(external.Sealed.KeyID), refreshSeal(external.Sealed),
			micros(external.RefreshAt), micros(external.AwaySince))
		if err != nil {
			return err
		}
		err = tx.must(ctx, `
			UPDATE external_identities SET username = $1, email = $2, last_used_at = $3 WHERE issuer = $4 AND subject = $5 AND user_id = $6`,
			identity.Username, identity.Email, micros(session.CreatedAt), identity.Issuer, identity.Subject, session.UserID)
		if err != nil { // it was unlinked in between
			return toFault(err, identityNoun.named(identity.Subject))
		}
		return insertEvents(ctx, tx, event)
	})
}

// refreshSeal is what was sealed, which is not null where nothing was.
func refreshSeal(sealed account.SealedRefresh) []byte {
	if sealed.Bytes == nil {
		return []byte{}
	}
	return sealed.Bytes
}

// selectExternal lists an external session as scanExternal reads it.
const selectExternal = `
	SELECT x.session_id, s.user_id, u.username, x.issuer, x.subject, x.sid, x.version, x.key_id, x.sealed, x.refresh_at, x.away_since
	FROM external_sessions x JOIN sessions s ON s.id = x.session_id JOIN users u ON u.id = s.user_id`

func scanExternal(row scanner) (x account.ExternalSession, err error) {
	err = row.Scan(&x.SessionID, &x.UserID, &x.Username, &x.Issuer, &x.Subject, &x.SID, &x.Version, &x.Sealed.KeyID, &x.Sealed.Bytes,
		instant{&x.RefreshAt}, instant{&x.AwaySince})
	return x, err
}

// ExternalSessions implements account.ExternalStore.
func (s *Store) ExternalSessions(ctx context.Context, issuer, subject, sid string) (sessions []account.ExternalSession, err error) {
	err = s.read(ctx, sessionNoun.named(subject), func(r runner) error {
		text, args := selectExternal+` WHERE x.issuer = $1 AND x.subject = $2 ORDER BY s.position`, []any{issuer, subject}
		if subject == "" {
			text, args = selectExternal+` WHERE x.issuer = $1 AND x.sid = $2 AND x.sid <> '' ORDER BY s.position`, []any{issuer, sid}
		}
		rows, err := r.query(ctx, text, args...)
		sessions, err = collect(rows, err, scanExternal)
		return err
	})
	return sessions, err
}

// ExternalSessionsOfOthers implements account.ExternalStore.
func (s *Store) ExternalSessionsOfOthers(ctx context.Context, issuer string) (sessions []account.ExternalSession, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectExternal+` WHERE x.issuer <> $1 ORDER BY s.position`, issuer)
		sessions, err = collect(rows, err, scanExternal)
		return err
	})
	return sessions, err
}

// DueExternalSessions implements account.ExternalStore.
func (s *Store) DueExternalSessions(ctx context.Context, now time.Time, limit int) (sessions []account.ExternalSession, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectExternal+` WHERE x.refresh_at <> 0 AND x.refresh_at <= $1 ORDER BY x.refresh_at LIMIT $2`, micros(now), max(limit, 0))
		sessions, err = collect(rows, err, scanExternal)
		return err
	})
	return sessions, err
}

// AttemptRefresh implements account.ExternalStore.
func (s *Store) AttemptRefresh(ctx context.Context, sessionID string, due, again time.Time) (session account.ExternalSession, mine bool, err error) {
	err = s.write(ctx, sessionNoun.named(sessionID), func(ctx context.Context, tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE external_sessions SET refresh_at = $1 WHERE session_id = $2 AND refresh_at = $3`, micros(again), sessionID, micros(due))
		if err != nil || n == 0 {
			return err
		}
		mine = true
		session, err = scanExternal(tx.row(ctx, selectExternal+` WHERE x.session_id = $1`, sessionID))
		return err
	})
	return session, mine && err == nil, err
}

// ConcludeRefresh implements account.ExternalStore. Between two tokens, what is
// sealed may have been sealed anew.
func (s *Store) ConcludeRefresh(ctx context.Context, x account.ExternalSession) error {
	return s.write(ctx, sessionNoun.named(x.SessionID), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `UPDATE external_sessions SET refresh_at = $1, away_since = $2 WHERE session_id = $3`,
			micros(x.RefreshAt), micros(x.AwaySince), x.SessionID)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `UPDATE external_sessions SET version = $1, key_id = $2, sealed = $3 WHERE session_id = $4 AND version < $1`,
			x.Version, int64(x.Sealed.KeyID), refreshSeal(x.Sealed), x.SessionID)
		return err
	})
}

// RefreshSecretsBefore implements account.ExternalStore.
func (s *Store) RefreshSecretsBefore(ctx context.Context, keyID uint32, limit int) (kept []account.KeptRefresh, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `SELECT session_id, version, key_id, sealed FROM external_sessions WHERE length(sealed) > 0 AND key_id <> $1 LIMIT $2`,
			int64(keyID), max(limit, 0))
		kept, err = collect(rows, err, func(row scanner) (k account.KeptRefresh, err error) {
			err = row.Scan(&k.Place.SessionID, &k.Place.Version, &k.Sealed.KeyID, &k.Sealed.Bytes)
			return k, err
		})
		return err
	})
	return kept, err
}

// ResealRefreshSecret implements account.ExternalStore.
func (s *Store) ResealRefreshSecret(ctx context.Context, place account.RefreshPlace, old, fresh account.SealedRefresh) (replaced bool, err error) {
	err = s.write(ctx, sessionNoun.named(place.SessionID), func(ctx context.Context, tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE external_sessions SET key_id = $1, sealed = $2 WHERE session_id = $3 AND version = $4 AND key_id = $5 AND sealed = $6`,
			int64(fresh.KeyID), fresh.Bytes, place.SessionID, place.Version, int64(old.KeyID), old.Bytes)
		replaced = n > 0
		return err
	})
	return replaced && err == nil, err
}
