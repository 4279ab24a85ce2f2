package registry_test

import (
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAPreviewSaysWhatServesEachImageAfterTheChangeAndWhy(t *testing.T) {
	s := newSafe(t)
	wide, _, err := s.Create(t.Context(), s.admin, draft("wide", "ghcr.io/acme/*"))
	s.must(err)
	narrow, _, err := s.Create(t.Context(), s.admin, draft("narrow", "ghcr.io/acme/ml/train"))
	s.must(err)
	images := []image.Reference{
		image.MustParseReference("ghcr.io/acme/web:v1"), image.MustParseReference("ghcr.io/acme/ml/train:v1"), image.MustParseReference("quay.io/acme/web"),
	}
	for name, test := range map[string]struct {
		id       string
		patterns []string
		want     []string
	}{
		"a new one that is more specific": {"", []string{"ghcr.io/acme/w*", "quay.io/*"}, []string{
			"would use this in place of wide, because the pattern ghcr.io/acme/w* goes before ghcr.io/acme/*: its path has more characters before the first wildcard",
			"is not covered, and stays with narrow",
			"would use this, by the pattern quay.io/*; at present it is pulled without a credential",
		}},
		"a new one that is as specific": {"", []string{"ghcr.io/acme/*"}, []string{
			"stays with wide, whose pattern ghcr.io/acme/* goes before ghcr.io/acme/*: they are equally specific and its credential is older",
			"stays with narrow, whose pattern ghcr.io/acme/ml/train goes before ghcr.io/acme/*: its path has more characters before the first wildcard",
			"is not covered, and is pulled without a credential",
		}},
		"another pattern of an old one": {narrow.ID, []string{"ghcr.io/acme/ml/*"}, []string{
			"is not covered, and stays with wide",
			"uses this, by the pattern ghcr.io/acme/ml/*: its path has more characters before the first wildcard",
			"is not covered, and is pulled without a credential",
		}},
		"an old one deleted that has another behind it": {narrow.ID, nil, []string{
			"is not covered, and stays with wide",
			"would be pulled with wide, by its pattern ghcr.io/acme/*",
			"is not covered, and is pulled without a credential",
		}},
		"an old one deleted that has none behind it": {wide.ID, nil, []string{
			"would be pulled without a credential",
			"is not covered, and stays with narrow",
			"is not covered, and is pulled without a credential",
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var patterns []image.Pattern
			for _, text := range test.patterns {
				pattern, err := image.ParsePattern(text)
				s.must(err)
				patterns = append(patterns, pattern)
			}
			effects, err := s.selector.Preview(t.Context(), wide.OrganizationID, test.id, patterns, images)
			s.must(err)
			var got []string
			for _, effect := range effects {
				got = append(got, effect.Sentence())
			}
			if !slices.Equal(got, test.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(test.want, "\n"))
			}
		})
	}
}

func TestACredentialThatIsCheckedFirstIsSavedOnlyIfTheRegistryTakesIt(t *testing.T) {
	c := newChecked(t)
	asked := draft("robot", "registry.acme.example/ml/train")
	asked.CheckFirst = true
	var told []registry.CheckStep
	asked.Tell = func(step registry.CheckStep) { told = append(told, step) }
	_, _, err := c.Create(t.Context(), c.admin, asked)
	if f := fault.From(err); f == nil || f.Code != "check_failed" || !strings.HasPrefix(f.Message, "nothing is saved: ") || f.Hint == "" || strings.Contains(f.Sentence(), "hush") {
		t.Errorf("got %v", err)
	}
	if !slices.ContainsFunc(told, func(step registry.CheckStep) bool { return step.Result == registry.CheckFailed }) {
		t.Errorf("the steps were %+v", told)
	}
	if all, err := c.List(t.Context(), c.admin, "acme"); err != nil || len(all) != 0 {
		t.Errorf("there are %+v, %v", all, err)
	}
	asked.Material.Secrets["password"] = secret.New(password)
	told = nil
	made, _, err := c.Create(t.Context(), c.admin, asked)
	c.must(err)
	if kept := c.get(made.ID); kept.State(c.now()) == registry.StateUnchecked || len(kept.Check.Steps) != len(told) || len(told) < 2 {
		t.Errorf("it is %s after %d steps, of which %d were told", kept.State(c.now()), len(kept.Check.Steps), len(told))
	}
	if got := c.results(audit.CredentialCheck); len(got) != 1 {
		t.Errorf("%d checks are in the audit trail", len(got))
	}
	told = nil
	name := "robot two"
	_, _, err = c.Update(t.Context(), c.admin, made.ID, registry.Change{Name: &name, Tell: func(step registry.CheckStep) { told = append(told, step) }})
	if c.must(err); len(told) < 2 {
		t.Errorf("a change told %d steps", len(told))
	}
	elsewhere := registry.Change{Patterns: []string{"registry.acme.example/secret/x"}, CheckFirst: true}
	if _, _, err := c.Update(t.Context(), c.admin, made.ID, elsewhere); fault.From(err) == nil || fault.From(err).Code != "check_failed" {
		t.Errorf("got %v", err)
	}
	if kept := c.get(made.ID); kept.Name != "robot two" || kept.Patterns[0].String() != "registry.acme.example/ml/train" || kept.Version != 2 {
		t.Errorf("it became %+v", kept)
	}
	c.registry.SetPassword("robot", "another")
	name = "robot three"
	_, _, err = c.Update(t.Context(), c.admin, made.ID, registry.Change{Name: &name, CheckFirst: true})
	if c.must(err); c.state(made.ID) != registry.StateFails {
		t.Errorf("it %s", c.state(made.ID))
	}
}

func TestWhoMayNotManageIsToldSoBeforeTheyFillInAForm(t *testing.T) {
	s := newSafe(t)
	member := account.Actor{UserID: "m", Username: "member", Roles: map[int64]account.Role{1: account.Member}}
	stranger := account.Actor{UserID: "x", Username: "stranger"}
	s.must(s.MayManage(t.Context(), s.admin, "acme"))
	if err := s.MayManage(t.Context(), member, "1"); !fault.Is(err, fault.Denied) {
		t.Errorf("a member: %v", err)
	}
	if err := s.MayManage(t.Context(), stranger, "1"); !fault.Is(err, fault.NotFound) {
		t.Errorf("a stranger: %v", err)
	}
}

func TestCredentialsAreFoundByTheirKindsTitleAndByWhatTheyAre(t *testing.T) {
	s := newSafe(t)
	for _, name := range []string{"one", "two", "three"} {
		_, _, err := s.Create(t.Context(), s.admin, draft(name, "ghcr.io/"+name+"/*"))
		s.must(err)
	}
	found, err := s.Find(t.Context(), s.admin, "acme", registry.Search{Text: " ANY reg", Limit: 2})
	if s.must(err); found.Fit != 3 || len(found.Credentials) != 2 || found.Credentials[0].Name != "three" {
		t.Errorf("got %+v", found)
	}
	long := func(c registry.Credential) bool { return c.Name != "two" }
	found, err = s.Find(t.Context(), s.admin, "acme", registry.Search{Only: long, Limit: 1, Offset: 1})
	if s.must(err); found.Fit != 2 || found.All != 3 || len(found.Credentials) != 1 || found.Credentials[0].Name != "one" {
		t.Errorf("got %+v", found)
	}
	if found, err = s.Find(t.Context(), s.admin, "acme", registry.Search{Only: long, Limit: 1, Offset: 9}); err != nil || len(found.Credentials) != 0 {
		t.Errorf("got %+v, %v", found, err)
	}
	member := account.Actor{UserID: "m", Username: "member", Roles: map[int64]account.Role{1: account.Member}}
	if _, err := s.Find(t.Context(), member, "1", registry.Search{Limit: 1}); !fault.Is(err, fault.Denied) {
		t.Errorf("a member: %v", err)
	}
}
