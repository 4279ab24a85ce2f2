package journey_test

import (
	"net"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
	"fairlead.dev/fairlead/internal/oidc/oidctest"
	"fairlead.dev/fairlead/internal/signon"
)

// freeAddress is an address that nobody listens on.
func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}

func TestSomebodySignsInAtTheProviderAndIsSignedOutByIt(t *testing.T) {
	t.Parallel()
	address := freeAddress(t)
	url := "http://" + address
	provider := oidctest.New(t, oidctest.Options{Redirects: []string{url + signon.CallbackPath}, BackChannel: url + signon.BackChannelPath})
	provider.Put(oidctest.User{Subject: "1", Username: "grace", Email: "grace@acme.example", Groups: []string{"ml-leads"}})
	provider.Put(oidctest.User{Subject: "2", Username: "stranger", Email: "stranger@acme.example"})
	secretFile := filepath.Join(t.TempDir(), "client-secret")
	if err := os.WriteFile(secretFile, []byte(provider.ClientSecret()), 0o600); err != nil {
		t.Fatal(err)
	}
	s := newServer(t, "--worker=false", "--public-url", url, "--oidc-issuer", provider.Issuer(), "--oidc-client-id", provider.ClientID(),
		"--oidc-client-secret-file", secretFile, "--oidc-name", "Acme", "--oidc-roles", "ml-leads=acme:admin")
	s.listen = address
	s.launch()
	b := browsertest.New(t)
	b.Visit(s.url + "/projects/")
	b.Axe()
	b.Screenshot("journey/sign-in-provider")
	b.Click("Sign in with Acme")
	b.Sees("Sign in at the provider")
	b.Expect("/sign-in/oidc/callback")
	b.Click("Refuse")
	b.Sees("Sign in with Acme")
	b.Axe()
	b.Screenshot("journey/sign-in-refused")
	b.Visit(s.url + "/projects/")
	b.Click("Sign in with Acme")
	b.Choose("User", "grace")
	b.Click("Sign in")
	b.At("/projects/")
	b.Sees("grace")
	b.Click("Registries")
	b.Click("Add the first one") // which an admin may
	b.Sees("Which registry are the images of acme in?")

	for _, sid := range provider.Sessions("1") {
		if status := provider.EndSession(sid); status != http.StatusOK {
			t.Errorf("the back channel answers %d", status)
		}
	}
	b.Click("Projects")
	b.At("/sign-in/?to=%2Fprojects%2F")

	b.Expect("/sign-in/oidc/callback")
	b.Click("Sign in with Acme")
	b.Choose("User", "stranger")
	b.Click("Sign in")
	b.Sees("Sign in with Acme")
	b.Axe()
	b.Screenshot("journey/sign-in-stranger")
}
