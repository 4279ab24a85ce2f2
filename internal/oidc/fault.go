package oidc

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"

	"golang.org/x/oauth2"

	"fairlead.dev/fairlead/internal/fault"
)

// unreached is said where the provider gave no answer that could be read.
func (p *Provider) unreached(err error) error {
	if f, is := errors.AsType[*fault.Error](err); is {
		return f
	}
	host := p.config.Issuer
	if address, parseErr := url.Parse(p.config.Issuer); parseErr == nil {
		host = address.Host
	}
	_, untrusted := errors.AsType[*tls.CertificateVerificationError](err)
	_, other := errors.AsType[x509.HostnameError](err)
	timeout, isNet := errors.AsType[net.Error](err)
	switch {
	case untrusted || other:
		return fault.New(fault.Unavailable, "oidc_certificate", "the certificate of the provider %s is not trusted", host).
			WithHint("If it is of your own authority, the operator adds it: `fairlead serve --ca FILE`.").WithCause(err)
	case isNet && timeout.Timeout() || errors.Is(err, context.DeadlineExceeded):
		return fault.New(fault.Unavailable, "oidc_timeout", "the provider %s did not answer in time", host).
			WithHint("Try again in a moment.").WithCause(err)
	case isNet:
		return fault.New(fault.Unavailable, "oidc_unreachable", "the provider %s cannot be reached", host).
			WithHint("Try again in a moment; the operator sees to it that this server may reach it.").WithCause(err)
	default:
		return fault.New(fault.Unavailable, "oidc_answer", "the provider %s answered what is none of OpenID Connect", host).
			WithHint("Try again in a moment; the operator checks --oidc-issuer.").WithCause(err)
	}
}

// Codes of OAuth errors, and what becomes of them here.
// https://www.rfc-editor.org/rfc/rfc6749#section-5.2
const (
	invalidGrant  = "invalid_grant"
	invalidClient = "invalid_client"
	unauthorized  = "unauthorized_client"
)

// refusedToken makes a fault of what the token endpoint said; ended is what is
// said where the grant is not good (any more).
func (p *Provider) refusedToken(err error, ended func() *fault.Error) error {
	refusal, is := errors.AsType[*oauth2.RetrieveError](err)
	if !is {
		return p.unreached(err)
	}
	status := 0
	if refusal.Response != nil {
		status = refusal.Response.StatusCode
	}
	// Its own text shows the whole answer.
	cause := fmt.Errorf("the token endpoint answered %d, %.60q: %.300q", status, refusal.ErrorCode, refusal.ErrorDescription)
	switch {
	case refusal.ErrorCode == invalidGrant:
		return ended().WithCause(cause)
	case refusal.ErrorCode == invalidClient || refusal.ErrorCode == unauthorized || refusal.ErrorCode == "" && status == http.StatusUnauthorized:
		return fault.New(fault.Unavailable, "oidc_client_refused", "the provider %s does not take this server's client id and secret", p.config.Issuer).
			WithHint("The operator checks --oidc-client-id and --oidc-client-secret-file, and whether the secret has expired.").WithCause(cause)
	default:
		return fault.New(fault.Unavailable, "oidc_token_refused", "the provider %s gave no token", p.config.Issuer).
			WithHint("Try again in a moment; the server's log has what it said.").WithCause(cause)
	}
}

// Refused is a fault of what a provider sent back in place of a code: the
// parameters error and error_description.
// https://openid.net/specs/openid-connect-core-1_0.html#AuthError
func Refused(code, description string) error {
	cause := fmt.Errorf("the provider said %.60q: %.300q", code, description)
	switch code {
	case "access_denied", "consent_required", "interaction_required", "login_required", "account_selection_required":
		return fault.New(fault.Denied, "oidc_refused", "the provider did not let you in").
			WithHint("Try again; if it goes on, ask who runs the provider whether you may use Fairlead.").WithCause(cause)
	case "temporarily_unavailable", "server_error":
		return fault.New(fault.Unavailable, "oidc_away", "the provider cannot sign anybody in at the moment").
			WithHint("Try again in a moment.").WithCause(cause)
	default:
		return fault.New(fault.Unavailable, "oidc_request_refused", "the provider does not take this server's request to sign you in").
			WithHint("The server's log has what it said: often the redirect address or a scope is not registered.").WithCause(cause)
	}
}

// untrusted is said of an ID token that does not hold.
func untrusted(code, message string, args ...any) *fault.Error {
	return fault.New(fault.Unauthenticated, code, message, args...).
		WithHint("Sign in again; if it goes on, the operator looks into the server's log.")
}
