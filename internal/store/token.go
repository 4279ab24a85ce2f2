package store

import (
	"context"
	"database/sql"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
)

// selectToken lists a token as scanToken reads it.
const selectToken = `SELECT id, name, COALESCE(user_id, ''), environment_id, cache, created_at, expires_at, last_used_at FROM tokens`

func scanToken(row scanner) (t account.Token, err error) {
	err = row.Scan(&t.ID, &t.Name, &t.UserID, &t.EnvironmentID, &t.Cache, instant{&t.CreatedAt}, instant{&t.ExpiresAt}, instant{&t.LastUsedAt})
	return t, err
}

// CreateToken implements account.TokenStore.
func (s *Store) CreateToken(ctx context.Context, token account.Token, hash string, event audit.Event) error {
	return s.write(ctx, tokenNoun.named(token.Name), func(ctx context.Context, tx *Tx) error {
		if err := insertToken(ctx, tx, token, hash); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

func insertToken(ctx context.Context, tx *Tx, token account.Token, hash string) error {
	position, err := nextPosition(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `
		INSERT INTO tokens (id, position, hash, name, user_id, environment_id, cache, created_at, expires_at, last_used_at)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
		token.ID, position, hash, token.Name, sql.NullString{String: token.UserID, Valid: token.UserID != ""},
		token.EnvironmentID, token.Cache, micros(token.CreatedAt), micros(token.ExpiresAt), micros(token.LastUsedAt))
	return err
}

// TokenByHash implements account.TokenStore.
func (s *Store) TokenByHash(ctx context.Context, hash string) (token account.Token, err error) {
	// The hash opens nothing, and still it is not for a log.
	err = s.read(ctx, tokenNoun.named("of that text"), func(r runner) error {
		token, err = scanToken(r.row(ctx, selectToken+` WHERE hash = $1`, hash))
		return err
	})
	return token, err
}

// Tokens implements account.TokenStore.
func (s *Store) Tokens(ctx context.Context, userID string) (tokens []account.Token, err error) {
	err = s.read(ctx, tokenNoun.named(userID), func(r runner) error {
		if userID == "" {
			rows, err := r.query(ctx, selectToken+` WHERE user_id IS NULL ORDER BY position DESC`)
			tokens, err = collect(rows, err, scanToken)
			return err
		}
		rows, err := r.query(ctx, selectToken+` WHERE user_id = $1 ORDER BY position DESC`, userID)
		tokens, err = collect(rows, err, scanToken)
		return err
	})
	return tokens, err
}

// DeleteToken implements account.TokenStore.
func (s *Store) DeleteToken(ctx context.Context, id string, event audit.Event) error {
	return s.write(ctx, tokenNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM tokens WHERE id = $1`, id); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// TouchToken implements account.TokenStore.
func (s *Store) TouchToken(ctx context.Context, id string, at time.Time) error {
	return s.write(ctx, tokenNoun.named(id), func(ctx context.Context, tx *Tx) error {
		return tx.must(ctx, `UPDATE tokens SET last_used_at = $1 WHERE id = $2`, micros(at), id)
	})
}
