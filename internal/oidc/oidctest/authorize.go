package oidctest

import (
	"crypto/sha256"
	"encoding/base64"
	"html/template"
	"io"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
)

// form is the page on which somebody says who they are. Its fields have names
// that a test can rely on.
var form = template.Must(template.New("").Parse(`<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Sign in at the provider</title></head><body>
<h1>Sign in at the provider</h1>
<form method="post">
<label>User <select name="user" id="user">
{{- range .Users}}<option value="{{.Subject}}">{{or .Username .Email .Subject}}</option>{{end -}}
</select></label>
<button name="action" value="accept" id="accept">Sign in</button>
<button name="action" value="deny" id="deny">Refuse</button>
</form></body></html>
`))

func page(w http.ResponseWriter, status int, body string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = io.WriteString(w, "<!doctype html><title>Provider</title>"+body)
}

// request checks what a client asks for. What is wrong with the client or its
// address is told to the person and sent nowhere.
func (p *Provider) request(w http.ResponseWriter, r *http.Request) (query url.Values, ok bool) {
	query = r.URL.Query()
	p.mu.Lock()
	registered := slices.Contains(p.options.Redirects, query.Get("redirect_uri"))
	p.mu.Unlock()
	wrong := ""
	switch {
	case query.Get("client_id") != p.options.ClientID:
		wrong = "unknown client"
	case !registered:
		wrong = "redirect_uri is not registered"
	case query.Get("response_type") != "code":
		wrong = "response_type is not code"
	case !slices.Contains(strings.Fields(query.Get("scope")), "openid"):
		wrong = "scope lacks openid"
	case query.Get("code_challenge_method") != "S256" || len(query.Get("code_challenge")) != 43:
		wrong = "code_challenge is none of S256"
	case query.Get("state") == "" || query.Get("nonce") == "":
		wrong = "state or nonce is missing"
	}
	if wrong != "" {
		page(w, http.StatusBadRequest, "<p>"+wrong+"</p>")
	}
	return query, wrong == ""
}

func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	if _, ok := p.request(w, r); !ok {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var users []User
	for _, subject := range slices.Sorted(maps.Keys(p.users)) {
		users = append(users, p.users[subject])
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_ = form.Execute(w, struct{ Users []User }{users})
}

func (p *Provider) authorized(w http.ResponseWriter, r *http.Request) {
	query, ok := p.request(w, r)
	if !ok {
		return
	}
	back := url.Values{"state": {query.Get("state")}, "iss": {p.Issuer()}}
	p.mu.Lock()
	defer p.mu.Unlock()
	user, known := p.users[r.PostFormValue("user")]
	if r.PostFormValue("action") == "deny" || !known {
		back.Set("error", "access_denied")
		back.Set("error_description", "the person refused")
	} else {
		given := &grant{
			subject: user.Subject, sid: random(), redirect: query.Get("redirect_uri"), nonce: query.Get("nonce"),
			challenge: query.Get("code_challenge"), scopes: strings.Fields(query.Get("scope")), at: p.options.Now(),
		}
		code := random()
		p.codes[code], p.sessions[given.sid] = given, given
		back.Set("code", code)
	}
	http.Redirect(w, r, query.Get("redirect_uri")+"?"+back.Encode(), http.StatusSeeOther) //nolint:gosec // registered addresses alone come here
}

// token trades codes and refresh tokens.
func (p *Provider) token(w http.ResponseWriter, r *http.Request) {
	if !p.isClient(r) {
		w.Header().Set("WWW-Authenticate", "Basic")
		answer(w, http.StatusUnauthorized, map[string]any{"error": "invalid_client"})
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	refuse := func(code, description string) {
		answer(w, http.StatusBadRequest, map[string]any{"error": code, "error_description": description})
	}
	switch r.PostFormValue("grant_type") {
	case "authorization_code":
		given := p.codes[r.PostFormValue("code")]
		switch {
		case given == nil || given.ended:
			refuse("invalid_grant", "unknown code")
		case given.used: // somebody has stolen it: nothing that it gave holds
			given.ended = true
			refuse("invalid_grant", "the code was used before")
		case r.PostFormValue("redirect_uri") != given.redirect:
			refuse("invalid_grant", "redirect_uri is not that of the request")
		case challenge(r.PostFormValue("code_verifier")) != given.challenge:
			refuse("invalid_grant", "code_verifier is not that of the request")
		default:
			given.used = true
			p.give(w, given, given.nonce)
		}
	case "refresh_token":
		text := r.PostFormValue("refresh_token")
		given := p.refresh[text]
		if given == nil || given.ended {
			refuse("invalid_grant", "unknown refresh token")
			return
		}
		delete(p.refresh, text)
		p.give(w, given, "")
	default:
		refuse("unsupported_grant_type", "")
	}
}

// give answers with tokens. p.mu is held.
func (p *Provider) give(w http.ResponseWriter, given *grant, nonce string) {
	access, refresh := random(), random()
	p.access[access], p.refresh[refresh] = given, given
	tokens := map[string]any{
		"access_token": access, "token_type": "Bearer", "expires_in": 300, "refresh_token": refresh, "id_token": p.idToken(given, nonce),
	}
	if p.faults.NoIDToken {
		delete(tokens, "id_token")
	}
	if p.faults.NoRefreshToken {
		delete(tokens, "refresh_token")
	}
	answer(w, http.StatusOK, tokens)
}

// isClient reports whether the client showed its secret, in the one way that it
// may.
func (p *Provider) isClient(r *http.Request) bool {
	id, password, basic := r.BasicAuth()
	if basic { // https://www.rfc-editor.org/rfc/rfc6749#section-2.3.1
		id, _ = url.QueryUnescape(id)
		password, _ = url.QueryUnescape(password)
	} else {
		id, password = r.PostFormValue("client_id"), r.PostFormValue("client_secret")
	}
	return id == p.options.ClientID && password == p.options.ClientSecret && basic != p.options.OnlyPost
}

func challenge(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// SignIn does as a browser that was sent to address does, and chooses the user:
// it returns the address that the provider sends it back to. For a subject that
// the provider does not know, the person refuses.
func (p *Provider) SignIn(t testing.TB, address, subject string) *url.URL {
	t.Helper()
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	shown, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	text, err := io.ReadAll(shown.Body)
	_ = shown.Body.Close()
	if err != nil || shown.StatusCode != http.StatusOK {
		t.Fatalf("the provider shows %s: %s, %v", shown.Status, text, err)
	}
	sent, err := browser.PostForm(address, url.Values{"user": {subject}, "action": {"accept"}})
	if err != nil {
		t.Fatal(err)
	}
	_ = sent.Body.Close()
	back, err := sent.Location()
	if err != nil {
		t.Fatalf("the provider sends nobody back: %s, %v", sent.Status, err)
	}
	return back
}
