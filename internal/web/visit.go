package web

import (
	"context"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// visit is one request, as the handlers know it.
type visit struct {
	site *site
	w    *recorder
	r    *http.Request
	id   string // of the request, as the log and the answer name it

	// htmx tells that htmx sent it, and takes a part of a page.
	htmx bool

	// actor is who is signed in; zero: nobody.
	actor   account.Actor
	session account.Session

	// organizations are the actor's; organization is the one that the page is
	// about, or the one they looked at last; nil: they belong to none.
	organizations []account.Membership
	organization  *account.Membership

	failure *fault.Error // what it came to, for the log
}

type visitKey struct{}

func visitOf(r *http.Request) *visit { return r.Context().Value(visitKey{}).(*visit) }

func (v *visit) ctx() context.Context { return v.r.Context() }

// path is a part of the path that the route names.
func (v *visit) path(name string) string { return v.r.PathValue(name) }

// remote is the address that the request came from.
func (v *visit) remote() string {
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		return v.r.RemoteAddr
	}
	return host
}

// link is the absolute address of a path here.
func (v *visit) link(path string) string {
	switch {
	case v.site.config.Origin != "":
		return v.site.config.Origin + path
	case v.r.TLS != nil:
		return "https://" + v.r.Host + path
	default:
		return "http://" + v.r.Host + path
	}
}

// isAdmin reports whether the actor administers the page's organisation.
func (v *visit) isAdmin() bool { return v.organization != nil && v.organization.Role == account.Admin }

// Cookies. The session's is named with __Host- where the browser came by https, so
// that no other host and no plain connection can set it.
const (
	sessionCookie      = "fairlead_session"
	organizationCookie = "fairlead_organization"
	saidCookie         = "fairlead_said"

	sessionCookieLife = 30 * 24 * time.Hour // as long as a session can last
)

func (v *visit) sessionCookieName() string {
	if v.site.isSecure(v.r) {
		return "__Host-" + sessionCookie
	}
	return sessionCookie
}

// setCookie sets a cookie that scripts cannot read and other sites' forms do not bring.
func (v *visit) setCookie(name, value string, life time.Duration) {
	cookie := &http.Cookie{ //nolint:gosec // it is Secure wherever the browser came by https, and useless without it elsewhere
		Name: name, Value: value, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode,
		Secure: v.site.isSecure(v.r), MaxAge: int(life / time.Second),
	}
	if value == "" {
		cookie.MaxAge = -1
	}
	http.SetCookie(v.w, cookie)
}

func (v *visit) cookie(name string) string {
	cookie, err := v.r.Cookie(name)
	if err != nil {
		return ""
	}
	return cookie.Value
}

// identify finds who is signed in, if anybody is.
func (v *visit) identify() error {
	text := v.cookie(v.sessionCookieName())
	if text == "" {
		return nil
	}
	actor, session, err := v.site.config.Accounts.AuthenticateSession(v.ctx(), secret.New(text), v.remote())
	if fault.Is(err, fault.Unauthenticated) {
		v.setCookie(v.sessionCookieName(), "", 0)
		return nil
	}
	if err != nil {
		return err
	}
	v.actor, v.session = actor, session
	v.organizations, err = v.site.config.Accounts.Organizations(v.ctx(), actor)
	if err != nil {
		return err
	}
	return v.choose()
}

// choose finds the organisation that the page is about.
func (v *visit) choose() error {
	key := v.path("organization")
	last := v.cookie(organizationCookie)
	_, err := strconv.ParseInt(key, 10, 64)
	isName := err != nil // as links in notices have it
	for i := range v.organizations {
		at := v.organizations[i].Organization
		id := strconv.FormatInt(at.ID, 10)
		switch {
		case key == "" && id == last, id == key:
			v.organization = &v.organizations[i]
		case key != "" && isName && strings.EqualFold(at.Name, key):
			v.organization, key = &v.organizations[i], id
		}
	}
	missing := key != "" && v.organization == nil
	if v.organization == nil && len(v.organizations) > 0 {
		v.organization = &v.organizations[0]
	}
	switch {
	case missing:
		return fault.New(fault.NotFound, "organization_missing", "there is no organisation %s, or you do not belong to it", key)
	case key != "" && key != last:
		v.setCookie(organizationCookie, key, sessionCookieLife)
	}
	return nil
}

// toSignIn is where somebody goes who must be signed in to see this page, and comes
// back from.
func (v *visit) toSignIn() string {
	if v.r.Method != http.MethodGet || v.htmx {
		return "/sign-in/"
	}
	return "/sign-in/?" + url.Values{"to": {v.r.URL.RequestURI()}}.Encode()
}

// local is to, if it is a path of this server, and otherwise the first page: a link
// of a stranger must not lead on to the stranger's own pages by way of a sign-in.
func local(to string) string {
	at, err := url.Parse(to)
	if err != nil || at.IsAbs() || at.Host != "" || !strings.HasPrefix(at.Path, "/") || strings.HasPrefix(at.Path, "//") || strings.ContainsAny(to, "\\\r\n") {
		return "/"
	}
	return at.RequestURI()
}
