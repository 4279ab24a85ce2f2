package adapter_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

func material(user string, secrets map[string]string) registry.Material {
	m := registry.Material{Config: map[string]string{"username": user}, Secrets: make(map[string]secret.Text)}
	for name, value := range secrets {
		m.Secrets[name] = secret.New(value)
	}
	return m
}

func TestWhatWasSealedOpensInItsPlaceAlone(t *testing.T) {
	opened, err := vault.Open(filepath.Join(t.TempDir(), "key"))
	if err != nil {
		t.Fatal(err)
	}
	sealer := adapter.Sealer{Vault: opened}
	place := registry.Place{OrganizationID: 1, CredentialID: "c", Version: 3}
	sealed, err := sealer.Seal(material("robot", map[string]string{"password": "open sesame"}), place)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(fmt.Sprintf("%q", sealed.Bytes), "sesame") {
		t.Error("the sealed bytes show the secret")
	}
	secrets, err := sealer.Open(sealed, place)
	if err != nil || secrets["password"].Reveal() != "open sesame" || len(secrets) != 1 {
		t.Errorf("opened %d secrets, %v", len(secrets), err)
	}
	for _, elsewhere := range []registry.Place{
		{OrganizationID: 2, CredentialID: "c", Version: 3},
		{OrganizationID: 1, CredentialID: "d", Version: 3},
		{OrganizationID: 1, CredentialID: "c", Version: 2},
	} {
		if _, err := sealer.Open(sealed, elsewhere); err == nil {
			t.Errorf("it opens at %+v", elsewhere)
		}
	}
}

func TestDockerMeansDockerHubOnlyForItsHost(t *testing.T) {
	kinds := adapter.Kinds{Catalogue: grant.NewCatalogue(grant.Config{})}
	for _, c := range []struct {
		pattern string
		kind    string
		field   string
	}{
		{"docker.io/acme/*", "docker-hub", "access_token"},
		{"registry.acme.example/*", "generic", "password"},
	} {
		got, err := kinds.Normalise("docker", []string{c.pattern}, material("acme", map[string]string{"password": "dckr_pat_x"}))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(c.kind, got.Kind); diff != "" || got.Material.Secrets[c.field].Reveal() != "dckr_pat_x" {
			t.Errorf("%s: the secret is not in %s (-want +got):\n%s", c.pattern, c.field, diff)
		}
	}
}

func TestAnIssuedGrantKeepsWhatTheRegistryGave(t *testing.T) {
	r := granttest.New(t, granttest.Options{})
	r.AddUser("robot", "open sesame", granttest.Pull("ml/*"))
	issuer := adapter.Issuer{Catalogue: grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, r)})}
	ref := image.MustParseReference("registry.acme.example/ml/train:v1")
	given, err := issuer.Issue(t.Context(), "generic", ref, material("robot", map[string]string{"password": "open sesame"}), false)
	if err != nil {
		t.Fatal(err)
	}
	if given.Host != ref.Host() || given.Repository != "ml/train" || given.Scheme != "bearer" || given.Secret.IsEmpty() || !given.Narrow ||
		!given.RefreshAt.Before(given.ExpiresAt) || !given.IssuedAt.Before(given.RefreshAt) {
		t.Errorf("the grant is %+v", given)
	}
}
