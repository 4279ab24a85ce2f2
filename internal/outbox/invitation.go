package outbox

import (
	"context"
	"fmt"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/secret"
)

// Mails reports whether there is a mail server.
func (o *Outbox) Mails() bool { return o.config.Mailer.IsConfigured() }

// MailInvitation hands an invitation's link to the mail server at once. The link is
// a secret, so the mail is kept nowhere and not tried again: whoever asked for it is
// told that it failed, and has the link.
func (o *Outbox) MailInvitation(ctx context.Context, invitation account.Invitation, link secret.Text) error {
	return o.config.Mailer.Send(ctx, courier.Mail{
		ID: "invitation-" + invitation.ID, To: []string{invitation.Email},
		Subject: fmt.Sprintf("[Fairlead] %s invites you to %s", invitation.InvitedBy, invitation.Organization.Name),
		Lines: []string{
			fmt.Sprintf("%s invites you to the organisation %s, as %s.", invitation.InvitedBy, invitation.Organization.Name, invitation.Role),
			fmt.Sprintf("The link is good once, until %s, for whoever has it: do not pass it on.", invitation.ExpiresAt.UTC().Format("2006-01-02 at 15:04 UTC")),
		},
		LinkText: "Accept the invitation", Link: link.Reveal(),
	})
}
