package grant_test

import (
	"encoding/json"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

const googleEmail = "fairlead@my-project.iam.gserviceaccount.com"

// google is a fake of Google with two images and an account that may read the
// one repository, and a catalogue that reaches it.
type google struct {
	*granttest.Google
	t         *testing.T
	transport *oci.Transport
	catalogue *grant.Catalogue
	key       string
}

func newGoogle(t *testing.T) *google {
	t.Helper()
	g := &google{Google: granttest.NewGoogle(t, granttest.GoogleOptions{}), t: t}
	for _, name := range []string{"my-project/ml/train", "my-project/secret/x"} {
		if _, err := g.Push(t.Context(), name, "v1", randomImage(t)); err != nil {
			t.Fatal(err)
		}
	}
	var err error
	g.key, err = g.AddServiceAccount("fairlead", "my-project", map[string]granttest.GoogleRole{"my-project/ml": granttest.GoogleReader})
	if err != nil {
		t.Fatal(err)
	}
	g.transport = granttest.NewTransport(t, g.Registry)
	g.catalogue = grant.NewCatalogue(grant.Config{Transport: g.transport})
	return g
}

func (g *google) material() grant.Material {
	g.t.Helper()
	normal, _, err := g.catalogue.Normalise("gcp", grant.Material{Secrets: map[string]secret.Text{"service_account_json": secret.New(g.key)}})
	if err != nil {
		g.t.Fatal(err)
	}
	return normal
}

func (g *google) issue(m grant.Material, path string) (grant.Grant, error) {
	return g.catalogue.Issue(g.t.Context(), "gcp", grant.Request{Image: g.image(path), Material: m})
}

func (g *google) image(path string) image.Reference {
	g.t.Helper()
	ref, err := image.ParseReference(g.Host() + "/" + path)
	if err != nil {
		g.t.Fatal(err)
	}
	return ref
}

func (g *google) pulls(given grant.Grant, path string) error {
	_, _, err := oci.NewClient(g.transport.For(g.Host())).Manifest(g.t.Context(), g.image(path), given.Authorization)
	return err
}

func TestAGrantOfArtifactRegistryPullsTheOneRepositoryAlone(t *testing.T) {
	g := newGoogle(t)
	m := g.material()
	if m.Config["client_email"] != googleEmail || m.Config["project_id"] != "my-project" {
		t.Errorf("shown are %v", m.Config)
	}
	given, err := g.issue(m, "my-project/ml/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if !given.Narrow || g.pulls(given, "my-project/ml/train:v1") != nil || g.pulls(given, "my-project/secret/x:v1") == nil {
		t.Errorf("narrow %t", given.Narrow)
	}
}

func TestAnyNumberOfRepositoriesCauseOneAssertion(t *testing.T) {
	g := newGoogle(t)
	m := g.material()
	var wait sync.WaitGroup
	for range 50 {
		wait.Go(func() {
			if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := g.Calls("token"); got != 1 {
		t.Errorf("%d assertions, want 1", got)
	}
}

func TestEachRefusalOfGoogleIsToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*google)
		path  string
		kind  fault.Kind
		code  string
	}{
		"a disabled key":    {func(g *google) { g.DisableKeys(googleEmail) }, "my-project/ml/train:v1", fault.Unauthenticated, "secret_refused"},
		"a deleted account": {func(g *google) { g.DeleteAccount(googleEmail) }, "my-project/ml/train:v1", fault.Unauthenticated, "google_account_unknown"},
		"a wrong clock":     {func(g *google) { g.SetClockSkew(3 * time.Hour) }, "my-project/ml/train:v1", fault.Unauthenticated, "clock_skew"},
		"no role":           {func(*google) {}, "my-project/secret/x:v1", fault.Denied, "access_denied"},
		"another registry":  {func(*google) {}, "", fault.Invalid, "image_not_google"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t)
			test.spoil(g)
			ref := image.MustParseReference("registry.acme.example/ml/train:v1")
			if test.path != "" {
				ref = g.image(test.path)
			}
			_, err := g.catalogue.Issue(t.Context(), "gcp", grant.Request{Image: ref, Material: g.material()})
			f := fault.From(err)
			if err == nil || f.Kind != test.kind || f.Code != test.code || f.Hint == "" {
				t.Fatalf("%v, want %s", err, test.code)
			}
			if strings.Contains(f.Sentence()+err.Error(), "PRIVATE KEY") || strings.Contains(f.Sentence()+err.Error(), "ya29.") {
				t.Errorf("it shows a secret: %s", f.Sentence())
			}
		})
	}
}

func TestEveryWrongFieldOfAKeyIsNamedAndNothingOfItIsShown(t *testing.T) {
	g := newGoogle(t)
	for field, value := range map[string]string{
		"type": "authorized_user", "project_id": "", "private_key_id": "not hex", "client_email": "somebody",
		"private_key": "-----BEGIN PRIVATE KEY-----\nhunter2\n-----END PRIVATE KEY-----\n", "token_uri": "https://evil.example/token",
	} {
		var key map[string]string
		if err := json.Unmarshal([]byte(g.key), &key); err != nil {
			t.Fatal(err)
		}
		key[field] = value
		text, err := json.Marshal(key)
		if err != nil {
			t.Fatal(err)
		}
		_, _, err = g.catalogue.Normalise("gcp", grant.Material{Secrets: map[string]secret.Text{"service_account_json": secret.New(string(text))}})
		f := fault.From(err)
		if err == nil || f.Kind != fault.Invalid || !strings.Contains(f.Sentence(), field) || strings.Contains(f.Sentence(), "hunter2") || strings.Contains(f.Sentence(), "evil.example") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if _, _, err := g.catalogue.Normalise("gcp", grant.Material{Secrets: map[string]secret.Text{"service_account_json": secret.New("{hunter2")}}); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("no JSON: %v", err)
	}
}

func TestACheckSaysWhatTheServiceAccountIsGoodFor(t *testing.T) {
	g := newGoogle(t)
	g.SetKeyAge(googleEmail, 100*24*time.Hour)
	pattern := image.MustParsePattern("us-central1-docker.pkg.dev/my-project/ml/*")
	check := func() grant.Report {
		report, err := g.catalogue.Check(t.Context(), "gcp", grant.CheckRequest{
			Material: g.material(), Patterns: []image.Pattern{pattern}, Image: g.image("my-project/ml/train:v1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	report := check()
	if report.Identity != googleEmail || len(report.Repositories) != 1 || report.CreatedAt.IsZero() {
		t.Errorf("found %+v", report)
	}
	for question, want := range map[grant.Question]grant.Result{
		grant.AskSecret: grant.Passed, grant.AskRepositories: grant.Passed, grant.AskRights: grant.Passed,
		grant.AskExpiry: grant.Warning, grant.AskImage: grant.Passed,
	} {
		if got := step(t, report, question); got.Result != want {
			t.Errorf("%s: %+v, want %s", question, got, want)
		}
	}
	g.SetRoles(googleEmail, map[string]granttest.GoogleRole{"my-project/ml": granttest.GoogleAdmin})
	if got := step(t, check(), grant.AskRights); got.Result != grant.Warning || !strings.Contains(got.Policy, "roles/artifactregistry.reader") || !strings.Contains(got.Policy, googleEmail) {
		t.Errorf("got %+v", got)
	}
	g.SetAPIOff(true)
	if got := step(t, check(), grant.AskRepositories); got.Result != grant.Unknown || !strings.Contains(got.Hint, "gcloud services enable") {
		t.Errorf("got %+v", got)
	}
	g.DisableKeys(googleEmail)
	g.ExpireTokens()
}

func FuzzServiceAccountKey(f *testing.F) {
	f.Add(`{"type":"service_account"}`)
	f.Add("{")
	catalogue := grant.NewCatalogue(grant.Config{})
	f.Fuzz(func(t *testing.T, text string) {
		_, _, err := catalogue.Normalise("gcp", grant.Material{Secrets: map[string]secret.Text{"service_account_json": secret.New(text)}})
		if err != nil && !fault.Is(err, fault.Invalid) {
			t.Errorf("%v, want invalid", err)
		}
	})
}
