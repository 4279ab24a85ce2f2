package store

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
)

// ChangeRoles implements account.ExternalStore.
func (s *Store) ChangeRoles(ctx context.Context, userID string, decide func(have []account.Standing) []account.RoleChange) error {
	return s.write(ctx, userNoun.named(userID), func(ctx context.Context, tx *Tx) error {
		have, err := standings(ctx, tx, userID)
		if err != nil {
			return err
		}
		for _, change := range decide(have) {
			if err := changeRole(ctx, tx, userID, change); err != nil {
				return err
			}
			if len(change.Events) == 0 {
				continue
			}
			if err := insertEvents(ctx, tx, change.Events...); err != nil {
				return err
			}
		}
		return nil
	})
}

// standings are all that the user has in organisations and in the installation,
// and what groups gave where it is not there any more.
func standings(ctx context.Context, tx *Tx, userID string) ([]account.Standing, error) {
	rows, err := tx.query(ctx, `
		SELECT o.id, o.name, COALESCE(m.role, ''), COALESCE(g.role, ''), COALESCE(g.hand, ''),
			COALESCE(m.role, '') = 'admin' AND NOT EXISTS (
				SELECT 1 FROM memberships x WHERE x.organization_id = o.id AND x.role = 'admin' AND x.user_id <> $1)
		FROM organizations o
		LEFT JOIN memberships m ON m.organization_id = o.id AND m.user_id = $1
		LEFT JOIN group_roles g ON g.organization_id = o.id AND g.user_id = $1
		WHERE m.role IS NOT NULL OR g.role IS NOT NULL
		ORDER BY o.id`, userID)
	have, err := collect(rows, err, scanStanding)
	if err != nil {
		return nil, err
	}
	rows, err = tx.query(ctx, `
		SELECT 0, '', CASE WHEN u.operator THEN 'operator' ELSE '' END, COALESCE(g.role, ''), COALESCE(g.hand, ''),
			u.operator AND NOT EXISTS (SELECT 1 FROM users x WHERE x.operator AND x.id <> $1)
		FROM users u LEFT JOIN group_roles g ON g.organization_id = 0 AND g.user_id = u.id
		WHERE u.id = $1`, userID)
	installation, err := collect(rows, err, scanStanding)
	return append(installation, have...), err
}

func scanStanding(row scanner) (s account.Standing, err error) {
	err = row.Scan(&s.OrganizationID, &s.Name, &s.Role, &s.ByGroups, &s.Hand, &s.Last)
	return s, err
}

func changeRole(ctx context.Context, tx *Tx, userID string, change account.RoleChange) (err error) {
	switch {
	case change.OrganizationID == 0:
		err = tx.must(ctx, `UPDATE users SET operator = $1 WHERE id = $2`, change.Role != "", userID)
	case change.Role == "":
		_, err = tx.exec(ctx, `DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2`, change.OrganizationID, userID)
	default:
		err = upsertMember(ctx, tx, change.OrganizationID, userID, change.Role)
	}
	if err != nil {
		return err
	}
	if change.ByGroups == "" {
		return forgetGroups(ctx, tx, change.OrganizationID, userID)
	}
	_, err = tx.exec(ctx, `
		INSERT INTO group_roles (user_id, organization_id, role, hand) VALUES ($1, $2, $3, $4)
		ON CONFLICT (user_id, organization_id) DO UPDATE SET role = excluded.role, hand = excluded.hand`,
		userID, change.OrganizationID, string(change.ByGroups), string(change.Hand))
	return err
}

// forgetGroups has a role count as given by hand.
func forgetGroups(ctx context.Context, tx *Tx, organizationID int64, userID string) error {
	_, err := tx.exec(ctx, `DELETE FROM group_roles WHERE user_id = $1 AND organization_id = $2`, userID, organizationID)
	return err
}
