package store

import (
	"context"
	"strconv"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// CreateOrganization implements account.OrganizationStore. The event gets the
// new organisation's id, which nobody knew before.
func (s *Store) CreateOrganization(ctx context.Context, organization account.Organization, adminID string, event audit.Event) (account.Organization, error) {
	err := s.write(ctx, organizationNoun.named(organization.Name), func(ctx context.Context, tx *Tx) (err error) {
		if organization.ID, err = insertOrganization(ctx, tx, organization, adminID); err != nil {
			return err
		}
		event.OrganizationID, event.ObjectID = organization.ID, strconv.FormatInt(organization.ID, 10)
		return insertEvents(ctx, tx, event)
	})
	if err != nil {
		return account.Organization{}, err
	}
	return organization, nil
}

// insertOrganization stores the organisation with its first admin and returns
// its id.
func insertOrganization(ctx context.Context, tx *Tx, organization account.Organization, adminID string) (int64, error) {
	id, err := advance(ctx, tx, "organization", 1)
	if err != nil {
		return 0, err
	}
	_, err = tx.exec(ctx, `INSERT INTO organizations (id, name, created_at, generation) VALUES ($1, $2, $3, 0)`,
		id, organization.Name, micros(organization.CreatedAt))
	if err != nil {
		return 0, err
	}
	return id, upsertMember(ctx, tx, id, adminID, account.Admin)
}

// OrganizationByID implements account.OrganizationStore.
func (s *Store) OrganizationByID(ctx context.Context, id int64) (organization account.Organization, err error) {
	err = s.read(ctx, organizationNoun.numbered(id), func(r runner) error {
		return r.row(ctx, `SELECT id, name, created_at FROM organizations WHERE id = $1`, id).
			Scan(&organization.ID, &organization.Name, instant{&organization.CreatedAt})
	})
	return organization, err
}

// OrganizationByName implements account.OrganizationStore.
func (s *Store) OrganizationByName(ctx context.Context, name string) (organization account.Organization, err error) {
	err = s.read(ctx, organizationNoun.named(name), func(r runner) error {
		return r.row(ctx, `SELECT id, name, created_at FROM organizations WHERE lower(name) = lower($1)`, name).
			Scan(&organization.ID, &organization.Name, instant{&organization.CreatedAt})
	})
	return organization, err
}

// Memberships implements account.OrganizationStore.
func (s *Store) Memberships(ctx context.Context, userID string) (memberships []account.Membership, err error) {
	err = s.read(ctx, userNoun.named(userID), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT o.id, o.name, o.created_at, u.id, u.username, m.role
			FROM memberships m JOIN organizations o ON o.id = m.organization_id JOIN users u ON u.id = m.user_id
			WHERE m.user_id = $1 ORDER BY lower(o.name)`, userID)
		memberships, err = collect(rows, err, scanMembership)
		return err
	})
	return memberships, err
}

// Members implements account.OrganizationStore.
func (s *Store) Members(ctx context.Context, organizationID int64) (members []account.Membership, err error) {
	err = s.read(ctx, organizationNoun.numbered(organizationID), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT o.id, o.name, o.created_at, u.id, u.username, m.role
			FROM memberships m JOIN organizations o ON o.id = m.organization_id JOIN users u ON u.id = m.user_id
			WHERE m.organization_id = $1 ORDER BY lower(u.username)`, organizationID)
		members, err = collect(rows, err, scanMembership)
		return err
	})
	return members, err
}

func scanMembership(row scanner) (m account.Membership, err error) {
	err = row.Scan(&m.Organization.ID, &m.Organization.Name, instant{&m.Organization.CreatedAt}, &m.UserID, &m.Username, &m.Role)
	return m, err
}

// SetMember implements account.OrganizationStore.
func (s *Store) SetMember(ctx context.Context, organizationID int64, userID string, role account.Role, event audit.Event) error {
	return s.write(ctx, memberNoun.named(event.ObjectName), func(ctx context.Context, tx *Tx) error {
		if err := upsertMember(ctx, tx, organizationID, userID, role); err != nil {
			return err
		}
		if err := forgetGroups(ctx, tx, organizationID, userID); err != nil {
			return err
		}
		if err := requireAdmin(ctx, tx, organizationID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// RemoveMember implements account.OrganizationStore.
func (s *Store) RemoveMember(ctx context.Context, organizationID int64, userID string, event audit.Event) error {
	return s.write(ctx, memberNoun.named(event.ObjectName), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `DELETE FROM memberships WHERE organization_id = $1 AND user_id = $2`, organizationID, userID)
		if err != nil {
			return err
		}
		if err := forgetGroups(ctx, tx, organizationID, userID); err != nil {
			return err
		}
		if err := requireAdmin(ctx, tx, organizationID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

func upsertMember(ctx context.Context, tx *Tx, organizationID int64, userID string, role account.Role) error {
	_, err := tx.exec(ctx, `
		INSERT INTO memberships (organization_id, user_id, role) VALUES ($1, $2, $3)
		ON CONFLICT (organization_id, user_id) DO UPDATE SET role = excluded.role`,
		organizationID, userID, string(role))
	return err
}

// requireAdmin refuses, and so undoes, a change that left no admin.
func requireAdmin(ctx context.Context, tx *Tx, organizationID int64) error {
	var admins int
	err := tx.row(ctx, `SELECT count(*) FROM memberships WHERE organization_id = $1 AND role = 'admin'`, organizationID).Scan(&admins)
	if err == nil && admins == 0 {
		err = fault.New(fault.Conflict, "last_admin", "the organisation would be left without an admin").
			WithHint("Make somebody else an admin first.")
	}
	return err
}
