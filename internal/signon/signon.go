// Package signon is the way of a browser to a provider and back: it sends people
// to where they sign in, and makes a session of what they come back with. What a
// provider is, package oidc knows; who somebody is here, package account does.
//
// Between the two, a browser keeps one text, which nobody but this process can
// read or make: see Begin.
package signon

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oidc"
	"fairlead.dev/fairlead/internal/secret"
)

// Where the server has to listen for a provider: a GET of a browser that comes
// back, and a POST of a form with a logout_token by the provider itself.
const (
	CallbackPath    = "/sign-in/oidc/callback"
	BackChannelPath = "/sign-in/oidc/logout"
)

// FlowLife is how long somebody may take to sign in at the provider, and so how
// long a browser keeps the text of Begin.
const FlowLife = 10 * time.Minute

// Config is what a SignOn is made of. All but Name must be set.
type Config struct {
	Provider   *oidc.Provider
	Federation *account.Federation

	// Name is what people know the provider by, as on a button; "": its host.
	Name string

	Now func() time.Time
}

// SignOn takes people to the provider and back. Make it with New; safe for
// concurrent use. What it sealed is worth nothing to another process, nor to this
// one when it was started again: who is under way then begins anew.
type SignOn struct {
	config Config
	seal   cipher.AEAD
}

// New makes a SignOn with a key of its own.
func New(config Config) (*SignOn, error) {
	key := make([]byte, 32)
	_, _ = rand.Read(key) // never fails, see crypto/rand
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, fmt.Errorf("sealing sign-ins: %w", err)
	}
	seal, err := cipher.NewGCMWithRandomNonce(block)
	if err != nil {
		return nil, fmt.Errorf("sealing sign-ins: %w", err)
	}
	if config.Name == "" {
		config.Name = config.Provider.Issuer()
		if address, err := url.Parse(config.Name); err == nil {
			config.Name = address.Host
		}
	}
	return &SignOn{config: config, seal: seal}, nil
}

// Name is what people know the provider by.
func (s *SignOn) Name() string { return s.config.Name }

// Issuer is the provider's name of itself.
func (s *SignOn) Issuer() string { return s.config.Provider.Issuer() }

// flow is what a browser keeps while it is away.
type flow struct {
	State    string    `json:"state"`
	Nonce    string    `json:"nonce"`
	Verifier string    `json:"verifier"`
	ReturnTo string    `json:"return_to"`
	Expires  time.Time `json:"expires"`

	// UserID and Username are of who wants the identity to be theirs; "": it
	// says itself who it is.
	UserID   string `json:"user_id,omitempty"`
	Username string `json:"username,omitempty"`
}

// Begin is the address at the provider that a browser is to be sent to, and the
// text that it keeps meanwhile: in a cookie that no script reads, that comes back
// with a link from elsewhere (SameSite=Lax), and that lives for FlowLife.
// returnTo is a path of this server; anything else counts as /.
func (s *SignOn) Begin(ctx context.Context, returnTo string) (address, cookie string, err error) {
	return s.begin(ctx, flow{ReturnTo: returnTo})
}

// BeginLink is Begin for somebody who is signed in, and who wants to be who they
// are when they come back: the identity becomes one of theirs.
func (s *SignOn) BeginLink(ctx context.Context, actor account.Actor, returnTo string) (address, cookie string, err error) {
	if actor.UserID == "" {
		return "", "", fault.New(fault.Denied, "not_user", "only a user has identities").WithHint("Sign in first.")
	}
	return s.begin(ctx, flow{ReturnTo: returnTo, UserID: actor.UserID, Username: actor.Username})
}

func (s *SignOn) begin(ctx context.Context, away flow) (address, cookie string, err error) {
	drawn := oidc.NewFlow()
	if address, err = s.config.Provider.AuthorizationURL(ctx, drawn); err != nil {
		return "", "", err
	}
	away.State, away.Nonce, away.Verifier = drawn.State, drawn.Nonce, drawn.Verifier.Reveal()
	away.ReturnTo, away.Expires = localPath(away.ReturnTo), s.config.Now().Add(FlowLife)
	text, err := json.Marshal(away)
	if err != nil {
		return "", "", fmt.Errorf("sealing a sign-in: %w", err)
	}
	sealed := s.seal.Seal(nil, nil, text, nil) //nolint:gosec // the AEAD draws the nonce itself
	return address, base64.RawURLEncoding.EncodeToString(sealed), nil
}

// Finish makes a session of what a browser brought back: the text of Begin, and
// the query of the address at CallbackPath. The text is to be forgotten by the
// browser, whatever comes of it. agent is what the browser says that it is, and
// remote where it is. returnTo is the path of Begin.
func (s *SignOn) Finish(ctx context.Context, cookie string, query url.Values, agent, remote string) (session account.Session, text secret.Text, returnTo string, err error) {
	away, err := s.open(cookie)
	if err != nil {
		return account.Session{}, secret.Text{}, "", err
	}
	if subtle.ConstantTimeCompare([]byte(query.Get("state")), []byte(away.State)) != 1 {
		return account.Session{}, secret.Text{}, "", fault.New(fault.Unauthenticated, "oidc_state", "this is not the sign-in that this browser began last").
			WithHint("Sign in again.")
	}
	if code := query.Get("error"); code != "" {
		return account.Session{}, secret.Text{}, "", oidc.Refused(code, query.Get("error_description"))
	}
	began := oidc.Flow{State: away.State, Nonce: away.Nonce, Verifier: secret.New(away.Verifier)}
	identity, err := s.config.Provider.Exchange(ctx, began, secret.New(query.Get("code")), query.Get("iss"))
	if err != nil {
		return account.Session{}, secret.Text{}, "", err
	}
	in := externalOf(identity, agent, remote)
	if away.UserID != "" {
		actor := account.Actor{UserID: away.UserID, Username: away.Username, Remote: remote}
		if err := s.config.Federation.LinkOwn(ctx, actor, in); err != nil {
			return account.Session{}, secret.Text{}, "", err
		}
	}
	session, text, err = s.config.Federation.StartExternalSession(ctx, in)
	return session, text, away.ReturnTo, err
}

func externalOf(identity oidc.Identity, agent, remote string) account.External {
	claims := identity.Claims
	return account.External{
		Issuer: claims.Issuer, Subject: claims.Subject, Username: claims.Username, Email: claims.Email, EmailVerified: claims.EmailVerified,
		Groups: claims.Groups, SID: claims.SID, RefreshToken: identity.RefreshToken, Agent: agent, Remote: remote,
	}
}

// open is what a browser kept.
func (s *SignOn) open(cookie string) (away flow, err error) {
	over := fault.New(fault.Unauthenticated, "oidc_flow_over", "this sign-in is over, or this browser did not begin it").
		WithHint("Sign in again, within ten minutes and with cookies allowed.")
	sealed, err := base64.RawURLEncoding.DecodeString(cookie)
	if err != nil {
		return flow{}, over
	}
	text, err := s.seal.Open(nil, nil, sealed, nil)
	if err != nil || json.Unmarshal(text, &away) != nil || !s.config.Now().Before(away.Expires) {
		return flow{}, over
	}
	return away, nil
}

// BackChannel ends the sessions that a logout token of the provider names. An
// Invalid fault says that the token does not hold; the provider is answered with
// status 400 then, and with 200 where there is none.
// https://openid.net/specs/openid-connect-backchannel-1_0.html#BCResponse
func (s *SignOn) BackChannel(ctx context.Context, logoutToken string) error {
	logout, err := s.config.Provider.VerifyLogout(ctx, logoutToken)
	if err != nil {
		return err
	}
	if _, err = s.config.Federation.EndExternalSessions(ctx, logout.Issuer, logout.Subject, logout.SID); err != nil {
		s.config.Provider.Retry(logout)
	}
	return err
}

// Refresh asks the provider whether a session goes on, for RefreshDue of
// account.Federation.
func (s *SignOn) Refresh(ctx context.Context, token secret.Text) (account.Refreshed, error) {
	got, err := s.config.Provider.Refresh(ctx, token)
	if f := fault.From(err); f != nil && f.Kind == fault.Unauthenticated && f.Code != oidc.SessionEnded {
		// An answer that does not hold is no end: it may be a clock.
		err = fault.New(fault.Unavailable, f.Code, "%s", f.Message).WithHint("%s", f.Hint).WithCause(f.Cause)
	}
	return account.Refreshed{Subject: got.Claims.Subject, RefreshToken: got.RefreshToken}, err
}

// LogoutURL is where a browser that has signed out here may be sent to sign out
// at the provider too; "" where the provider has no such place. From there it
// comes back to returnTo, an address that is registered at the provider.
func (s *SignOn) LogoutURL(ctx context.Context, returnTo string) (string, error) {
	return s.config.Provider.LogoutURL(ctx, secret.Text{}, returnTo)
}

// returnMost is the longest path that is come back to.
const returnMost = 2000

// localPath is the path, if it leads nowhere but to this server.
func localPath(path string) string {
	address, err := url.Parse(path)
	if err != nil || len(path) > returnMost || !strings.HasPrefix(path, "/") || strings.HasPrefix(path, "//") || address.Host != "" || address.Scheme != "" ||
		strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '\\' || r == 0x7f }) {
		return "/"
	}
	return path
}
