package grant_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
)

// edited is a key file with fields changed; an empty one goes.
func edited(t *testing.T, key string, changes map[string]string) string {
	t.Helper()
	fields := make(map[string]string)
	if err := json.Unmarshal([]byte(key), &fields); err != nil {
		t.Fatal(err)
	}
	for name, value := range changes {
		fields[name] = value
		if value == "" {
			delete(fields, name)
		}
	}
	text, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// rekeyed is a key file with another one's private key.
func rekeyed(t *testing.T, key, other string) string {
	t.Helper()
	fields := make(map[string]string)
	if err := json.Unmarshal([]byte(other), &fields); err != nil {
		t.Fatal(err)
	}
	return edited(t, key, map[string]string{"private_key": fields["private_key"]})
}

func pemOf(t *testing.T, kind string, der []byte, err error) string {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
}

func TestOfAKeyTheAccountAndItsProjectAreShownAndTheKeyIsNot(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	m := g.material()
	if m.Config["client_email"] != googleEmail || m.Config["project_id"] != "my-project" || m.Config["private_key_id"] == "" {
		t.Errorf("shown are %v", m.Config)
	}
	for name, value := range m.Config {
		if strings.Contains(value, "PRIVATE KEY") {
			t.Errorf("%s shows the key", name)
		}
	}
}

func TestEveryWrongFieldOfAKeyIsNamedAndNothingOfItIsShown(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	curve, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curveDER, curveErr := x509.MarshalPKCS8PrivateKey(curve)
	for name, test := range map[string]struct{ field, value string }{
		"another type":           {"type", "authorized_user"},
		"no type":                {"type", ""},
		"no project":             {"project_id", ""},
		"a project that is none": {"project_id", "hunter2/../x"},
		"no key ID":              {"private_key_id", ""},
		"a key ID that is none":  {"private_key_id", "not hex"},
		"no address":             {"client_email", ""},
		"a person's address":     {"client_email", "hunter2@gmail.com"},
		"no private key":         {"private_key", ""},
		"no PEM":                 {"private_key", "hunter2"},
		"PEM of nothing":         {"private_key", "-----BEGIN PRIVATE KEY-----\naHVudGVyMg==\n-----END PRIVATE KEY-----\n"},
		"a small key":            {"private_key", pemOf(t, "RSA PRIVATE KEY", x509.MarshalPKCS1PrivateKey(small), nil)},
		"a key of another sort":  {"private_key", pemOf(t, "PRIVATE KEY", curveDER, curveErr)},
		"no token endpoint":      {"token_uri", ""},
		"a crafted endpoint":     {"token_uri", "https://hunter2.example/token"},
		"an endpoint without s":  {"token_uri", "http://oauth2.googleapis.com/token"},
		"an endpoint with more":  {"token_uri", "https://oauth2.googleapis.com/token?hunter2"},
		"another cloud":          {"universe_domain", "hunter2.example"},
	} {
		t.Run(name, func(t *testing.T) {
			_, _, err := g.catalogue.Normalise("gcp", withKey(edited(t, g.key, map[string]string{test.field: test.value})))
			f := fault.From(err)
			if err == nil || f.Kind != fault.Invalid || !strings.Contains(f.Sentence(), "in the key, "+test.field+" ") || !strings.Contains(f.Sentence(), "service_account_json") {
				t.Fatalf("%v, want that %s is named", err, test.field)
			}
			if strings.Contains(f.Sentence(), "hunter2") || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("it shows what was entered: %v", err)
			}
		})
	}
	if g.Calls("token") != 0 {
		t.Error("a wrong key was sent")
	}
}

func TestAllWrongFieldsOfAKeyAreToldAtOnce(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, _, err := g.catalogue.Normalise("gcp", withKey("{}"))
	for _, name := range []string{"type", "project_id", "private_key_id", "private_key", "client_email", "token_uri"} {
		if err == nil || !strings.Contains(fault.From(err).Sentence(), name) {
			t.Errorf("%v does not name %s", err, name)
		}
	}
}

func TestAKeyThatIsNoJSONIsNotShown(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	for _, text := range []string{"{hunter2", "hunter2", `["hunter2"]`, `{"type": ["hunter2"]}`, "null hunter2", `"hunter2"`} {
		_, _, err := g.catalogue.Normalise("gcp", withKey(text))
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || strings.Contains(f.Sentence()+err.Error(), "hunter2") {
			t.Errorf("%s: %v", text, err)
		}
	}
}

func TestAnOldKeyIsTradedAtGooglesPresentEndpoint(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	for _, uri := range []string{"https://accounts.google.com/o/oauth2/token", "https://www.googleapis.com/oauth2/v4/token"} {
		m := g.normal(withKey(edited(t, g.key, map[string]string{"token_uri": uri, "universe_domain": ""})))
		if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
			t.Errorf("%s: %v", uri, err)
		}
	}
}

func TestAnotherTokenEndpointIsUsedWhereTheFieldAllowsItAlone(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	const own = "https://oauth2-mine.p.googleapis.com/token"
	key := edited(t, g.key, map[string]string{"token_uri": own})
	if _, _, err := g.catalogue.Normalise("gcp", withKey(key)); !fault.Is(err, fault.Invalid) {
		t.Errorf("without the field: %v", err)
	}
	m := withKey(key)
	m.Config = map[string]string{"token_uri": own, "addresses": "oauth2-mine.p.googleapis.com=" + g.Address()}
	if _, _, err := g.catalogue.Normalise("gcp", m); err != nil {
		t.Errorf("with the field: %v", err)
	}
	m.Secrets = withKey(g.key).Secrets
	if _, _, err := g.catalogue.Normalise("gcp", m); !fault.Is(err, fault.Invalid) {
		t.Errorf("with the field and a key of Google's: %v", err)
	}
	m.Config["token_uri"] = "http://169.254.169.254/token"
	if _, _, err := g.catalogue.Normalise("gcp", m); !fault.Is(err, fault.Invalid) || !strings.Contains(err.Error(), "token_uri") {
		t.Errorf("with an address without TLS: %v", err)
	}
}

func TestWhatIsReadOutOfAKeyIsReplacedWithTheKey(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	before := g.material()
	key, err := g.AddKey(googleEmail, "my-project")
	if err != nil {
		t.Fatal(err)
	}
	after := g.normal(grant.Material{Config: before.Config, Secrets: map[string]secret.Text{"service_account_json": secret.New(key)}})
	if after.Config["private_key_id"] == before.Config["private_key_id"] || after.Config["client_email"] != googleEmail {
		t.Errorf("shown are %v", after.Config)
	}
	if again := g.normal(after); again.Config["private_key_id"] != after.Config["private_key_id"] {
		t.Errorf("passed again, shown are %v", again.Config)
	}
}

func FuzzServiceAccountKey(f *testing.F) {
	f.Add(`{"type":"service_account"}`)
	f.Add(`{"type":"service_account","private_key":"-----BEGIN PRIVATE KEY-----\nAA==\n-----END PRIVATE KEY-----\n","token_uri":"https://oauth2.googleapis.com/token"}`)
	f.Add("{")
	f.Add("null")
	catalogue := grant.NewCatalogue(grant.Config{})
	f.Fuzz(func(t *testing.T, text string) {
		normal, _, err := catalogue.Normalise("gcp", withKey(text))
		switch {
		case err != nil && !fault.Is(err, fault.Invalid):
			t.Errorf("%v, want invalid", err)
		case err == nil && !strings.HasSuffix(normal.Config["client_email"], ".gserviceaccount.com"):
			t.Errorf("shown are %v", normal.Config)
		}
	})
}
