package store

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
)

// TOTP implements account.TOTPStore.
func (s *Store) TOTP(ctx context.Context, userID string) (t account.TOTP, err error) {
	err = s.read(ctx, totpNoun.named(userID), func(r runner) error {
		return r.row(ctx, `
			SELECT id, user_id, key_id, sealed, created_at, confirmed_at, last_step,
				(SELECT count(*) FROM recovery_codes WHERE recovery_codes.user_id = totp.user_id)
			FROM totp WHERE user_id = $1`, userID).
			Scan(&t.ID, &t.UserID, &t.Sealed.KeyID, &t.Sealed.Bytes, instant{&t.CreatedAt}, instant{&t.ConfirmedAt}, &t.LastStep, &t.RecoveryCodes)
	})
	return t, err
}

// BeginTOTP implements account.TOTPStore.
func (s *Store) BeginTOTP(ctx context.Context, t account.TOTP, event audit.Event) error {
	return s.write(ctx, totpNoun.named(t.UserID), func(ctx context.Context, tx *Tx) error {
		var on bool
		if err := tx.row(ctx, `SELECT EXISTS (SELECT 1 FROM totp WHERE user_id = $1 AND confirmed_at <> 0)`, t.UserID).Scan(&on); err != nil {
			return err
		}
		if on {
			return account.ErrTOTPOn()
		}
		if _, err := tx.exec(ctx, `DELETE FROM totp WHERE user_id = $1`, t.UserID); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `
			INSERT INTO totp (user_id, id, key_id, sealed, created_at, confirmed_at, last_step) VALUES ($1, $2, $3, $4, $5, 0, 0)`,
			t.UserID, t.ID, int64(t.Sealed.KeyID), t.Sealed.Bytes, micros(t.CreatedAt))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// ConfirmTOTP implements account.TOTPStore.
func (s *Store) ConfirmTOTP(ctx context.Context, t account.TOTP, recoveryHashes []string, event audit.Event) error {
	return s.write(ctx, totpNoun.named(t.UserID), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `UPDATE totp SET confirmed_at = $1, last_step = $2 WHERE user_id = $3 AND id = $4 AND confirmed_at = 0`,
			micros(t.ConfirmedAt), t.LastStep, t.UserID, t.ID)
		if err != nil {
			return err
		}
		for _, hash := range recoveryHashes {
			if _, err := tx.exec(ctx, `INSERT INTO recovery_codes (user_id, hash) VALUES ($1, $2)`, t.UserID, hash); err != nil {
				return err
			}
		}
		return insertEvents(ctx, tx, event)
	})
}

// UseTOTPStep implements account.TOTPStore.
func (s *Store) UseTOTPStep(ctx context.Context, place account.TOTPPlace, step int64) error {
	return s.write(ctx, totpNoun.named(place.UserID), func(ctx context.Context, tx *Tx) error {
		return tx.must(ctx, `UPDATE totp SET last_step = $1 WHERE user_id = $2 AND id = $3 AND last_step < $1`, step, place.UserID, place.ID)
	})
}

// UseRecoveryCode implements account.TOTPStore.
func (s *Store) UseRecoveryCode(ctx context.Context, userID, hash string, event audit.Event) error {
	return s.write(ctx, totpNoun.named(userID), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM recovery_codes WHERE user_id = $1 AND hash = $2`, userID, hash); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// DeleteTOTP implements account.TOTPStore.
func (s *Store) DeleteTOTP(ctx context.Context, userID string, event audit.Event) error {
	return s.write(ctx, totpNoun.named(userID), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM totp WHERE user_id = $1`, userID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// TOTPKeysBefore implements account.TOTPStore.
func (s *Store) TOTPKeysBefore(ctx context.Context, keyID uint32, limit int) (kept []account.KeptTOTP, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `SELECT user_id, id, key_id, sealed FROM totp WHERE key_id <> $1 LIMIT $2`, int64(keyID), max(limit, 0))
		kept, err = collect(rows, err, func(row scanner) (k account.KeptTOTP, err error) {
			err = row.Scan(&k.Place.UserID, &k.Place.ID, &k.Sealed.KeyID, &k.Sealed.Bytes)
			return k, err
		})
		return err
	})
	return kept, err
}

// ResealTOTP implements account.TOTPStore.
func (s *Store) ResealTOTP(ctx context.Context, place account.TOTPPlace, old, fresh account.Sealed) (replaced bool, err error) {
	err = s.write(ctx, totpNoun.named(place.UserID), func(ctx context.Context, tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE totp SET key_id = $1, sealed = $2 WHERE user_id = $3 AND id = $4 AND key_id = $5 AND sealed = $6`,
			int64(fresh.KeyID), fresh.Bytes, place.UserID, place.ID, int64(old.KeyID), old.Bytes)
		replaced = n > 0
		return err
	})
	return replaced && err == nil, err
}
