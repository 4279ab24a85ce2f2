package signon_test

import (
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oidc"
	"fairlead.dev/fairlead/internal/oidc/oidctest"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/signon"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

// site is a server as small as it can be, with sign-on before real accounts and a
// real provider that knows ada and bob.
type site struct {
	*testing.T
	far        *oidctest.Provider
	accounts   *account.Service
	federation *account.Federation
	signOn     *signon.SignOn
	server     *httptest.Server
	root       account.Actor

	mu      sync.Mutex
	ahead   time.Duration
	failure error // of the last request that was refused
}

func (s *site) now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return time.Now().UTC().Add(s.ahead)
}

func (s *site) pass(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ahead += d
}

func (s *site) must(err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
}

func newSite(t *testing.T, rules ...string) *site {
	t.Helper()
	s := &site{T: t}
	s.server = httptest.NewServer(s.routes())
	t.Cleanup(s.server.Close)
	s.far = oidctest.New(t, oidctest.Options{
		Redirects: []string{s.server.URL + signon.CallbackPath, s.server.URL + "/"}, BackChannel: s.server.URL + signon.BackChannelPath, Now: s.now,
	})
	s.far.Put(oidctest.User{Subject: "s-ada", Username: "ada", Email: "ada@acme.example", EmailVerified: true, Groups: []string{"ml"}})
	s.far.Put(oidctest.User{Subject: "s-bob", Username: "bob", Groups: []string{"ml"}})
	kept, err := store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	s.must(err)
	t.Cleanup(func() { s.must(kept.Close()) })
	sealing, err := vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	s.must(err)
	s.accounts = account.NewService(kept, s.now)
	password, err := s.accounts.Bootstrap(t.Context(), "root", "acme")
	s.must(err)
	_, text, err := s.accounts.SignIn(t.Context(), "root", password, "test", "192.0.2.1")
	s.must(err)
	s.root, err = s.accounts.Authenticate(t.Context(), text, "192.0.2.1")
	s.must(err)
	roles, err := account.ParseRoleMap("oidc-roles", rules)
	s.must(err)
	s.federation = account.NewFederation(account.FederationConfig{Accounts: s.accounts, Sealer: adapter.Sealer{Vault: sealing}, Roles: roles})
	provider, err := oidc.New(oidc.Config{
		Issuer: s.far.Issuer(), ClientID: s.far.ClientID(), ClientSecret: secret.New(s.far.ClientSecret()),
		RedirectURL: s.server.URL + signon.CallbackPath, GroupsClaim: "groups", HTTP: &http.Client{}, Now: s.now,
	})
	s.must(err)
	s.signOn, err = signon.New(signon.Config{Provider: provider, Federation: s.federation, Name: "Acme", Now: s.now})
	s.must(err)
	return s
}

const away, here = "away", "here" // cookies

func (s *site) routes() http.Handler {
	mux := http.NewServeMux()
	refuse := func(w http.ResponseWriter, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.failure = err
		http.Error(w, fault.From(err).Code, http.StatusForbidden)
	}
	who := func(r *http.Request) account.Actor {
		cookie, err := r.Cookie(here)
		if err != nil {
			return account.Actor{}
		}
		actor, _, err := s.accounts.AuthenticateSession(r.Context(), secret.New(cookie.Value), "192.0.2.1")
		if err != nil {
			return account.Actor{}
		}
		return actor
	}
	begin := func(w http.ResponseWriter, r *http.Request, address, cookie string, err error) {
		if err != nil {
			refuse(w, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: away, Value: cookie, Path: "/", HttpOnly: true, SameSite: http.SameSiteLaxMode, MaxAge: int(signon.FlowLife.Seconds())})
		http.Redirect(w, r, address, http.StatusSeeOther)
	}
	mux.HandleFunc("GET /begin", func(w http.ResponseWriter, r *http.Request) {
		address, cookie, err := s.signOn.Begin(r.Context(), r.URL.Query().Get("to"))
		begin(w, r, address, cookie, err)
	})
	mux.HandleFunc("GET /link", func(w http.ResponseWriter, r *http.Request) {
		address, cookie, err := s.signOn.BeginLink(r.Context(), who(r), "/")
		begin(w, r, address, cookie, err)
	})
	mux.HandleFunc("GET "+signon.CallbackPath, func(w http.ResponseWriter, r *http.Request) {
		cookie, err := r.Cookie(away)
		if err != nil {
			cookie = new(http.Cookie)
		}
		_, text, returnTo, err := s.signOn.Finish(r.Context(), cookie.Value, r.URL.Query(), r.UserAgent(), "192.0.2.1")
		http.SetCookie(w, &http.Cookie{Name: away, Path: "/", MaxAge: -1})
		if err != nil {
			refuse(w, err)
			return
		}
		http.SetCookie(w, &http.Cookie{Name: here, Value: text.Reveal(), Path: "/", HttpOnly: true})
		http.Redirect(w, r, returnTo, http.StatusSeeOther)
	})
	mux.HandleFunc("POST "+signon.BackChannelPath, func(w http.ResponseWriter, r *http.Request) {
		if err := s.signOn.BackChannel(r.Context(), r.PostFormValue("logout_token")); err != nil {
			http.Error(w, fault.From(err).Code, http.StatusBadRequest)
		}
	})
	mux.HandleFunc("GET /", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte(who(r).Username + " at " + r.URL.RequestURI()))
	})
	return mux
}

// browser is one with cookies, in which a person chooses as whom to sign in.
type browser struct {
	*site
	client *http.Client
}

func (s *site) browser() *browser {
	s.Helper()
	jar, err := cookiejar.New(nil)
	s.must(err)
	return &browser{site: s, client: &http.Client{Jar: jar, CheckRedirect: func(r *http.Request, _ []*http.Request) error {
		if strings.HasPrefix(r.URL.String(), s.far.Issuer()) {
			return http.ErrUseLastResponse
		}
		return nil
	}}}
}

func (b *browser) get(address string) (status int, body string, sentTo string) {
	b.Helper()
	response, err := b.client.Get(address)
	b.must(err)
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(response.Body)
	b.must(err)
	return response.StatusCode, strings.TrimRight(string(text), "\n"), response.Header.Get("Location")
}

// signIn goes from path to the provider, is the subject there, and comes back.
func (b *browser) signIn(path, subject string) (status int, body string) {
	b.Helper()
	status, body, sentTo := b.get(b.server.URL + path)
	if sentTo == "" {
		return status, body
	}
	back := b.far.SignIn(b, sentTo, subject)
	status, body, _ = b.get(back.String())
	return status, body
}

// shows wants the front page to know who is there.
func (b *browser) shows(name string) {
	b.Helper()
	if _, body, _ := b.get(b.server.URL + "/"); body != name+" at /" {
		b.Errorf("the page says %q, want %s", body, name)
	}
}

// refusedAs wants the last request to have been refused with that code.
func (b *browser) refusedAs(code string, status int, body string) {
	b.Helper()
	if status != http.StatusForbidden || body != code {
		b.Errorf("got %d %q (%v), want %s", status, body, b.failure, code)
	}
}

func TestABrowserGoesToTheProviderAndComesBackSignedInWhereItWas(t *testing.T) {
	s := newSite(t, "ml=acme:member")
	b := s.browser()
	status, body := b.signIn("/begin?to="+url.QueryEscape("/executions/?page=2"), "s-ada")
	if status != http.StatusOK || body != "ada at /executions/?page=2" {
		t.Fatalf("it came back to %d %q (%v)", status, body, s.failure)
	}
	b.shows("ada")
	members, err := s.accounts.Members(t.Context(), s.root, "acme")
	s.must(err)
	if len(members) != 2 || members[0].Username != "ada" || members[0].Role != account.Member {
		t.Errorf("members of acme: %+v", members)
	}
	other := s.browser()
	other.shows("")
	other.signIn("/begin", "s-bob")
	other.shows("bob")
	b.shows("ada")
	if s.signOn.Name() != "Acme" || s.signOn.Issuer() != s.far.Issuer() {
		t.Errorf("it is called %s", s.signOn.Name())
	}
}

func TestNobodyIsSentElsewhereAfterwards(t *testing.T) {
	s := newSite(t)
	for _, to := range []string{
		"https://evil.example/", "//evil.example/", `/\evil.example`, "/\t/evil.example", "evil", "", "javascript:alert(1)", "/" + strings.Repeat("x", 3000), "/%zz",
	} {
		b := s.browser()
		if status, body := b.signIn("/begin?to="+url.QueryEscape(to), "s-ada"); status != http.StatusOK || body != "ada at /" {
			t.Errorf("%q came back to %d %q", to, status, body)
		}
	}
}

func TestWhatABrowserBringsBackCountsForThatBrowserAndOnce(t *testing.T) {
	s := newSite(t)
	b, other := s.browser(), s.browser()
	_, _, sentTo := b.get(s.server.URL + "/begin")
	back := s.far.SignIn(t, sentTo, "s-ada").String()

	status, body, _ := other.get(back) // which never began
	other.refusedAs("oidc_flow_over", status, body)
	_, _, _ = other.get(s.server.URL + "/begin")
	status, body, _ = other.get(back) // which began its own
	other.refusedAs("oidc_state", status, body)

	status, _, _ = b.get(back)
	if status != http.StatusOK {
		t.Fatalf("got %d, %v", status, s.failure)
	}
	b.shows("ada")
	status, body, _ = b.get(back)
	b.refusedAs("oidc_flow_over", status, body)
}

func TestASignInThatTakesTooLongBeginsAnew(t *testing.T) {
	s := newSite(t)
	address, cookie, err := s.signOn.Begin(t.Context(), "/")
	s.must(err)
	query := s.far.SignIn(t, address, "s-ada").Query()
	s.pass(signon.FlowLife)
	_, _, _, err = s.signOn.Finish(t.Context(), cookie, query, "", "")
	if f := fault.From(err); f == nil || f.Code != "oidc_flow_over" || f.Kind != fault.Unauthenticated {
		t.Errorf("got %v", err)
	}
}

func TestACookieThatWasMadeUpOrChangedIsNone(t *testing.T) {
	s := newSite(t)
	address, cookie, err := s.signOn.Begin(t.Context(), "/")
	s.must(err)
	query := s.far.SignIn(t, address, "s-ada").Query()
	strange, err := signon.New(signon.Config{Name: "Acme", Now: s.now, Federation: s.federation})
	s.must(err)
	changed := []byte(cookie)
	changed[len(changed)/2] ^= 1
	for _, text := range []string{"", "x", strings.Repeat("A", 400), string(changed), cookie[:len(cookie)-4]} {
		if _, _, _, err := s.signOn.Finish(t.Context(), text, query, "", ""); fault.From(err).Code != "oidc_flow_over" {
			t.Errorf("%.20q: %v", text, err)
		}
	}
	if _, _, _, err := strange.Finish(t.Context(), cookie, query, "", ""); fault.From(err).Code != "oidc_flow_over" {
		t.Errorf("another process takes it: %v", err)
	}
	if _, _, _, err := s.signOn.Finish(t.Context(), cookie, query, "", ""); err != nil {
		t.Errorf("untouched, it says %v", err)
	}
}

func TestWhoRefusesOrIsRefusedIsTold(t *testing.T) {
	s := newSite(t, "ml=acme:member")
	b := s.browser()
	status, body := b.signIn("/begin", "nobody")
	b.refusedAs("oidc_refused", status, body)
	s.far.Put(oidctest.User{Subject: "s-eve", Username: "eve", Groups: []string{"sales"}})
	status, body = b.signIn("/begin", "s-eve")
	b.refusedAs("group_missing", status, body)
	s.far.Break(oidctest.Faults{WrongNonce: true})
	status, body = b.signIn("/begin", "s-ada")
	b.refusedAs("oidc_nonce", status, body)
	b.shows("")
}

func TestTheProviderEndsSessionsByItsBackChannel(t *testing.T) {
	s := newSite(t)
	b, other := s.browser(), s.browser()
	b.signIn("/begin", "s-ada")
	first := s.far.Sessions("s-ada")[0]
	other.signIn("/begin", "s-ada")
	if status := s.far.EndSession(first); status != http.StatusOK {
		t.Fatalf("the logout token was answered with %d", status)
	}
	b.shows("")
	other.shows("ada")
	s.must(s.signOn.BackChannel(t.Context(), s.far.LogoutToken(map[string]any{"sub": "s-ada"})))
	other.shows("")
	if err := s.signOn.BackChannel(t.Context(), "no token"); !fault.Is(err, fault.Invalid) {
		t.Errorf("what is no token: %v", err)
	}
}

func TestASessionThatTheProviderEndedSilentlyEndsWithinTheHour(t *testing.T) {
	s := newSite(t)
	b := s.browser()
	b.signIn("/begin", "s-ada")
	for range 3 {
		s.pass(67 * time.Minute)
		n, err := s.federation.RefreshDue(t.Context(), s.signOn.Refresh)
		if err != nil || n != 1 {
			t.Fatalf("asked about %d, %v", n, err)
		}
		b.shows("ada")
	}
	for _, broken := range []oidctest.Faults{{Away: true}, {WrongSignature: true}, {Expired: true}} { // none of which is an end
		s.far.Break(broken)
		s.pass(67 * time.Minute)
		_, err := s.federation.RefreshDue(t.Context(), s.signOn.Refresh)
		s.must(err)
		b.shows("ada")
		s.far.Break(oidctest.Faults{})
	}
	for _, sid := range s.far.Sessions("s-ada") {
		s.far.Revoke(sid)
	}
	s.pass(67 * time.Minute)
	_, err := s.federation.RefreshDue(t.Context(), s.signOn.Refresh)
	s.must(err)
	b.shows("")
}

func TestWhoIsSignedInLinksTheirOwnIdentity(t *testing.T) {
	s := newSite(t)
	password := secret.New("a-long-enough-password")
	_, err := s.accounts.CreateUser(t.Context(), s.root, account.NewUser{Username: "grace", Password: password})
	s.must(err)
	b := s.browser()
	status, body, _ := b.get(s.server.URL + "/link")
	b.refusedAs("not_user", status, body)
	_, text, err := s.accounts.StartSession(t.Context(), account.SignIn{Username: "grace", Password: password, Remote: "192.0.2.1"})
	s.must(err)
	origin, err := url.Parse(s.server.URL)
	s.must(err)
	b.client.Jar.SetCookies(origin, []*http.Cookie{{Name: here, Value: text.Reveal(), Path: "/"}})
	if status, body := b.signIn("/link", "s-ada"); status != http.StatusOK || body != "grace at /" {
		t.Fatalf("got %d %q, %v", status, body, s.failure)
	}
	another := s.browser()
	another.signIn("/begin", "s-ada")
	another.shows("grace")
	another.signIn("/begin", "s-bob")
	another.shows("bob")
	status, body = another.signIn("/link", "s-ada")
	another.refusedAs("identity_taken", status, body)
}

func TestSigningOutMayGoByTheProvider(t *testing.T) {
	s := newSite(t)
	address, err := s.signOn.LogoutURL(t.Context(), s.server.URL+"/")
	s.must(err)
	b := s.browser()
	if status, body, _ := b.get(address); status != http.StatusOK || body != " at /" || s.far.Asked("/end_session") != 1 {
		t.Errorf("got %d %q", status, body)
	}
}
