package grant_test

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// check normalises the material and checks it for patterns, and for the image
// at path unless that is empty.
func (s setting) check(t *testing.T, material grant.Material, path string, patterns ...string) grant.Report {
	t.Helper()
	normal, _, err := s.catalogue.Normalise(s.kind, material)
	if err != nil {
		t.Fatal(err)
	}
	request := grant.CheckRequest{Material: normal}
	for _, text := range patterns {
		pattern, err := image.ParsePattern(text)
		if err != nil {
			t.Fatal(err)
		}
		request.Patterns = append(request.Patterns, pattern)
	}
	if path != "" {
		request.Image = s.image(t, path)
	}
	report, err := s.catalogue.Check(t.Context(), s.kind, request)
	if err != nil {
		t.Fatal(err)
	}
	for _, told := range report.Steps {
		if repeatsSecret(told.Sentence + told.Hint + told.Policy) {
			t.Errorf("a step repeats the secret: %+v", told)
		}
	}
	return report
}

// wantSteps checks how the questions of a report came out, each written as
// `question result code`.
func wantSteps(t *testing.T, report grant.Report, want ...string) {
	t.Helper()
	var got []string
	for _, told := range report.Steps {
		got = append(got, strings.TrimSpace(fmt.Sprint(told.Question, " ", told.Result, " ", told.Code)))
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("steps (-want +got):\n%s\n%+v", diff, report.Steps)
	}
}

func TestACheckOnAServerWithACacheSaysThatThePasswordStaysThere(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.Basic})
	s.catalogue = grant.NewCatalogue(grant.Config{Transport: s.transport, Now: func() time.Time { return begin }, Cached: true})
	report := s.check(t, s.material, "acme/train:v1", s.Host()+"/acme/*")
	wantSteps(t, report, "secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed")
	if got := step(t, report, grant.AskNarrow); !strings.Contains(got.Sentence, "through this server's cache") {
		t.Errorf("it says %q", got.Sentence)
	}
	wantSteps(t, s.check(t, s.with("basic_on_worker", "true"), "acme/train:v1", s.Host()+"/acme/*"),
		"secret passed", "narrow warning not_narrow", "repositories passed", "rights passed", "expiry unknown", "image passed")
}

func TestACheckOfAReaderPassesAtEveryKindOfRegistry(t *testing.T) {
	for kind, want := range map[granttest.Kind][]string{
		granttest.Generic:   {"secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed"},
		granttest.JFrog:     {"secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed"},
		granttest.DockerHub: {"secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "rate-limit passed", "image passed"},
		granttest.Basic:     {"secret passed", "narrow warning basic_only", "repositories passed", "rights passed", "expiry unknown", "image failed basic_only"},
	} {
		t.Run(string(kind), func(t *testing.T) {
			s := newSetting(t, granttest.Options{Kind: kind})
			report := s.check(t, s.material, "acme/train:v1", s.Host()+"/acme/*")
			wantSteps(t, report, want...)
			if diff := cmp.Diff([]string{s.Host() + "/acme/train"}, report.Repositories); diff != "" || report.Identity != "acme" {
				t.Errorf("identity %q, repositories (-want +got):\n%s", report.Identity, diff)
			}
			if report.Listed != (kind != granttest.DockerHub) {
				t.Errorf("listed is %v", report.Listed)
			}
			if n := s.Requests(); n > 30 {
				t.Errorf("it asked %d times", n)
			}
		})
	}
}

func TestASecretThatMayDoMoreIsWarnedOfWithWhatToMakeInstead(t *testing.T) {
	for kind, policy := range map[granttest.Kind]string{
		granttest.Generic:   "registry.acme.example/acme/train",
		granttest.Basic:     "registry.acme.example/acme/train",
		granttest.DockerHub: `"scopes":["repo:read"]`,
		granttest.JFrog:     `{"name":"fairlead-pull","repo":{"actions":{"users":{"acme":["read"]}},"repositories":["acme"]}}`,
	} {
		for _, right := range []struct {
			right granttest.Right
			code  string
			words string
		}{
			{granttest.PullPush("acme/*"), "may_push", "It may push too"},
			{granttest.PullPushDelete("acme/*"), "may_push", "It may push and delete too"},
		} {
			t.Run(string(kind)+" "+right.words, func(t *testing.T) {
				s := newSetting(t, granttest.Options{Kind: kind})
				s.SetRights("acme", right.right)
				got := step(t, s.check(t, s.material, "", s.Host()+"/acme/train"), grant.AskRights)
				if got.Result != grant.Warning || got.Code != right.code || !strings.HasPrefix(got.Sentence, right.words) || got.Hint == "" {
					t.Errorf("%+v", got)
				}
				if !strings.Contains(got.Policy, policy) {
					t.Errorf("policy:\n%s\nwants %s", got.Policy, policy)
				}
			})
		}
	}
}

func TestATokenServiceThatRefusesAllWhereItWouldGiveLessIsAskedForEachRight(t *testing.T) {
	for _, test := range []struct {
		right granttest.Right
		want  string
	}{
		{granttest.Pull("acme/*"), "It may read and do no more"},
		{granttest.PullPush("acme/*"), "It may push too, which no pull needs"},
		{granttest.Right{Repositories: "acme/*", Delete: true}, "It may delete too, which no pull needs"},
	} {
		for _, style := range []granttest.NoRight{granttest.Refuse401, granttest.Refuse403} {
			s := newSetting(t, granttest.Options{NoRight: style})
			s.SetRights("acme", test.right)
			if got := step(t, s.check(t, s.material, "", s.Host()+"/acme/train"), grant.AskRights); got.Sentence != test.want {
				t.Errorf("%s: %+v, want %s", style, got, test.want)
			}
		}
	}
}

func TestWhatACheckTriesChangesNothingAtTheRegistry(t *testing.T) {
	for _, kind := range []granttest.Kind{granttest.Basic, granttest.JFrog} {
		s := newSetting(t, granttest.Options{Kind: kind})
		s.SetRights("acme", granttest.PullPushDelete("acme/*"))
		s.check(t, s.material, "", s.Host()+"/acme/train")
		authorization := oci.Basic("acme", secret.New(password))
		if kind == granttest.JFrog {
			g, err := s.issue(t, s.material, "acme/train:v1")
			if err != nil {
				t.Fatal(err)
			}
			authorization = g.Authorization
		}
		tags, err := oci.NewClient(s.transport.For(s.Host())).Tags(t.Context(), "acme/train", 10, authorization)
		if err != nil || !cmp.Equal(tags.Names, []string{"v1"}) {
			t.Errorf("%s: there are the tags %q now (%v)", kind, tags.Names, err)
		}
		if err := s.manifest(t, "acme/train:v1", authorization); err != nil {
			t.Errorf("%s: the image: %v", kind, err)
		}
		if err := s.manifest(t, "acme/train@sha256:"+strings.Repeat("0", 64), authorization); err == nil {
			t.Errorf("%s: something was pushed", kind)
		}
	}
}

func TestACheckFailsWithTheFaultOfAPull(t *testing.T) {
	for name, test := range map[string]struct {
		change func(s setting) grant.Material
		want   []string
	}{
		"a wrong secret": {
			func(s setting) grant.Material { return materialOf(s.kind, "acme", password+"x") },
			[]string{"secret failed secret_refused", "expiry unknown"},
		},
		"an expired secret": {
			func(s setting) grant.Material { s.SetState("acme", granttest.Expired); return s.material },
			[]string{"secret failed secret_expired", "expiry unknown"},
		},
		"a registry that is down": {
			func(s setting) grant.Material { s.SetOutage(http.StatusServiceUnavailable); return s.material },
			[]string{"secret failed registry_down", "expiry unknown"},
		},
		"a token service that is down alone": {
			func(s setting) grant.Material { s.SetTokenOutage(http.StatusBadGateway); return s.material },
			[]string{"secret failed registry_down", "expiry unknown"},
		},
		"too many requests": {
			func(s setting) grant.Material { s.Throttle(1, time.Minute); return s.material },
			[]string{"secret failed rate_limited", "expiry unknown"},
		},
		"no right to what a pattern names": {
			func(s setting) grant.Material { s.SetRights("acme"); return s.material },
			[]string{"secret passed", "narrow passed", "repositories failed no_pull_right", "rights unknown", "expiry unknown", "image failed no_pull_right"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newSetting(t, granttest.Options{})
			wantSteps(t, s.check(t, test.change(s), "acme/train:v1", s.Host()+"/acme/train"), test.want...)
		})
	}
}

func TestPatternsOfWildcardsAloneStillTellWhetherTheSecretIsAccepted(t *testing.T) {
	for _, kind := range []granttest.Kind{granttest.Generic, granttest.Basic, granttest.DockerHub, granttest.JFrog} {
		s := newSetting(t, granttest.Options{Kind: kind, NoCatalogue: true})
		if got := step(t, s.check(t, s.material, "", s.Host()+"/*"), grant.AskSecret); got.Result != grant.Passed {
			t.Errorf("%s: %+v", kind, got)
		}
		wrong := materialOf(s.kind, "acme", password+"x")
		if got := step(t, s.check(t, wrong, "", s.Host()+"/*"), grant.AskSecret); got.Code != "secret_refused" {
			t.Errorf("%s, a wrong secret: %+v", kind, got)
		}
	}
}

func TestATokenServiceThatGivesEverybodyATokenIsNoProofOfTheSecret(t *testing.T) {
	s := newSetting(t, granttest.Options{Lax: true})
	s.Public("acme/open")
	if _, err := s.Push(t.Context(), "acme/open", "v1", randomImage(t)); err != nil {
		t.Fatal(err)
	}
	wrong := materialOf(s.kind, "acme", password+"x")
	for _, test := range []struct {
		material grant.Material
		pattern  string
		want     grant.Result
	}{
		{wrong, "/*", grant.Unknown},
		{wrong, "/acme/train", grant.Unknown},
		{wrong, "/acme/open", grant.Unknown},
		{s.material, "/*", grant.Unknown},
		{s.material, "/acme/open", grant.Unknown},
		{s.material, "/acme/train", grant.Passed},
	} {
		if got := step(t, s.check(t, test.material, "", s.Host()+test.pattern), grant.AskSecret); got.Result != test.want {
			t.Errorf("%s: %+v, want %s", test.pattern, got, test.want)
		}
	}
}

func TestPatternsWithoutAHostAreAskedAboutWithAnImage(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	report := s.check(t, s.material, "", "*.acme.example/*")
	wantSteps(t, report, "secret unknown", "expiry unknown")
	if s.Requests() != 0 || !strings.Contains(report.Steps[0].Hint, "--image") {
		t.Errorf("%d requests, %+v", s.Requests(), report.Steps)
	}
	wantSteps(t, s.check(t, s.material, "acme/train:v1", "*.acme.example/*"),
		"secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed")
}

func TestEachRegistryThatPatternsNameIsAskedAndNamed(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	other := granttest.New(t, granttest.Options{Host: "harbor.acme.example"})
	other.AddUser("acme", "another", granttest.Pull("acme/*"))
	s.catalogue = grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, other, s.Registry)})
	report := s.check(t, s.material, "acme/train:v1", "harbor.acme.example/*", s.Host()+"/acme/train")
	wantSteps(t, report, "secret passed", "narrow passed", "repositories passed", "rights passed", "secret failed secret_refused", "expiry unknown", "image passed")
	if !strings.Contains(report.Steps[0].Sentence, s.Host()) || !strings.Contains(report.Steps[4].Sentence, "harbor.acme.example") {
		t.Errorf("%+v", report.Steps)
	}
}

func TestAListOfManyPagesIsFilteredSortedAndBounded(t *testing.T) {
	s := newSetting(t, granttest.Options{CataloguePage: 5})
	s.SetRights("acme", granttest.Pull("acme/*"), granttest.Pull("ml/*"))
	for i := range 14 {
		if _, err := s.Push(t.Context(), fmt.Sprintf("ml/n%02d", i), "v1", randomImage(t)); err != nil {
			t.Fatal(err)
		}
	}
	report := s.check(t, s.material, "", s.Host()+"/ml/*")
	if !slices.IsSorted(report.Repositories) || len(report.Repositories) != 14 || report.Repositories[0] != s.Host()+"/ml/n00" {
		t.Errorf("repositories %q", report.Repositories)
	}
	if n := s.Requests(); n > 30 {
		t.Errorf("it asked %d times", n)
	}
	for i := range 14 { // two more pages than are asked for
		if _, err := s.Push(t.Context(), fmt.Sprintf("ml/o%02d", i), "v1", randomImage(t)); err != nil {
			t.Fatal(err)
		}
	}
	if got := step(t, s.check(t, s.material, "", s.Host()+"/ml/*"), grant.AskRepositories); !strings.Contains(got.Sentence, "of the first 25 that it lists") {
		t.Errorf("%+v", got)
	}
}

func TestWhatCannotBeReadOfWhatPatternsNameIsTold(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	got := step(t, s.check(t, s.material, "", s.Host()+"/acme/train", s.Host()+"/acme/secret"), grant.AskRepositories)
	if got.Result != grant.Warning || got.Code != "partly_readable" || !strings.Contains(got.Sentence, "acme/secret") {
		t.Errorf("%+v", got)
	}
	s.SetRights("acme", granttest.Pull("new/*"))
	report := s.check(t, s.material, "", s.Host()+"/new/train")
	if got := step(t, report, grant.AskRepositories); got.Result != grant.Warning || got.Code != "repository_not_found" {
		t.Errorf("what nothing was pushed to yet: %+v", got)
	}
	if got := step(t, report, grant.AskRights); got.Result != grant.Passed {
		t.Errorf("its rights: %+v", got)
	}
	s.SetRights("acme")
	if got := step(t, s.check(t, s.material, "", s.Host()+"/acme/*"), grant.AskRepositories); got.Code != "nothing_readable" {
		t.Errorf("%+v", got)
	}
}

func TestARegistryThatListsNeitherRepositoriesNorTagsIsTakenAtItsTokensWord(t *testing.T) {
	s := newSetting(t, granttest.Options{NoCatalogue: true, NoTags: true})
	report := s.check(t, s.material, "acme/train:v1", s.Host()+"/acme/*")
	wantSteps(t, report, "secret passed", "narrow passed", "repositories passed", "rights passed", "expiry unknown", "image passed")
	if report.Listed {
		t.Error("it says that the registry has a list")
	}
}

func TestASecretThatEndsIsToldBeforeItDoes(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.JFrog})
	s.catalogue = grant.NewCatalogue(grant.Config{Transport: s.transport})
	for _, left := range []time.Duration{-time.Hour, 10 * 24 * time.Hour, 90 * 24 * time.Hour} {
		want := map[bool]string{true: "expiry passed"}[left > 30*24*time.Hour]
		if want == "" {
			want = map[bool]string{true: "expiry failed secret_expired", false: "expiry warning expires_soon"}[left < 0]
		}
		ends := time.Now().Add(left).UTC().Truncate(time.Second)
		access, err := s.AccessToken("acme", ends)
		if err != nil {
			t.Fatal(err)
		}
		for form, token := range map[string]string{"access": access, "reference": s.ReferenceToken("acme", ends)} {
			report := s.check(t, materialOf("jfrog", "acme", token), "", s.Host()+"/acme/train")
			if got := step(t, report, grant.AskExpiry); strings.TrimSpace(fmt.Sprint("expiry ", got.Result, " ", got.Code)) != want {
				t.Errorf("%s token with %s left: %+v, want %s", form, left, got, want)
			}
			if !report.ExpiresAt.Equal(ends) {
				t.Errorf("%s token ends %s, want %s", form, report.ExpiresAt, ends)
			}
			if got := step(t, report, grant.AskSecret); (got.Result == grant.Passed) != (left > 0) {
				t.Errorf("%s token with %s left: %+v", form, left, got)
			}
		}
	}
}

func TestDockerHubsLimitIsToldOfTheAccount(t *testing.T) {
	s := newSetting(t, granttest.Options{Kind: granttest.DockerHub})
	for remaining, want := range map[int]string{187: "rate-limit passed", 19: "rate-limit warning limit_near", 0: "rate-limit warning limit_near"} {
		s.SetRateLimit(remaining, 200, 6*time.Hour)
		report := s.check(t, s.material, "", "docker.io/acme/*")
		got := step(t, report, grant.AskLimit)
		if strings.TrimSpace(fmt.Sprint("rate-limit ", got.Result, " ", got.Code)) != want {
			t.Errorf("%d left: %+v, want %s", remaining, got, want)
		}
		words := fmt.Sprintf("Docker Hub: %d of 200 pulls left in 6h0m0s (for account %s)", remaining, granttest.AccountID("acme"))
		if got.Sentence != words || report.RateLimit == nil || report.RateLimit.Remaining != remaining {
			t.Errorf("%+v, %+v, want %s", got, report.RateLimit, words)
		}
	}
}

func TestARegistryThatIsSlowIsWaitedForAsLongAsTheCheckMay(t *testing.T) {
	s := newSetting(t, granttest.Options{})
	release := s.Hold()
	told := make(chan grant.Report)
	go func() { told <- s.check(t, s.material, "", s.Host()+"/acme/train") }()
	select {
	case report := <-told:
		t.Errorf("it did not wait: %+v", report.Steps)
	default:
	}
	release()
	if got := step(t, <-told, grant.AskSecret); got.Result != grant.Passed {
		t.Errorf("%+v", got)
	}
}
