package api

import (
	"context"
	"log/slog"
	"regexp"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// invitationPath is where a browser accepts an invitation, whose text follows.
const invitationPath = "/invitations/"

// invitationText finds the text of an invitation.
var invitationText = regexp.MustCompile(`fli_[\w-]+`)

// shownPath is a request's path for the log: without the text of an invitation.
func shownPath(path string) string { return invitationText.ReplaceAllLiteralString(path, "fli_***") }

type invitationsInput struct {
	Organization string `path:"organization" doc:"Name or number"`
	Page
}

func (d *door) listInvitations(ctx context.Context, v *visit, in *invitationsInput) (list wire.List[wire.Invitation], err error) {
	open, err := d.config.Accounts.Invitations(ctx, v.actor, in.Organization)
	if err != nil {
		return list, err
	}
	return pageOf(v, in.Page, each(open, invitationOf)), nil
}

type newInvitationInput struct {
	Organization string `path:"organization" doc:"Name or number"`
	Body         wire.NewInvitation
}

func (d *door) createInvitation(ctx context.Context, v *visit, in *newInvitationInput) (created wire.CreatedInvitation, err error) {
	made, text, err := d.config.Accounts.Invite(ctx, v.actor, in.Organization, account.NewInvitation{
		Email: in.Body.Email, Role: account.Role(in.Body.Role), Expires: in.Body.ExpiresAt.Or(),
	})
	if err != nil {
		return created, err
	}
	link := v.origin + invitationPath + text.Reveal() + "/"
	created = wire.CreatedInvitation{Invitation: invitationOf(made), Text: text.Reveal(), Link: link}
	if made.Email != "" && d.config.Outbox.Mails() {
		// The invitation is made, whatever becomes of the mail.
		if err := d.config.Outbox.MailInvitation(ctx, made, secret.New(link)); err != nil {
			created.MailProblem = fault.From(err).Sentence()
			d.config.Logger.LogAttrs(ctx, slog.LevelWarn, "mailing an invitation", slog.String("id", made.ID), slog.String("error", err.Error()))
		}
		created.Mailed = created.MailProblem == ""
	}
	return created, nil
}

type invitationKey struct {
	Organization string `path:"organization" doc:"Name or number"`
	Invitation   string `path:"invitation" doc:"The invitation's id, not its text"`
}

func (d *door) revokeInvitation(ctx context.Context, v *visit, in *invitationKey) error {
	return d.config.Accounts.RevokeInvitation(ctx, v.actor, in.Organization, in.Invitation)
}

func (d *door) showInvitation(ctx context.Context, _ *visit, in *struct{ Body wire.InvitationText }) (wire.Invitation, error) {
	found, err := d.config.Accounts.Invitation(ctx, in.Body.Text.Text())
	return invitationOf(found), err
}

func (d *door) acceptInvitation(ctx context.Context, v *visit, in *struct{ Body wire.AcceptInvitation }) (wire.User, error) {
	user, err := d.config.Accounts.AcceptInvitation(ctx, in.Body.Text.Text(), account.NewUser{
		Username: in.Body.Username, Email: in.Body.Email, Password: in.Body.Password.Text(),
	}, v.remote)
	return userOf(user), err
}

func (d *door) joinByInvitation(ctx context.Context, v *visit, in *struct{ Body wire.InvitationText }) (wire.JoinedOrganization, error) {
	joined, err := d.config.Accounts.AcceptInvitationAs(ctx, v.actor, in.Body.Text.Text())
	return wire.JoinedOrganization{Organization: joined.Organization.Name, Username: joined.Username, Role: string(joined.Role)}, err
}

func invitationOf(i account.Invitation) wire.Invitation {
	return wire.Invitation{
		ID: i.ID, Organization: i.Organization.Name, Email: i.Email, Role: string(i.Role), InvitedBy: i.InvitedBy,
		CTime: wire.NewTime(i.CreatedAt), ExpiresAt: wire.NewTime(i.ExpiresAt),
	}
}
