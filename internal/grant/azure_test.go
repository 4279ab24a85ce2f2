package grant_test

import (
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

// azure is a fake of Azure with an application, and a catalogue that reaches it.
type azure struct {
	*granttest.Azure
	t          *testing.T
	transport  *oci.Transport
	catalogue  *grant.Catalogue
	id, secret string
}

func newAzure(t *testing.T, host string, roles ...granttest.AzureRole) *azure {
	t.Helper()
	a := &azure{Azure: granttest.NewAzure(t, granttest.AzureOptions{Host: host}), t: t}
	for _, name := range []string{"ml/train", "ml/other"} {
		if _, err := a.Push(t.Context(), name, "v1", randomImage(t)); err != nil {
			t.Fatal(err)
		}
	}
	a.id, a.secret = a.AddApplication(roles...)
	a.transport = granttest.NewTransport(t, a.Registry)
	a.catalogue = grant.NewCatalogue(grant.Config{Transport: a.transport})
	return a
}

func (a *azure) material(secrets map[string]secret.Text) grant.Material {
	a.t.Helper()
	if secrets == nil {
		secrets = map[string]secret.Text{"client_secret": secret.New(a.secret)}
	}
	normal, _, err := a.catalogue.Normalise("azure", grant.Material{
		Config: map[string]string{"tenant_id": a.Tenant(), "client_id": a.id}, Secrets: secrets,
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return normal
}

func (a *azure) image(path string) image.Reference {
	a.t.Helper()
	ref, err := image.ParseReference(a.Host() + "/" + path)
	if err != nil {
		a.t.Fatal(err)
	}
	return ref
}

func (a *azure) issue(m grant.Material, path string) (grant.Grant, error) {
	return a.catalogue.Issue(a.t.Context(), "azure", grant.Request{Image: a.image(path), Material: m})
}

func (a *azure) pulls(g grant.Grant, path string) error {
	_, _, err := oci.NewClient(a.transport.For(a.Host())).Manifest(a.t.Context(), a.image(path), g.Authorization)
	return err
}

func TestAGrantOfAzurePullsTheOneRepositoryAloneInEveryCloud(t *testing.T) {
	for _, host := range []string{"myregistry.azurecr.io", "myregistry.azurecr.cn", "myregistry.azurecr.us"} {
		t.Run(host, func(t *testing.T) {
			a := newAzure(t, host, granttest.AcrPull)
			g, err := a.issue(a.material(nil), "ml/train:v1")
			if err != nil {
				t.Fatal(err)
			}
			if !g.Narrow || a.pulls(g, "ml/train:v1") != nil || a.pulls(g, "ml/other:v1") == nil {
				t.Errorf("narrow %t", g.Narrow)
			}
			if life := g.ExpiresAt.Sub(g.IssuedAt); life < time.Hour || life > 80*time.Minute {
				t.Errorf("it holds for %s", life)
			}
		})
	}
}

func TestACertificateIsAsGoodAsASecretAndTellsItsEnd(t *testing.T) {
	a := newAzure(t, "", granttest.AcrPull)
	text, err := a.AddCertificate(a.id, time.Now().Add(10*24*time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	m := a.material(map[string]secret.Text{"client_certificate": secret.New(text)})
	if g, err := a.issue(m, "ml/train:v1"); err != nil || a.pulls(g, "ml/train:v1") != nil {
		t.Fatalf("it does not pull: %v", err)
	}
	report, err := a.catalogue.Check(t.Context(), "azure", grant.CheckRequest{Material: m, Patterns: []image.Pattern{image.MustParsePattern("myregistry.azurecr.io/*")}})
	if err != nil {
		t.Fatal(err)
	}
	if got := step(t, report, grant.AskExpiry); got.Result != grant.Warning || report.ExpiresAt.IsZero() {
		t.Errorf("got %+v", got)
	}
}

func TestAnyNumberOfRepositoriesCauseOneCallOfEntraAndOneExchange(t *testing.T) {
	a := newAzure(t, "", granttest.AcrPull)
	m := a.material(nil)
	var wait sync.WaitGroup
	for i := range 40 {
		wait.Go(func() {
			if _, err := a.issue(m, []string{"ml/train:v1", "ml/other:v1"}[i%2]); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if a.Calls("entra") != 1 || a.Calls("exchange") != 1 {
		t.Errorf("%d calls of Entra and %d exchanges, want one each", a.Calls("entra"), a.Calls("exchange"))
	}
	a.ExpireTokens() // which the registry no longer takes
	if _, err := a.issue(m, "ml/train:v1"); err != nil || a.Calls("exchange") != 2 {
		t.Errorf("after the refresh token ended: %v and %d exchanges", err, a.Calls("exchange"))
	}
}

func TestEachRefusalOfAzureIsToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*azure)
		kind  fault.Kind
		code  string
	}{
		"a wrong secret":          {func(a *azure) { a.secret = "wrong-hunter2" }, fault.Unauthenticated, "secret_refused"},
		"a secret that has ended": {func(a *azure) { a.EndSecret(a.id, time.Now().Add(-time.Hour)) }, fault.Unauthenticated, "secret_expired"},
		"an unknown application":  {func(a *azure) { a.id = "04b07795-8ddb-461a-bbee-02f9e1bf7b46" }, fault.Unauthenticated, "entra_application_unknown"},
		"a disabled one":          {func(a *azure) { a.Disable(a.id) }, fault.Unauthenticated, "entra_application_disabled"},
		"no role":                 {func(a *azure) { a.SetRoles(a.id) }, fault.Denied, "no_pull_right"},
		"the firewall":            {func(a *azure) { a.SetFirewall(true) }, fault.Denied, "registry_firewall"},
		"too many requests":       {func(a *azure) { a.Throttle(10) }, fault.Exhausted, "rate_limited"},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAzure(t, "", granttest.AcrPull)
			test.spoil(a)
			_, err := a.issue(a.material(nil), "ml/train:v1")
			f := fault.From(err)
			if err == nil || f.Kind != test.kind || f.Code != test.code || f.Hint == "" {
				t.Fatalf("%v, want %s", err, test.code)
			}
			if strings.Contains(err.Error()+f.Sentence(), a.secret) {
				t.Errorf("it shows the secret: %v", err)
			}
		})
	}
	a := newAzure(t, "", granttest.AcrPull)
	m := a.material(nil)
	m.Config["tenant_id"] = "72f988bf-86f1-41af-91ab-2d7cd011db47"
	if _, err := a.issue(m, "ml/train:v1"); fault.From(err).Kind == fault.Internal {
		t.Errorf("an unknown tenant: %v", err)
	}
}

func TestACheckSaysWhatTheServicePrincipalIsGoodFor(t *testing.T) {
	a := newAzure(t, "", granttest.AcrPull)
	check := func() grant.Report {
		report, err := a.catalogue.Check(t.Context(), "azure", grant.CheckRequest{
			Material: a.material(nil), Patterns: []image.Pattern{image.MustParsePattern("myregistry.azurecr.io/ml/*")}, Image: a.image("ml/train:v1"),
		})
		if err != nil {
			t.Fatal(err)
		}
		return report
	}
	report := check()
	if len(report.Repositories) != 2 || !report.Listed {
		t.Errorf("found %+v", report)
	}
	for question, want := range map[grant.Question]grant.Result{
		grant.AskSecret: grant.Passed, grant.AskRepositories: grant.Passed, grant.AskRights: grant.Passed, grant.AskImage: grant.Passed,
	} {
		if got := step(t, report, question); got.Result != want {
			t.Errorf("%s: %+v, want %s", question, got, want)
		}
	}
	a.SetRoles(a.id, granttest.AcrPush, granttest.AcrDelete)
	if got := step(t, check(), grant.AskRights); got.Result != grant.Warning || !strings.Contains(got.Policy, "--role AcrPull") || !strings.Contains(got.Policy, "delete --assignee "+a.id+" --role AcrPush") {
		t.Errorf("got %+v", got)
	}
}

func TestWrongFieldsOfAServicePrincipalAreToldAtOnce(t *testing.T) {
	catalogue := newCatalogue(t)
	for _, test := range []struct {
		config  map[string]string
		secrets map[string]secret.Text
		words   []string
	}{
		{map[string]string{"tenant_id": "no tenant", "client_id": "x"}, nil, []string{"tenant_id", "client_id", "client_secret"}},
		{
			map[string]string{"tenant_id": "acme.onmicrosoft.com", "client_id": "04b07795-8ddb-461a-bbee-02f9e1bf7b46", "authority_host": "http://x"},
			map[string]secret.Text{"client_secret": secret.New("hunter2-hunter2"), "client_certificate": secret.New("hunter2")},
			[]string{"certificate too", "authority_host"},
		},
	} {
		_, _, err := catalogue.Normalise("azure", grant.Material{Config: test.config, Secrets: test.secrets})
		for _, words := range test.words {
			if err == nil || !strings.Contains(fault.From(err).Sentence(), words) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%v, want %q", err, words)
			}
		}
	}
}

func TestTheEndOfAClientSecretIsReadWhereTheDirectoryLetsTheApplication(t *testing.T) {
	a := newAzure(t, "", granttest.AcrPull)
	expiry := func() (grant.Step, grant.Report) {
		t.Helper()
		report, err := a.catalogue.Check(t.Context(), "azure", grant.CheckRequest{Material: a.material(nil), Image: a.image("ml/train:v1")})
		if err != nil {
			t.Fatal(err)
		}
		return step(t, report, grant.AskExpiry), report
	}
	if got, _ := expiry(); got.Result != grant.Unknown || !strings.Contains(got.Hint, "Application.Read.All") || a.Calls("graph") != 1 {
		t.Errorf("without the right: %+v, and %d requests", got, a.Calls("graph"))
	}
	a.LetReadItself(a.id)
	if got, report := expiry(); got.Result != grant.Passed || report.ExpiresAt.Before(time.Now().AddDate(0, 11, 0)) || report.CreatedAt.IsZero() {
		t.Errorf("with the right: %+v, %s", got, report.ExpiresAt)
	}
	a.EndSecret(a.id, time.Now().Add(10*24*time.Hour))
	if got, _ := expiry(); got.Result != grant.Warning || got.Code != "expires_soon" || !strings.Contains(got.Hint, a.id) {
		t.Errorf("ten days before the end: %+v", got)
	}
}
