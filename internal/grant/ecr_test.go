package grant_test

import (
	"fmt"
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

// What a user of the tests is allowed.
const (
	pullAll = `{"Version":"2012-10-17","Statement":[
		{"Effect":"Allow","Action":"ecr:GetAuthorizationToken","Resource":"*"},
		{"Effect":"Allow","Action":["ecr:BatchGetImage","ecr:GetDownloadUrlForLayer","ecr:BatchCheckLayerAvailability"],"Resource":"*"}]}`
	mayNarrow  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:GetFederationToken","Resource":"*"}]}`
	mayList    = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"ecr:DescribeRepositories","Resource":"*"}]}`
	mayAll     = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`
	mayRotate  = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["iam:ListAccessKeys","iam:CreateAccessKey","iam:DeleteAccessKey"],"Resource":"*"}]}`
	mayNothing = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:GetObject","Resource":"*"}]}`
)

// amazon is a fake of AWS with two repositories and a user, and a catalogue that
// reaches it.
type amazon struct {
	*granttest.AWS
	t         *testing.T
	transport *oci.Transport
	catalogue *grant.Catalogue
	id, key   string
}

func newAmazon(t *testing.T, options granttest.AWSOptions, policies ...string) *amazon {
	t.Helper()
	a := &amazon{AWS: granttest.NewAWS(t, options), t: t}
	for _, repository := range []string{"acme/train", "acme/secret"} {
		if _, err := a.Push(t.Context(), repository, "v1", randomImage(t)); err != nil {
			t.Fatal(err)
		}
	}
	a.id, a.key = a.AddIAMUser("fairlead", policies...)
	a.transport = granttest.NewTransport(t, a.Registry)
	a.catalogue = grant.NewCatalogue(grant.Config{Transport: a.transport})
	return a
}

func (a *amazon) image(path string) image.Reference {
	a.t.Helper()
	ref, err := image.ParseReference(a.Host() + "/" + path)
	if err != nil {
		a.t.Fatal(err)
	}
	return ref
}

func (a *amazon) material(fields ...string) grant.Material {
	a.t.Helper()
	config := map[string]string{"access_key_id": a.id}
	for i := 0; i < len(fields); i += 2 {
		config[fields[i]] = fields[i+1]
	}
	normal, _, err := a.catalogue.Normalise("aws-ecr", grant.Material{
		Config: config, Secrets: map[string]secret.Text{"secret_access_key": secret.New(a.key)},
	})
	if err != nil {
		a.t.Fatal(err)
	}
	return normal
}

func (a *amazon) issue(material grant.Material, path string) (grant.Grant, error) {
	return a.catalogue.Issue(a.t.Context(), "aws-ecr", grant.Request{Image: a.image(path), Material: material})
}

// pulls reports whether an image's manifest is given for what a grant shows.
func (a *amazon) pulls(g grant.Grant, path string) error {
	_, _, err := oci.NewClient(a.transport.For(a.Host())).Manifest(a.t.Context(), a.image(path), g.Authorization)
	return err
}

func (a *amazon) check(material grant.Material, ref image.Reference, patterns ...string) grant.Report {
	a.t.Helper()
	request := grant.CheckRequest{Material: material, Image: ref}
	for _, text := range patterns {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			a.t.Fatal(err)
		}
		request.Patterns = append(request.Patterns, pattern)
	}
	report, err := a.catalogue.Check(a.t.Context(), "aws-ecr", request)
	if err != nil {
		a.t.Fatal(err)
	}
	for _, step := range report.Steps {
		if strings.Contains(fmt.Sprint(step), a.key) {
			a.t.Errorf("a step repeats the secret: %+v", step)
		}
	}
	return report
}

// step is the answer to a question of a report.
func step(t *testing.T, report grant.Report, question grant.Question) grant.Step {
	t.Helper()
	for _, s := range report.Steps {
		if s.Question == question {
			return s
		}
	}
	t.Fatalf("nothing was asked about %s: %+v", question, report.Steps)
	return grant.Step{}
}

func TestAnECRGrantOfANarrowedSessionPullsTheOneRepositoryAlone(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayNarrow)
	g, err := a.issue(a.material(), "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if !g.Narrow || g.Authorization.User() != "AWS" || g.ExpiresAt.Sub(g.IssuedAt) > time.Hour+time.Minute {
		t.Errorf("narrow %t, user %s, for %s", g.Narrow, g.Authorization.User(), g.ExpiresAt.Sub(g.IssuedAt))
	}
	if err := a.pulls(g, "acme/train:v1"); err != nil {
		t.Errorf("it does not pull what it is for: %v", err)
	}
	if err := a.pulls(g, "acme/secret:v1"); err == nil {
		t.Error("it pulls another repository too")
	}
}

func TestWithoutTheRightToNarrowTheWholeTokenIsUsedAndSTSIsNotAskedAgain(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll)
	for range 3 {
		g, err := a.issue(a.material(), "acme/train:v1")
		if err != nil {
			t.Fatal(err)
		}
		if g.Narrow || a.pulls(g, "acme/secret:v1") != nil {
			t.Errorf("narrow %t: the token is not the user's own", g.Narrow)
		}
	}
	if got := a.Calls("GetFederationToken"); got != 1 {
		t.Errorf("STS was asked %d times, want once", got)
	}
}

func TestARoleIsAssumedWithItsExternalIDAndNarrowed(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"sts:AssumeRole","Resource":"*"}]}`)
	role := a.AddRole("pull", "fairlead-42", []string{"*"}, pullAll)
	g, err := a.issue(a.material("role_arn", role, "external_id", "fairlead-42"), "acme/train:v1")
	if err != nil {
		t.Fatal(err)
	}
	if !g.Narrow || a.pulls(g, "acme/train:v1") != nil || a.pulls(g, "acme/secret:v1") == nil {
		t.Error("the role's session is not limited to the repository")
	}
	_, err = a.issue(a.material("role_arn", role, "external_id", "guessed"), "acme/train:v1")
	if f := wantFaultKind(t, err, fault.Denied); !strings.Contains(f.Sentence(), "sts:AssumeRole") {
		t.Errorf("the action is not named: %s", f.Sentence())
	}
}

func wantFaultKind(t *testing.T, err error, kind fault.Kind) *fault.Error {
	t.Helper()
	f := fault.From(err)
	if err == nil || f.Kind != kind || f.Code == "internal" || f.Hint == "" {
		t.Fatalf("%v, want a fault of kind %s with a next step", err, kind)
	}
	return f
}

func TestEveryFormOfAnECRHostIsAskedInItsRegion(t *testing.T) {
	for _, options := range []granttest.AWSOptions{
		{Region: "cn-north-1"},
		{Region: "us-gov-west-1", Host: "123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com"},
		{Region: "eu-west-1", Host: "123456789012.dkr-ecr.eu-west-1.on.aws"},
		{Region: "eu-west-1", Host: "vpce-0123-abcd.dkr.ecr.eu-west-1.vpce.amazonaws.com"},
	} {
		host := options.Host
		t.Run(options.Region+" "+host, func(t *testing.T) {
			a := newAmazon(t, options, pullAll, mayNarrow)
			g, err := a.issue(a.material(), "acme/train:v1")
			if err != nil {
				t.Fatal(err)
			}
			if err := a.pulls(g, "acme/train:v1"); err != nil || !g.Narrow || a.pulls(g, "acme/secret:v1") == nil {
				t.Errorf("narrow %t, %v", g.Narrow, err)
			}
		})
	}
}

func TestEachRefusalOfAWSIsToldApart(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*amazon)
		kind  fault.Kind
		words string
	}{
		"an unknown key":       {func(a *amazon) { a.DeleteKey(a.id) }, fault.Unauthenticated, "access key"},
		"a wrong secret":       {func(a *amazon) { a.key = strings.Repeat("x", 40) }, fault.Unauthenticated, "secret"},
		"a clock that is late": {func(a *amazon) { a.SetClockSkew(time.Hour) }, fault.Unauthenticated, "clock"},
		"no right to a token":  {func(a *amazon) { a.SetPolicies("fairlead", mayNothing) }, fault.Denied, "ecr:GetAuthorizationToken"},
		"too many requests":    {func(a *amazon) { a.Throttle(100) }, fault.Exhausted, ""},
	} {
		t.Run(name, func(t *testing.T) {
			a := newAmazon(t, granttest.AWSOptions{}, pullAll)
			test.spoil(a)
			_, err := a.issue(a.material(), "acme/train:v1")
			f := wantFaultKind(t, err, test.kind)
			if !strings.Contains(f.Sentence(), test.words) || strings.Contains(f.Sentence(), a.key) {
				t.Errorf("the sentence lacks %q or holds the secret: %s", test.words, f.Sentence())
			}
		})
	}
}

func TestAThrottledCallIsMadeAgain(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayNarrow)
	a.Throttle(2)
	if _, err := a.issue(a.material(), "acme/train:v1"); err != nil {
		t.Errorf("two refusals for too many requests were not outwaited: %v", err)
	}
}

func TestManyGrantsAtOnceDoNotDisturbEachOther(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayNarrow)
	material := a.material()
	var wait sync.WaitGroup
	for i := range 20 {
		wait.Go(func() {
			path := []string{"acme/train:v1", "acme/secret:v1"}[i%2]
			g, err := a.issue(material, path)
			if err != nil || a.pulls(g, path) != nil || a.pulls(g, []string{"acme/secret:v1", "acme/train:v1"}[i%2]) == nil {
				t.Errorf("%s: %v", path, err)
			}
		})
	}
	wait.Wait()
}

func TestWrongFieldsOfAnAccessKeyAreToldAtOnce(t *testing.T) {
	catalogue := newCatalogue(t)
	for name, test := range map[string]struct {
		config map[string]string
		token  string
		words  []string
	}{
		"no key's name":         {map[string]string{"access_key_id": "hunter"}, "", []string{"AKIA"}},
		"temporary, no token":   {map[string]string{"access_key_id": "ASIAIOSFODNN7EXAMPLE"}, "", []string{"session_token"}},
		"lasting, with a token": {map[string]string{"access_key_id": "AKIAIOSFODNN7EXAMPLE"}, "token", []string{"session_token"}},
		"several": {
			map[string]string{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "region": "Mars", "role_arn": "role/x", "sts_endpoint": "http://sts"},
			"",
			[]string{"region", "role_arn", "sts_endpoint"},
		},
		"external id alone": {map[string]string{"access_key_id": "AKIAIOSFODNN7EXAMPLE", "external_id": "x"}, "", []string{"external_id"}},
	} {
		secrets := map[string]secret.Text{"secret_access_key": secret.New("hush hush")}
		if test.token != "" {
			secrets["session_token"] = secret.New(test.token)
		}
		_, _, err := catalogue.Normalise("aws-ecr", grant.Material{Config: test.config, Secrets: secrets})
		for _, words := range test.words {
			if err == nil || !strings.Contains(fault.From(err).Sentence(), words) {
				t.Errorf("%s: %v, want %s named", name, err, words)
			}
		}
	}
}

func TestACheckSaysWhatTheAccessKeyIsGoodFor(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayNarrow, mayList, mayRotate)
	a.SetKeyAge(a.id, 100*24*time.Hour)
	report := a.check(a.material(), a.image("acme/train:v1"), a.Host()+"/acme/*")
	if report.Identity != "arn:aws:iam::123456789012:user/fairlead" || !report.Listed || len(report.Repositories) != 2 || report.CreatedAt.IsZero() {
		t.Errorf("found %+v", report)
	}
	for question, want := range map[grant.Question]grant.Result{
		grant.AskSecret: grant.Passed, grant.AskNarrow: grant.Passed, grant.AskRepositories: grant.Passed,
		grant.AskRights: grant.Passed, grant.AskExpiry: grant.Warning, grant.AskImage: grant.Passed,
	} {
		if got := step(t, report, question); got.Result != want {
			t.Errorf("%s: %+v, want %s", question, got, want)
		}
	}
}

func TestACheckGivesThePolicyThatTakesAwayWhatIsTooMuch(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, mayAll)
	rights := step(t, a.check(a.material(), image.Reference{}, a.Host()+"/acme/*"), grant.AskRights)
	if rights.Result != grant.Warning || !strings.Contains(rights.Sentence, "push and delete") ||
		!strings.Contains(rights.Policy, `"arn:aws:ecr:us-east-1:123456789012:repository/acme/*"`) {
		t.Errorf("got %+v", rights)
	}
	// With that policy pasted, nothing is too much, and pulls go on, narrowed.
	a.SetPolicies("fairlead", rights.Policy)
	report := a.check(a.material(), a.image("acme/train:v1"), a.Host()+"/acme/train")
	if got := step(t, report, grant.AskRights); got.Result != grant.Passed {
		t.Errorf("with the policy pasted: %+v", got)
	}
	if got := step(t, report, grant.AskNarrow); got.Result != grant.Passed {
		t.Errorf("with the policy pasted: %+v", got)
	}
}

func TestACheckGivesTheStatementThatLetsGrantsBeNarrowed(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll)
	narrow := step(t, a.check(a.material(), a.image("acme/train:v1"), a.Host()+"/acme/train"), grant.AskNarrow)
	if narrow.Result != grant.Warning || narrow.Code != "not_narrow" {
		t.Errorf("got %+v", narrow)
	}
	a.SetPolicies("fairlead", pullAll, narrow.Policy)
	if got := step(t, a.check(a.material(), image.Reference{}, a.Host()+"/acme/train"), grant.AskNarrow); got.Result != grant.Passed {
		t.Errorf("with the statement pasted: %+v", got)
	}
}

func TestACheckOfAWrongKeyFailsAsAPullWould(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll)
	a.key = strings.Repeat("x", 40)
	report := a.check(a.material(), image.Reference{}, a.Host()+"/acme/*")
	if got := step(t, report, grant.AskSecret); got.Result != grant.Failed || got.Code == "" || got.Hint == "" {
		t.Errorf("got %+v", got)
	}
}

func TestAWSMakesTheNewKeyAndDeletesTheOldOne(t *testing.T) {
	a := newAmazon(t, granttest.AWSOptions{}, pullAll, mayRotate)
	old := a.material()
	fresh, err := a.catalogue.Renew(t.Context(), "aws-ecr", old)
	if err != nil {
		t.Fatal(err)
	}
	if fresh.Config["access_key_id"] == a.id || !a.HasKey(a.id) {
		t.Error("there is no second key beside the first")
	}
	if _, err := a.issue(fresh, "acme/train:v1"); err != nil {
		t.Errorf("the new key is of no use: %v", err)
	}
	if _, err := a.catalogue.Renew(t.Context(), "aws-ecr", old); fault.From(err).Kind == fault.Internal || err == nil {
		t.Errorf("a third key: %v", err)
	}
	for range 2 { // a key that is gone already is no error
		if err := a.catalogue.Retire(t.Context(), "aws-ecr", old, fresh); err != nil {
			t.Fatal(err)
		}
	}
	if a.HasKey(a.id) {
		t.Error("the old key was not deleted")
	}
}
