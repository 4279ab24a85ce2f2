package app

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oidc"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/signon"
	"fairlead.dev/fairlead/internal/vault"
)

// OIDCConfig is the OpenID Connect provider that people sign in at.
type OIDCConfig struct {
	Issuer           string // "": there is none
	ClientID         string
	ClientSecretFile string
	Name             string
	Scopes           []string
	GroupsClaim      string
	Roles            []string // GROUP=ORG:ROLE or GROUP=operator
	Only             bool
}

func (c *OIDCConfig) flags(set *pflag.FlagSet) {
	set.StringVar(&c.Issuer, "oidc-issuer", "", "OpenID Connect provider that people sign in at, such as https://login.acme.example/realms/main (default none)")
	set.StringVar(&c.ClientID, "oidc-client-id", "", "what the provider calls this server")
	set.StringVar(&c.ClientSecretFile, "oidc-client-secret-file", "", "file with the secret that goes with it (default a public client)")
	set.StringVar(&c.Name, "oidc-name", "", "what people call the provider, for the button (default its host)")
	set.StringSliceVar(&c.Scopes, "oidc-scopes", []string{"profile", "email"}, "scopes that are asked for besides openid; some providers want offline_access too")
	set.StringVar(&c.GroupsClaim, "oidc-groups-claim", "groups", "claim with a person's groups; dots lead into objects, as in realm_access.roles")
	set.StringSliceVar(&c.Roles, "oidc-roles", nil, "what a group gives: GROUP=ORGANISATION:ROLE or GROUP=operator; may be repeated (default nothing)")
	set.BoolVar(&c.Only, "oidc-only", false, "let nobody but operators sign in with a password")
}

// check refuses settings of a provider where none is named.
func (c *OIDCConfig) check() error {
	if c.Issuer != "" || c.ClientID == "" && c.ClientSecretFile == "" && c.Name == "" && len(c.Roles) == 0 && !c.Only {
		return nil
	}
	return fault.InvalidField("oidc-issuer", "blank", "is needed for the other settings of the provider").
		WithHint("Name the provider: --oidc-issuer https://LOGIN.EXAMPLE.")
}

// clientSecret reads the file.
func (c *OIDCConfig) clientSecret() (secret.Text, error) {
	if c.ClientSecretFile == "" {
		return secret.Text{}, nil
	}
	const field = "oidc-client-secret-file"
	text, err := os.ReadFile(filepath.Clean(c.ClientSecretFile))
	if err != nil {
		return secret.Text{}, fault.InvalidField(field, "file", "%v", err)
	}
	read := secret.New(strings.TrimSpace(string(text)))
	if read.IsEmpty() {
		return secret.Text{}, fault.InvalidField(field, "blank", "the file is empty").WithHint("Put the secret that the provider shows into it, or leave the setting out for a public client.")
	}
	return read, nil
}

// openSignOn wires how people sign in at a provider. Where there is none, the
// sessions of one that there was end.
func (s *Server) openSignOn(ctx context.Context, sealing *vault.Vault, now func() time.Time) error {
	config := s.config.OIDC
	roles, err := account.ParseRoleMap("oidc-roles", config.Roles)
	if err := fault.Join(config.check(), err); err != nil {
		return err
	}
	s.federation = account.NewFederation(account.FederationConfig{Accounts: s.accounts, Sealer: adapter.Sealer{Vault: sealing}, Roles: roles})
	if config.Issuer != "" {
		if s.signOn, err = s.newSignOn(config, roles, now); err != nil {
			return err
		}
	}
	if config.Only {
		s.accounts.WithPasswordsOfOperatorsOnly()
	}
	for _, name := range roles.Organizations() {
		if _, err := s.store.OrganizationByName(ctx, name); fault.Is(err, fault.NotFound) {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "a group gives a role in an organisation that is not there yet", slog.String("organization", name))
		} else if err != nil {
			return err
		}
	}
	n, err := s.federation.EndSessionsOfOthers(ctx, config.Issuer)
	if n > 0 {
		s.logger.LogAttrs(ctx, slog.LevelInfo, "ended sessions of a provider that is not set any more", slog.Int("count", n))
	}
	return err
}

func (s *Server) newSignOn(config OIDCConfig, roles account.RoleMap, now func() time.Time) (*signon.SignOn, error) {
	if s.config.PublicURL == "" {
		return nil, fault.InvalidField("public-url", "blank", "is needed where people sign in with OpenID Connect").
			WithHint("Say how people reach the server: --public-url https://HOST. The provider sends them back there.")
	}
	password, err := config.clientSecret()
	if err != nil {
		return nil, err
	}
	client, err := s.oidcClient(config.Issuer)
	if err != nil {
		return nil, err
	}
	if roles.IsEmpty() {
		config.GroupsClaim = "" // nobody asks for them
	}
	provider, err := oidc.New(oidc.Config{
		Issuer: config.Issuer, ClientID: config.ClientID, ClientSecret: password, RedirectURL: s.config.PublicURL + signon.CallbackPath,
		Scopes: config.Scopes, GroupsClaim: config.GroupsClaim, HTTP: client, Now: now,
	})
	if err != nil {
		return nil, err
	}
	return signon.New(signon.Config{Provider: provider, Federation: s.federation, Name: config.Name, Now: now})
}

// oidcClient speaks to the provider: to its own host wherever that is, since the
// operator named it, and to others of the public internet.
func (s *Server) oidcClient(issuer string) (*http.Client, error) {
	roots, err := s.roots()
	if err != nil {
		return nil, err
	}
	hosts := make(map[string]string)
	if address, err := url.Parse(issuer); err == nil {
		hosts[strings.ToLower(address.Hostname())] = ""
	}
	const timeout = 20 * time.Second
	return &http.Client{Timeout: timeout, Transport: &http.Transport{
		DialContext:         s.dialer(hosts, providerGuarded),
		TLSClientConfig:     &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: timeout, IdleConnTimeout: time.Minute, MaxIdleConnsPerHost: 2, ForceAttemptHTTP2: true,
	}}, nil
}

// providerGuarded is said of a host at an address that is not dialled.
func providerGuarded(host string, local bool) error {
	f := fault.New(fault.Denied, "oidc_address_forbidden", "%s has an address that nobody signs in at", host)
	if local {
		return f.WithHint("It is where clouds tell their machines secrets. Mend --oidc-issuer.")
	}
	f.Message = host + " is on a private network, and is not the host of the provider"
	return f.WithHint("The provider has to have its endpoints on the host of --oidc-issuer, or on public addresses.")
}

// tendSessions asks the provider about sessions whose time has come, until ctx
// ends. What failed is in the log and tried again later.
func (s *Server) tendSessions(ctx context.Context) {
	if s.signOn == nil {
		return
	}
	ticker := time.NewTicker(tendEvery)
	defer ticker.Stop()
	for {
		n, err := s.federation.RefreshDue(ctx, s.signOn.Refresh)
		if ctx.Err() != nil {
			return
		}
		if err != nil {
			s.logger.LogAttrs(ctx, slog.LevelWarn, "asked the provider about sessions", slog.Int("count", n), slog.String("error", err.Error()))
		} else if n > 0 {
			s.logger.LogAttrs(ctx, slog.LevelDebug, "asked the provider about sessions", slog.Int("count", n))
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}
