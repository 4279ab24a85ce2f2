package grant_test

import (
	"context"
	"net/http"
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

// google is a fake of Google with images in two repositories and an account that
// may read the one, and a catalogue that reaches it.
type google struct {
	*granttest.Google
	t         *testing.T
	transport *oci.Transport
	catalogue *grant.Catalogue
	key       string

	// identity is the server's own, for keyless credentials.
	identity func(ctx context.Context, audience string) (secret.Text, error)
}

func newGoogle(t *testing.T, options granttest.GoogleOptions) *google {
	t.Helper()
	g := &google{Google: granttest.NewGoogle(t, options), t: t}
	for _, name := range []string{"my-project/ml/train", "my-project/ml/deep/eval", "my-project/secret/x"} {
		g.push(name)
	}
	g.key = g.account("fairlead", "my-project", map[string]granttest.GoogleRole{"my-project/ml": granttest.GoogleReader})
	g.transport = granttest.NewTransport(t, g.Registry)
	g.catalogue = grant.NewCatalogue(grant.Config{
		Transport: g.transport,
		IdentityToken: func(ctx context.Context, audience string) (secret.Text, error) {
			return g.identity(ctx, audience)
		},
	})
	return g
}

func (g *google) push(name string) {
	g.t.Helper()
	if _, err := g.Push(g.t.Context(), name, "v1", randomImage(g.t)); err != nil {
		g.t.Fatal(err)
	}
}

func (g *google) account(name, project string, roles map[string]granttest.GoogleRole) (keyJSON string) {
	g.t.Helper()
	key, err := g.AddServiceAccount(name, project, roles)
	if err != nil {
		g.t.Fatal(err)
	}
	return key
}

func withKey(key string) grant.Material {
	return grant.Material{Secrets: map[string]secret.Text{"service_account_json": secret.New(key)}}
}

func (g *google) normal(m grant.Material) grant.Material {
	g.t.Helper()
	normal, _, err := g.catalogue.Normalise("gcp", m)
	if err != nil {
		g.t.Fatal(err)
	}
	return normal
}

func (g *google) material() grant.Material {
	g.t.Helper()
	return g.normal(withKey(g.key))
}

func (g *google) image(path string) image.Reference {
	g.t.Helper()
	ref, err := image.ParseReference(g.Host() + "/" + path)
	if err != nil {
		g.t.Fatal(err)
	}
	return ref
}

func (g *google) issue(m grant.Material, path string) (grant.Grant, error) {
	return g.catalogue.Issue(g.t.Context(), "gcp", grant.Request{Image: g.image(path), Material: m})
}

func (g *google) pull(given grant.Grant, path string) error {
	_, _, err := oci.NewClient(g.transport.For(g.Host())).Manifest(g.t.Context(), g.image(path), given.Authorization)
	return err
}

// showsNoSecret checks that an error shows nothing that the cloud made.
func (g *google) showsNoSecret(err error) {
	g.t.Helper()
	shown := fault.From(err).Sentence() + "\n" + err.Error()
	for _, given := range append(g.Given(), g.key) {
		if strings.Contains(shown, given) {
			g.t.Errorf("the error shows a secret: %s", shown)
		}
	}
}

func TestAGrantOfArtifactRegistryPullsTheOneRepositoryAlone(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	given, err := g.issue(g.material(), "my-project/ml/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.pull(given, "my-project/ml/train:v1"); err != nil {
		t.Error(err)
	}
	if g.pull(given, "my-project/ml/deep/eval:v1") == nil {
		t.Error("it pulls another repository too")
	}
	if given.Narrow {
		t.Error("nobody can read the registry's tokens, so none says that it is narrow")
	}
	if life := given.ExpiresAt.Sub(given.IssuedAt); life > time.Hour || life < 59*time.Minute {
		t.Errorf("it holds for %s", life)
	}
}

func TestEveryHostOfGoogleIsPulledFrom(t *testing.T) {
	for host, path := range map[string]string{
		"us-docker.pkg.dev":                   "my-project/ml/train:v1",
		"europe-north1-docker.pkg.dev":        "my-project/ml/deep/eval:v1",
		"northamerica-south1-docker.pkg.dev":  "example.com/scoped/ml/train:v1",
		"gcr.io":                              "my-project/train:v1",
		"eu.gcr.io":                           "example.com/scoped/deep/train:v1",
		"australia-southeast2-docker.pkg.dev": "my-project/ml/train:v1",
	} {
		t.Run(host, func(t *testing.T) {
			g := newGoogle(t, granttest.GoogleOptions{Host: host})
			name, _, _ := strings.Cut(path, ":")
			g.push(name)
			key := g.account("puller", "my-project", map[string]granttest.GoogleRole{
				"my-project/" + host: granttest.GoogleReader, "my-project/ml": granttest.GoogleReader, "example.com:scoped": granttest.GoogleReader,
			})
			given, err := g.issue(g.normal(withKey(key)), path)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.pull(given, path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestAHostThatIsNotGooglesIsRefusedAndGetsNothing(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	m := g.material()
	for _, host := range []string{"registry.acme.example", "docker.pkg.dev.evil.example", "evil-docker.pkg.dev.example", "a.us-docker.pkg.dev", "k8s.gcr.io", "fakegcr.io"} {
		ref := image.MustParseReference("registry.acme.example/ml/train:v1")
		if other, err := image.ParseReference(host + "/my-project/ml/train:v1"); err == nil {
			ref = other
		}
		_, err := g.catalogue.Issue(t.Context(), "gcp", grant.Request{Image: ref, Material: m})
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || f.Code != "image_not_google" {
			t.Errorf("%s: %v", host, err)
		}
	}
	if g.Calls("token") != 0 {
		t.Error("the key was traded for it")
	}
}

func TestAGrantEndsWithItsAccessToken(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{AccessLifetime: 20 * time.Minute})
	given, err := g.issue(g.material(), "my-project/ml/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	life := given.ExpiresAt.Sub(given.IssuedAt)
	if life > 20*time.Minute+time.Second || life < 19*time.Minute {
		t.Errorf("it holds for %s, and its access token for 20 minutes", life)
	}
	if refresh := given.RefreshAt.Sub(given.IssuedAt); refresh >= life {
		t.Errorf("it is refreshed after %s of %s", refresh, life)
	}
}

func TestAnyNumberOfRepositoriesCauseOneAssertion(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	m := g.material()
	paths := []string{"my-project/ml/train:v1", "my-project/ml/deep/eval:v1"}
	var wait sync.WaitGroup
	for i := range 60 {
		wait.Go(func() {
			if _, err := g.issue(m, paths[i%len(paths)]); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := g.Calls("token"); got != 1 {
		t.Errorf("%d assertions, want 1", got)
	}
}

func TestAnAccessTokenThatIsAboutToEndIsMadeAnew(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{AccessLifetime: 4 * time.Minute}) // less than what is ahead
	m := g.material()
	for range 2 {
		if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
			t.Fatal(err)
		}
	}
	if got := g.Calls("token"); got != 2 {
		t.Errorf("%d assertions, want 2", got)
	}
}

func TestAnAccessTokenThatIsAboutToEndServesWhileGoogleGivesNoOther(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{AccessLifetime: 4 * time.Minute})
	m := g.material()
	first, err := g.issue(m, "my-project/ml/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	g.Throttle(1)
	second, err := g.issue(m, "my-project/ml/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if second.ExpiresAt.After(first.ExpiresAt) || g.Calls("token") != 2 {
		t.Errorf("it holds until %s, and the first one until %s, after %d assertions", second.ExpiresAt, first.ExpiresAt, g.Calls("token"))
	}
	g.DisableKeys(googleEmail) // is no trouble that passes
	if _, err := g.issue(m, "my-project/ml/train:v1"); !fault.Is(err, fault.Unauthenticated) {
		t.Errorf("%v, want that the key is refused", err)
	}
}

func TestAnAccessTokenThatWasRevokedIsMadeAnewOnce(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	m := g.material()
	if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
		t.Fatal(err)
	}
	g.ExpireTokens()
	if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
		t.Fatal(err)
	}
	if got := g.Calls("token"); got != 2 {
		t.Errorf("%d assertions, want 2", got)
	}
}

func TestAKeyThatClaimsToBeAnotherGetsNothingOfWhatThatOneGot(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	if _, err := g.issue(g.material(), "my-project/ml/train:v1"); err != nil {
		t.Fatal(err)
	}
	forged := g.normal(withKey(rekeyed(t, g.key, g.account("thief", "other-project", nil))))
	_, err := g.issue(forged, "my-project/ml/train:v1")
	if f := fault.From(err); err == nil || f.Kind != fault.Unauthenticated || f.Code != "secret_refused" {
		t.Fatalf("%v, want that the key is refused", err)
	}
}

func TestEachRefusalOfGoogleIsToldApart(t *testing.T) {
	const path = "my-project/ml/train:v1"
	for name, test := range map[string]struct {
		spoil func(*google)
		path  string
		kind  fault.Kind
		code  string
	}{
		"a disabled key":        {func(g *google) { g.DisableKeys(googleEmail) }, path, fault.Unauthenticated, "secret_refused"},
		"a key that ended":      {func(g *google) { g.SetKeyEnd(googleEmail, time.Now().Add(-time.Hour)) }, path, fault.Unauthenticated, "secret_refused"},
		"a deleted account":     {func(g *google) { g.DeleteAccount(googleEmail) }, path, fault.Unauthenticated, "google_account_unknown"},
		"a disabled account":    {func(g *google) { g.DisableAccount(googleEmail) }, path, fault.Unauthenticated, "google_account_unknown"},
		"a clock that is late":  {func(g *google) { g.SetClockSkew(3 * time.Hour) }, path, fault.Unauthenticated, "clock_skew"},
		"a clock that is early": {func(g *google) { g.SetClockSkew(-3 * time.Hour) }, path, fault.Unauthenticated, "clock_skew"},
		"a spent quota":         {func(g *google) { g.Throttle(1) }, path, fault.Exhausted, "cloud_throttled"},
		"no role":               {func(*google) {}, "my-project/secret/x:v1", fault.Denied, "access_denied"},
		"no repository": {func(g *google) {
			g.SetRoles(googleEmail, map[string]granttest.GoogleRole{"my-project": granttest.GoogleReader})
		}, "my-project/nothing/x:v1", fault.NotFound, "repository_not_found"},
		"an outage": {func(g *google) { g.SetOutage(http.StatusServiceUnavailable) }, path, fault.Unavailable, ""},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t, granttest.GoogleOptions{})
			test.spoil(g)
			_, err := g.issue(g.material(), test.path)
			f := fault.From(err)
			if err == nil || f.Kind != test.kind || test.code != "" && f.Code != test.code || f.Hint == "" {
				t.Fatalf("%v, want %s %s and a hint", err, test.kind, test.code)
			}
			g.showsNoSecret(err)
		})
	}
}

func TestThatTheQuotaOfTheRegistryIsSpentIsToldAndNotTriedAgain(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	m := g.material()
	if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
		t.Fatal(err)
	}
	g.Throttle(1)
	if _, err := g.issue(m, "my-project/ml/train:v1"); !fault.Is(err, fault.Exhausted) {
		t.Errorf("%v, want exhausted", err)
	}
	if got := g.Calls("v2/token"); got != 2 {
		t.Errorf("the registry was asked %d times, want 2", got)
	}
	if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
		t.Errorf("when the quota is there again: %v", err)
	}
}

func TestWhoWaitsForAnAccessTokenMayGo(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := g.catalogue.Issue(ctx, "gcp", grant.Request{Image: g.image("my-project/ml/train:v1"), Material: g.material()})
	if f := fault.From(err); err == nil || f.Code == "" {
		t.Errorf("%v, want a fault", err)
	}
}
