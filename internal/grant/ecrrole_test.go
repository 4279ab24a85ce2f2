package grant_test

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
)

// bare takes everything out of the environment that the SDK's chain looks at.
func bare(t *testing.T) {
	t.Helper()
	for _, name := range []string{
		"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "AWS_PROFILE", "AWS_ROLE_ARN", "AWS_WEB_IDENTITY_TOKEN_FILE",
		"AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_EC2_METADATA_DISABLED",
	} {
		t.Setenv(name, "")
	}
	t.Setenv("AWS_CONFIG_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(t.TempDir(), "none"))
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", "http://127.0.0.1:1")
}

func (a *amazon) roleIssuer() *grant.RoleIssuer {
	return grant.NewRoleIssuer(grant.RoleConfig{Transport: a.transport})
}

func TestTheServerHandsOverNothingForAWorkersRole(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{})
	normal, _, err := a.catalogue.Normalise("aws-ecr-role", grant.Material{Config: map[string]string{"role_name": "gpu-box", "region": "us-east-1"}})
	if err != nil {
		t.Fatal(err)
	}
	g, err := a.catalogue.Issue(t.Context(), "aws-ecr-role", grant.Request{Image: a.image("acme/train:v1"), Material: normal})
	if err != nil {
		t.Fatal(err)
	}
	if !g.Authorization.Secret().IsEmpty() || g.Role == nil || g.Role.Name != "gpu-box" || g.Role.Kind != "aws-ecr-role" {
		t.Errorf("got %+v", g)
	}
	for _, action := range []string{"GetAuthorizationToken", "GetCallerIdentity", "AssumeRole"} {
		if a.Calls(action) != 0 {
			t.Errorf("the server asked AWS for %s", action)
		}
	}
}

func TestAWorkerPullsWithTheRoleOfItsMachineItsContainerOrItsPod(t *testing.T) {
	for name, give := range map[string]func(*testing.T, *amazon){
		"an instance profile": func(t *testing.T, a *amazon) {
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", granttest.NewMachine(t, a.AWS, "gpu-box").URL())
		},
		"a container's credentials": func(t *testing.T, a *amazon) {
			url, token := granttest.NewMachine(t, a.AWS, "gpu-box").ContainerURL()
			t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", url)
			t.Setenv("AWS_CONTAINER_AUTHORIZATION_TOKEN", token)
		},
		"a web identity": func(t *testing.T, a *amazon) {
			file := filepath.Join(t.TempDir(), "token")
			if err := os.WriteFile(file, []byte("web-identity-of-the-pod"), 0o600); err != nil {
				t.Fatal(err)
			}
			a.AddWebIdentity("web-identity-of-the-pod", "gpu-box")
			t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", file)
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/gpu-box")
		},
	} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			a := newAmazon(t, granttest.AWSOptions{})
			a.AddRole("gpu-box", "", nil, pullAll)
			give(t, a)
			g, err := a.roleIssuer().Issue(t.Context(), grant.Role{Name: ""}, a.image("acme/train:v1"))
			if err != nil {
				t.Fatal(err)
			}
			if err := a.pulls(g, "acme/train:v1"); err != nil {
				t.Errorf("it does not pull: %v", err)
			}
		})
	}
}

func TestAWorkerBecomesTheRoleThatIsNamedForTheOneRepository(t *testing.T) {
	bare(t)
	a := newAmazon(t, granttest.AWSOptions{})
	a.AddRole("gpu-box", "", nil, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	a.AddRole("pull", "", []string{"*"}, pullAll)
	a.AddRole("closed", "", nil, pullAll)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", granttest.NewMachine(t, a.AWS, "gpu-box").URL())
	issuer := a.roleIssuer()
	g, err := issuer.Issue(t.Context(), grant.Role{Name: "pull"}, a.image("acme/train:v1"))
	if err != nil {
		t.Fatal(err)
	}
	if !g.Narrow || a.pulls(g, "acme/train:v1") != nil || a.pulls(g, "acme/secret:v1") == nil {
		t.Error("the grant is not limited to the repository")
	}
	_, err = issuer.Issue(t.Context(), grant.Role{Name: "closed"}, a.image("acme/train:v1"))
	if f := fault.From(err); f.Code != "worker_role_other" || !strings.Contains(f.Message, "closed") {
		t.Errorf("%v, want worker_role_other", err)
	}
	own := a.roleIssuer()
	a.AddRole("gpu-box", "", nil, pullAll)
	if g, err := own.Issue(t.Context(), grant.Role{Name: "gpu-box"}, a.image("acme/train:v1")); err != nil || a.pulls(g, "acme/train:v1") != nil {
		t.Errorf("the worker's own role by its name: %v", err)
	}
}

func TestAWorkerWithoutARoleSaysSoInOneSentence(t *testing.T) {
	for name, role := range map[string]string{"a machine without a role": "", "a container too far from it": "far"} {
		t.Run(name, func(t *testing.T) {
			bare(t)
			a := newAmazon(t, granttest.AWSOptions{})
			a.AddRole("far", "", nil, pullAll)
			m := granttest.NewMachine(t, a.AWS, role)
			m.SetFar(role == "far")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", m.URL())
			_, err := a.roleIssuer().Issue(t.Context(), grant.Role{}, a.image("acme/train:v1"))
			f := fault.From(err)
			if f.Code != "worker_role_missing" || f.Kind != fault.Unauthenticated || f.Hint == "" || strings.Contains(f.Message, "\n") {
				t.Errorf("%v, want worker_role_missing", err)
			}
		})
	}
}

func TestAThousandPullsWithARoleAskForOneToken(t *testing.T) {
	bare(t)
	a := newAmazon(t, granttest.AWSOptions{})
	a.AddRole("gpu-box", "", nil, pullAll)
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", granttest.NewMachine(t, a.AWS, "gpu-box").URL())
	issuer := a.roleIssuer()
	var wait sync.WaitGroup
	for range 1000 {
		wait.Go(func() {
			if _, err := issuer.Issue(t.Context(), grant.Role{}, a.image("acme/train:v1")); err != nil {
				t.Error(err)
			}
		})
	}
	wait.Wait()
	if got := a.Calls("GetAuthorizationToken"); got != 1 {
		t.Errorf("%d tokens were asked for, want 1", got)
	}
}
