package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
)

// selectCredential lists a credential as scanCredential reads it.
const selectCredential = `
	SELECT id, organization_id, name, kind, patterns, config, version, key_id, sealed,
		created_at, updated_at, expires_at, last_used_at, grants_until, last_check
	FROM credentials`

func scanCredential(row scanner) (c registry.Credential, err error) {
	var patterns []string
	var check registry.Check
	err = row.Scan(&c.ID, &c.OrganizationID, &c.Name, &c.Kind, fromDocument{&patterns}, fromDocument{&c.Config},
		&c.Version, &c.Sealed.KeyID, &c.Sealed.Bytes,
		instant{&c.CreatedAt}, instant{&c.UpdatedAt}, instant{&c.ExpiresAt}, instant{&c.LastUsedAt},
		instant{&c.GrantsUntil}, fromDocument{&check})
	if !check.At.IsZero() {
		c.Check = &check
	}
	for _, text := range patterns {
		pattern, parseErr := image.ParsePattern(text)
		if parseErr != nil { // it was one when it was stored
			return c, fault.New(fault.Internal, "pattern_broken", "a pattern of the registry credential %s is none any more", c.ID).
				WithHint("Give its patterns anew with `fairlead registry update %s`.", c.ID).WithCause(parseErr)
		}
		c.Patterns = append(c.Patterns, pattern)
	}
	return c, err
}

// credentialDocuments are the patterns and the config as they are stored.
func credentialDocuments(credential registry.Credential) (patterns, config string, err error) {
	texts := make([]string, len(credential.Patterns))
	for i, pattern := range credential.Patterns {
		texts[i] = pattern.String()
	}
	if patterns, err = document(texts); err != nil {
		return "", "", err
	}
	config, err = document(credential.Config)
	return patterns, config, err
}

// nextGeneration notes that the organisation's credentials changed.
func nextGeneration(ctx context.Context, tx *Tx, organizationID int64) error {
	_, err := tx.exec(ctx, `UPDATE organizations SET generation = generation + 1 WHERE id = $1`, organizationID)
	return err
}

// CreateCredential implements registry.Store.
func (s *Store) CreateCredential(ctx context.Context, credential registry.Credential, event audit.Event) error {
	patterns, config, err := credentialDocuments(credential)
	if err != nil {
		return err
	}
	return s.write(ctx, credentialNoun.named(credential.Name), func(ctx context.Context, tx *Tx) error {
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `
			INSERT INTO credentials (id, position, organization_id, name, kind, patterns, config, version, key_id, sealed,
				created_at, updated_at, expires_at, last_used_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			credential.ID, position, credential.OrganizationID, credential.Name, credential.Kind, patterns, config,
			credential.Version, int64(credential.Sealed.KeyID), credential.Sealed.Bytes,
			micros(credential.CreatedAt), micros(credential.UpdatedAt), micros(credential.ExpiresAt), micros(credential.LastUsedAt))
		if err != nil {
			return err
		}
		if err := nextGeneration(ctx, tx, credential.OrganizationID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// CredentialByID implements registry.Store.
func (s *Store) CredentialByID(ctx context.Context, id string) (credential registry.Credential, err error) {
	err = s.read(ctx, credentialNoun.named(id), func(r runner) error {
		credential, err = scanCredential(r.row(ctx, selectCredential+` WHERE id = $1`, id))
		return err
	})
	return credential, err
}

// Credentials implements registry.Store.
func (s *Store) Credentials(ctx context.Context, organizationID int64) (credentials []registry.Credential, err error) {
	err = s.read(ctx, organizationNoun.numbered(organizationID), func(r runner) error {
		rows, err := r.query(ctx, selectCredential+` WHERE organization_id = $1 ORDER BY position`, organizationID)
		credentials, err = collect(rows, err, scanCredential)
		return err
	})
	return credentials, err
}

// Generation implements registry.Store.
func (s *Store) Generation(ctx context.Context, organizationID int64) (generation int64, err error) {
	err = s.read(ctx, organizationNoun.numbered(organizationID), func(r runner) error {
		return r.row(ctx, `SELECT generation FROM organizations WHERE id = $1`, organizationID).Scan(&generation)
	})
	return generation, err
}

// UpdateCredential implements registry.Store. When and for whom the credential
// was made, and when it was last used, stay as they are.
func (s *Store) UpdateCredential(ctx context.Context, credential registry.Credential, previous int, event audit.Event) error {
	return s.write(ctx, credentialNoun.named(credential.Name), func(ctx context.Context, tx *Tx) error {
		if err := updateCredential(ctx, tx, credential, previous); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// updateCredential is the change without its audit row.
func updateCredential(ctx context.Context, tx *Tx, credential registry.Credential, previous int) error {
	patterns, config, err := credentialDocuments(credential)
	if err != nil {
		return err
	}
	var version int
	var organizationID int64
	err = tx.row(ctx, `SELECT version, organization_id FROM credentials WHERE id = $1`, credential.ID).Scan(&version, &organizationID)
	if err != nil {
		return toFault(err, credentialNoun.named(credential.ID))
	}
	if version != previous {
		return fault.New(fault.Conflict, "credential_changed", "somebody else changed the registry credential %.80q at the same time", credential.Name).
			WithHint("Look at it with `fairlead registry show %s` and make the change again.", credential.ID)
	}
	_, err = tx.exec(ctx, `
		UPDATE credentials SET name = $1, kind = $2, patterns = $3, config = $4, version = $5, key_id = $6, sealed = $7,
			updated_at = $8, expires_at = $9
		WHERE id = $10`,
		credential.Name, credential.Kind, patterns, config, credential.Version, int64(credential.Sealed.KeyID), credential.Sealed.Bytes,
		micros(credential.UpdatedAt), micros(credential.ExpiresAt), credential.ID)
	if err != nil {
		return err
	}
	return nextGeneration(ctx, tx, organizationID)
}

// DeleteCredential implements registry.Store.
func (s *Store) DeleteCredential(ctx context.Context, id string, event audit.Event) error {
	return s.write(ctx, credentialNoun.named(id), func(ctx context.Context, tx *Tx) error {
		var organizationID int64
		err := tx.row(ctx, `DELETE FROM credentials WHERE id = $1 RETURNING organization_id`, id).Scan(&organizationID)
		if err != nil {
			return err
		}
		if err := nextGeneration(ctx, tx, organizationID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// TouchCredential implements registry.Store. It is no change: the generation
// stays.
func (s *Store) TouchCredential(ctx context.Context, id string, at, until time.Time) error {
	return s.write(ctx, credentialNoun.named(id), func(ctx context.Context, tx *Tx) error {
		return tx.must(ctx, `
			UPDATE credentials SET last_used_at = $1, grants_until = CASE WHEN grants_until < $2 THEN $2 ELSE grants_until END
			WHERE id = $3`, micros(at), micros(until), id)
	})
}
