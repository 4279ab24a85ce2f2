package grant_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
)

// jfrogForms are the three ways in which Artifactory is named in images, each
// with the two addresses that its token service has.
var jfrogForms = map[string]granttest.Options{
	"the repository in the path":                          {},
	"the repository in the path, with a realm of its own": {RealmPath: "/artifactory/api/docker/acme/v2/token"},
	"a sub-domain": {Form: granttest.SubdomainForm},
	"a sub-domain, with the platform's realm": {Form: granttest.SubdomainForm, RealmHost: "acme.jfrog.io", RealmPath: "/artifactory/api/docker/docker-local/v2/token"},
	"a port":                               {Form: granttest.PortForm},
	"a port, with the plain realm":         {Form: granttest.PortForm, RealmPath: "/v2/token"},
	"a port, with a realm at the platform": {Form: granttest.PortForm, RealmHost: "artifactory.acme.example"},
}

func TestEachFormOfArtifactoryIsPulledFromAndChecked(t *testing.T) {
	for name, options := range jfrogForms {
		t.Run(name, func(t *testing.T) {
			options.Kind = granttest.JFrog
			s := newSetting(t, options)
			g, err := s.issue(t, s.material, "acme/train:v1")
			if err != nil {
				t.Fatal(err)
			}
			if err := s.manifest(t, "acme/train:v1", g.Authorization); err != nil {
				t.Error(err)
			}
			report := s.check(t, s.material, "acme/train:v1", s.Host()+"/acme/*")
			wantSteps(t, report, "secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed")
			if diff := cmp.Diff([]string{s.Host() + "/acme/train"}, report.Repositories); diff != "" || !report.Listed {
				t.Errorf("listed %v, repositories (-want +got):\n%s", report.Listed, diff)
			}
		})
	}
}

func TestThePermissionTargetToPasteNamesThePlatformAndTheRepositoryOfTheForm(t *testing.T) {
	for name, want := range map[string][2]string{
		"the repository in the path":                          {`["acme"]`, "https://acme.jfrog.io/artifactory/"},
		"the repository in the path, with a realm of its own": {`["acme"]`, "https://acme.jfrog.io/artifactory/"},
		"a sub-domain": {`["docker-local"]`, "https://acme.jfrog.io/artifactory/"},
		"a sub-domain, with the platform's realm": {`["docker-local"]`, "https://acme.jfrog.io/artifactory/"},
		"a port":                       {`["docker-local"]`, "https://artifactory.acme.example:5001/artifactory/"},
		"a port, with the plain realm": {`["REPOSITORY"]`, "https://artifactory.acme.example:5001/artifactory/"},
	} {
		t.Run(name, func(t *testing.T) {
			options := jfrogForms[name]
			options.Kind = granttest.JFrog
			s := newSetting(t, options)
			s.AddUser("it's me", password, granttest.PullPush("acme/*"))
			policy := step(t, s.check(t, materialOf("jfrog", "it's me", password), "", s.Host()+"/acme/train"), grant.AskRights).Policy
			for _, part := range []string{want[0], want[1], `{"it'\''s me":["read"]}`, `--scope=applied-permissions/user --expiry=7776000 'it'\''s me'`} {
				if !strings.Contains(policy, part) {
					t.Errorf("there is no %s in\n%s", part, policy)
				}
			}
		})
	}
}

func TestEachSortOfArtifactorysTokensGivesAGrant(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.JFrog})
	s.AddUser("Anna K", "another", granttest.Pull("acme/*"))
	access, err := s.AccessToken("Anna K", time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.issue(t, materialOf("jfrog", "", access), "acme/train:v1"); err != nil {
		t.Errorf("an access token that says its user: %v", err)
	}
	_, err = s.issue(t, materialOf("jfrog", "acme", access), "acme/train:v1")
	wantFault(t, err, fault.Unauthenticated, "username_refused")

	reference := s.ReferenceToken("Anna K", time.Now().Add(time.Hour))
	if len(reference) != 64 || !strings.HasPrefix(reference, "cmVmdGtu") {
		t.Fatalf("a reference token of %d characters", len(reference))
	}
	_, _, err = s.catalogue.Normalise("jfrog", materialOf("jfrog", "", reference))
	if f := wantFault(t, err, fault.Invalid, "username_required"); !strings.Contains(f.Message, "a reference token does not say whose it is") {
		t.Errorf("message %s", f.Message)
	}
	if _, err := s.issue(t, materialOf("jfrog", "Anna K", reference), "acme/train:v1"); err != nil {
		t.Errorf("a reference token: %v", err)
	}
	_, err = s.issue(t, materialOf("jfrog", "Anna K", s.ReferenceToken("Anna K", time.Now().Add(-time.Minute))), "acme/train:v1")
	wantFault(t, err, fault.Unauthenticated, "secret_expired")
	s.SetState("Anna K", granttest.Revoked)
	_, err = s.issue(t, materialOf("jfrog", "Anna K", reference), "acme/train:v1")
	wantFault(t, err, fault.Unauthenticated, "secret_revoked")
}

func TestArtifactorysOwnWordsAreToldApart(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.JFrog})
	s.SetRights("acme", granttest.Pull("*/train"))
	for path, want := range map[string]struct {
		kind fault.Kind
		code string
		says string
	}{
		"acme/secret:v1":   {fault.Denied, "access_denied", "The client does not have permission for manifest"},
		"acme/train:v9":    {fault.NotFound, "image_not_found", "The named manifest is not known to the registry."},
		"no-such/train:v1": {fault.NotFound, "jfrog_path", "no Docker repository at the path"},
	} {
		g, err := s.issue(t, s.material, path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		err = s.manifest(t, path, g.Authorization)
		f := wantFault(t, diagnosis.Of(err, diagnosis.Subject{Service: diagnosis.At(s.Host()), Image: s.image(t, path)}), want.kind, want.code)
		if !strings.Contains(f.Message, want.says) {
			t.Errorf("%s: %s", path, f.Message)
		}
		got := step(t, s.check(t, s.material, path, s.Host()+"/acme/*"), grant.AskImage)
		if got.Code != want.code || got.Sentence != f.Message {
			t.Errorf("%s: the check says %+v, and a pull %s", path, got, f.Message)
		}
	}
}

func TestAnArtifactoryWhoseTokenServiceIsDownIsDown(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.JFrog})
	s.SetTokenOutage(http.StatusServiceUnavailable)
	_, err := s.issue(t, s.material, "acme/train:v1")
	wantFault(t, err, fault.Unavailable, "registry_down")
}
