package grant_test

import (
	"context"
	"encoding/pem"
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
)

// federated is an application that trusts who the server is, and the server's
// identity, which a test may change.
type federated struct {
	*azure
	issuer   *granttest.Issuer
	identity func(ctx context.Context, audience string) (secret.Text, error)
}

func newFederated(t *testing.T, host string) (*federated, grant.Material) {
	t.Helper()
	f := &federated{azure: newAzure(t, host, granttest.AcrPull)}
	issuer, err := granttest.NewIssuer("https://issuer.acme.example/cluster")
	if err != nil {
		t.Fatal(err)
	}
	f.issuer = issuer
	f.Trust(f.id, issuer, subject)
	f.identity = func(_ context.Context, audience string) (secret.Text, error) {
		token, err := issuer.Token(subject, audience)
		return secret.New(token), err
	}
	f.catalogue = grant.NewCatalogue(grant.Config{
		Transport: f.transport,
		IdentityToken: func(ctx context.Context, audience string) (secret.Text, error) {
			return f.identity(ctx, audience)
		},
	})
	return f, f.keyless(nil)
}

func (f *federated) keyless(more map[string]string) grant.Material {
	f.t.Helper()
	config := map[string]string{"tenant_id": f.Tenant(), "client_id": f.id, "federated": "True"}
	maps.Copy(config, more)
	normal, warnings, err := f.catalogue.Normalise("azure", grant.Material{Config: config})
	if err != nil || len(warnings) > 0 {
		f.t.Fatalf("%v, %q", err, warnings)
	}
	return normal
}

func TestAFederatedCredentialPullsWithTheServersOwnIdentityInEveryCloud(t *testing.T) {
	for _, host := range []string{"myregistry.azurecr.io", "myregistry.azurecr.cn", "myregistry.azurecr.us"} {
		t.Run(host, func(t *testing.T) {
			f, m := newFederated(t, host)
			g, err := f.issue(m, "ml/train:v1")
			if err != nil {
				t.Fatal(err)
			}
			if f.pulls(g, "ml/train:v1") != nil || f.pulls(g, "ml/other:v1") == nil {
				t.Error("it does not pull, or more than it should")
			}
			report, err := f.catalogue.Check(t.Context(), "azure", grant.CheckRequest{Material: m, Image: f.image("ml/train:v1")})
			if err != nil {
				t.Fatal(err)
			}
			wantSteps(t, report, "secret passed", "narrow passed", "repositories passed", "rights passed", "expiry passed", "image passed")
			if f.Calls("graph") != 0 {
				t.Error("Graph was asked for the end of a secret that there is not")
			}
		})
	}
}

func TestEachRefusalOfTheServersIdentityByEntraIsToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*federated)
		kind  fault.Kind
		code  string
		says  string
	}{
		"another subject": {func(f *federated) {
			f.identity = func(_ context.Context, audience string) (secret.Text, error) {
				token, err := f.issuer.Token("somebody-else", audience)
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "federation_refused", "somebody-else"},
		"another audience": {func(f *federated) {
			f.identity = func(context.Context, string) (secret.Text, error) {
				token, err := f.issuer.Token(subject, "https://elsewhere.example")
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "federation_refused", "elsewhere.example"},
		"another issuer": {func(f *federated) {
			f.identity = func(_ context.Context, audience string) (secret.Text, error) {
				other, err := granttest.NewIssuer("https://issuer.acme.example/other")
				if err != nil {
					return secret.Text{}, err
				}
				token, err := other.Token(subject, audience)
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "federation_refused", "issuer"},
		"a forged signature": {func(f *federated) {
			f.identity = func(_ context.Context, audience string) (secret.Text, error) {
				forger, err := granttest.NewIssuer(f.issuer.Name())
				if err != nil {
					return secret.Text{}, err
				}
				token, err := forger.Token(subject, audience)
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "federation_refused", "signature"},
		"a token that is none": {func(f *federated) {
			f.identity = func(context.Context, string) (secret.Text, error) { return secret.New("hunter2-hunter2"), nil }
		}, fault.Unauthenticated, "federation_refused", "malformed"},
		"a token that nobody renewed": {func(f *federated) {
			f.identity = func(_ context.Context, audience string) (secret.Text, error) {
				token, err := f.issuer.TokenAt(time.Now().Add(-time.Hour), subject, audience)
				return secret.New(token), err
			}
		}, fault.Unauthenticated, "clock_skew", "identity token is old"},
		"no identity for the audience": {func(f *federated) {
			f.identity = func(context.Context, string) (secret.Text, error) {
				return secret.Text{}, fault.New(fault.Unavailable, "identity_missing", "this server has no identity for that").WithHint("Ask its operator.")
			}
		}, fault.Unavailable, "identity_missing", "no identity for that"},
	} {
		t.Run(name, func(t *testing.T) {
			a, m := newFederated(t, "")
			test.spoil(a)
			_, err := a.issue(m, "ml/train:v1")
			f := fault.From(err)
			if err == nil || f.Kind != test.kind || f.Code != test.code || f.Hint == "" || !strings.Contains(f.Sentence(), test.says) {
				t.Fatalf("%v (%s), want %s: %s", err, f.Sentence(), test.code, test.says)
			}
			for _, given := range append(a.Given(), "hunter2") {
				if strings.Contains(f.Sentence()+err.Error(), given) {
					t.Errorf("it shows a secret: %v", err)
				}
			}
		})
	}
}

func TestAServerWithoutAnIdentitySaysSoOfAFederatedCredential(t *testing.T) {
	f, m := newFederated(t, "")
	bare := grant.NewCatalogue(grant.Config{Transport: f.transport})
	_, warnings, err := bare.Normalise("azure", m)
	if err != nil || len(warnings) != 1 || !strings.Contains(warnings[0], "identity") {
		t.Errorf("saved with %q, %v", warnings, err)
	}
	if _, err = bare.Issue(t.Context(), "azure", grant.Request{Image: f.image("ml/train:v1"), Material: m}); fault.From(err).Code != "identity_missing" {
		t.Errorf("used: %v", err)
	}
	if f.Calls("entra") != 0 {
		t.Error("Entra was asked for nothing")
	}
}

func TestAFederatedCredentialHasNoSecretAndNoAuthorityOfItsOwn(t *testing.T) {
	f, m := newFederated(t, "")
	for field, change := range map[string]func(*grant.Material){
		"federated":      func(m *grant.Material) { m.Secrets["client_secret"] = secret.New("hunter2-hunter2") },
		"authority_host": func(m *grant.Material) { m.Config["authority_host"] = "https://login.evil.example" },
	} {
		with := grant.Material{Config: maps.Clone(m.Config), Secrets: map[string]secret.Text{}}
		change(&with)
		_, _, err := f.catalogue.Normalise("azure", with)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.From(err).Sentence(), field) {
			t.Errorf("%s: %v", field, err)
		}
	}
}

// listener is a machine of somebody who wants to be taken for the cloud, and the
// hosts that it was asked for.
func listener(t *testing.T) (address, ca string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var hosts []string
	server := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		hosts = append(hosts, request.Host)
		http.Error(w, "thank you", http.StatusTeapot)
	}))
	t.Cleanup(server.Close)
	ca = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw}))
	return server.Listener.Addr().String(), ca, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(hosts)
	}
}

func TestTheServersIdentityIsSentByTheOperatorsWayWhateverACredentialSays(t *testing.T) {
	const entra, sts, impersonation = "login.microsoftonline.com", "sts.googleapis.com", "iamcredentials.googleapis.com"
	for name, way := range map[string]func(address string) map[string]string{
		"addresses": func(address string) map[string]string {
			return map[string]string{"addresses": entra + "=" + address + "," + sts + "=" + address + "," + impersonation + "=" + address}
		},
		"a proxy": func(address string) map[string]string { return map[string]string{"proxy": "https://" + address} },
	} {
		t.Run(name, func(t *testing.T) {
			address, ca, asked := listener(t)
			config := way(address)
			config["ca"] = ca
			f, _ := newFederated(t, "")
			_, _ = f.issue(f.keyless(config), "ml/train:v1") // the registry itself may be out of reach
			g := newGoogle(t, granttest.GoogleOptions{})
			_, m := keyless(g)
			maps.Copy(m.Config, config)
			_, _ = g.issue(g.normal(m), "my-project/ml/train:v1")
			if f.Calls("entra") == 0 || g.Calls("sts") == 0 || g.Calls("generateAccessToken") == 0 {
				t.Error("the clouds themselves were not asked")
			}
			for _, host := range asked() {
				if name, _, _ := strings.Cut(host, ":"); slices.Contains([]string{entra, sts, impersonation}, name) {
					t.Errorf("another machine was asked as %s", host)
				}
			}
		})
	}
}
