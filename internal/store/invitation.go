package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

var invitationNoun = noun{"invitation", "invitation", "`fairlead invitation list` shows an organisation's."}

// selectInvitation lists an open invitation as scanInvitation reads it. Its maker
// still administers the organisation.
const selectInvitation = `
	SELECT i.id, o.id, o.name, o.created_at, i.email, i.role, u.username, u.id, i.created_at, i.expires_at
	FROM invitations i JOIN organizations o ON o.id = i.organization_id JOIN users u ON u.id = i.invited_by
	JOIN memberships m ON m.organization_id = i.organization_id AND m.user_id = i.invited_by AND m.role = 'admin'`

func scanInvitation(row scanner) (i account.Invitation, err error) {
	err = row.Scan(&i.ID, &i.Organization.ID, &i.Organization.Name, instant{&i.Organization.CreatedAt}, &i.Email, &i.Role,
		&i.InvitedBy, &i.InvitedByID, instant{&i.CreatedAt}, instant{&i.ExpiresAt})
	return i, err
}

// CreateInvitation implements account.InvitationStore.
func (s *Store) CreateInvitation(ctx context.Context, invitation account.Invitation, hash string, most int, event audit.Event) error {
	return s.write(ctx, invitationNoun.named(invitation.ID), func(ctx context.Context, tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM invitations WHERE expires_at <= $1`, micros(invitation.CreatedAt)); err != nil {
			return err
		}
		var open int
		err := tx.row(ctx, `SELECT count(*) FROM invitations WHERE organization_id = $1`, invitation.Organization.ID).Scan(&open)
		if err != nil {
			return err
		}
		if open >= most {
			return fault.New(fault.Exhausted, "invitations_many", "the organisation has %d open invitations, and no more are kept", open).
				WithHint("Revoke some: `fairlead invitation list` shows them.")
		}
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `
			INSERT INTO invitations (id, position, hash, organization_id, email, role, invited_by, created_at, expires_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			invitation.ID, position, hash, invitation.Organization.ID, invitation.Email, string(invitation.Role),
			invitation.InvitedByID, micros(invitation.CreatedAt), micros(invitation.ExpiresAt))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// InvitationByHash implements account.InvitationStore.
func (s *Store) InvitationByHash(ctx context.Context, hash string, at time.Time) (invitation account.Invitation, err error) {
	err = s.read(ctx, invitationNoun.named("of that text"), func(r runner) error {
		invitation, err = scanInvitation(r.row(ctx, selectInvitation+` WHERE i.hash = $1 AND i.expires_at > $2`, hash, micros(at)))
		return err
	})
	return invitation, err
}

// Invitations implements account.InvitationStore.
func (s *Store) Invitations(ctx context.Context, organizationID int64, at time.Time) (invitations []account.Invitation, err error) {
	err = s.read(ctx, organizationNoun.numbered(organizationID), func(r runner) error {
		rows, err := r.query(ctx, selectInvitation+` WHERE i.organization_id = $1 AND i.expires_at > $2 ORDER BY i.position DESC`,
			organizationID, micros(at))
		invitations, err = collect(rows, err, scanInvitation)
		return err
	})
	return invitations, err
}

// DeleteInvitation implements account.InvitationStore.
func (s *Store) DeleteInvitation(ctx context.Context, organizationID int64, id string, event audit.Event) error {
	return s.write(ctx, invitationNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM invitations WHERE organization_id = $1 AND id = $2`, organizationID, id); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// AcceptInvitation implements account.InvitationStore.
func (s *Store) AcceptInvitation(ctx context.Context, hash string, at time.Time, user account.User, newcomer *account.Newcomer, events ...audit.Event) error {
	return s.write(ctx, userNoun.named(user.Username), func(ctx context.Context, tx *Tx) error {
		invitation, err := scanInvitation(tx.row(ctx, selectInvitation+` WHERE i.hash = $1 AND i.expires_at > $2`, hash, micros(at)))
		if err != nil {
			return toFault(err, invitationNoun.named("of that text"))
		}
		if err := tx.must(ctx, `DELETE FROM invitations WHERE id = $1`, invitation.ID); err != nil {
			return err
		}
		if newcomer != nil {
			if err := insertUser(ctx, tx, user, newcomer.PasswordHash); err != nil {
				return err
			}
		}
		var member bool
		err = tx.row(ctx, `SELECT EXISTS (SELECT 1 FROM memberships WHERE organization_id = $1 AND user_id = $2)`,
			invitation.Organization.ID, user.ID).Scan(&member)
		if err != nil {
			return err
		}
		if member {
			return fault.New(fault.Conflict, "member_already", "%s is a member of %s already", user.Username, invitation.Organization.Name).
				WithHint("An admin of it changes a role with `fairlead org add`.")
		}
		if err := upsertMember(ctx, tx, invitation.Organization.ID, user.ID, invitation.Role); err != nil {
			return err
		}
		return insertEvents(ctx, tx, events...)
	})
}
