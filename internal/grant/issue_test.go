package grant_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/authn"
	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/oci"
)

var tokenKinds = []granttest.Kind{granttest.Generic, granttest.DockerHub, granttest.JFrog}

func TestAGrantPullsTheOneRepositoryAndNoOtherAndCannotPush(t *testing.T) {
	for _, kind := range tokenKinds {
		t.Run(string(kind), func(t *testing.T) {
			s := newSetting(t, granttest.Options{Kind: kind})
			s.AddUser("acme", password, granttest.PullPush("acme/*")) // much more than is asked for
			g, err := s.issue(t, s.material, "acme/train:v1")
			if err != nil {
				t.Fatal(err)
			}
			want := grant.Grant{
				Host: s.Host(), Repository: "acme/train", Authorization: g.Authorization,
				IssuedAt: begin, ExpiresAt: begin.Add(5 * time.Minute), RefreshAt: begin.Add(225 * time.Second),
				Narrow: kind != granttest.JFrog, Kind: s.kind,
			}
			if diff := cmp.Diff(want, g, cmp.Comparer(func(a, b oci.Authorization) bool { return a == b })); diff != "" {
				t.Errorf("grant (-want +got):\n%s", diff)
			}
			if g.Authorization.Scheme() != oci.SchemeBearer {
				t.Errorf("the grant shows %s", g.Authorization.Scheme())
			}
			if err := s.manifest(t, "acme/train:v1", g.Authorization); err != nil {
				t.Errorf("pulling what it is for: %v", err)
			}
			if err := s.manifest(t, "acme/secret:v1", g.Authorization); err == nil {
				t.Error("it pulls another repository")
			}
			if err := push(t, s, g); err == nil {
				t.Error("it pushes")
			}
			if s.Exchanges() != 1 || s.ExchangesOf("acme", "acme/train") != 1 {
				t.Errorf("exchanges: %+v", s.ExchangeLog())
			}
		})
	}
}

// push tries to push with a grant, as any client would.
func push(t *testing.T, s setting, g grant.Grant) error {
	t.Helper()
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(s.CA())
	transport := &http.Transport{
		TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, network, s.Address())
		},
	}
	t.Cleanup(transport.CloseIdleConnections)
	tag, err := name.NewTag(s.image(t, "acme/train:v1").APIHost() + "/acme/train:pushed")
	if err != nil {
		t.Fatal(err)
	}
	return remote.Write(tag, randomImage(t), remote.WithContext(t.Context()), remote.WithTransport(transport),
		remote.WithAuth(authn.FromConfig(authn.AuthConfig{RegistryToken: g.Authorization.Secret().Reveal()})))
}

func TestEachReasonForNoGrantHasItsOwnCode(t *testing.T) {
	// What an empty code stands for is told only when the image is pulled.
	tests := map[string]struct {
		change func(s setting) grant.Material
		path   string
		kind   fault.Kind
		codes  map[granttest.Kind]string
	}{
		"a wrong secret": {
			func(s setting) grant.Material { return materialOf(s.kind, "acme", password+"x") }, "acme/train",
			fault.Unauthenticated,
			map[granttest.Kind]string{granttest.Generic: "secret_refused", granttest.DockerHub: "secret_refused", granttest.JFrog: "secret_refused"},
		},
		"a secret that was changed": {
			func(s setting) grant.Material { s.SetPassword("acme", "another"); return s.material }, "acme/train",
			fault.Unauthenticated,
			map[granttest.Kind]string{granttest.Generic: "secret_refused", granttest.DockerHub: "secret_refused", granttest.JFrog: "secret_refused"},
		},
		"somebody else's secret": {
			func(s setting) grant.Material { return materialOf(s.kind, "mallory", password) }, "acme/train",
			fault.Unauthenticated,
			map[granttest.Kind]string{granttest.Generic: "secret_refused", granttest.DockerHub: "secret_refused", granttest.JFrog: "username_refused"},
		},
		"an expired secret": {
			func(s setting) grant.Material { s.SetState("acme", granttest.Expired); return s.material }, "acme/train",
			fault.Unauthenticated,
			map[granttest.Kind]string{granttest.Generic: "secret_expired", granttest.DockerHub: "secret_expired", granttest.JFrog: "secret_expired"},
		},
		"a revoked secret": {
			func(s setting) grant.Material { s.SetState("acme", granttest.Revoked); return s.material }, "acme/train",
			fault.Unauthenticated,
			map[granttest.Kind]string{granttest.Generic: "secret_revoked", granttest.DockerHub: "secret_refused", granttest.JFrog: "secret_revoked"},
		},
		"no right to the repository": {
			func(s setting) grant.Material { return s.material }, "acme/secret",
			fault.Denied,
			map[granttest.Kind]string{granttest.Generic: "no_pull_right", granttest.DockerHub: "no_pull_right", granttest.JFrog: ""},
		},
		"no such repository": {
			func(s setting) grant.Material { return s.material }, "acme/missing",
			fault.Denied,
			map[granttest.Kind]string{granttest.Generic: "no_pull_right", granttest.DockerHub: "no_pull_right", granttest.JFrog: ""},
		},
		"a registry that is down": {
			func(s setting) grant.Material { s.SetOutage(http.StatusServiceUnavailable); return s.material }, "acme/train",
			fault.Unavailable,
			map[granttest.Kind]string{granttest.Generic: "registry_down", granttest.DockerHub: "registry_down", granttest.JFrog: "registry_down"},
		},
	}
	for _, kind := range tokenKinds {
		for name, test := range tests {
			t.Run(string(kind)+": "+name, func(t *testing.T) {
				s := newSetting(t, granttest.Options{Kind: kind})
				g, err := s.issue(t, test.change(s), test.path+":v1")
				if test.codes[kind] == "" {
					if err != nil {
						t.Fatal(err)
					}
					err := s.manifest(t, test.path+":v1", g.Authorization)
					wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: s.image(t, test.path)}), fault.Denied, "access_denied")
					return
				}
				f := wantFault(t, err, test.kind, test.codes[kind])
				if f.Hint == "" {
					t.Error("there is no next step")
				}
				if !strings.Contains(s.log.String(), "code="+f.Code) {
					t.Errorf("the log does not tell the code: %s", s.log)
				}
			})
		}
	}
}

func TestAMissingTagIsToldApartFromAMissingRight(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	s.SetRights("acme", granttest.Pull("acme/*"))
	for path, code := range map[string]string{"acme/train:v9": "image_not_found", "acme/missing:v1": "image_not_found"} {
		g, err := s.issue(t, s.material, path)
		if err != nil {
			t.Fatal(err)
		}
		err = s.manifest(t, path, g.Authorization)
		wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: s.image(t, path)}), fault.NotFound, code)
	}
}

func TestATokenServiceThatRefusesWhoHasNoRightIsUnderstood(t *testing.T) {
	for style, want := range map[granttest.NoRight]struct {
		kind fault.Kind
		code string
	}{
		granttest.EmptyAccess: {fault.Denied, "no_pull_right"},
		granttest.Refuse403:   {fault.Denied, "token_denied"},
		granttest.Refuse401:   {fault.Unauthenticated, "secret_refused"},
	} {
		t.Run(string(style), func(t *testing.T) {
			s := newSetting(t, granttest.Options{NoRight: style})
			if _, err := s.issue(t, s.material, "acme/train:v1"); err != nil {
				t.Fatal(err)
			}
			_, err := s.issue(t, s.material, "acme/secret:v1")
			wantFault(t, err, want.kind, want.code)
		})
	}
}

func TestATokenServiceThatTakesOnlyPOSTGivesAGrantToo(t *testing.T) {
	s := newSetting(t, granttest.Options{PostOnly: true})
	g, err := s.issue(t, s.material, "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.manifest(t, "acme/train:v1", g.Authorization); err != nil {
		t.Error(err)
	}
	_, err = s.issue(t, materialOf(s.kind, "acme", "wrong"), "acme/train:v1")
	wantFault(t, err, fault.Unauthenticated, "secret_refused")
	s.SetState("acme", granttest.Expired)
	_, err = s.issue(t, s.material, "acme/train:v1")
	wantFault(t, err, fault.Unauthenticated, "secret_expired")
}

func TestAGrantEndsWhenItsTokenDoes(t *testing.T) {
	for _, test := range []struct {
		options granttest.Options
		want    time.Duration
	}{
		{granttest.Options{Lifetime: time.Hour}, time.Hour},
		{granttest.Options{Lifetime: 30 * time.Second}, 30 * time.Second},
		{granttest.Options{Lifetime: time.Hour, SilentLifetime: true}, time.Minute},
	} {
		s := newSetting(t, test.options)
		g, err := s.issue(t, s.material, "acme/train:v1")
		if err != nil {
			t.Fatal(err)
		}
		if g.ExpiresAt.Sub(begin) != test.want || g.RefreshAt.Sub(begin) != test.want*3/4 {
			t.Errorf("it ends after %s and is renewed after %s, want %s", g.ExpiresAt.Sub(begin), g.RefreshAt.Sub(begin), test.want)
		}
		if g.Expired(g.ExpiresAt.Add(-time.Nanosecond)) || !g.Expired(g.ExpiresAt) {
			t.Error("it is expired at the wrong moment")
		}
	}
}

func TestAPasswordItselfIsAGrantOnlyWhereTheCredentialAllowsIt(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.Basic})
	_, err := s.issue(t, s.material, "acme/train:v1")
	f := wantFault(t, err, fault.Denied, "basic_only")
	if !strings.Contains(f.Hint, "basic_on_worker") || !strings.Contains(f.Hint, "--cache") {
		t.Errorf("the hint names not both ways out: %s", f.Hint)
	}
	g, err := s.issue(t, s.with("basic_on_worker", "TRUE"), "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if g.Authorization.Scheme() != oci.SchemeBasic || g.Narrow {
		t.Errorf("the grant shows %s, narrow %v", g.Authorization.Scheme(), g.Narrow)
	}
	if err := s.manifest(t, "acme/train:v1", g.Authorization); err != nil {
		t.Error(err)
	}
	s.SetPassword("acme", "another")
	_, err = s.issue(t, s.with("basic_on_worker", "true"), "acme/train:v1")
	wantFault(t, err, fault.Unauthenticated, "secret_refused")
}

func TestAJFrogWithoutTokenAuthenticationGetsNoPasswordOntoAWorker(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.Basic, Host: "acme.jfrog.io"})
	s.kind = "jfrog"
	_, err := s.issue(t, materialOf("jfrog", "acme", password), "acme/train:v1")
	wantFault(t, err, fault.Denied, "basic_only")
}

func TestAGrantThatStaysOnTheServerMayBeThePasswordItself(t *testing.T) {
	for kind, host := range map[string]string{"generic": "", "jfrog": "acme.jfrog.io"} {
		s := newSetting(t, granttest.Options{Kind: granttest.Basic, Host: host})
		g, err := s.catalogue.Issue(t.Context(), kind, grant.Request{
			Image: s.image(t, "acme/train:v1"), Material: materialOf(kind, "acme", password), Kept: true,
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := s.manifest(t, "acme/train:v1", g.Authorization); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
}

func TestADockerHubCredentialIsForDockerHubAlone(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	s.kind, s.material = "docker-hub", materialOf("docker-hub", "acme", password)
	_, err := s.issue(t, s.material, "acme/train:v1")
	wantFault(t, err, fault.Invalid, "image_not_hub")
	if s.Exchanges() != 0 {
		t.Error("the other registry got the secret")
	}
}

func TestAForeignTokenServiceNeverGetsTheSecret(t *testing.T) {
	s := newSetting(t, granttest.Options{RealmHost: "auth.evil.net"})
	_, err := s.issue(t, s.material, "acme/train:v1")
	wantFault(t, err, fault.Denied, "realm_foreign")
	if s.Exchanges() != 0 {
		t.Error("it was asked")
	}
}

func TestAPublicImageIsForEverybodyAndAPrivateOneAsksForACredential(t *testing.T) {
	for _, kind := range tokenKinds {
		t.Run(string(kind), func(t *testing.T) {
			s := newSetting(t, granttest.Options{Kind: kind})
			s.Public("library/*")
			if _, err := s.Push(t.Context(), "library/alpine", "3", randomImage(t)); err != nil {
				t.Fatal(err)
			}
			g, err := s.catalogue.Anonymous(t.Context(), s.image(t, "library/alpine:3"))
			if err != nil {
				t.Fatal(err)
			}
			if g.Kind != "" {
				t.Errorf("nobody's grant is of kind %q", g.Kind)
			}
			if err := s.manifest(t, "library/alpine:3", g.Authorization); err != nil {
				t.Error(err)
			}
			if g, err = s.issue(t, s.material, "library/alpine:3"); err != nil {
				t.Errorf("with a credential that has no right of its own: %v", err)
			}
			if kind == granttest.JFrog {
				return // which tells only when the image is pulled
			}
			_, err = s.catalogue.Anonymous(t.Context(), s.image(t, "acme/train:v1"))
			wantFault(t, err, fault.Unauthenticated, "credential_required")
		})
	}
	for name, options := range map[string]granttest.Options{
		"no token service": {Kind: granttest.Basic},
		"refused with 401": {NoRight: granttest.Refuse401},
		"refused with 403": {NoRight: granttest.Refuse403},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetting(t, options)
			_, err := s.catalogue.Anonymous(t.Context(), s.image(t, "acme/train:v1"))
			wantFault(t, err, fault.Unauthenticated, "credential_required")
		})
	}
}

func TestARegistryThatIsDownIsNotTakenForAPublicOne(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	s.SetOutage(http.StatusBadGateway)
	_, err := s.catalogue.Anonymous(t.Context(), s.image(t, "acme/train:v1"))
	wantFault(t, err, fault.Unavailable, "registry_down")
}

func TestAGrantPrintsNoSecret(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.Basic})
	g, err := s.issue(t, s.with("basic_on_worker", "true"), "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, printed := range []string{fmt.Sprintf("%v %+v %#v", g, g, g), fmt.Sprintf("%v %+v %#v", s.material, s.material, s.material)} {
		if strings.Contains(printed, password) {
			t.Errorf("it prints %s", printed)
		}
	}
}

func TestAPullThatIsCountedTellsWhenNothingIsLeft(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.DockerHub})
	s.SetRateLimit(1, 100, 6*time.Hour)
	g, err := s.issue(t, s.material, "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.manifest(t, "acme/train:v1", g.Authorization); err != nil {
		t.Fatalf("the last pull: %v", err)
	}
	err = s.manifest(t, "acme/train:v1", g.Authorization)
	f := wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.Registry, Image: s.image(t, "acme/train:v1")}), fault.Exhausted, "rate_limited")
	if !strings.Contains(f.Message, "0 of 100 pulls left in 6h0m0s") {
		t.Errorf("message = %s", f.Message)
	}
}
