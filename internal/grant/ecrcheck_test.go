package grant_test

import (
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

func TestACheckRefusesARegionThatAPullWouldRefuse(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll)
	material := a.material("region", "eu-west-1")
	_, err := a.issue(material, "acme/train:v1")
	wantFault(t, err, fault.Invalid, "region_differs")
	if got := step(t, a.check(material, image.Reference{}, a.Host()+"/*"), grant.AskSecret); got.Result != grant.Failed || got.Code != "region_differs" {
		t.Errorf("got %+v", got)
	}
	role, _, err := a.catalogue.Normalise("aws-ecr-role", grant.Material{Config: map[string]string{"region": "eu-west-1"}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = a.catalogue.Issue(t.Context(), "aws-ecr-role", grant.Request{Image: a.image("acme/train:v1"), Material: role})
	wantFault(t, err, fault.Invalid, "region_differs")
}

func TestACheckListsTheRepositoriesOfAPatternWithTags(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayList)
	report := a.check(a.material(), image.Reference{}, a.Host()+"/acme/tr*:v*")
	if len(report.Repositories) != 1 || report.Repositories[0] != a.Host()+"/acme/train" {
		t.Errorf("found %q", report.Repositories)
	}
}

func TestWhatCannotBeTriedIsNotCalledHarmless(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, mayAll)
	rights := step(t, a.check(a.material(), image.Reference{}, a.Host()+"/acme/missing"), grant.AskRights)
	if rights.Result == grant.Passed {
		t.Errorf("a repository that is not there: %+v", rights)
	}
	a.SetPolicies("fairlead", pullAll)
	rights = step(t, a.check(a.material(), image.Reference{}, a.Host()+"/acme/missing", a.Host()+"/acme/train"), grant.AskRights)
	if rights.Result != grant.Passed {
		t.Errorf("one of two is there: %+v", rights)
	}
}

func TestTheImageOfACheckIsWhatRightsAreTriedOnWhereNothingIsListed(t *testing.T) {
	const mayPush = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:PutImage","Resource":"*"}]}`
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayPush)
	rights := step(t, a.check(a.material(), a.image("acme/train:v1"), a.Host()+"/acme/*"), grant.AskRights)
	if rights.Result != grant.Warning || rights.Code != "may_push" || !strings.Contains(rights.Policy, "ecr:BatchGetImage") {
		t.Errorf("got %+v", rights)
	}
}

func TestAKeyIsNotDeletedWhereItIsTheFreshOneToo(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayRotate)
	if err := a.catalogue.Retire(t.Context(), "aws-ecr", a.material(), a.material()); err != nil {
		t.Fatal(err)
	}
	if !a.HasKey(a.id) {
		t.Error("the key in use was deleted")
	}
}

func TestAWaitThatAWSAsksForIsToldAndNotCutShort(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll)
	a.Throttle(100)
	a.SetRetryAfter(2 * time.Minute)
	_, err := a.issue(a.material(), "acme/train:v1")
	if f := wantFault(t, err, fault.Exhausted, "cloud_throttled"); f.RetryAfter != 2*time.Minute {
		t.Errorf("to be waited: %s", f.RetryAfter)
	}
	if got := a.Calls("GetFederationToken"); got != 1 {
		t.Errorf("AWS was asked %d times within a wait of two minutes", got)
	}
}

func TestECRPublicGivesATokenOfItsOwnTokenService(t *testing.T) {
	const mayPublic = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["ecr-public:GetAuthorizationToken","sts:GetServiceBearerToken"],"Resource":"*"}]}`
	bare(t)
	a := newAmazon(t, granttest.AWSOptions{Host: "public.ecr.aws"}, mayPublic)
	a.AddRole("gpu-box", "", nil, mayPublic)
	g, err := a.issue(a.material("region", "eu-west-1"), "acme/train:v1") // it is the same from every region
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", granttest.NewMachine(t, a.AWS, "gpu-box").URL())
	own, err := a.roleIssuer().Issue(t.Context(), grant.Role{}, a.image("acme/train:v1"))
	if err != nil {
		t.Fatal(err)
	}
	for _, g := range []grant.Grant{g, own} {
		if err := a.pulls(g, "acme/train:v1"); err != nil || g.Authorization.Scheme() != oci.SchemeBearer {
			t.Errorf("%s: %v", g.Authorization.Scheme(), err)
		}
	}
}
