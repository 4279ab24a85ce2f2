package grant_test

import (
	"crypto/rand"
	"crypto/rsa"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"
	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

func newCatalogue(t *testing.T) *grant.Catalogue {
	t.Helper()
	transport, err := oci.NewTransport(oci.Config{})
	if err != nil {
		t.Fatal(err)
	}
	return grant.NewCatalogue(grant.Config{Transport: transport})
}

func TestEveryWrongFieldIsToldOfAtOnceAndNoSecretIsRepeated(t *testing.T) {
	_, _, err := newCatalogue(t).Normalise("generic", grant.Material{
		Config:  map[string]string{"password": password, "user": password, "basic_on_worker": "perhaps"},
		Secrets: map[string]secret.Text{"username": secret.New(password), "token": secret.New(password)},
	})
	f := wantFault(t, err, fault.Invalid, "invalid")
	got := make(map[string][]string)
	for _, field := range f.Fields {
		got[field.Name] = append(got[field.Name], field.Code)
	}
	want := map[string][]string{
		"user":            {"field_unknown"},
		"token":           {"field_unknown"},
		"username":        {"field_not_secret", "field_required"},
		"password":        {"field_secret", "field_required"},
		"basic_on_worker": {"field_choice"},
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeRightIsRefusedBeforeARegistryIsAsked(t *testing.T) {
	tests := map[string]struct {
		kind, user, secret string
		code               string
	}{
		"no user":                  {"generic", " ", password, "field_required"},
		"no secret":                {"generic", "acme", " \n", "field_required"},
		"a line break inside":      {"generic", "acme", password + "\nhunter2", "field_control"},
		"a whole page":             {"generic", "acme", strings.Repeat("x", 64<<10+1), "field_too_long"},
		"user and secret in one":   {"generic", "acme:" + password, password, "username_colon"},
		"the same for Docker Hub":  {"docker-hub", "acme:" + password + "@x", password, "username_colon"},
		"a mail address":           {"docker-hub", "me@acme.example", password, "username_mail"},
		"no user that JFrog needs": {"jfrog", "", password, "username_required"},
		"a kind there is not":      {"quay", "acme", password, "kind_unknown"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, _, err := newCatalogue(t).Normalise(test.kind, materialOf(test.kind, test.user, test.secret))
			wantFault(t, err, fault.Invalid, test.code)
		})
	}
}

func TestAMaterialIsPutInTheFormThatTheRegistryWants(t *testing.T) {
	accessToken := jfrogToken(t, "jfac@01abc/users/Anna%20K")
	tests := map[string]struct {
		kind     string
		in       grant.Material
		config   map[string]string
		warnings int
	}{
		"white space goes and defaults come": {"generic", materialOf("generic", " Robot$acme\t", "\n"+password+" "), map[string]string{"username": "Robot$acme", "basic_on_worker": "false"}, 0},
		"Docker Hub knows no capitals":       {"docker-hub", materialOf("docker-hub", "Acme", password), map[string]string{"username": "acme"}, 0},
		"a password for Docker Hub":          {"docker-hub", materialOf("docker-hub", "acme", "mypassword"), map[string]string{"username": "acme"}, 1},
		"an old key of JFrog":                {"jfrog", materialOf("jfrog", "acme", "AKCp8abcdefgh"), map[string]string{"username": "acme"}, 1},
		"a JFrog token that says its user":   {"jfrog", materialOf("jfrog", "", accessToken), map[string]string{"username": "Anna K"}, 0},
		"a user that is given stays":         {"jfrog", materialOf("jfrog", "acme", accessToken), map[string]string{"username": "acme"}, 1},
		"a password for JFrog":               {"jfrog", materialOf("jfrog", "acme", "mypassword"), map[string]string{"username": "acme"}, 1},
		"a reference token":                  {"jfrog", materialOf("jfrog", "acme", strings.Repeat("cmVmdGtu", 8)), map[string]string{"username": "acme"}, 0},
		"Docker Hub's organisation token":    {"docker-hub", materialOf("docker-hub", "acme", "dckr_oat_abc"), map[string]string{"username": "acme"}, 0},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			out, warnings, err := newCatalogue(t).Normalise(test.kind, test.in)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(test.config, out.Config); diff != "" {
				t.Errorf("config (-want +got):\n%s", diff)
			}
			if len(warnings) != test.warnings {
				t.Errorf("warnings: %q", warnings)
			}
			for _, s := range out.Secrets {
				if s.Reveal() != strings.TrimSpace(s.Reveal()) {
					t.Error("white space stays around a secret")
				}
				for _, warning := range warnings {
					if strings.Contains(warning, s.Reveal()) {
						t.Errorf("a warning repeats the secret: %s", warning)
					}
				}
			}
			again, _, err := newCatalogue(t).Normalise(test.kind, out)
			if err != nil || !cmp.Equal(out, again) {
				t.Errorf("normalising twice gives %+v (%v), not %+v", again, err, out)
			}
		})
	}
}

func TestTheMaterialThatIsGivenStaysAsItWas(t *testing.T) {
	in := grant.Material{
		Config:  map[string]string{"username": " acme ", "basic_on_worker": "TRUE"},
		Secrets: map[string]secret.Text{"password": secret.New(" " + password)},
	}
	_, warnings, err := newCatalogue(t).Normalise("generic", in)
	if err != nil || len(warnings) != 1 {
		t.Fatalf("%q, %v", warnings, err)
	}
	if in.Config["basic_on_worker"] != "TRUE" || in.Config["username"] != " acme " || in.Secrets["password"].Reveal() != " "+password {
		t.Error("it was changed")
	}
}

func TestWhatOtherClientsCallDockerIsDockerHubOnlyForItsOwnHost(t *testing.T) {
	c := newCatalogue(t)
	tests := []struct {
		name  string
		hosts []string
		want  string
	}{
		{"docker", []string{"docker.io"}, "docker-hub"},
		{"docker", []string{"docker.io", "ghcr.io"}, "generic"},
		{"docker", []string{"ghcr.io"}, "generic"},
		{"docker", nil, "generic"},
		{"jfrog", []string{"docker.io"}, "jfrog"},
	}
	for _, test := range tests {
		got, err := c.Resolve(test.name, test.hosts...)
		if err != nil || got != test.want {
			t.Errorf("%s for %q is %q (%v), want %q", test.name, test.hosts, got, err, test.want)
		}
	}
	_, err := c.Resolve("quay")
	wantFault(t, err, fault.Invalid, "kind_unknown")
}

func TestEveryKindDescribesItself(t *testing.T) {
	c := newCatalogue(t)
	for i, d := range c.Describe() {
		if d.Name != c.Names()[i] || d.Title == "" || d.Help == "" || len(d.Patterns) == 0 {
			t.Errorf("%q is not described", d.Name)
		}
		secrets := 0
		for _, f := range d.Fields {
			if f.Title == "" || f.Help == "" {
				t.Errorf("field %s of %s is not described", f.Name, d.Name)
			}
			if f.Secret {
				secrets++
			}
		}
		if secrets == 0 && d.Name != "aws-ecr-role" { // whose secret is the worker's
			t.Errorf("%s has no secret", d.Name)
		}
		if _, found := c.Kind(d.Name); !found {
			t.Errorf("%s is not found by its name", d.Name)
		}
	}
}

// jfrogToken is an access token of a subject, signed as JFrog does.
func jfrogToken(t *testing.T, subject string) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: key}, nil)
	if err != nil {
		t.Fatal(err)
	}
	token, err := jwt.Signed(signer).Claims(jwt.Claims{Subject: subject}).Serialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}
