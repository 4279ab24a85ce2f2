package web

import (
	"fmt"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// invited is the invitation that the address names. The address is a secret: it is
// told to no other page, not even of this server, whose proxies may log it. (With
// no-referrer, browsers would send the form without its origin, and over plain http
// it would be refused as another site's.)
func (s *site) invited(v *visit) (account.Invitation, secret.Text, error) {
	v.w.Header().Set("Referrer-Policy", "strict-origin")
	text := secret.New(v.path("text"))
	found, err := s.config.Accounts.Invitation(v.ctx(), text)
	return found, text, err
}

type invitationData struct {
	account.Invitation
	Path string
}

func (s *site) invitationPage(v *visit, invitation account.Invitation) page {
	return page{
		file: "invitation.html", title: "Join " + invitation.Organization.Name,
		data: invitationData{invitation, invitationPath(secret.New(v.path("text")))},
		form: formOf(map[string]string{"email": invitation.Email}),
	}
}

// invitationPath is where an invitation is accepted.
func invitationPath(text secret.Text) string { return "/invitations/" + text.Reveal() + "/" }

func (s *site) showInvitation(v *visit) (answer, error) {
	invitation, _, err := s.invited(v)
	if err != nil {
		return nil, err
	}
	return s.invitationPage(v, invitation), nil
}

// acceptInvitation makes a user of who is new, and signs them in.
func (s *site) acceptInvitation(v *visit) (answer, error) {
	invitation, text, err := s.invited(v)
	if err != nil {
		return nil, err
	}
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	if v.actor.IsZero() {
		_, err = s.config.Accounts.AcceptInvitation(v.ctx(), text, account.NewUser{
			Username: f.get("username"), Email: f.get("email"), Password: f.secret("password"),
		}, v.remote())
	} else {
		err = fault.New(fault.Conflict, "signed_in", "you are signed in as %s", v.actor.Username).WithHint("Accept it as who you are, or sign out first.")
	}
	if err != nil {
		return v.refuse(f, err, s.invitationPage(v, invitation), "username", "email", "password")
	}
	_, session, err := s.config.Accounts.StartSession(v.ctx(), account.SignIn{
		Username: f.get("username"), Password: f.secret("password"), Agent: v.r.UserAgent(), Remote: v.remote(),
	})
	if err != nil { // the account is there: they sign in when they may
		return seeOther{to: "/sign-in/", said: "Your account is made. Sign in with it."}, nil //nolint:nilerr // and this page says so
	}
	v.setCookie(v.sessionCookieName(), session.Reveal(), sessionCookieLife)
	return joined(invitation), nil
}

// joinByInvitation makes who is signed in a member.
func (s *site) joinByInvitation(v *visit) (answer, error) {
	invitation, text, err := s.invited(v)
	if err != nil {
		return nil, err
	}
	if _, err := s.config.Accounts.AcceptInvitationAs(v.ctx(), v.actor, text); err != nil {
		return v.refuse(formOf(nil), err, s.invitationPage(v, invitation))
	}
	return joined(invitation), nil
}

func joined(invitation account.Invitation) seeOther {
	return seeOther{
		to:   fmt.Sprintf("/o/%d/members/", invitation.Organization.ID),
		said: fmt.Sprintf("Welcome: you are a member of %s now.", invitation.Organization.Name),
	}
}
