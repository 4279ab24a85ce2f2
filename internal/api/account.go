package api

import (
	"cmp"
	"context"
	"net/url"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/wire"
)

// nothing is an input without any part.
type nothing struct{}

func (d *door) server(context.Context, *visit, *nothing) (wire.Server, error) {
	return wire.Server{Name: "Fairlead", Version: d.config.Version}, nil
}

// signInName is what a token of a sign-in is called if the client says nothing.
const signInName = "sign-in"

func (d *door) getToken(ctx context.Context, v *visit, in *struct{ Body wire.GetToken }) (wire.GotToken, error) {
	_, text, err := d.config.Accounts.SignInForToken(ctx, account.SignIn{
		Username: in.Body.Username, Password: in.Body.Password.Text(), Code: string(in.Body.Code), Remote: v.remote,
	}, cmp.Or(in.Body.Name, signInName))
	return wire.GotToken{Token: text.Reveal()}, err
}

func (d *door) me(ctx context.Context, v *visit, _ *nothing) (wire.User, error) {
	user, err := d.config.Accounts.Me(ctx, v.actor)
	return userOf(user), err
}

func (d *door) createUser(ctx context.Context, v *visit, in *struct{ Body wire.NewUser }) (wire.User, error) {
	user, err := d.config.Accounts.CreateUser(ctx, v.actor, account.NewUser{
		Username: in.Body.Username, Email: in.Body.Email, Password: in.Body.Password.Text(), Operator: in.Body.Operator,
	})
	return userOf(user), err
}

func userOf(user account.User) wire.User {
	return wire.User{ID: user.ID, Username: user.Username, Email: user.Email, Operator: user.Operator}
}

type passwordInput struct {
	Username string `path:"username"`
	Body     wire.PasswordChange
}

func (d *door) setPassword(ctx context.Context, v *visit, in *passwordInput) error {
	set := d.config.Accounts.SetPassword
	if in.Body.EndSessions {
		set = d.config.Accounts.SetPasswordAndEndSessions
	}
	return set(ctx, v.actor, in.Username, in.Body.Password.Text())
}

func (d *door) listOrganizations(ctx context.Context, v *visit, in *Page) (list wire.List[wire.Organization], err error) {
	memberships, err := d.config.Accounts.Organizations(ctx, v.actor)
	if err != nil {
		return list, err
	}
	return pageOf(v, *in, each(memberships, func(m account.Membership) wire.Organization {
		return organizationOf(v, m.Organization, m.Role)
	})), nil
}

func (d *door) createOrganization(ctx context.Context, v *visit, in *struct{ Body wire.NewOrganization }) (wire.Organization, error) {
	created, err := d.config.Accounts.CreateOrganization(ctx, v.actor, in.Body.Name)
	return organizationOf(v, created, account.Admin), err
}

func organizationOf(v *visit, organization account.Organization, role account.Role) wire.Organization {
	return wire.Organization{
		ID: organization.ID, Name: organization.Name, Username: organization.Name, Role: string(role),
		URL: v.resource("organizations", organization.Name),
	}
}

type membersInput struct {
	Organization string `path:"organization" doc:"Name or number"`
	Page
}

func (d *door) listMembers(ctx context.Context, v *visit, in *membersInput) (list wire.List[wire.Member], err error) {
	members, err := d.config.Accounts.Members(ctx, v.actor, in.Organization)
	if err != nil {
		return list, err
	}
	return pageOf(v, in.Page, each(members, memberOf)), nil
}

type memberInput struct {
	Organization string `path:"organization" doc:"Name or number"`
	Body         wire.NewMember
}

func (d *door) setMember(ctx context.Context, v *visit, in *memberInput) (wire.Member, error) {
	role, err := account.ParseRole(in.Body.Role)
	if err != nil {
		return wire.Member{}, err
	}
	member, err := d.config.Accounts.SetMember(ctx, v.actor, in.Organization, in.Body.Username, role)
	return memberOf(member), err
}

type memberKey struct {
	Organization string `path:"organization" doc:"Name or number"`
	Username     string `path:"username"`
}

func (d *door) removeMember(ctx context.Context, v *visit, in *memberKey) error {
	return d.config.Accounts.RemoveMember(ctx, v.actor, in.Organization, in.Username)
}

func memberOf(member account.Membership) wire.Member {
	return wire.Member{ID: member.UserID, Username: member.Username, Role: string(member.Role)}
}

// resource is the absolute address of a thing in the API.
func (v *visit) resource(kind, key string) string {
	return v.origin + wire.Base + kind + "/" + url.PathEscape(key) + "/"
}
