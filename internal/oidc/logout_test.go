package oidc_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oidc/oidctest"
	"fairlead.dev/fairlead/internal/secret"
)

func TestALogoutTokenNamesASessionOrASubjectAndIsTakenOnce(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	for name, claims := range map[string]map[string]any{
		"a session":                  {"sid": "s1"},
		"a subject":                  {"sub": "s-ada"},
		"both":                       {"sid": "s1", "sub": "s-ada"},
		"one of the type JWT":        {"sid": "s1", "typ": "JWT"},
		"one of a media type":        {"sid": "s1", "typ": "application/logout+JWT"},
		"an audience that is a list": {"sid": "s1", "aud": []string{h.far.ClientID()}},
	} {
		t.Run(name, func(t *testing.T) {
			token := h.far.LogoutToken(claims)
			logout, err := h.near.VerifyLogout(t.Context(), token)
			if err != nil {
				t.Fatal(err)
			}
			sid, _ := claims["sid"].(string)
			subject, _ := claims["sub"].(string)
			if logout.Issuer != h.far.Issuer() || logout.SID != sid || logout.Subject != subject {
				t.Errorf("got %+v", logout)
			}
			_, err = h.near.VerifyLogout(t.Context(), token)
			refused(t, err, fault.Invalid, "oidc_logout_replayed")
			h.near.Retry(logout)
			if _, err = h.near.VerifyLogout(t.Context(), token); err != nil {
				t.Errorf("what came to nothing is not taken again: %v", err)
			}
		})
	}
}

func TestWhatIsNoLogoutTokenEndsNothing(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	identity, err := h.signIn("s-ada")
	if err != nil {
		t.Fatal(err)
	}
	now := h.clock.now()
	const event = "http://schemas.openid.net/event/backchannel-logout"
	for name, claims := range map[string]map[string]any{
		"a nonce":                    {"sid": "s1", "nonce": "x"},
		"an empty nonce":             {"sid": "s1", "nonce": ""},
		"nobody":                     {},
		"no events":                  {"sid": "s1", "events": nil},
		"another event":              {"sid": "s1", "events": map[string]any{"https://other.example": map[string]any{}}},
		"an event that is no object": {"sid": "s1", "events": map[string]any{event: true}},
		"events that are a list":     {"sid": "s1", "events": []string{event}},
		"another issuer":             {"sid": "s1", "iss": "https://elsewhere.example"},
		"another audience":           {"sid": "s1", "aud": "another-client"},
		"no name of its own":         {"sid": "s1", "jti": nil},
		"no time":                    {"sid": "s1", "iat": nil},
		"of the future":              {"sid": "s1", "iat": now.Add(time.Hour).Unix()},
		"too old":                    {"sid": "s1", "iat": now.Add(-time.Hour).Unix()},
		"expired":                    {"sid": "s1", "exp": now.Add(-5 * time.Minute).Unix()},
		"no end":                     {"sid": "s1", "exp": nil},
		"a token of another type":    {"sid": "s1", "typ": "at+jwt"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.near.VerifyLogout(t.Context(), h.far.LogoutToken(claims))
			refused(t, err, fault.Invalid, "oidc_logout_token")
		})
	}
	for name, text := range map[string]string{
		"an ID token": identity.IDToken.Reveal(), "nothing": "", "no token": "a.b.c", "what is long": strings.Repeat("x", 1<<20),
		"one without a signature": "eyJhbGciOiJub25lIn0.e30.",
	} {
		t.Run(name, func(t *testing.T) {
			_, err := h.near.VerifyLogout(t.Context(), text)
			refused(t, err, fault.Invalid, "oidc_logout_token")
		})
	}
	t.Run("a signature of another key", func(t *testing.T) {
		h.far.Break(oidctest.Faults{WrongSignature: true})
		_, err := h.near.VerifyLogout(t.Context(), h.far.LogoutToken(map[string]any{"sid": "s1"}))
		refused(t, err, fault.Invalid, "oidc_logout_token")
	})
}

func TestStrangersCannotHaveTheProvidersKeysLookedUpWithoutEnd(t *testing.T) {
	h, other := newHouse(t, oidctest.Options{}), newHouse(t, oidctest.Options{})
	if _, err := h.signIn("s-ada"); err != nil {
		t.Fatal(err)
	}
	before := h.far.Asked("/keys")
	exhausted := 0
	for range 100 {
		_, err := h.near.VerifyLogout(t.Context(), other.far.LogoutToken(map[string]any{"sid": "s1", "iss": h.far.Issuer()}))
		if fault.Is(err, fault.Exhausted) {
			exhausted++
		}
	}
	if asked := h.far.Asked("/keys") - before; asked > 10 || exhausted < 80 {
		t.Errorf("a hundred foreign tokens had the keys looked up %d times, and %d were put off", asked, exhausted)
	}
	h.far.RotateKeys()
	if _, err := h.signIn("s-ada"); err != nil {
		t.Errorf("whoever signs in suffers from it: %v", err)
	}
}

func TestSigningOutEndsTheProvidersOwnSessionToo(t *testing.T) {
	h := newHouse(t, oidctest.Options{})
	identity, err := h.signIn("s-ada")
	if err != nil {
		t.Fatal(err)
	}
	address, err := h.near.LogoutURL(t.Context(), identity.IDToken, callback)
	if err != nil {
		t.Fatal(err)
	}
	browser := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	answer, err := browser.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	if back := answer.Header.Get("Location"); back != callback || len(h.far.Sessions("s-ada")) != 0 {
		t.Errorf("sent to %q, sessions %v", back, h.far.Sessions("s-ada"))
	}
	address, err = h.near.LogoutURL(t.Context(), secret.Text{}, "")
	if parsed, parseErr := url.Parse(address); err != nil || parseErr != nil || parsed.Query().Has("id_token_hint") || parsed.Query().Get("client_id") != h.far.ClientID() {
		t.Errorf("without a hint it is %s, %v", address, err)
	}
}
