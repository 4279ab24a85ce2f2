package granttest

import (
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
)

// GoogleProvider is a workload identity provider: an issuer of identity tokens
// outside Google that a pool of a project trusts. Its methods are safe for
// concurrent use.
type GoogleProvider struct {
	google *Google
	pool   string // projects/NUMBER/locations/global/workloadIdentityPools/POOL
	name   string // the provider's full name
	issuer string
	key    *rsa.PrivateKey
	signer jose.Signer
}

// AddProvider makes an issuer and has a pool trust it.
func (g *Google) AddProvider(pool, provider string) (*GoogleProvider, error) {
	key, err := rsa.GenerateKey(rand.Reader, googleBits)
	if err != nil {
		return nil, fmt.Errorf("making an issuer's key: %w", err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: key, KeyID: "1"}}, nil)
	if err != nil {
		return nil, fmt.Errorf("making an issuer's signer: %w", err)
	}
	p := &GoogleProvider{
		google: g, pool: "projects/123456789/locations/global/workloadIdentityPools/" + pool,
		issuer: "https://issuer.acme.example/" + provider, key: key, signer: signer,
	}
	p.name = "//iam.googleapis.com/" + p.pool + "/providers/" + provider
	g.mu.Lock()
	defer g.mu.Unlock()
	g.providers[p.name] = p
	return p, nil
}

// Audience is the provider's full name, which a credential holds.
func (p *GoogleProvider) Audience() string { return p.name }

// Token makes an identity token for a subject and an audience, for ten minutes.
func (p *GoogleProvider) Token(subject, audience string) (string, error) {
	now := time.Now()
	token, err := jwt.Signed(p.signer).Claims(jwt.Claims{
		Issuer: p.issuer, Subject: subject, Audience: jwt.Audience{audience},
		IssuedAt: jwt.NewNumericDate(now), Expiry: jwt.NewNumericDate(now.Add(10 * time.Minute)),
	}).Serialize()
	if err != nil {
		return "", fmt.Errorf("signing an identity token: %w", err)
	}
	p.google.mu.Lock()
	defer p.google.mu.Unlock()
	p.google.given = append(p.google.given, token)
	return token, nil
}

// LetAct gives a subject the role Workload Identity User on a service account,
// which must exist.
func (p *GoogleProvider) LetAct(subject, email string) {
	p.google.mu.Lock()
	defer p.google.mu.Unlock()
	account := p.google.accounts[email]
	account.actors = append(account.actors, p.principal(subject))
}

// Delete deletes the provider.
func (p *GoogleProvider) Delete() {
	p.google.mu.Lock()
	defer p.google.mu.Unlock()
	delete(p.google.providers, p.name)
}

func (p *GoogleProvider) principal(subject string) string {
	return "principal://iam.googleapis.com/" + p.pool + "/subject/" + subject
}

// verify tells whose identity token it is. The audience is the provider's name,
// with https: before it or not.
func (p *GoogleProvider) verify(text string, now time.Time) (principal string, _ *googleRefusal) {
	var claims jwt.Claims
	parsed, err := jwt.ParseSigned(text, []jose.SignatureAlgorithm{jose.RS256})
	if err != nil || parsed.UnsafeClaimsWithoutVerification(&claims) != nil {
		return "", &googleRefusal{"invalid_grant", "Unable to parse the ID Token."}
	}
	switch {
	case claims.Issuer != p.issuer:
		return "", &googleRefusal{"invalid_grant", "The issuer in ID Token " + claims.Issuer + " does not match the expected ones: " + p.issuer}
	case parsed.Claims(p.key.Public(), &claims) != nil:
		return "", &googleRefusal{"invalid_grant", "Unable to verify the ID Token signature."}
	case !slices.Contains(claims.Audience, p.name) && !slices.Contains(claims.Audience, "https:"+p.name):
		return "", &googleRefusal{"invalid_grant", "The audience in ID Token [" + strings.Join(claims.Audience, " ") + "] does not match the expected audience."}
	case claims.IssuedAt == nil, claims.Expiry == nil, now.After(claims.Expiry.Time()), claims.IssuedAt.Time().After(now.Add(googleLeeway)):
		return "", &googleRefusal{"invalid_grant", "ID Token is stale to sign-in."}
	}
	return p.principal(claims.Subject), nil
}
