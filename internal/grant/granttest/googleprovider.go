package granttest

import (
	"errors"
	"slices"
	"strings"
	"time"
)

// GoogleProvider is a workload identity provider: an issuer of identity tokens
// outside Google that a pool of a project trusts. Its methods are safe for
// concurrent use.
type GoogleProvider struct {
	*Issuer

	google *Google
	pool   string // projects/NUMBER/locations/global/workloadIdentityPools/POOL
	name   string // the provider's full name
}

// AddProvider makes an issuer and has a pool trust it.
func (g *Google) AddProvider(pool, provider string) (*GoogleProvider, error) {
	issuer, err := NewIssuer("https://issuer.acme.example/" + provider)
	if err != nil {
		return nil, err
	}
	p := &GoogleProvider{Issuer: issuer, google: g, pool: "projects/123456789/locations/global/workloadIdentityPools/" + pool}
	p.name = "//iam.googleapis.com/" + p.pool + "/providers/" + provider
	g.mu.Lock()
	defer g.mu.Unlock()
	g.providers[p.name] = p
	return p, nil
}

// Audience is the provider's full name, which a credential holds.
func (p *GoogleProvider) Audience() string { return p.name }

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
	claims, err := p.read(text)
	switch {
	case errors.Is(err, errOtherIssuer):
		return "", &googleRefusal{"invalid_grant", "The issuer in ID Token " + claims.Issuer + " does not match the expected ones: " + p.Name()}
	case errors.Is(err, errSignature):
		return "", &googleRefusal{"invalid_grant", "Unable to verify the ID Token signature."}
	case err != nil:
		return "", &googleRefusal{"invalid_grant", "Unable to parse the ID Token."}
	case !slices.Contains(claims.Audience, p.name) && !slices.Contains(claims.Audience, "https:"+p.name):
		return "", &googleRefusal{"invalid_grant", "The audience in ID Token [" + strings.Join(claims.Audience, " ") + "] does not match the expected audience."}
	case claims.IssuedAt == nil, claims.Expiry == nil, now.After(claims.Expiry.Time()), claims.IssuedAt.Time().After(now.Add(googleLeeway)):
		return "", &googleRefusal{"invalid_grant", "ID Token is stale to sign-in."}
	}
	return p.principal(claims.Subject), nil
}
