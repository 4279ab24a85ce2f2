package registry_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
)

// safe is a service over a real database and a real vault.
type safe struct {
	*registry.Service
	t        *testing.T
	store    *store.Store
	vault    *vault.Vault
	selector *registry.Selector
	admin    account.Actor
	project  account.Project
}

func newSafe(t *testing.T) *safe {
	t.Helper()
	s := &safe{t: t}
	var err error
	s.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	s.must(err)
	t.Cleanup(func() { s.must(s.store.Close()) })
	s.vault, err = vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	s.must(err)
	now := func() time.Time { return time.Now().UTC() }
	accounts := account.NewService(s.store, now)
	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t)})
	s.Service = registry.NewService(s.store, accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: s.vault}, now)
	s.selector = registry.NewSelector(s.store)
	password, err := accounts.Bootstrap(t.Context(), "root", "acme")
	s.must(err)
	_, text, err := accounts.SignIn(t.Context(), "root", password, "test", "")
	s.must(err)
	s.admin, err = accounts.Authenticate(t.Context(), text, "")
	s.must(err)
	s.project, err = accounts.CreateProject(t.Context(), s.admin, account.NewProject{Name: "vision", Owner: "acme"})
	s.must(err)
	return s
}

func (s *safe) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func draft(name string, patterns ...string) registry.Draft {
	return registry.Draft{
		Organization: "acme", Name: name, Kind: "generic", Patterns: patterns,
		Material: registry.Material{
			Config: map[string]string{"username": "robot"}, Secrets: map[string]secret.Text{"password": secret.New("hush-" + name)},
		},
	}
}

func TestOnlyAdminsSeeOrChangeCredentials(t *testing.T) {
	s := newSafe(t)
	made, _, err := s.Create(t.Context(), s.admin, draft("one", "registry.example/*"))
	s.must(err)
	member := account.Actor{UserID: "m", Username: "member", Roles: map[int64]account.Role{1: account.Member}}
	stranger := account.Actor{UserID: "x", Username: "stranger"}
	for who, want := range map[*account.Actor]fault.Kind{&member: fault.Denied, &stranger: fault.NotFound} {
		_, getErr := s.Get(t.Context(), *who, made.ID)
		_, listErr := s.List(t.Context(), *who, "acme")
		_, _, createErr := s.Create(t.Context(), *who, draft("two", "registry.example/*"))
		_, _, updateErr := s.Update(t.Context(), *who, made.ID, registry.Change{})
		for what, err := range map[string]error{
			"get": getErr, "list": listErr, "create": createErr, "update": updateErr, "delete": s.Delete(t.Context(), *who, made.ID),
		} {
			if fault.KindOf(err) != want {
				t.Errorf("%s may %s: %v, want %s", who.Username, what, err, want)
			}
		}
	}
}

func TestEveryMistakeOfACredentialIsToldAtOnce(t *testing.T) {
	s := newSafe(t)
	bad := draft("x", "https://registry.example/*", "registry.example/a@sha256:aa")
	bad.Material = registry.Material{Config: map[string]string{"usrname": "robot"}}
	bad.ExpiresAt = time.Now().Add(-time.Hour)
	_, _, err := s.Create(t.Context(), s.admin, bad)
	f := fault.From(err)
	for _, words := range []string{"scheme", "digest", "past", "usrname", "password"} {
		if !strings.Contains(f.Sentence(), words) {
			t.Errorf("nothing says %q: %s", words, f.Sentence())
		}
	}
	if f.Kind != fault.Invalid || len(f.Fields) < 4 {
		t.Errorf("%+v", f.Fields)
	}
}

func TestASecretOpensInItsOwnRowAndInNoOther(t *testing.T) {
	s := newSafe(t)
	one, _, err := s.Create(t.Context(), s.admin, draft("one", "registry.example/*"))
	s.must(err)
	two, _, err := s.Create(t.Context(), s.admin, draft("two", "registry.example/*"))
	s.must(err)
	opened, err := s.Open(one)
	s.must(err)
	if got := opened.Secrets["password"].Reveal(); got != "hush-one" {
		t.Errorf("opened %q", got)
	}
	two.Sealed = one.Sealed
	if _, err := s.Open(two); err == nil || strings.Contains(err.Error(), "hush-") {
		t.Errorf("a sealed secret that was moved to another row opened (%v)", err)
	}
	if strings.Contains(fmt.Sprintf("%+v %#v", one, opened), "hush-") {
		t.Error("printing shows the secret")
	}
}

func TestAChangeKeepsWhatItDoesNotNameAndClashesWithAnother(t *testing.T) {
	s := newSafe(t)
	made, _, err := s.Create(t.Context(), s.admin, draft("one", "registry.example/*"))
	s.must(err)
	name := "other"
	changed, _, err := s.Update(t.Context(), s.admin, made.ID, registry.Change{Name: &name})
	s.must(err)
	opened, err := s.Open(changed)
	s.must(err)
	if changed.Name != name || opened.Secrets["password"].Reveal() != "hush-one" || len(changed.Patterns) != 1 {
		t.Errorf("changed to %+v", changed)
	}
	_, _, err = s.Create(t.Context(), s.admin, draft("other", "registry.example/*"))
	if !fault.Is(err, fault.Conflict) {
		t.Errorf("a second credential of that name: %v", err)
	}
}

func TestTheSelectionFollowsEveryChangeAtOnce(t *testing.T) {
	s := newSafe(t)
	ref := image.MustParseReference("registry.example/ml/train:v1")
	winner := func() string {
		selection, err := s.selector.Select(t.Context(), s.project, ref)
		s.must(err)
		found, _ := selection.Winner()
		return found.Name
	}
	if got := winner(); got != "" {
		t.Errorf("%s without any credential", got)
	}
	_, _, err := s.Create(t.Context(), s.admin, draft("broad", "registry.example/*"))
	s.must(err)
	narrow, _, err := s.Create(t.Context(), s.admin, draft("narrow", "registry.example/ml/*"))
	s.must(err)
	if got := winner(); got != "narrow" {
		t.Errorf("%s wins, want narrow", got)
	}
	s.must(s.Delete(t.Context(), s.admin, narrow.ID))
	if got := winner(); got != "broad" {
		t.Errorf("%s wins after the other was deleted", got)
	}
	personal := account.Project{ID: "p", Owner: account.Owner{UserID: s.admin.UserID}}
	selection, err := s.selector.Select(t.Context(), personal, ref)
	if err != nil || len(selection.Matches) > 0 {
		t.Errorf("a personal project got %+v (%v)", selection.Matches, err)
	}
}

// Whoever writes while the keys rotate loses nothing: afterwards every secret is
// sealed with the new key, and opens.
func TestNoSecretIsLostWhileKeysRotate(t *testing.T) {
	s := newSafe(t)
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	begun := make(chan struct{}, 1)
	for w := range 4 {
		writers.Go(func() {
			for n := 0; ctx.Err() == nil && n < 200; n++ {
				if _, _, err := s.Create(t.Context(), s.admin, draft(fmt.Sprintf("w%d-%d", w, n), "registry.example/*")); err != nil {
					t.Error(err)
					return
				}
				select {
				case begun <- struct{}{}:
				default:
				}
			}
		})
	}
	<-begun
	for range 3 {
		old, err := s.vault.KeyIDs()
		s.must(err)
		id, err := s.vault.Rotate()
		s.must(err)
		_, err = s.Reseal(t.Context(), id)
		s.must(err)
		for _, key := range old {
			s.must(s.vault.Retire(key))
		}
	}
	stop()
	writers.Wait()
	all, err := s.List(t.Context(), s.admin, "acme")
	s.must(err)
	if len(all) == 0 {
		t.Fatal("nothing was written")
	}
	for _, credential := range all {
		if opened, err := s.Open(credential); err != nil || opened.Secrets["password"].Reveal() != "hush-"+credential.Name {
			t.Errorf("%s does not open: %v", credential.Name, err)
		}
	}
}
