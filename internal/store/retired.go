package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/registry"
)

// selectRetired lists a replaced secret as scanRetired reads it.
const selectRetired = `SELECT credential_id, version, config, key_id, sealed, until, at_registry FROM retired_secrets`

func scanRetired(row scanner) (r registry.Retired, err error) {
	err = row.Scan(&r.CredentialID, &r.Version, fromDocument{&r.Config}, &r.Sealed.KeyID, &r.Sealed.Bytes, instant{&r.Until}, &r.AtRegistry)
	return r, err
}

// RotateCredential implements registry.Store.
func (s *Store) RotateCredential(ctx context.Context, credential registry.Credential, retired registry.Retired, event audit.Event) error {
	config, err := document(retired.Config)
	if err != nil {
		return err
	}
	return s.write(ctx, credentialNoun.named(credential.Name), func(ctx context.Context, tx *Tx) error {
		if err := updateCredential(ctx, tx, credential, retired.Version); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `
			INSERT INTO retired_secrets (credential_id, version, config, key_id, sealed, until, at_registry)
			VALUES ($1, $2, $3, $4, $5, $6, $7)`,
			credential.ID, retired.Version, config, int64(retired.Sealed.KeyID), retired.Sealed.Bytes, micros(retired.Until), retired.AtRegistry)
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// Retired implements registry.Store.
func (s *Store) Retired(ctx context.Context, credentialID string) (all []registry.Retired, err error) {
	err = s.read(ctx, credentialNoun.named(credentialID), func(r runner) error {
		rows, err := r.query(ctx, selectRetired+` WHERE credential_id = $1 ORDER BY version DESC`, credentialID)
		all, err = collect(rows, err, scanRetired)
		return err
	})
	return all, err
}

// DueRetired implements registry.Store.
func (s *Store) DueRetired(ctx context.Context, now time.Time, limit int) (due []registry.Retired, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectRetired+` WHERE until <= $1 ORDER BY until LIMIT $2`, micros(now), max(limit, 0))
		due, err = collect(rows, err, scanRetired)
		return err
	})
	return due, err
}

// PostponeRetired implements registry.Store.
func (s *Store) PostponeRetired(ctx context.Context, credentialID string, version int, until time.Time) error {
	return s.write(ctx, credentialNoun.named(credentialID), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE retired_secrets SET until = $1 WHERE credential_id = $2 AND version = $3`, micros(until), credentialID, version)
		return err
	})
}

// ForgetRetired implements registry.Store.
func (s *Store) ForgetRetired(ctx context.Context, credentialID string, version int, event audit.Event) error {
	return s.write(ctx, credentialNoun.named(credentialID), func(ctx context.Context, tx *Tx) error {
		gone, err := tx.exec(ctx, `DELETE FROM retired_secrets WHERE credential_id = $1 AND version = $2`, credentialID, version)
		if err != nil || gone == 0 {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// SealedBefore implements registry.Store.
func (s *Store) SealedBefore(ctx context.Context, keyID uint32, limit int) (kept []registry.Kept, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT organization_id, id, version, key_id, sealed FROM credentials WHERE key_id <> $1
			UNION ALL
			SELECT c.organization_id, r.credential_id, r.version, r.key_id, r.sealed
				FROM retired_secrets r JOIN credentials c ON c.id = r.credential_id WHERE r.key_id <> $1
			LIMIT $2`, int64(keyID), max(limit, 0))
		kept, err = collect(rows, err, func(row scanner) (k registry.Kept, err error) {
			err = row.Scan(&k.Place.OrganizationID, &k.Place.CredentialID, &k.Place.Version, &k.Sealed.KeyID, &k.Sealed.Bytes)
			return k, err
		})
		return err
	})
	return kept, err
}

// Reseal implements registry.Store. Whoever remembers the old bytes must read
// them anew before the old key goes, so the generation changes.
func (s *Store) Reseal(ctx context.Context, place registry.Place, old, fresh registry.Sealed) (replaced bool, err error) {
	err = s.write(ctx, credentialNoun.named(place.CredentialID), func(ctx context.Context, tx *Tx) error {
		changed := int64(0)
		for _, text := range []string{
			`UPDATE credentials SET key_id = $1, sealed = $2 WHERE id = $3 AND version = $4 AND key_id = $5 AND sealed = $6`,
			`UPDATE retired_secrets SET key_id = $1, sealed = $2 WHERE credential_id = $3 AND version = $4 AND key_id = $5 AND sealed = $6`,
		} {
			n, err := tx.exec(ctx, text, int64(fresh.KeyID), fresh.Bytes, place.CredentialID, place.Version, int64(old.KeyID), old.Bytes)
			if err != nil {
				return err
			}
			changed += n
		}
		if changed == 0 {
			return nil
		}
		replaced = true
		return nextGeneration(ctx, tx, place.OrganizationID)
	})
	return replaced && err == nil, err
}
