package oidctest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"maps"
	"net/http"
	"time"

	"github.com/go-jose/go-jose/v4"
)

// key signs tokens.
type key struct {
	id      string
	private *ecdsa.PrivateKey
}

func newKey() key {
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err) // there is no randomness
	}
	return key{id: random(), private: private}
}

// RotateKeys has a new key sign from now on; what the one before signed holds,
// and what older ones signed does not.
func (p *Provider) RotateKeys() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.keys = append(p.keys, newKey())
	p.keys = p.keys[max(0, len(p.keys)-2):]
}

func (p *Provider) keySet(w http.ResponseWriter, _ *http.Request) {
	p.mu.Lock()
	defer p.mu.Unlock()
	var set jose.JSONWebKeySet
	for _, k := range p.keys {
		set.Keys = append(set.Keys, jose.JSONWebKey{Key: k.private.Public(), KeyID: k.id, Algorithm: string(jose.ES256), Use: "sig"})
	}
	if p.faults.WrongKeys {
		set.Keys = nil
	}
	answer(w, http.StatusOK, set)
}

// sign is the claims as a token of that type. p.mu is held.
func (p *Provider) sign(kind string, claims map[string]any) string {
	signing := p.keys[len(p.keys)-1]
	if p.faults.WrongSignature { // another key under the same name
		signing.private = newKey().private
	}
	signer, err := jose.NewSigner(
		jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: signing.private, KeyID: signing.id}},
		(&jose.SignerOptions{}).WithType(jose.ContentType(kind)))
	if err != nil {
		panic(err)
	}
	payload, err := json.Marshal(claims)
	if err != nil {
		panic(err) // a test gave what is no JSON
	}
	signed, err := signer.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, err := signed.CompactSerialize()
	if err != nil {
		panic(err)
	}
	return text
}

// idTokenLife is how long an ID token holds.
const idTokenLife = 5 * time.Minute

// idToken is the ID token of a sign-in. p.mu is held.
func (p *Provider) idToken(given *grant, nonce string) string {
	now := p.options.Now()
	claims := map[string]any{"sub": given.subject}
	if !p.options.Thin {
		claims = p.claims(given)
	}
	maps.Copy(claims, map[string]any{
		"iss": p.Issuer(), "aud": p.options.ClientID, "sid": given.sid,
		"iat": now.Unix(), "exp": now.Add(idTokenLife).Unix(), "auth_time": given.at.Unix(),
	})
	if nonce != "" {
		claims["nonce"] = nonce
	}
	if p.faults.WrongIssuer {
		claims["iss"] = "https://elsewhere.example"
	}
	if p.faults.WrongAudience {
		claims["aud"] = "another-client"
	}
	if p.faults.WrongParty {
		claims["aud"], claims["azp"] = []string{p.options.ClientID, "another-client"}, "another-client"
	}
	if p.faults.WrongNonce {
		claims["nonce"] = random()
	}
	if p.faults.Expired {
		claims["iat"], claims["exp"] = now.Add(-time.Hour).Unix(), now.Add(-time.Hour+idTokenLife).Unix()
	}
	if p.faults.Future {
		claims["iat"], claims["exp"] = now.Add(time.Hour).Unix(), now.Add(2*time.Hour).Unix()
	}
	return p.sign("JWT", claims)
}

// LogoutToken is a logout token with those claims besides, or in place of, those
// that every one has; a claim that is nil is left out. A claim "typ" becomes the
// token's type.
func (p *Provider) LogoutToken(claims map[string]any) string {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.options.Now()
	all := map[string]any{
		"iss": p.Issuer(), "aud": p.options.ClientID, "iat": now.Unix(), "exp": now.Add(2 * time.Minute).Unix(), "jti": random(),
		"events": map[string]any{"http://schemas.openid.net/event/backchannel-logout": map[string]any{}},
		"typ":    "logout+jwt",
	}
	maps.Copy(all, claims)
	maps.DeleteFunc(all, func(_ string, value any) bool { return value == nil })
	kind, _ := all["typ"].(string)
	delete(all, "typ")
	return p.sign(kind, all)
}

// sidOf is the session of an ID token that this provider gave out.
func sidOf(raw string) string {
	signed, err := jose.ParseSignedCompact(raw, []jose.SignatureAlgorithm{jose.ES256})
	if err != nil {
		return ""
	}
	var claims struct {
		SID string `json:"sid"`
	}
	if json.Unmarshal(signed.UnsafePayloadWithoutVerification(), &claims) != nil {
		return ""
	}
	return claims.SID
}
