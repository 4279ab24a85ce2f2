package web

import (
	"fmt"
	"net/url"

	"fairlead.dev/fairlead/internal/account"
)

type usersData struct {
	Users  []account.User
	Pager  pager
	Filter *form
	Find   string
}

func (s *site) usersPage(v *visit) (page, error) {
	find, offset := v.r.URL.Query().Get("find"), v.offset()
	users, count, err := s.config.Accounts.Users(v.ctx(), v.actor, find, perPage, offset)
	if err != nil {
		return page{}, err
	}
	data := usersData{Users: users, Pager: pagerOf(v.r.URL, offset, len(users), count), Filter: formOf(map[string]string{"find": find}), Find: find}
	return page{file: "users.html", title: "Users", data: data}, nil
}

func (s *site) listUsers(v *visit) (answer, error) {
	shown, err := s.usersPage(v)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

func userPath(username string) string { return "/users/" + url.PathEscape(username) + "/" }

func (s *site) createUser(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	made, err := s.config.Accounts.CreateUser(v.ctx(), v.actor, account.NewUser{
		Username: f.get("username"), Email: f.get("email"), Password: f.secret("password"), Operator: f.has("operator"),
	})
	if err != nil {
		again, failed := s.usersPage(v)
		if failed != nil {
			return nil, failed
		}
		return v.refuse(f, err, again, "username", "email", "password", "operator")
	}
	return seeOther{to: userPath(made.Username), said: fmt.Sprintf("The user %s is made.", made.Username)}, nil
}

type userData struct {
	User   account.User
	Factor account.TOTPState
	Path   string
	Self   bool // it is who looks
}

func (s *site) userPage(v *visit) (page, error) {
	found, factor, err := s.config.Accounts.User(v.ctx(), v.actor, v.path("username"))
	data := userData{User: found, Factor: factor, Path: userPath(found.Username), Self: found.ID == v.actor.UserID}
	return page{file: "user.html", title: found.Username, data: data}, err
}

func (s *site) showUser(v *visit) (answer, error) {
	shown, err := s.userPage(v)
	if err != nil {
		return nil, err
	}
	return shown, nil
}

func (s *site) setPassword(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	again, err := s.userPage(v)
	if err != nil {
		return nil, err
	}
	data := again.data.(userData)
	if data.Self { // there, the one that it was is asked for
		return seeOther{to: "/settings/password/"}, nil
	}
	if err := s.config.Accounts.SetPasswordAndEndSessions(v.ctx(), v.actor, data.User.Username, f.secret("password")); err != nil {
		return v.refuse(f, err, again, "password")
	}
	return seeOther{to: data.Path, said: fmt.Sprintf("%s has the new password, and is signed out everywhere.", data.User.Username)}, nil
}

func (s *site) resetSecondFactor(v *visit) (answer, error) {
	again, err := s.userPage(v)
	if err != nil {
		return nil, err
	}
	data := again.data.(userData)
	if err := s.config.Accounts.ResetTOTP(v.ctx(), v.actor, data.User.Username); err != nil {
		return v.refuse(formOf(nil), err, again)
	}
	return seeOther{to: data.Path, said: fmt.Sprintf("%s signs in without a second factor now.", data.User.Username)}, nil
}

func newOrganizationPage() page { return page{file: "neworganization.html", title: "New organisation"} }

func (s *site) showNewOrganization(*visit) (answer, error) { return newOrganizationPage(), nil }

func (s *site) createOrganization(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	made, err := s.config.Accounts.CreateOrganization(v.ctx(), v.actor, f.get("name"))
	if err != nil {
		return v.refuse(f, err, newOrganizationPage(), "name")
	}
	return seeOther{to: fmt.Sprintf("/o/%d/members/", made.ID), said: fmt.Sprintf("The organisation %s is made; you are its admin.", made.Name)}, nil
}
