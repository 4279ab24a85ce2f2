// Package oidctest is an honest OpenID Connect provider for tests: it publishes
// what it is, shows a page on which a test or a browser chooses who signs in,
// checks everything that a client shows, and forgets nothing that it gave out.
// What it is to do wrong is said with Break.
package oidctest

import (
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// User is somebody whom the provider knows.
type User struct {
	Subject       string
	Username      string // preferred_username; "": the claim is not there
	Name          string
	Email         string
	EmailVerified bool

	// Groups is the claim as it is: nil leaves it out.
	Groups any
}

// Options are how the provider is set up.
type Options struct {
	ClientID     string // default "fairlead"
	ClientSecret string // default "client secret of tests"

	// Redirects are the addresses that may be come back to.
	Redirects []string

	// BackChannel is where logout tokens are posted; "": nowhere.
	BackChannel string

	// OnlyPost has the client show its secret in the body of the request.
	OnlyPost bool

	// Thin leaves all but the subject out of the ID token: it is at the userinfo
	// endpoint.
	Thin bool

	Now func() time.Time // default time.Now
}

// Faults are what the provider does wrong.
type Faults struct {
	Away bool // it answers nothing but 503

	WrongIssuer, WrongAudience, WrongParty, WrongNonce, WrongSubject bool
	WrongSignature, Expired, Future, NoIDToken, NoRefreshToken       bool

	// LeftOut has the groups be elsewhere, as for somebody in very many.
	LeftOut bool

	// WrongKeys has the provider publish no keys.
	WrongKeys bool
}

// Provider is a provider that runs. Make it with New; safe for concurrent use.
type Provider struct {
	options Options
	server  *httptest.Server

	mu       sync.Mutex
	users    map[string]User // by subject
	keys     []key           // the last one signs
	faults   Faults
	codes    map[string]*grant
	refresh  map[string]*grant
	access   map[string]*grant
	sessions map[string]*grant // by sid
	asked    map[string]int    // requests by path
}

// grant is what one sign-in led to.
type grant struct {
	subject, sid string

	// of the authorization
	redirect, nonce, challenge string
	scopes                     []string

	at    time.Time
	used  bool // the code
	ended bool // the session
}

// New starts a provider, which ends with the test.
func New(t testing.TB, options Options) *Provider {
	t.Helper()
	if options.ClientID == "" {
		options.ClientID = "fairlead"
	}
	if options.ClientSecret == "" {
		options.ClientSecret = "client secret of tests"
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	p := &Provider{
		options: options, users: make(map[string]User), codes: make(map[string]*grant), refresh: make(map[string]*grant),
		access: make(map[string]*grant), sessions: make(map[string]*grant), asked: make(map[string]int),
	}
	p.RotateKeys()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /.well-known/openid-configuration", p.discovery)
	mux.HandleFunc("GET /keys", p.keySet)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /authorize", p.authorized)
	mux.HandleFunc("POST /token", p.token)
	mux.HandleFunc("GET /userinfo", p.userInfo)
	mux.HandleFunc("GET /end_session", p.endSession)
	p.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		p.mu.Lock()
		p.asked[r.URL.Path]++
		away := p.faults.Away
		p.mu.Unlock()
		if away {
			http.Error(w, "down for maintenance", http.StatusServiceUnavailable)
			return
		}
		mux.ServeHTTP(w, r)
	}))
	t.Cleanup(p.server.Close)
	return p
}

// Issuer is the provider's name.
func (p *Provider) Issuer() string { return p.server.URL }

// ClientID and ClientSecret are what a client shows.
func (p *Provider) ClientID() string { return p.options.ClientID }

// ClientSecret is the client's secret.
func (p *Provider) ClientSecret() string { return p.options.ClientSecret }

// Put makes a user, or changes the one with that subject.
func (p *Provider) Put(user User) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.users[user.Subject] = user
}

// Allow registers one more address that may be come back to.
func (p *Provider) Allow(redirect string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.options.Redirects = append(p.options.Redirects, redirect)
}

// TellLogouts has logout tokens posted there.
func (p *Provider) TellLogouts(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.options.BackChannel = address
}

// Break has the provider do that wrong from now on, and nothing else; the zero
// Faults mend it.
func (p *Provider) Break(faults Faults) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.faults = faults
}

// Asked is how often a path was asked for.
func (p *Provider) Asked(path string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.asked[path]
}

func (p *Provider) discovery(w http.ResponseWriter, _ *http.Request) {
	methods := []string{"client_secret_basic", "client_secret_post"}
	if p.options.OnlyPost {
		methods = []string{"client_secret_post"}
	}
	answer(w, http.StatusOK, map[string]any{
		"issuer":                                         p.Issuer(),
		"authorization_endpoint":                         p.Issuer() + "/authorize",
		"token_endpoint":                                 p.Issuer() + "/token",
		"jwks_uri":                                       p.Issuer() + "/keys",
		"userinfo_endpoint":                              p.Issuer() + "/userinfo",
		"end_session_endpoint":                           p.Issuer() + "/end_session",
		"response_types_supported":                       []string{"code"},
		"subject_types_supported":                        []string{"public"},
		"id_token_signing_alg_values_supported":          []string{"RS256", "ES256"},
		"token_endpoint_auth_methods_supported":          methods,
		"code_challenge_methods_supported":               []string{"S256"},
		"backchannel_logout_supported":                   true,
		"backchannel_logout_session_supported":           true,
		"authorization_response_iss_parameter_supported": true,
	})
}

// userInfo tells the claims to who has an access token.
func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	text, _ := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	p.mu.Lock()
	defer p.mu.Unlock()
	given := p.access[text]
	if given == nil || given.ended {
		w.Header().Set("WWW-Authenticate", `Bearer error="invalid_token"`)
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_token"})
		return
	}
	claims := p.claims(given)
	if p.faults.WrongSubject {
		claims["sub"] = "somebody else"
	}
	answer(w, http.StatusOK, claims)
}

// claims are those of a user, as the scopes allow.
func (p *Provider) claims(given *grant) map[string]any {
	user := p.users[given.subject]
	claims := map[string]any{"sub": user.Subject}
	if slices.Contains(given.scopes, "profile") {
		if user.Username != "" {
			claims["preferred_username"] = user.Username
		}
		if user.Name != "" {
			claims["name"] = user.Name
		}
	}
	if user.Email != "" && slices.Contains(given.scopes, "email") {
		claims["email"], claims["email_verified"] = user.Email, user.EmailVerified
	}
	switch {
	case p.faults.LeftOut:
		claims["_claim_names"] = map[string]string{"groups": "src1"}
		claims["_claim_sources"] = map[string]any{"src1": map[string]string{"endpoint": p.Issuer() + "/nowhere"}}
	case user.Groups != nil:
		claims["groups"] = user.Groups
	}
	return claims
}

// endSession ends the session of the hint, tells the client, and sends the
// browser back.
func (p *Provider) endSession(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query()
	if sid := sidOf(query.Get("id_token_hint")); sid != "" {
		p.EndSession(sid)
	}
	p.mu.Lock()
	registered := slices.Contains(p.options.Redirects, query.Get("post_logout_redirect_uri"))
	p.mu.Unlock()
	if query.Get("client_id") != p.options.ClientID || !registered {
		page(w, http.StatusOK, `<p>You are signed out.</p>`)
		return
	}
	back := query.Get("post_logout_redirect_uri")
	if state := query.Get("state"); state != "" {
		back += "?" + url.Values{"state": {state}}.Encode()
	}
	http.Redirect(w, r, back, http.StatusSeeOther) //nolint:gosec // registered addresses alone come here
}

// Sessions are the sids of a user's sessions that go on.
func (p *Provider) Sessions(subject string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	var sids []string
	for _, sid := range slices.Sorted(maps.Keys(p.sessions)) {
		if given := p.sessions[sid]; given.subject == subject && !given.ended {
			sids = append(sids, sid)
		}
	}
	return sids
}

// Revoke ends a session, and tells nobody.
func (p *Provider) Revoke(sid string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if given := p.sessions[sid]; given != nil {
		given.ended = true
	}
}

// EndSession ends a session and tells the client by the back channel; it returns
// the status that the client answered with, or 0.
func (p *Provider) EndSession(sid string) int {
	p.Revoke(sid)
	p.mu.Lock()
	address, given := p.options.BackChannel, p.sessions[sid]
	p.mu.Unlock()
	if address == "" || given == nil {
		return 0
	}
	token := p.LogoutToken(map[string]any{"sid": sid, "sub": given.subject})
	response, err := p.server.Client().PostForm(address, url.Values{"logout_token": {token}})
	if err != nil {
		return 0
	}
	_ = response.Body.Close()
	return response.StatusCode
}

func answer(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(value)
}

func random() string { return rand.Text() }
