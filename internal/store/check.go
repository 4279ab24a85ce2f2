package store

import (
	"context"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/registry"
)

// SaveCheck implements registry.Store. What a check found changes no grant: the
// generation stays.
func (s *Store) SaveCheck(ctx context.Context, id string, check registry.Check, next time.Time, event audit.Event) error {
	text, err := document(check)
	if err != nil {
		return err
	}
	brief, err := document(check.Brief())
	if err != nil {
		return err
	}
	return s.write(ctx, credentialNoun.named(id), func(ctx context.Context, tx *Tx) error {
		changed, err := tx.exec(ctx, `UPDATE credentials SET last_check = $1, check_brief = $2, check_due_at = $3 WHERE id = $4 AND version = $5`,
			text, brief, micros(next), id, check.Version)
		if err != nil || changed == 0 {
			return err
		}
		details := map[string]string{notice.DetailVersion: strconv.Itoa(check.Version)}
		if failed, any := check.Failed(); any {
			details[notice.DetailCode], details[notice.DetailSentence], details[notice.DetailHint] = failed.Code, failed.Sentence, failed.Hint
		}
		checked := notice.Happening{Kind: notice.CredentialChecked, ObjectID: id, At: check.At, Details: details}
		if err := insertHappening(ctx, tx, "", checked); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// PostponeCheck implements registry.Store.
func (s *Store) PostponeCheck(ctx context.Context, id string, next time.Time) error {
	return s.write(ctx, credentialNoun.named(id), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE credentials SET check_due_at = $1 WHERE id = $2`, micros(next), id)
		return err
	})
}

// DueChecks implements registry.Store.
func (s *Store) DueChecks(ctx context.Context, now time.Time, limit int) (credentials []registry.Credential, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectCredential+` WHERE check_due_at <= $1 ORDER BY check_due_at, position LIMIT $2`, micros(now), max(limit, 0))
		credentials, err = collect(rows, err, scanCredential)
		return err
	})
	return credentials, err
}
