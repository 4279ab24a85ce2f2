package web

import (
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/signon"
)

// signOnRoutes are the way to the operator's provider and back, if there is one.
func (s *site) signOnRoutes() {
	if s.config.SignOn == nil {
		return
	}
	s.on("GET /sign-in/oidc/{$}", anybody, s.leave)
	s.on("GET "+signon.CallbackPath, anybody, s.comeBack)
	s.on("POST "+signon.BackChannelPath, anybody, s.providerEnds)
	s.on("POST /settings/identities/{$}", user, s.leaveToLink)
}

// leaveCookie is what a browser keeps while it is at the provider.
const leaveCookie = "fairlead_leave"

// leave sends the browser to the provider.
func (s *site) leave(v *visit) (answer, error) {
	address, kept, err := s.config.SignOn.Begin(v.ctx(), local(v.r.URL.Query().Get("to")))
	if err != nil {
		return nil, err
	}
	v.setCookie(leaveCookie, kept, signon.FlowLife)
	return seeOther{to: address}, nil
}

// leaveToLink sends somebody to the provider who wants to sign in there from then on.
func (s *site) leaveToLink(v *visit) (answer, error) {
	address, kept, err := s.config.SignOn.BeginLink(v.ctx(), v.actor, "/settings/")
	if err != nil {
		return nil, err
	}
	v.setCookie(leaveCookie, kept, signon.FlowLife)
	// A form may not lead elsewhere under the pages' policy, so a link does.
	return page{file: "leave.html", title: "To " + s.config.SignOn.Name(), data: leaveData{s.config.SignOn.Name(), address}}, nil
}

type leaveData struct{ Name, Address string }

// comeBack makes a session of what the provider sent the browser back with.
func (s *site) comeBack(v *visit) (answer, error) {
	kept := v.cookie(leaveCookie)
	v.setCookie(leaveCookie, "", 0)
	_, text, to, err := s.config.SignOn.Finish(v.ctx(), kept, v.r.URL.Query(), v.r.UserAgent(), v.remote())
	if err != nil {
		refused := fault.From(err)
		if refused.Kind == fault.Internal {
			return nil, err
		}
		v.failure = refused
		again := signInPage(s.signInData("/"))
		again.form, again.status = &form{General: refused}, http.StatusForbidden
		return again, nil
	}
	v.setCookie(v.sessionCookieName(), text.Reveal(), sessionCookieLife)
	return seeOther{to: local(to)}, nil
}

// providerEnds ends the sessions that the provider names.
// https://openid.net/specs/openid-connect-backchannel-1_0.html
func (s *site) providerEnds(v *visit) (answer, error) {
	f, err := v.readForm()
	if err == nil {
		err = s.config.SignOn.BackChannel(v.ctx(), f.values.Get("logout_token"))
	}
	status := http.StatusOK
	switch {
	case fault.Is(err, fault.Invalid):
		status = http.StatusBadRequest
	case err != nil:
		return nil, err
	}
	if err != nil {
		v.failure = fault.From(err)
	}
	return stream(func(v *visit) error {
		v.w.WriteHeader(status)
		return nil
	}), nil
}

// signInData is what the page of the sign-in shows.
func (s *site) signInData(to string) signInData {
	data := signInData{To: to}
	if s.config.SignOn != nil {
		data.Provider = s.config.SignOn.Name()
		data.ProviderPath = "/sign-in/oidc/?" + url.Values{"to": {to}}.Encode()
	}
	return data
}
