// Package oidc lets people sign in at an OpenID Connect provider, which answers
// for who they are: the authorization code flow with PKCE, the claims of a
// verified ID token, and what a provider tells later of a session that it ended.
//
// It knows no users and keeps nothing but what the provider published of itself:
// whose account a subject is, and what their groups give them, is its caller's
// to say. Start with New.
package oidc

import (
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	goidc "github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/sync/singleflight"
	"golang.org/x/time/rate"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Config is how a provider is used. Issuer, ClientID, RedirectURL, HTTP and Now
// must be set.
type Config struct {
	// Issuer is the provider's name of itself, an address of https, or of http
	// on this machine alone. The provider must use the very same text.
	Issuer string

	ClientID     string
	ClientSecret secret.Text // empty: a public client, which has PKCE alone

	// RedirectURL is where the provider sends people back to; it must be
	// registered there.
	RedirectURL string

	// Scopes are asked for besides openid; nil: profile and email.
	Scopes []string

	// GroupsClaim names the claim that lists a person's groups; dots lead into
	// objects. "": groups are not read.
	GroupsClaim string

	// Skew is how far the provider's clock may be from this one; 0: a minute.
	Skew time.Duration

	// HTTP speaks to the provider, and decides which addresses it may have. Of
	// its settings only the transport and the timeout are used: no redirect is
	// followed, and no answer above a mebibyte is read.
	HTTP *http.Client

	// Now is the time.
	Now func() time.Time
}

// Bounds of a configuration.
const (
	skewDefault = time.Minute
	skewMost    = 10 * time.Minute
)

// Provider is an OpenID Connect provider, as one client of it sees it. Make it
// with New; safe for concurrent use.
type Provider struct {
	config  Config
	http    *http.Client // for everything but the keys of logout tokens
	bounded *http.Client // for those

	discovering singleflight.Group
	mu          sync.Mutex
	known       *discovered
	failed      error // of the last discovery, until retryAt
	retryAt     time.Time

	replays replays
}

// discovered is what a provider published of itself.
type discovered struct {
	*goidc.Provider
	at               time.Time
	document         document
	keys, logoutKeys goidc.KeySet
}

// New checks the configuration and asks nobody: the provider is asked when it is
// first needed, and asked again when it was away. The error is an Invalid fault
// of the fields of Config, named as their settings are.
func New(config Config) (*Provider, error) {
	if config.Skew == 0 {
		config.Skew = skewDefault
	}
	if config.Scopes == nil {
		config.Scopes = []string{goidc.ScopeProfile, goidc.ScopeEmail}
	}
	config.Scopes = append([]string{goidc.ScopeOpenID}, slices.DeleteFunc(slices.Clone(config.Scopes), func(s string) bool { return s == goidc.ScopeOpenID })...)
	if err := config.check(); err != nil {
		return nil, err
	}
	// Anybody may show a logout token, and one with an unknown key has its keys
	// looked up: not more often than this.
	limit := rate.NewLimiter(rate.Every(10*time.Second), 5)
	return &Provider{config: config, http: guarded(config.HTTP, nil), bounded: guarded(config.HTTP, limit), replays: newReplays()}, nil
}

// Issuer is the provider's name of itself.
func (p *Provider) Issuer() string { return p.config.Issuer }

func (c Config) check() error {
	var errs []error
	errs = append(errs, checkIssuer(c.Issuer))
	if c.ClientID == "" || strings.TrimSpace(c.ClientID) != c.ClientID {
		errs = append(errs, fault.InvalidField("oidc-client-id", "blank", "says no client").
			WithHint("The provider shows it where Fairlead is registered as an application."))
	}
	if address, err := url.Parse(c.RedirectURL); err != nil || address.Host == "" || !isSafe(address) {
		errs = append(errs, fault.InvalidField("public-url", "oidc_redirect", "must be https, or on this machine alone, where people sign in with OpenID Connect").
			WithHint("Say how people reach the server: --public-url https://HOST."))
	}
	for _, scope := range c.Scopes {
		if !isScope(scope) {
			errs = append(errs, fault.InvalidField("oidc-scopes", "oidc_scope", "%.80q is no scope", scope).
				WithHint("Write them as a list: profile,email,offline_access."))
		}
	}
	if c.Skew < 0 || c.Skew > skewMost {
		errs = append(errs, fault.InvalidField("oidc-skew", "oidc_skew", "%s is not between 0 and %s", c.Skew, skewMost))
	}
	return fault.Join(errs...)
}

// checkIssuer refuses what no provider may be called: the address is where
// secrets are sent to.
func checkIssuer(issuer string) error {
	const field, hint = "oidc-issuer", "Copy it from the provider, such as https://login.acme.example/realms/main: its discovery document is at ISSUER/.well-known/openid-configuration."
	address, err := url.Parse(issuer)
	switch {
	case err != nil: // whose text would show a password in it
		return fault.InvalidField(field, "oidc_issuer", "cannot be read as an address").WithHint(hint)
	case address.Host == "" || address.User != nil || address.RawQuery != "" || address.ForceQuery || address.Fragment != "" || strings.HasSuffix(issuer, "#"):
		return fault.InvalidField(field, "oidc_issuer", "is not an address without a login, a query and a fragment").WithHint(hint)
	case !isSafe(address):
		return fault.InvalidField(field, "oidc_issuer_plain", "%.200q is not https, and not on this machine", issuer).
			WithHint("Give the provider a certificate: passwords and tokens cross that way.")
	}
	return nil
}

// isSafe reports whether what is sent there is encrypted, or stays on this
// machine.
func isSafe(address *url.URL) bool {
	return address.Scheme == "https" || address.Scheme == "http" && isLoopback(address.Hostname())
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return strings.EqualFold(host, "localhost") || ip != nil && ip.IsLoopback()
}

// isScope reports whether text is a scope-token.
// https://www.rfc-editor.org/rfc/rfc6749#section-3.3
func isScope(text string) bool {
	return text != "" && !strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r > '~' || r == '"' || r == '\\' })
}
