package app

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/oidc/oidctest"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// openWith opens a server without a worker with those settings.
func openWith(t *testing.T, args ...string) (*Server, error) {
	t.Helper()
	config, err := settle(t, "", append([]string{"--listen", "127.0.0.1:0", "--worker=false", "--data-dir", t.TempDir()}, args...)...)
	if err != nil {
		t.Fatal(err)
	}
	return Open(t.Context(), config, "test", slog.New(slog.DiscardHandler))
}

func TestAServerStartsWhileItsProviderIsAway(t *testing.T) {
	file := filepath.Join(t.TempDir(), "client-secret")
	if err := os.WriteFile(file, []byte("hunter2\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := openWith(t, "--public-url", "https://fairlead.example", "--oidc-issuer", "https://login.example.invalid", "--oidc-client-id", "fairlead",
		"--oidc-client-secret-file", file, "--oidc-name", "Acme", "--oidc-roles", "ml=acme:member,ops=operator", "--oidc-only")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	if s.signOn == nil || s.signOn.Name() != "Acme" {
		t.Fatal("nobody can sign in at the provider")
	}
	if _, _, err := s.signOn.Begin(t.Context(), "/"); !fault.Is(err, fault.Unavailable) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("to begin says %v", err)
	}
}

func TestAServerReachesAProviderOnAPrivateNetworkThatItsOperatorNamed(t *testing.T) {
	far := oidctest.New(t, oidctest.Options{})
	s, err := openWith(t, "--public-url", "https://fairlead.example", "--oidc-issuer", far.Issuer(), "--oidc-client-id", "fairlead")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	address, cookie, err := s.signOn.Begin(t.Context(), "/")
	if err != nil || !strings.HasPrefix(address, far.Issuer()+"/authorize?") || cookie == "" {
		t.Errorf("sent to %s, %v", address, err)
	}
}

func TestAChangeOfTheKeysSealsRefreshTokensAnew(t *testing.T) {
	const issuer = "https://login.example.invalid"
	s, err := openWith(t, "--public-url", "https://fairlead.example", "--oidc-issuer", issuer, "--oidc-client-id", "fairlead")
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	_, _, err = s.federation.StartExternalSession(t.Context(), account.External{Issuer: issuer, Subject: "s-ada", Username: "ada", RefreshToken: secret.New("hunter2")})
	if err != nil {
		t.Fatal(err)
	}
	sealedWith := func() uint32 {
		t.Helper()
		kept, err := s.store.RefreshSecretsBefore(t.Context(), 0, 10)
		if err != nil || len(kept) != 1 {
			t.Fatalf("%d refresh tokens, %v", len(kept), err)
		}
		return kept[0].Sealed.KeyID
	}
	before := sealedWith()
	_, token, err := s.accounts.SignIn(t.Context(), s.First().Username, s.First().Password, "test", "192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	request := httptest.NewRequestWithContext(t.Context(), http.MethodPost, wire.Base+"keys/rotate/", nil)
	request.Header.Set("Authorization", "Bearer "+token.Reveal())
	answer := httptest.NewRecorder()
	s.handler.ServeHTTP(answer, request)
	if answer.Code != http.StatusOK || sealedWith() == before {
		t.Errorf("answered %d %s, sealed with %d as before", answer.Code, answer.Body, before)
	}
}

func TestSettingsOfAProviderThatMakeNoSenseAreRefusedAtTheStart(t *testing.T) {
	good := []string{"--public-url", "https://fairlead.example", "--oidc-issuer", "https://login.acme.example", "--oidc-client-id", "fairlead"}
	for name, c := range map[string]struct {
		args []string
		says string
	}{
		"a client without a provider": {[]string{"--oidc-client-id", "fairlead"}, "oidc-issuer"},
		"no passwords and no way in":  {[]string{"--oidc-only"}, "oidc-issuer"},
		"no address of its own":       {good[2:], "public-url"},
		"an address without TLS":      {append([]string{"--public-url", "http://fairlead.example"}, good[2:]...), "public-url"},
		"no client":                   {good[:4], "oidc-client-id"},
		"a secret that is not there":  {append(good, "--oidc-client-secret-file", "/nowhere"), "oidc-client-secret-file"},
		"an empty secret":             {append(good, "--oidc-client-secret-file", os.DevNull), "oidc-client-secret-file"},
		"a rule that is none":         {append(good, "--oidc-roles", "ml"), "oidc-roles"},
		"a scope that is none":        {append(good, "--oidc-scopes", "a b"), "oidc-scopes"},
	} {
		t.Run(name, func(t *testing.T) {
			s, err := openWith(t, c.args...)
			if err == nil {
				_ = s.Close()
			}
			if !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}
