package oidc

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"slices"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Flow is one sign-in on its way: what only the browser that began it, and this
// server, may know.
type Flow struct {
	State    string
	Nonce    string
	Verifier secret.Text // of PKCE
}

// NewFlow draws a flow.
func NewFlow() Flow {
	return Flow{State: rand.Text(), Nonce: rand.Text(), Verifier: secret.New(oauth2.GenerateVerifier())}
}

// google gives refresh tokens to those who ask for them in a way of its own.
// https://developers.google.com/identity/protocols/oauth2/web-server#offline
const google = "https://accounts.google.com"

// AuthorizationURL is where a browser is sent to sign in.
func (p *Provider) AuthorizationURL(ctx context.Context, flow Flow) (string, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return "", err
	}
	options := []oauth2.AuthCodeOption{goidc.Nonce(flow.Nonce), oauth2.S256ChallengeOption(flow.Verifier.Reveal())}
	if p.config.Issuer == google {
		options = append(options, oauth2.AccessTypeOffline)
	}
	return p.oauth(d).AuthCodeURL(flow.State, options...), nil
}

// Identity is who signed in.
type Identity struct {
	Claims Claims

	// RefreshToken asks later whether the provider's session goes on; empty
	// where the provider gave none.
	RefreshToken secret.Text

	// IDToken is the verified token itself, a hint for LogoutURL.
	IDToken secret.Text
}

// Exchange trades the code that a browser brought back for who signed in. issuer
// is what came back as iss beside the code, "" for nothing. What does not hold
// is Unauthenticated; a provider that cannot be asked, or misunderstands this
// client, is Unavailable.
func (p *Provider) Exchange(ctx context.Context, flow Flow, code secret.Text, issuer string) (Identity, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	// https://www.rfc-editor.org/rfc/rfc9207#section-2.4
	if issuer != p.config.Issuer && (issuer != "" || d.document.SaysIssuer) {
		return Identity{}, untrusted("oidc_issuer_other", "what came back is not from the provider %s", p.config.Issuer)
	}
	ctx = goidc.ClientContext(ctx, p.http)
	token, err := p.oauth(d).Exchange(ctx, code.Reveal(), oauth2.VerifierOption(flow.Verifier.Reveal()))
	if err != nil {
		return Identity{}, p.refusedToken(err, func() *fault.Error {
			return untrusted("oidc_code", "the provider does not take the code that came back")
		})
	}
	identity, idToken, err := p.identity(ctx, d, token)
	if err != nil {
		return Identity{}, err
	}
	if subtle.ConstantTimeCompare([]byte(idToken.Nonce), []byte(flow.Nonce)) != 1 {
		return Identity{}, untrusted("oidc_nonce", "the provider's answer belongs to another sign-in")
	}
	return identity, nil
}

// identity is who a token endpoint's answer tells of, verified but for the nonce.
func (p *Provider) identity(ctx context.Context, d *discovered, token *oauth2.Token) (Identity, *goidc.IDToken, error) {
	raw, _ := token.Extra("id_token").(string)
	if raw == "" {
		return Identity{}, nil, untrusted("oidc_token_missing", "the provider gave no ID token")
	}
	idToken, claims, err := p.verify(ctx, d, raw)
	if err != nil {
		return Identity{}, nil, err
	}
	if idToken.AccessTokenHash != "" {
		if err := idToken.VerifyAccessToken(token.AccessToken); err != nil {
			return Identity{}, nil, untrusted("oidc_token", "the provider's tokens do not belong together").WithCause(err)
		}
	}
	if p.lacks(claims) && d.UserInfoEndpoint() != "" {
		if err := p.addUserInfo(ctx, d, token, idToken.Subject, claims); err != nil {
			return Identity{}, nil, err
		}
	}
	read, err := parseClaims(claims, p.config.GroupsClaim)
	if err != nil {
		return Identity{}, nil, err
	}
	read.Issuer = p.config.Issuer
	return Identity{Claims: read, RefreshToken: secret.New(token.RefreshToken), IDToken: secret.New(raw)}, idToken, nil
}

// verify checks an ID token but for its nonce.
// https://openid.net/specs/openid-connect-core-1_0.html#IDTokenValidation
func (p *Provider) verify(ctx context.Context, d *discovered, raw string) (*goidc.IDToken, map[string]json.RawMessage, error) {
	now := p.config.Now()
	verifier, keys := p.verifier(d, d.keys, now)
	idToken, err := verifier.Verify(ctx, raw)
	if err != nil {
		if _, expired := errors.AsType[*goidc.TokenExpiredError](err); expired {
			return nil, nil, clockFault("has expired already").WithCause(err)
		}
		if keys.unread != nil {
			return nil, nil, p.unreached(keys.unread)
		}
		return nil, nil, untrusted("oidc_token", "the provider's ID token does not hold").WithCause(err)
	}
	if idToken.IssuedAt.After(now.Add(p.config.Skew)) {
		return nil, nil, clockFault("is of the future")
	}
	claims := make(map[string]json.RawMessage)
	if err := idToken.Claims(&claims); err != nil {
		return nil, nil, untrusted("oidc_token", "the provider's ID token does not hold").WithCause(err)
	}
	party := text(claims, "azp")
	if party != "" && party != p.config.ClientID || party == "" && len(idToken.Audience) > 1 {
		return nil, nil, untrusted("oidc_token", "the provider's ID token is for another application")
	}
	if idToken.Subject == "" || len(idToken.Subject) > subjectMost {
		return nil, nil, untrusted("oidc_token", "the provider's ID token names nobody")
	}
	return idToken, claims, nil
}

func clockFault(what string) *fault.Error {
	return fault.New(fault.Unauthenticated, "oidc_clock", "the provider's ID token %s", what).
		WithHint("Sign in again. If it goes on, one of the two clocks is wrong: the operator compares this server's with the provider's.")
}

// lacks reports whether the ID token leaves out what the userinfo endpoint may
// tell, as those of some providers do.
func (p *Provider) lacks(claims map[string]json.RawMessage) bool {
	named := text(claims, "preferred_username") != "" || text(claims, "email") != ""
	_, grouped := lookup(claims, p.config.GroupsClaim)
	return !named || p.config.GroupsClaim != "" && !grouped
}

// addUserInfo asks the userinfo endpoint for the claims that are missing.
func (p *Provider) addUserInfo(ctx context.Context, d *discovered, token *oauth2.Token, subject string, claims map[string]json.RawMessage) error {
	info, err := d.UserInfo(ctx, oauth2.StaticTokenSource(token))
	if err != nil {
		return p.unreached(err)
	}
	// https://openid.net/specs/openid-connect-core-1_0.html#UserInfoResponse
	if info.Subject != subject {
		return untrusted("oidc_token", "the provider tells of somebody else than its ID token does")
	}
	more := make(map[string]json.RawMessage)
	if err := info.Claims(&more); err != nil {
		return p.unreached(err)
	}
	told := []string{"preferred_username", "name", "_claim_names"}
	if text(claims, "email") == "" { // the two belong together
		told = append(told, "email", "email_verified")
	}
	if _, grouped := lookup(claims, p.config.GroupsClaim); !grouped && p.config.GroupsClaim != "" {
		if groups, found := lookup(more, p.config.GroupsClaim); found {
			claims[p.config.GroupsClaim] = groups
		}
	}
	for name, value := range more {
		if _, known := claims[name]; slices.Contains(told, name) && !known {
			claims[name] = value
		}
	}
	return nil
}

// Refresh asks whether the provider's session that a refresh token is of goes
// on. It returns the refresh token to ask with from now on, and whose and which
// session it is; Claims of a provider that tells nothing of it are empty. That the
// session has ended is an Unauthenticated fault with the code of SessionEnded;
// any other error tells nothing about it, and where a refresh token comes beside
// it, the one before is used up.
func (p *Provider) Refresh(ctx context.Context, refresh secret.Text) (Identity, error) {
	d, err := p.discover(ctx)
	if err != nil {
		return Identity{}, err
	}
	ctx = goidc.ClientContext(ctx, p.http)
	token, err := p.oauth(d).TokenSource(ctx, &oauth2.Token{RefreshToken: refresh.Reveal()}).Token()
	if err != nil {
		return Identity{}, p.refusedToken(err, func() *fault.Error {
			return fault.New(fault.Unauthenticated, SessionEnded, "the provider ended the session").WithHint("Sign in again.")
		})
	}
	identity := Identity{RefreshToken: secret.New(token.RefreshToken)}
	if identity.RefreshToken.IsEmpty() {
		identity.RefreshToken = refresh
	}
	if raw, _ := token.Extra("id_token").(string); raw != "" {
		idToken, claims, err := p.verify(ctx, d, raw)
		if err != nil {
			return identity, err
		}
		identity.Claims = Claims{Issuer: p.config.Issuer, Subject: idToken.Subject, SID: text(claims, "sid")}
		identity.IDToken = secret.New(raw)
	}
	return identity, nil
}

// SessionEnded is the code of the fault that says that the provider ended a
// session.
const SessionEnded = "oidc_session_ended"
