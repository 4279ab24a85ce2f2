package registry_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

// checked is a safe before a real registry with one user, and a clock that can
// be moved on.
type checked struct {
	*safe
	registry *granttest.Registry
	ahead    time.Duration
}

const password = "correct-horse-battery-staple"

func newChecked(t *testing.T) *checked {
	t.Helper()
	c := &checked{safe: newSafe(t), registry: granttest.New(t, granttest.Options{})}
	c.registry.AddUser("robot", password, granttest.Pull("ml/*"))
	_, err := c.registry.Push(t.Context(), "ml/train", "v1", empty.Image)
	c.must(err)
	now := func() time.Time { return time.Now().UTC().Add(c.ahead) }
	accounts := account.NewService(c.store, now)
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, c.registry), Now: now})
	c.Service = registry.NewService(c.store, accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: c.vault}, now)
	return c
}

func (c *checked) now() time.Time { return time.Now().UTC().Add(c.ahead) }

func (c *checked) register(password string) registry.Credential {
	c.t.Helper()
	made, _, err := c.Create(c.t.Context(), c.admin, registry.Draft{
		Organization: "acme", Name: "robot", Kind: "generic", Patterns: []string{"registry.acme.example/ml/train"},
		Material: registry.Material{
			Config: map[string]string{"username": "robot"}, Secrets: map[string]secret.Text{"password": secret.New(password)},
		},
	})
	c.must(err)
	return made
}

func (c *checked) get(id string) registry.Credential {
	c.t.Helper()
	got, err := c.Get(c.t.Context(), c.admin, id)
	c.must(err)
	return got
}

func (c *checked) state(id string) registry.State {
	c.t.Helper()
	return c.get(id).State(c.now())
}

func (c *checked) results(verb audit.Verb) []string {
	c.t.Helper()
	events, _, err := c.store.Events(c.t.Context(), audit.Filter{OrganizationIDs: []int64{1}, Verb: verb, Limit: 10})
	c.must(err)
	var results []string
	for _, event := range events {
		results = append(results, event.Result)
	}
	return results
}

func TestACredentialIsCheckedWhenItIsSavedAndTheAnswerIsKept(t *testing.T) {
	c := newChecked(t)
	good := c.register(password)
	if got := c.get(good.ID); got.Check == nil || got.State(c.now()) != registry.StateWorks || got.Check.At.IsZero() || len(got.Check.Steps) == 0 {
		t.Errorf("state %s with %+v, want works", got.State(c.now()), got.Check)
	}
	if _, _, err := c.Update(t.Context(), c.admin, good.ID, registry.Change{
		Material: &registry.Material{Secrets: map[string]secret.Text{"password": secret.New("wrong")}},
	}); err != nil {
		t.Fatal(err)
	}
	got := c.get(good.ID)
	failed, any := got.Check.Failed()
	if got.State(c.now()) != registry.StateFails || !any || failed.Code != "secret_refused" || failed.Hint == "" {
		t.Errorf("state %s with %+v, want fails by secret_refused", got.State(c.now()), got.Check)
	}
	if results := c.results(audit.CredentialCheck); !slices.Equal(results, []string{"secret_refused", audit.ResultOK}) {
		t.Errorf("the trail says %q", results)
	}
}

func TestAChangeThatIsNotCheckedLeavesTheCredentialUnchecked(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	asked := c.registry.Exchanges()
	name := "another"
	_, _, err := c.Update(t.Context(), c.admin, made.ID, registry.Change{Name: &name, SkipCheck: true})
	c.must(err)
	if got := c.state(made.ID); got != registry.StateUnchecked || c.registry.Exchanges() != asked {
		t.Errorf("state %s after %d further exchanges, want unchecked after none", got, c.registry.Exchanges()-asked)
	}
}

func TestADayLaterACredentialIsCheckedAgainAndMarkedBeforeAUserMeetsIt(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	if n, err := c.CheckDue(t.Context()); err != nil || n != 0 {
		t.Errorf("%d came due at once, %v", n, err)
	}
	c.registry.SetState("robot", granttest.Revoked)
	c.ahead = 24 * time.Hour
	n, err := c.CheckDue(t.Context())
	c.must(err)
	if got := c.state(made.ID); n != 1 || got != registry.StateFails {
		t.Errorf("%d checked, state %s, want one that fails", n, got)
	}

	// One that fails is asked again within the hour.
	c.registry.SetState("robot", granttest.Valid)
	c.ahead += time.Hour + time.Minute
	_, err = c.CheckDue(t.Context())
	c.must(err)
	if got := c.state(made.ID); got != registry.StateWorks {
		t.Errorf("state %s after it was mended, want works", got)
	}
}

func TestACredentialIsCheckedShortlyBeforeItsEnd(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	ends := c.now().Add(5 * time.Hour)
	_, _, err := c.Update(t.Context(), c.admin, made.ID, registry.Change{ExpiresAt: &ends})
	c.must(err)
	if got := c.state(made.ID); got != registry.StateExpiring {
		t.Errorf("state %s five hours before the end, want expiring", got)
	}
	c.ahead = 3 * time.Hour
	if n, err := c.CheckDue(t.Context()); err != nil || n != 0 {
		t.Errorf("%d came due two hours before the end, %v", n, err)
	}
	c.ahead = 4*time.Hour + time.Minute
	if n, err := c.CheckDue(t.Context()); err != nil || n != 1 {
		t.Errorf("%d came due within the last hour, %v, want 1", n, err)
	}
	c.ahead = 6 * time.Hour
	if got := c.state(made.ID); got != registry.StateFails {
		t.Errorf("state %s after the end, want fails", got)
	}
}

func TestACheckTellsEachStepAsItIsDone(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	var told []registry.CheckStep
	got, err := c.Check(t.Context(), c.admin, made.ID, image.Reference{}, func(step registry.CheckStep) { told = append(told, step) })
	c.must(err)
	if len(told) == 0 || !slices.Equal(told, got.Check.Steps) {
		t.Errorf("told %+v, kept %+v", told, got.Check.Steps)
	}
	member := account.Actor{UserID: "m", Username: "member", Roles: map[int64]account.Role{1: account.Member}}
	if _, err := c.Check(t.Context(), member, made.ID, image.Reference{}, nil); !fault.Is(err, fault.Denied) {
		t.Errorf("a member may check: %v", err)
	}
}

func TestANewSecretThatTheRegistryRefusesChangesNothing(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	_, _, err := c.Rotate(t.Context(), c.admin, made.ID, registry.Rotation{
		New: &registry.Material{Secrets: map[string]secret.Text{"password": secret.New("mistyped")}},
	}, nil)
	f := fault.From(err)
	if f.Code != "invalid" && f.Code != "rotation_refused" || !strings.Contains(f.Sentence(), "nothing has changed") || strings.Contains(f.Sentence(), "mistyped") {
		t.Errorf("%s: %s", f.Code, f.Sentence())
	}
	if got := c.get(made.ID); got.Version != made.Version || got.State(c.now()) != registry.StateWorks {
		t.Errorf("version %d, state %s: something changed", got.Version, got.State(c.now()))
	}
}

func TestARotationCanBeTakenBackWhileTheOldSecretIsHeld(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	rotate := func(rotation registry.Rotation) error {
		_, _, err := c.Rotate(t.Context(), c.admin, made.ID, rotation, nil)
		return err
	}
	c.must(rotate(registry.Rotation{
		SkipCheck: true, New: &registry.Material{Secrets: map[string]secret.Text{"password": secret.New("premature")}},
	}))
	c.must(rotate(registry.Rotation{Back: true}))
	opened, err := c.Open(c.get(made.ID))
	c.must(err)
	if !opened.Secrets["password"].Equal(secret.New(password)) {
		t.Error("the old secret is not back")
	}
	c.ahead = 24 * time.Hour
	_, err = c.ForgetHeld(t.Context())
	c.must(err)
	if err := rotate(registry.Rotation{Back: true}); !fault.Is(err, fault.Invalid) {
		t.Errorf("%v: nothing is held any more", err)
	}
	if results := c.results(audit.CredentialForget); len(results) != 2 {
		t.Errorf("the trail knows of %d secrets that were forgotten, want 2", len(results))
	}
}

func TestARotationSaysWhatItIsToUse(t *testing.T) {
	c := newChecked(t)
	made := c.register(password)
	for name, rotation := range map[string]registry.Rotation{
		"nothing":           {},
		"two":               {Renew: true, Back: true},
		"what cannot renew": {Renew: true},
	} {
		if _, _, err := c.Rotate(t.Context(), c.admin, made.ID, rotation, nil); !fault.Is(err, fault.Invalid) || fault.From(err).Hint == "" && name != "nothing" && name != "two" {
			t.Errorf("%s: %v", name, err)
		}
	}
}
