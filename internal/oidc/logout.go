package oidc

import (
	"bytes"
	"container/list"
	"context"
	"encoding/json"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Logout is what a provider tells of an end: of the session SID, or, where that
// is empty, of all of Subject's.
type Logout struct {
	Issuer  string
	Subject string
	SID     string

	id string // jti
}

// Bounds of logout tokens.
const (
	logoutMost   = 16 << 10         // bytes
	logoutLife   = 10 * time.Minute // that it may be old
	replaysKept  = 10_000
	logoutMember = "http://schemas.openid.net/event/backchannel-logout"
)

// VerifyLogout checks a logout token, of which it takes each once; where it came
// to nothing, Retry has it taken again. A token that does not hold is an Invalid
// fault.
// https://openid.net/specs/openid-connect-backchannel-1_0.html#Validation
func (p *Provider) VerifyLogout(ctx context.Context, raw string) (Logout, error) {
	if len(raw) > logoutMost {
		return Logout{}, badLogout("has %d bytes; at most %d are read", len(raw), logoutMost)
	}
	if err := checkType(raw); err != nil {
		return Logout{}, err
	}
	d, err := p.discover(ctx)
	if err != nil {
		return Logout{}, err
	}
	now := p.config.Now()
	verifier, keys := p.verifier(d, d.logoutKeys, now)
	token, err := verifier.VerifyLogout(ctx, raw)
	if err != nil {
		if keys.unread != nil {
			return Logout{}, p.unreached(keys.unread)
		}
		return Logout{}, badLogout("does not hold").WithCause(err)
	}
	var claims struct {
		Events map[string]json.RawMessage `json:"events"`
	}
	if err := token.Claims(&claims); err != nil || !bytes.HasPrefix(bytes.TrimSpace(claims.Events[logoutMember]), []byte("{")) {
		return Logout{}, badLogout("tells of no logout")
	}
	switch age := now.Sub(token.IssuedAt); {
	case token.IssuedAt.IsZero() || age < -p.config.Skew:
		return Logout{}, badLogout("is of the future, or of no time at all")
	case age > logoutLife+p.config.Skew:
		return Logout{}, badLogout("is older than %s", logoutLife)
	}
	if !p.replays.take(token.TokenID, now, logoutLife+2*p.config.Skew) {
		return Logout{}, fault.New(fault.Invalid, "oidc_logout_replayed", "this logout token was taken before").
			WithHint("A provider sends a new one each time.")
	}
	return Logout{Issuer: token.Issuer, Subject: token.Subject, SID: token.SessionID, id: token.TokenID}, nil
}

// Retry lets the token of a logout that could not be carried out come again.
func (p *Provider) Retry(logout Logout) { p.replays.forget(logout.id) }

func badLogout(message string, args ...any) *fault.Error {
	return fault.New(fault.Invalid, "oidc_logout_token", "the logout token "+message, args...).
		WithHint("See that the provider's client is the one that this server uses, and that both clocks are right.")
}

// checkType refuses tokens that say that they are of another type. That of a
// logout token is recommended, and some providers still write JWT or nothing.
// https://openid.net/specs/openid-connect-backchannel-1_0.html#LogoutToken
func checkType(raw string) error {
	signed, err := jose.ParseSignedCompact(raw, signatures)
	if err != nil {
		return badLogout("is no signed token").WithCause(err)
	}
	kind, _ := signed.Signatures[0].Header.ExtraHeaders[jose.HeaderType].(string)
	switch strings.TrimPrefix(strings.ToLower(kind), "application/") {
	case "", "jwt", "logout+jwt":
		return nil
	}
	return badLogout("is of the type %.40q", kind)
}

// LogoutURL is where a browser is sent to end the provider's own session; "" where
// the provider has no such place. hint is an ID token of the session, which some
// providers ask no further question with; it may be empty. The browser comes back
// to returnTo, which must be registered.
// https://openid.net/specs/openid-connect-rpinitiated-1_0.html#RPLogout
func (p *Provider) LogoutURL(ctx context.Context, hint secret.Text, returnTo string) (string, error) {
	d, err := p.discover(ctx)
	if err != nil || d.document.EndSessionURL == "" {
		return "", err
	}
	address, err := url.Parse(d.document.EndSessionURL)
	if err != nil {
		return "", p.unreached(err)
	}
	query := address.Query()
	query.Set("client_id", p.config.ClientID)
	if returnTo != "" {
		query.Set("post_logout_redirect_uri", returnTo)
	}
	if !hint.IsEmpty() {
		query.Set("id_token_hint", hint.Reveal())
	}
	address.RawQuery = query.Encode()
	return address.String(), nil
}

// replays remember which tokens were taken: as long as they would be, and the
// last replaysKept at most.
type replays struct {
	mu    *sync.Mutex
	order *list.List // of replay, oldest first
	byID  map[string]*list.Element
}

type replay struct {
	id    string
	until time.Time
}

func newReplays() replays {
	return replays{mu: new(sync.Mutex), order: list.New(), byID: make(map[string]*list.Element)}
}

// take reports whether the token is new.
func (r replays) take(id string, now time.Time, keep time.Duration) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	for first := r.order.Front(); first != nil; first = r.order.Front() {
		old := first.Value.(replay)
		if now.Before(old.until) && r.order.Len() < replaysKept {
			break
		}
		r.order.Remove(first)
		delete(r.byID, old.id)
	}
	if r.byID[id] != nil {
		return false
	}
	r.byID[id] = r.order.PushBack(replay{id, now.Add(keep)})
	return true
}

func (r replays) forget(id string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if element := r.byID[id]; element != nil {
		r.order.Remove(element)
		delete(r.byID, id)
	}
}
