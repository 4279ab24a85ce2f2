package grant_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
)

// check checks a credential for patterns on the fake's host, and an image if one
// is named.
func (g *google) check(m grant.Material, path string, patterns ...string) grant.Report {
	g.t.Helper()
	request := grant.CheckRequest{Material: m}
	for _, pattern := range patterns {
		parsed, err := image.ParsePattern(g.Host() + "/" + pattern)
		if err != nil {
			g.t.Fatal(err)
		}
		request.Patterns = append(request.Patterns, parsed)
	}
	if path != "" {
		request.Image = g.image(path)
	}
	report, err := g.catalogue.Check(g.t.Context(), "gcp", request)
	if err != nil {
		g.t.Fatal(err)
	}
	return report
}

func roles(path string, role granttest.GoogleRole) map[string]granttest.GoogleRole {
	return map[string]granttest.GoogleRole{path: role}
}

func TestACheckOfAReaderOfArtifactRegistryPasses(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	report := g.check(g.material(), "my-project/ml/train:v1", "my-project/ml/*")
	for _, question := range []grant.Question{grant.AskSecret, grant.AskNarrow, grant.AskRepositories, grant.AskRights, grant.AskExpiry, grant.AskImage} {
		if got := step(t, report, question); got.Result != grant.Passed {
			t.Errorf("%s: %+v", question, got)
		}
	}
	want := []string{g.Host() + "/my-project/ml/deep/eval", g.Host() + "/my-project/ml/train"}
	if diff := cmp.Diff(want, report.Repositories); diff != "" {
		t.Errorf("repositories (-want +got):\n%s", diff)
	}
	if report.Identity != googleEmail || !report.Listed || time.Since(report.CreatedAt) > time.Hour || !report.ExpiresAt.IsZero() {
		t.Errorf("found %+v", report)
	}
}

func TestOfAProjectsRepositoriesThoseThatAPatternCoversAreListed(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	g.SetRoles(googleEmail, roles("my-project", granttest.GoogleReader))
	report := g.check(g.material(), "", "my-project/*/train")
	if diff := cmp.Diff([]string{g.Host() + "/my-project/ml/train"}, report.Repositories); diff != "" {
		t.Errorf("repositories (-want +got):\n%s", diff)
	}
	if got := step(t, report, grant.AskRights); got.Result != grant.Passed {
		t.Errorf("%+v", got)
	}
}

func TestOfAProjectARepositoryThatNoPatternConcernsFailsNoCheck(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	g.SetRoles(googleEmail, map[string]granttest.GoogleRole{"my-project": granttest.GoogleReader, "my-project/secret": granttest.GoogleAdmin})
	if got := step(t, g.check(g.material(), "", "my-project/*/train"), grant.AskRights); got.Result != grant.Passed {
		t.Errorf("%+v", got)
	}
	if got := step(t, g.check(g.material(), "", "my-project/*"), grant.AskRights); got.Result != grant.Warning {
		t.Errorf("with a pattern that does: %+v", got)
	}
}

func TestARegistryOfGcrIOIsListedAsTheRepositoryThatItIs(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{Host: "eu.gcr.io"})
	g.push("example.com/scoped/train")
	m := g.normal(withKey(g.account("puller", "example.com:scoped", roles("example.com:scoped/eu.gcr.io", granttest.GoogleWriter))))
	report := g.check(m, "example.com/scoped/train:v1", "example.com/scoped/*")
	if diff := cmp.Diff([]string{"eu.gcr.io/example.com/scoped/train"}, report.Repositories); diff != "" {
		t.Errorf("repositories (-want +got):\n%s", diff)
	}
	got := step(t, report, grant.AskRights)
	if got.Result != grant.Warning || !strings.Contains(got.Policy, "binding eu.gcr.io --project=example.com:scoped --location=europe") ||
		!strings.Contains(got.Policy, "serviceAccount:puller@scoped.example.com.iam.gserviceaccount.com") {
		t.Errorf("%+v", got)
	}
}

func TestOneWhoMayWriteIsWarnedWithCommandsThatMakeHimAReader(t *testing.T) {
	for role, want := range map[granttest.GoogleRole]struct{ code, sentence string }{
		granttest.GoogleWriter: {"may_push", "It may push too"},
		granttest.GoogleAdmin:  {"may_push", "It may push and delete too"},
	} {
		g := newGoogle(t, granttest.GoogleOptions{})
		g.SetRoles(googleEmail, roles("my-project/ml", role))
		got := step(t, g.check(g.material(), "", "my-project/ml/*"), grant.AskRights)
		if got.Result != grant.Warning || got.Code != want.code || !strings.HasPrefix(got.Sentence, want.sentence) || got.Hint == "" {
			t.Errorf("%s: %+v", role, got)
		}
		policy := `gcloud artifacts repositories add-iam-policy-binding ml --project=my-project --location=us-central1 \
  --member=serviceAccount:` + googleEmail + ` --role=roles/artifactregistry.reader
gcloud artifacts repositories remove-iam-policy-binding ml --project=my-project --location=us-central1 \
  --member=serviceAccount:` + googleEmail + ` --role=` + string(role)
		if diff := cmp.Diff(policy, got.Policy); diff != "" {
			t.Errorf("policy (-want +got):\n%s", diff)
		}
	}
}

func TestOneWhoMayNotReadFailsTheCheckWithTheCommandThatLetsHim(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	report := g.check(g.material(), "my-project/secret/x:v1", "my-project/secret/*")
	if got := step(t, report, grant.AskRights); got.Result != grant.Failed || got.Code != "access_denied" || !strings.Contains(got.Policy, "add-iam-policy-binding secret ") {
		t.Errorf("%+v", got)
	}
	if got := step(t, report, grant.AskRepositories); got.Result != grant.Unknown {
		t.Errorf("%+v", got)
	}
	if got := step(t, report, grant.AskImage); got.Result != grant.Failed || got.Code != "access_denied" {
		t.Errorf("%+v", got)
	}
}

func TestWhatGoogleDoesNotTellIsUnknownAndSaysHowItWouldBe(t *testing.T) {
	for name, test := range map[string]struct {
		spoil    func(*google)
		pattern  string
		question grant.Question
		hint     string
	}{
		"an API that is off":           {func(g *google) { g.SetAPIOff(true) }, "my-project/ml/*", grant.AskRepositories, "gcloud services enable"},
		"rights with an API off":       {func(g *google) { g.SetAPIOff(true) }, "my-project/ml/*", grant.AskRights, "gcloud services enable"},
		"a project that is not listed": {func(*google) {}, "my-project/*", grant.AskRepositories, "roles"},
		"a pattern without a project":  {func(*google) {}, "*/ml/train", grant.AskRepositories, "PROJECT"},
		"rights without a project":     {func(*google) {}, "*/ml/train", grant.AskRights, "--image"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t, granttest.GoogleOptions{})
			test.spoil(g)
			if got := step(t, g.check(g.material(), "", test.pattern), test.question); got.Result != grant.Unknown || !strings.Contains(got.Hint, test.hint) {
				t.Errorf("%+v, want unknown and a hint of %s", got, test.hint)
			}
		})
	}
}

func TestAPatternThatCoversNothingIsWarnedOf(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	if got := step(t, g.check(g.material(), "", "my-project/ml/nothing"), grant.AskRepositories); got.Result != grant.Warning || got.Code != "nothing_readable" {
		t.Errorf("%+v", got)
	}
}

func TestAKeysAgeAndEndAreTold(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	g.SetKeyAge(googleEmail, 100*24*time.Hour)
	if got := step(t, g.check(g.material(), "", "my-project/ml/*"), grant.AskExpiry); got.Result != grant.Warning || got.Code != "key_old" || !strings.Contains(got.Hint, "keyless") {
		t.Errorf("an old key: %+v", got)
	}
	for left, want := range map[time.Duration]grant.Result{10 * 24 * time.Hour: grant.Warning, 80 * 24 * time.Hour: grant.Passed} {
		g.SetKeyEnd(googleEmail, time.Now().Add(left))
		report := g.check(g.material(), "", "my-project/ml/*")
		if got := step(t, report, grant.AskExpiry); got.Result != want || report.ExpiresAt.IsZero() {
			t.Errorf("a key that ends in %s: %+v", left, got)
		}
	}
}

func TestACheckTrustsNoTokenThatIsKnown(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	m := g.material()
	if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
		t.Fatal(err)
	}
	g.DisableKeys(googleEmail) // which leaves the tokens that it got
	report := g.check(m, "", "my-project/ml/*")
	if got := step(t, report, grant.AskSecret); got.Result != grant.Failed || got.Code != "secret_refused" {
		t.Errorf("%+v", got)
	}
	if len(report.Steps) != 1 {
		t.Errorf("it went on: %+v", report.Steps)
	}
}

func TestACheckOfAKeylessCredentialTellsWhoItBecomes(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, m := keyless(g)
	report := g.check(m, "my-project/ml/train:v1", "my-project/ml/*")
	if failed, found := report.Failed(); found {
		t.Errorf("%+v", failed)
	}
	if report.Identity != googleEmail || !slices.Contains(report.Repositories, g.Host()+"/my-project/ml/train") {
		t.Errorf("found %+v", report)
	}
	if got := step(t, report, grant.AskExpiry); got.Result != grant.Passed || g.Calls("x509") != 0 {
		t.Errorf("%+v", got)
	}
}

func TestACheckWithSpentQuotaStillTellsTheRest(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	g.Throttle(1)
	if got := step(t, g.check(g.material(), "", "my-project/ml/*"), grant.AskSecret); got.Result != grant.Failed || got.Code != "cloud_throttled" {
		t.Errorf("%+v", got)
	}
	if got := step(t, g.check(g.material(), "", "my-project/ml/*"), grant.AskRights); got.Result != grant.Passed {
		t.Errorf("when it is there again: %+v", got)
	}
}
