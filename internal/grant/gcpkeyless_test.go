package grant_test

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
)

// subject is who the server is.
const subject = "system:serviceaccount:fairlead:server"

// keyless has an issuer outside Google that says who the server is, and an
// account that trusts it.
func keyless(g *google) (*granttest.GoogleProvider, grant.Material) {
	g.t.Helper()
	provider, err := g.AddProvider("fairlead-pool", "cluster")
	if err != nil {
		g.t.Fatal(err)
	}
	provider.LetAct(subject, googleEmail)
	g.identity = func(_ context.Context, audience string) (secret.Text, error) {
		token, err := provider.Token(subject, audience)
		return secret.New(token), err
	}
	return provider, g.normal(grant.Material{Config: map[string]string{
		"service_account_email": googleEmail, "workload_identity_provider": provider.Audience(),
	}})
}

func TestAKeylessCredentialPullsWithTheServersOwnIdentity(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, m := keyless(g)
	given, err := g.issue(m, "my-project/ml/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := g.pull(given, "my-project/ml/train:v1"); err != nil {
		t.Error(err)
	}
	if g.Calls("sts") != 1 || g.Calls("generateAccessToken") != 1 || g.Calls("token") != 0 {
		t.Errorf("%d, %d and %d requests", g.Calls("sts"), g.Calls("generateAccessToken"), g.Calls("token"))
	}
}

func TestAnyNumberOfKeylessGrantsCauseOneTrade(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, m := keyless(g)
	var wait sync.WaitGroup
	for range 40 {
		wait.Go(func() {
			if _, err := g.issue(m, "my-project/ml/train:v1"); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if g.Calls("sts") != 1 || g.Calls("generateAccessToken") != 1 {
		t.Errorf("%d and %d requests, want one of each", g.Calls("sts"), g.Calls("generateAccessToken"))
	}
}

func TestAProvidersNameIsTakenAsToolsPrintIt(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, m := keyless(g)
	want := m.Config["workload_identity_provider"]
	for _, written := range []string{want, "https:" + want, strings.TrimPrefix(want, "//iam.googleapis.com/")} {
		got := g.normal(grant.Material{Config: map[string]string{"service_account_email": googleEmail, "workload_identity_provider": written}})
		if got.Config["workload_identity_provider"] != want {
			t.Errorf("%s is read as %s", written, got.Config["workload_identity_provider"])
		}
	}
}

func TestAKeylessCredentialTakesNamesAlone(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	const provider = "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/pool/providers/prov"
	const file = `{"type": "external_account", "audience": "` + provider + `", "token_url": "https://evil.example/token", "credential_source": {"file": "/etc/passwd"}}`
	for name, test := range map[string]struct {
		config map[string]string
		key    string
		field  string
	}{
		"nothing at all":         {nil, "", "service_account_json"},
		"a key too":              {map[string]string{"service_account_email": googleEmail, "workload_identity_provider": provider}, g.key, "service_account_json"},
		"a key and half of it":   {map[string]string{"service_account_email": googleEmail}, g.key, "service_account_json"},
		"no account":             {map[string]string{"workload_identity_provider": provider}, "", "service_account_email"},
		"no provider":            {map[string]string{"service_account_email": googleEmail}, "", "workload_identity_provider"},
		"a person":               {map[string]string{"service_account_email": "me@gmail.com", "workload_identity_provider": provider}, "", "service_account_email"},
		"a path in the account":  {map[string]string{"service_account_email": "a/../b@p.iam.gserviceaccount.com", "workload_identity_provider": provider}, "", "service_account_email"},
		"gcloud's file":          {map[string]string{"service_account_email": googleEmail, "workload_identity_provider": file}, "", "workload_identity_provider"},
		"gcloud's file as a key": {nil, file, "service_account_json"},
		"a project's name":       {map[string]string{"service_account_email": googleEmail, "workload_identity_provider": strings.Replace(provider, "/1/", "/name/", 1)}, "", "workload_identity_provider"},
		"a workforce pool":       {map[string]string{"service_account_email": googleEmail, "workload_identity_provider": "//iam.googleapis.com/locations/global/workforcePools/pool/providers/prov"}, "", "workload_identity_provider"},
		"another host":           {map[string]string{"service_account_email": googleEmail, "workload_identity_provider": strings.Replace(provider, "iam.googleapis.com", "evil.example", 1)}, "", "workload_identity_provider"},
		"a token endpoint":       {map[string]string{"service_account_email": googleEmail, "workload_identity_provider": provider, "token_uri": "https://evil.example"}, "", "token_uri"},
	} {
		t.Run(name, func(t *testing.T) {
			m := grant.Material{Config: test.config}
			if test.key != "" {
				m = withKey(test.key)
				m.Config = test.config
			}
			_, _, err := g.catalogue.Normalise("gcp", m)
			if f := fault.From(err); err == nil || f.Kind != fault.Invalid || !strings.Contains(f.Sentence(), test.field) {
				t.Errorf("%v, want that %s is named", err, test.field)
			}
		})
	}
}

func TestEachRefusalOfTheServersIdentityIsToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*google, *granttest.GoogleProvider)
		kind  fault.Kind
		code  string
		says  string
	}{
		"a provider that was deleted": {func(_ *google, p *granttest.GoogleProvider) { p.Delete() }, fault.Unauthenticated, "federation_refused", "does not accept this server's identity"},
		"another audience": {func(g *google, p *granttest.GoogleProvider) {
			g.identity = func(context.Context, string) (secret.Text, error) {
				token, err := p.Token(subject, "https://elsewhere.example")
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "federation_refused", "does not accept this server's identity"},
		"a token that is none": {func(g *google, _ *granttest.GoogleProvider) {
			g.identity = func(context.Context, string) (secret.Text, error) { return secret.New("hunter2"), nil }
		}, fault.Unauthenticated, "federation_refused", "does not accept this server's identity"},
		"a clock that is wrong": {func(g *google, _ *granttest.GoogleProvider) { g.SetClockSkew(3 * time.Hour) }, fault.Unauthenticated, "federation_refused", "stale"},
		"another issuer": {func(g *google, _ *granttest.GoogleProvider) {
			other, err := g.AddProvider("fairlead-pool", "other")
			if err != nil {
				g.t.Fatal(err)
			}
			g.identity = func(_ context.Context, audience string) (secret.Text, error) {
				token, err := other.Token(subject, audience)
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "federation_refused", "issuer"},
		"a subject that may not act as the account": {
			func(g *google, p *granttest.GoogleProvider) {
				g.identity = func(_ context.Context, audience string) (secret.Text, error) {
					token, err := p.Token("somebody-else", audience)
					return secret.New(token), err
				}
			}, fault.Denied, "google_denied",
			"gcloud iam service-accounts add-iam-policy-binding " + googleEmail + " --role=roles/iam.workloadIdentityUser" +
				" --member='principal://iam.googleapis.com/projects/123456789/locations/global/workloadIdentityPools/fairlead-pool/subject/somebody-else'",
		},
		"an account that there is not": {func(g *google, _ *granttest.GoogleProvider) { g.DeleteAccount(googleEmail) }, fault.Unauthenticated, "google_account_unknown", "has no service account"},
		"a spent quota":                {func(g *google, _ *granttest.GoogleProvider) { g.Throttle(1) }, fault.Exhausted, "cloud_throttled", ""},
		"no identity for the audience": {func(g *google, _ *granttest.GoogleProvider) {
			g.identity = func(context.Context, string) (secret.Text, error) {
				return secret.Text{}, fault.New(fault.Unavailable, "identity_missing", "this server has no identity for that").WithHint("Ask its operator.")
			}
		}, fault.Unavailable, "identity_missing", "no identity for that"},
	} {
		t.Run(name, func(t *testing.T) {
			g := newGoogle(t, granttest.GoogleOptions{})
			provider, m := keyless(g)
			test.spoil(g, provider)
			_, err := g.issue(m, "my-project/ml/train:v1")
			f := fault.From(err)
			if err == nil || f.Kind != test.kind || f.Code != test.code || f.Hint == "" || !strings.Contains(f.Sentence(), test.says) {
				t.Fatalf("%v (%s), want %s: %s", err, f.Sentence(), test.code, test.says)
			}
			if strings.Contains(f.Sentence()+err.Error(), "hunter2") {
				t.Errorf("it shows the identity's token: %v", err)
			}
			g.showsNoSecret(err)
		})
	}
}

func TestAServerWithoutAnIdentitySaysSoWhenAKeylessCredentialIsSavedAndUsed(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, m := keyless(g)
	bare := grant.NewCatalogue(grant.Config{Transport: g.transport})
	_, warnings, err := bare.Normalise("gcp", m)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "identity") {
		t.Errorf("saved with %q, %v", warnings, err)
	}
	_, err = bare.Issue(t.Context(), "gcp", grant.Request{Image: g.image("my-project/ml/train:v1"), Material: m})
	if f := fault.From(err); err == nil || f.Code != "identity_missing" || f.Kind != fault.Unavailable || f.Hint == "" {
		t.Errorf("used: %v", err)
	}
	if g.Calls("sts") != 0 {
		t.Error("STS was asked for nothing")
	}
}

func TestAKeyIsLeftForAKeylessCredentialAndBack(t *testing.T) {
	g := newGoogle(t, granttest.GoogleOptions{})
	_, without := keyless(g)
	config := g.material().Config
	for name, value := range without.Config {
		config[name] = value
	}
	left := g.normal(grant.Material{Config: config})
	for _, name := range []string{"client_email", "project_id", "private_key_id"} {
		if left.Config[name] != "" {
			t.Errorf("%s of the key that is gone is still shown", name)
		}
	}
	back := withKey(g.key)
	back.Config = map[string]string{"service_account_email": "", "workload_identity_provider": ""}
	if got := g.normal(back); got.Config["client_email"] != googleEmail {
		t.Errorf("shown are %v", got.Config)
	}
}
