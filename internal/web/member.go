package web

import (
	"fmt"
	"log/slog"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// roleOptions are what a member can be.
var roleOptions = []option{{string(account.Member), "Member"}, {string(account.Admin), "Admin"}}

type membersData struct {
	Organization account.Organization
	Path         string
	Members      []memberView
	Pager        pager
	Roles        []option
}

// memberView is a member; Self is who looks.
type memberView struct {
	account.Membership
	Self bool
}

// IsAdmin reports whether the member administers the organisation.
func (m memberView) IsAdmin() bool { return m.Role == account.Admin }

func (v *visit) membersPath() string { return v.organizationPath() + "members/" }

func (s *site) membersPage(v *visit) (page, error) {
	all, err := s.config.Accounts.Members(v.ctx(), v.actor, v.path("organization"))
	if err != nil {
		return page{}, err
	}
	from, to := v.rows(len(all))
	data := membersData{Organization: v.organization.Organization, Path: v.membersPath(), Roles: roleOptions}
	data.Pager = pagerOf(v.r.URL, from, to-from, len(all))
	for _, m := range all[from:to] {
		data.Members = append(data.Members, memberView{m, m.UserID == v.actor.UserID})
	}
	return page{file: "members.html", title: "Members of " + data.Organization.Name, data: data}, nil
}

func (s *site) listMembers(v *visit) (answer, error) {
	shown, err := s.membersPage(v)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

func (s *site) addMember(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	return s.setMember(v, f, f.get("username"))
}

func (s *site) changeRole(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	return s.setMember(v, f, v.path("username"))
}

func (s *site) setMember(v *visit, f *form, username string) (answer, error) {
	role, err := account.ParseRole(f.get("role"))
	var made account.Membership
	if err == nil {
		made, err = s.config.Accounts.SetMember(v.ctx(), v.actor, v.path("organization"), username, role)
	}
	if err != nil {
		return s.refuseMembers(v, f, err)
	}
	return seeOther{to: v.membersPath(), said: fmt.Sprintf("%s is %s of %s now.", made.Username, roleWords(made.Role), made.Organization.Name)}, nil
}

func roleWords(role account.Role) string {
	if role == account.Admin {
		return "an admin"
	}
	return "a member"
}

func (s *site) removeMember(v *visit) (answer, error) {
	username := v.path("username")
	if err := s.config.Accounts.RemoveMember(v.ctx(), v.actor, v.path("organization"), username); err != nil {
		return s.refuseMembers(v, formOf(nil), err)
	}
	said := fmt.Sprintf("%s is no longer a member of %s.", username, v.OrganizationName())
	if username == v.actor.Username {
		return seeOther{to: "/", said: said}, nil
	}
	return seeOther{to: v.membersPath(), said: said}, nil
}

func (s *site) refuseMembers(v *visit, f *form, err error) (answer, error) {
	again, failed := s.membersPage(v)
	if failed != nil {
		return nil, failed
	}
	return v.refuse(f, err, again, "username", "role")
}

type invitationsData struct {
	Organization account.Organization
	Path         string
	Open         []account.Invitation
	Pager        pager
	Roles, Days  []option
	Mails        bool
}

// invitationDays are how long an invitation may be good for.
var invitationDays = []option{{"1", "A day"}, {"3", "Three days"}, {"7", "A week"}, {"14", "Two weeks"}, {"30", "30 days"}}

// invitationLives are the same as time.
var invitationLives = map[string]time.Duration{"1": day, "3": 3 * day, "7": 7 * day, "14": 14 * day, "30": 30 * day}

func (v *visit) invitationsPath() string { return v.organizationPath() + "invitations/" }

func (s *site) invitationsPage(v *visit) (page, error) {
	open, err := s.config.Accounts.Invitations(v.ctx(), v.actor, v.path("organization"))
	if err != nil {
		return page{}, err
	}
	from, to := v.rows(len(open))
	data := invitationsData{
		Organization: v.organization.Organization, Path: v.invitationsPath(), Open: open[from:to],
		Pager: pagerOf(v.r.URL, from, to-from, len(open)), Roles: roleOptions, Days: invitationDays, Mails: s.config.Outbox.Mails(),
	}
	return page{
		file: "invitations.html", title: "Invitations to " + data.Organization.Name, data: data,
		form: formOf(map[string]string{"days": "7"}),
	}, nil
}

func (s *site) listInvitations(v *visit) (answer, error) {
	shown, err := s.invitationsPage(v)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

// createdInvitation is one whose link is shown this once.
type createdInvitation struct {
	account.Invitation
	Link, Path string

	// Mailed says that the link went to the address, MailProblem why it did not.
	Mailed      bool
	MailProblem string
}

func (s *site) invite(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	var made account.Invitation
	var text secret.Text
	life, known := invitationLives[f.get("days")]
	if !known {
		err = fault.InvalidField("days", "days_unknown", "choose one of the times that are offered")
	} else {
		made, text, err = s.config.Accounts.Invite(v.ctx(), v.actor, v.path("organization"), account.NewInvitation{
			Email: f.get("email"), Role: account.Role(f.get("role")), Expires: s.config.Now().Add(life),
		})
	}
	if err != nil {
		again, failed := s.invitationsPage(v)
		if failed != nil {
			return nil, failed
		}
		return v.refuse(f, err, again, "email", "role", "days")
	}
	link := secret.New(v.link(invitationPath(text)))
	data := createdInvitation{Invitation: made, Link: link.Reveal(), Path: v.invitationsPath()}
	if made.Email != "" && s.config.Outbox.Mails() {
		// The invitation is made, whatever becomes of the mail.
		if err := s.config.Outbox.MailInvitation(v.ctx(), made, link); err != nil {
			data.MailProblem = fault.From(err).Sentence()
			s.config.Logger.LogAttrs(v.ctx(), slog.LevelWarn, "mailing an invitation", slog.String("id", made.ID), slog.String("error", err.Error()))
		}
		data.Mailed = data.MailProblem == ""
	}
	return page{file: "invited.html", title: "An invitation to " + made.Organization.Name, data: data, inPlace: true}, nil
}

func (s *site) revokeInvitation(v *visit) (answer, error) {
	err := s.config.Accounts.RevokeInvitation(v.ctx(), v.actor, v.path("organization"), v.path("invitation"))
	if err != nil {
		return nil, err
	}
	return seeOther{to: v.invitationsPath(), said: "The invitation is revoked: its link is worth nothing any more."}, nil
}
