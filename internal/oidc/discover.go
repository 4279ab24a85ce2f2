package oidc

import (
	"context"
	"errors"
	"net/url"
	"slices"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"fairlead.dev/fairlead/internal/fault"
)

// How long what a provider published of itself holds, and how long a failure to
// learn it.
const (
	freshTime = time.Hour
	retryTime = 5 * time.Second
)

// document is what of the discovery document the library does not give.
// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
type document struct {
	AuthURL       string   `json:"authorization_endpoint"`
	TokenURL      string   `json:"token_endpoint"`
	JWKSURL       string   `json:"jwks_uri"`
	UserInfoURL   string   `json:"userinfo_endpoint"`
	EndSessionURL string   `json:"end_session_endpoint"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	Algorithms    []string `json:"id_token_signing_alg_values_supported"`
	SaysIssuer    bool     `json:"authorization_response_iss_parameter_supported"`
}

// discover is what the provider published, asked for anew once an hour. While it
// cannot be asked, what it said before holds; without that the error is an
// Unavailable fault, and the next one who needs it tries again after seconds.
func (p *Provider) discover(ctx context.Context) (*discovered, error) {
	now := p.config.Now()
	p.mu.Lock()
	known, failed, waiting := p.known, p.failed, now.Before(p.retryAt)
	p.mu.Unlock()
	switch {
	case known != nil && (now.Sub(known.at) < freshTime || waiting):
		return known, nil
	case waiting:
		return nil, failed
	}
	// All who wait share one question, which ends with none of them.
	answer := p.discovering.DoChan("", func() (any, error) {
		fresh, err := p.ask(context.WithoutCancel(ctx), now)
		p.mu.Lock()
		defer p.mu.Unlock()
		if err != nil {
			p.failed, p.retryAt = err, now.Add(retryTime)
			if p.known != nil {
				return p.known, nil
			}
			return (*discovered)(nil), err
		}
		p.known, p.failed, p.retryAt = fresh, nil, time.Time{}
		return fresh, nil
	})
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case got := <-answer:
		if got.Err != nil {
			return nil, got.Err
		}
		return got.Val.(*discovered), nil
	}
}

func (p *Provider) ask(ctx context.Context, now time.Time) (*discovered, error) {
	provider, err := goidc.NewProvider(goidc.ClientContext(ctx, p.http), p.config.Issuer)
	if err != nil {
		return nil, p.undiscovered(err)
	}
	d := &discovered{Provider: provider, at: now}
	if err := provider.Claims(&d.document); err != nil {
		return nil, p.undiscovered(err)
	}
	if err := p.checkEndpoints(d.document); err != nil {
		return nil, err
	}
	d.keys = goidc.NewRemoteKeySet(goidc.ClientContext(ctx, p.http), d.document.JWKSURL)
	d.logoutKeys = goidc.NewRemoteKeySet(goidc.ClientContext(ctx, p.bounded), d.document.JWKSURL)
	return d, nil
}

// checkEndpoints refuses addresses that are not there, or to which a secret would
// go without encryption.
func (p *Provider) checkEndpoints(d document) error {
	for _, endpoint := range []struct {
		name, address string
		optional      bool
	}{
		{"authorization_endpoint", d.AuthURL, false},
		{"token_endpoint", d.TokenURL, false},
		{"jwks_uri", d.JWKSURL, false},
		{"userinfo_endpoint", d.UserInfoURL, true},
		{"end_session_endpoint", d.EndSessionURL, true},
	} {
		if endpoint.address == "" && endpoint.optional {
			continue
		}
		address, err := url.Parse(endpoint.address)
		if err != nil || address.Host == "" || !isSafe(address) || address.Scheme == "http" && !p.isLocal() {
			return fault.New(fault.Unavailable, "oidc_endpoint", "the provider %s names no %s of https", p.config.Issuer, endpoint.name).
				WithHint("Its discovery document must name it; the provider's operator mends that.")
		}
	}
	return nil
}

// isLocal reports whether the provider is on this machine, without encryption.
func (p *Provider) isLocal() bool {
	address, err := url.Parse(p.config.Issuer)
	return err == nil && address.Scheme == "http"
}

func (p *Provider) undiscovered(err error) error {
	if mismatch, is := errors.AsType[*goidc.IssuerMismatchError](err); is {
		return fault.New(fault.Unavailable, "oidc_issuer_mismatch", "the provider at %s calls itself %.200s", p.config.Issuer, mismatch.Discovered).
			WithHint("The operator sets --oidc-issuer to that very text, up to the last slash, if it is the one that is meant.")
	}
	return p.unreached(err)
}

// oauth is the client's side of OAuth for the provider.
func (p *Provider) oauth(d *discovered) *oauth2.Config {
	endpoint := d.Endpoint()
	// What a provider that says nothing takes is the first.
	// https://openid.net/specs/openid-connect-discovery-1_0.html#ProviderMetadata
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	methods := d.document.AuthMethods
	if p.config.ClientSecret.IsEmpty() || len(methods) > 0 && !slices.Contains(methods, "client_secret_basic") {
		endpoint.AuthStyle = oauth2.AuthStyleInParams
	}
	return &oauth2.Config{
		ClientID: p.config.ClientID, ClientSecret: p.config.ClientSecret.Reveal(),
		Endpoint: endpoint, RedirectURL: p.config.RedirectURL, Scopes: p.config.Scopes,
	}
}
