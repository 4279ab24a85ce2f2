package web

import (
	"net/http"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
)

var errSignIn = fault.New(fault.Unauthenticated, "not_signed_in", "sign in first")

// signInData is what the page of the sign-in shows.
type signInData struct {
	To string

	// Code asks for the second factor, too.
	Code bool

	// Provider is where people sign in besides, and ProviderPath the way there;
	// "": nowhere.
	Provider, ProviderPath string
}

func (s *site) showSignIn(v *visit) (answer, error) {
	to := local(v.r.URL.Query().Get("to"))
	if !v.actor.IsZero() {
		return seeOther{to: to}, nil
	}
	return signInPage(s.signInData(to)), nil
}

func signInPage(data signInData) page { return page{file: "signin.html", title: "Sign in", data: data} }

func (s *site) signIn(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	to := local(f.get("to"))
	_, text, err := s.config.Accounts.StartSession(v.ctx(), account.SignIn{
		Username: f.get("username"), Password: f.secret("password"), Code: f.get("code"),
		Agent: v.r.UserAgent(), Remote: v.remote(),
	})
	if err != nil {
		asked := fault.From(err).Code
		data := s.signInData(to)
		data.Code = asked == "code_required" || asked == "code_refused"
		if v.htmx && data.Code && f.get("code") == "" { // the page shows the field, and keeps the password
			return part{file: "signin.html", name: "ask-code"}, nil
		}
		return v.refuse(f, err, signInPage(data), "username", "password", "code")
	}
	v.setCookie(v.sessionCookieName(), text.Reveal(), sessionCookieLife)
	return seeOther{to: to}, nil
}

func (s *site) signOut(v *visit) (answer, error) {
	if err := s.config.Accounts.EndSession(v.ctx(), v.actor, v.session.ID); err != nil {
		return nil, err
	}
	v.setCookie(v.sessionCookieName(), "", 0)
	return seeOther{to: "/sign-in/", said: "You are signed out."}, nil
}

// alive tells a page that lost the server that it is back.
func (s *site) alive(*visit) (answer, error) {
	return stream(func(v *visit) error {
		v.w.WriteHeader(http.StatusNoContent)
		return nil
	}), nil
}

func (s *site) home(*visit) (answer, error) { return seeOther{to: "/executions/"}, nil }

func (s *site) missing(v *visit) (answer, error) {
	return nil, fault.New(fault.NotFound, "page_missing", "there is no page %s", v.r.URL.Path)
}
