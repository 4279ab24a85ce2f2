package store

import (
	"context"

	"fairlead.dev/fairlead/internal/registry"
)

// FindCredentials implements registry.Store.
func (s *Store) FindCredentials(ctx context.Context, organizationID int64, lookup registry.Lookup) (found registry.Found, err error) {
	var wanted conditions
	wanted.add("organization_id = " + wanted.arg(organizationID))
	if lookup.Text != "" {
		text := wanted.arg(lookup.Text)
		wanted.add("(instr(lower(name), " + text + ") > 0 OR instr(lower(patterns), " + text + ") > 0 OR " + in(&wanted, "kind", lookup.Kinds) + ")")
	}
	err = s.snapshot(ctx, organizationNoun.numbered(organizationID), func(r runner) error {
		if err := r.row(ctx, `SELECT count(*) FROM credentials WHERE organization_id = $1`, organizationID).Scan(&found.All); err != nil {
			return err
		}
		if lookup.Only != nil {
			return findOnly(ctx, r, organizationID, wanted, lookup, &found)
		}
		found.Fit = found.All
		if lookup.Text != "" {
			if err := r.row(ctx, `SELECT count(*) FROM credentials`+wanted.where(), wanted.args...).Scan(&found.Fit); err != nil {
				return err
			}
		}
		query := selectCredential + wanted.where() + ` ORDER BY position DESC` + wanted.page(lookup.Limit, lookup.Offset)
		rows, err := r.query(ctx, query, wanted.args...)
		found.Credentials, err = collect(rows, err, scanCredential)
		return err
	})
	return found, err
}

// findOnly reads of each credential what Only is told, and all of those of the page.
func findOnly(ctx context.Context, r runner, organizationID int64, wanted conditions, lookup registry.Lookup, found *registry.Found) error {
	rows, err := r.query(ctx, `
		SELECT position, id, name, kind, version, expires_at, last_used_at, CASE WHEN check_brief = '' THEN last_check ELSE check_brief END
		FROM credentials`+wanted.where()+` ORDER BY position DESC`, wanted.args...)
	var page []int64
	_, err = collect(rows, err, func(row scanner) (struct{}, error) {
		var position int64
		c := registry.Credential{Check: &registry.Check{}}
		err := row.Scan(&position, &c.ID, &c.Name, &c.Kind, &c.Version, instant{&c.ExpiresAt}, instant{&c.LastUsedAt}, fromDocument{c.Check})
		if c.Check.At.IsZero() {
			c.Check = nil
		}
		if err == nil && lookup.Only(c) {
			if found.Fit >= lookup.Offset && len(page) < lookup.Limit {
				page = append(page, position)
			}
			found.Fit++
		}
		return struct{}{}, err
	})
	if err != nil {
		return err
	}
	var shown conditions
	shown.add("organization_id = " + shown.arg(organizationID))
	shown.add(in(&shown, "position", page))
	rows, err = r.query(ctx, selectCredential+shown.where()+` ORDER BY position DESC`, shown.args...)
	found.Credentials, err = collect(rows, err, scanCredential)
	return err
}
