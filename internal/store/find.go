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
		found.Fit = found.All
		if lookup.Text != "" {
			if err := r.row(ctx, `SELECT count(*) FROM credentials`+wanted.where(), wanted.args...).Scan(&found.Fit); err != nil {
				return err
			}
		}
		query := selectCredential + wanted.where() + ` ORDER BY position DESC`
		if lookup.Limit >= 0 {
			query += wanted.page(lookup.Limit, lookup.Offset)
		}
		rows, err := r.query(ctx, query, wanted.args...)
		found.Credentials, err = collect(rows, err, scanCredential)
		return err
	})
	return found, err
}
