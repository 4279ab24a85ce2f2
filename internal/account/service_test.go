package account_test

import (
	"path/filepath"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
)

// town is a service over a real database, with an operator who administers the
// organisation acme, and a clock that stands still and can be moved on.
type town struct {
	*account.Service
	t     *testing.T
	store *store.Store
	begun time.Time
	ahead time.Duration
	root  account.Actor
}

func newTown(t *testing.T) *town {
	t.Helper()
	s := &town{t: t, begun: time.Now().UTC()}
	var err error
	s.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	s.must(err)
	t.Cleanup(func() { s.must(s.store.Close()) })
	s.Service = account.NewService(s.store, func() time.Time { return s.begun.Add(s.ahead) })
	password, err := s.Bootstrap(t.Context(), "root", "acme")
	s.must(err)
	s.root = s.enter("root", password)
	return s
}

func (s *town) must(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

// enter signs somebody in.
func (s *town) enter(name string, password secret.Text) account.Actor {
	s.t.Helper()
	_, text, err := s.SignIn(s.t.Context(), name, password, "test", "192.0.2.1")
	s.must(err)
	actor, err := s.Authenticate(s.t.Context(), text, "192.0.2.1")
	s.must(err)
	return actor
}

var password = secret.New("a-long-enough-password")

// user makes a user, in acme if they have a role.
func (s *town) user(name string, role account.Role) account.Actor {
	s.t.Helper()
	_, err := s.CreateUser(s.t.Context(), s.root, account.NewUser{Username: name, Password: password})
	s.must(err)
	if role != "" {
		_, err := s.SetMember(s.t.Context(), s.root, "acme", name, role)
		s.must(err)
	}
	return s.enter(name, password)
}

func refused(t *testing.T, want fault.Kind, err error) {
	t.Helper()
	if got := fault.KindOf(err); got != want {
		t.Errorf("refused as %q (%v), want %q", got, err, want)
	}
}

func TestTheFirstUserIsMadeOnce(t *testing.T) {
	s := newTown(t)
	again, err := s.Bootstrap(t.Context(), "intruder", "acme")
	s.must(err)
	if !again.IsEmpty() {
		t.Error("a second first user was made")
	}
	if !s.root.Operator || s.root.Roles[1] != account.Admin {
		t.Errorf("the first user is %+v", s.root)
	}
}

func TestAWrongPasswordAndAnUnknownUserLookTheSame(t *testing.T) {
	s := newTown(t)
	_, _, wrong := s.SignIn(t.Context(), "root", secret.New("a-wrong-password"), "test", "")
	_, _, unknown := s.SignIn(t.Context(), "nobody", secret.New("a-wrong-password"), "test", "")
	refused(t, fault.Unauthenticated, wrong)
	if fault.From(wrong).Sentence() != fault.From(unknown).Sentence() {
		t.Errorf("%v, and %v", wrong, unknown)
	}
}

func TestOnlyAdminsManageAnOrganisationAndStrangersDoNotKnowIt(t *testing.T) {
	s := newTown(t)
	member, stranger := s.user("member", account.Member), s.user("stranger", "")
	_, err := s.SetMember(t.Context(), member, "acme", "stranger", account.Member)
	refused(t, fault.Denied, err)
	_, err = s.SetMember(t.Context(), stranger, "acme", "stranger", account.Admin)
	refused(t, fault.NotFound, err)
	_, err = s.Members(t.Context(), stranger, "acme")
	refused(t, fault.NotFound, err)
	members, err := s.Members(t.Context(), member, "acme")
	s.must(err)
	if len(members) != 2 {
		t.Errorf("members %+v", members)
	}
	_, err = s.CreateUser(t.Context(), member, account.NewUser{Username: "x", Password: password})
	refused(t, fault.Denied, err)
	_, err = s.CreateOrganization(t.Context(), member, "other")
	refused(t, fault.Denied, err)
}

func TestAnOrganisationKeepsItsLastAdmin(t *testing.T) {
	s := newTown(t)
	_, err := s.SetMember(t.Context(), s.root, "acme", "root", account.Member)
	refused(t, fault.Conflict, err)
	refused(t, fault.Conflict, s.RemoveMember(t.Context(), s.root, "acme", "root"))
}

func TestAProjectIsSeenByItsOrganisationOrItsOwnerAlone(t *testing.T) {
	s := newTown(t)
	member, stranger := s.user("member", account.Member), s.user("stranger", "")
	shared, err := s.CreateProject(t.Context(), member, account.NewProject{Name: "vision", Owner: "acme"})
	s.must(err)
	personal, err := s.CreateProject(t.Context(), member, account.NewProject{Name: "notes"})
	s.must(err)
	if shared.IsPersonal() || !personal.IsPersonal() {
		t.Error("who owns what is mixed up")
	}
	for _, key := range []string{shared.ID, "vision", "acme/vision"} {
		found, err := s.Project(t.Context(), s.root, key)
		if err != nil || found.ID != shared.ID {
			t.Errorf("%s: %v", key, err)
		}
		_, err = s.Project(t.Context(), stranger, key)
		refused(t, fault.NotFound, err)
	}
	_, err = s.Project(t.Context(), s.root, personal.ID)
	refused(t, fault.NotFound, err)
	_, err = s.CreateProject(t.Context(), stranger, account.NewProject{Name: "x", Owner: "acme"})
	refused(t, fault.NotFound, err)
	_, err = s.CreateProject(t.Context(), member, account.NewProject{Name: "VISION", Owner: "acme"})
	refused(t, fault.Conflict, err)
}

func TestATokenIsShownOnceKeptAsAHashAndEnds(t *testing.T) {
	s := newTown(t)
	made, text, err := s.CreateToken(t.Context(), s.root, "ci", time.Now().Add(time.Hour))
	s.must(err)
	if _, err := s.store.TokenByHash(t.Context(), text.Reveal()); !fault.Is(err, fault.NotFound) {
		t.Error("the token itself is in the database")
	}
	actor, err := s.Authenticate(t.Context(), text, "192.0.2.7")
	s.must(err)
	if actor.Username != "root" || actor.Remote != "192.0.2.7" {
		t.Errorf("actor %+v", actor)
	}
	all, err := s.Tokens(t.Context(), s.root)
	s.must(err)
	if all[0].Name != "ci" || all[0].LastUsedAt.IsZero() || all[0].ExpiresAt.IsZero() {
		t.Errorf("token %+v", all[0])
	}
	s.ahead = 2 * time.Hour
	_, err = s.Authenticate(t.Context(), text, "")
	refused(t, fault.Unauthenticated, err)
	s.ahead = 0
	s.must(s.DeleteToken(t.Context(), s.root, made.ID))
	_, err = s.Authenticate(t.Context(), text, "")
	refused(t, fault.Unauthenticated, err)
	_, _, err = s.CreateToken(t.Context(), s.root, "late", time.Now().Add(-time.Hour))
	refused(t, fault.Invalid, err)
}

func TestAWorkersTokenIsNoUsers(t *testing.T) {
	s := newTown(t)
	member := s.user("member", account.Member)
	_, _, err := s.CreateWorkerToken(t.Context(), member, "gpu", "", time.Time{})
	refused(t, fault.Denied, err)
	_, text, err := s.CreateWorkerToken(t.Context(), s.root, "gpu", "", time.Time{})
	s.must(err)
	worker, err := s.Authenticate(t.Context(), text, "")
	s.must(err)
	if worker.MayWork() != nil || worker.UserID != "" || worker.Name() != "worker gpu" {
		t.Errorf("worker %+v", worker)
	}
	refused(t, fault.Denied, s.root.MayWork())
	_, err = s.CreateProject(t.Context(), worker, account.NewProject{Name: "x"})
	refused(t, fault.Denied, err)
}

func TestARightThatIsTakenAwayIsGoneAtOnce(t *testing.T) {
	s := newTown(t)
	s.user("member", account.Admin)
	_, text, err := s.SignIn(t.Context(), "member", password, "test", "")
	s.must(err)
	_, err = s.Authenticate(t.Context(), text, "")
	s.must(err)
	s.must(s.RemoveMember(t.Context(), s.root, "acme", "member"))
	actor, err := s.Authenticate(t.Context(), text, "")
	s.must(err)
	if actor.IsMember(1) {
		t.Error("who was removed still is a member")
	}
}

func TestAPasswordIsHashedByArgon2idAndBounded(t *testing.T) {
	s := newTown(t)
	_, hash, err := s.store.UserByName(t.Context(), "ROOT")
	s.must(err)
	if !strings.HasPrefix(hash, "$argon2id$v=19$m=19456,t=2,p=1$") {
		t.Errorf("hash %.40s", hash)
	}
	_, err = s.CreateUser(t.Context(), s.root, account.NewUser{Username: "a b", Password: secret.New("short"), Email: "none"})
	f := fault.From(err)
	if f.Kind != fault.Invalid || len(f.Fields) != 3 {
		t.Errorf("%v, want all three mistakes at once", err)
	}
}

func TestWhoeverChangesTheirPasswordShowsTheOneThatTheyHave(t *testing.T) {
	s := newTown(t)
	s.user("ada", account.Member)
	here, text := s.browser("ada")
	_, elsewhere := s.browser("ada")
	fresh := secret.New("another-long-password")
	code(t, "password_refused", s.ChangePassword(t.Context(), here, secret.New("not-hers-at-all"), fresh))
	code(t, "password_length", s.ChangePassword(t.Context(), here, password, secret.New("short")))
	s.good(elsewhere)
	s.must(s.ChangePassword(t.Context(), here, password, fresh))
	s.good(text)
	s.over(elsewhere)
	s.enter("ada", fresh)
	for range 5 {
		code(t, "password_refused", s.ChangePassword(t.Context(), here, secret.New("not-hers-at-all"), fresh))
	}
	code(t, "sign_in_throttled", s.ChangePassword(t.Context(), here, fresh, password))
	refused(t, fault.Denied, s.ChangePassword(t.Context(), account.Actor{WorkerID: "w"}, fresh, password))
}

func TestOperatorsAloneSeeTheUsers(t *testing.T) {
	g := newGuarded(t)
	users, count, err := g.Users(t.Context(), g.root, "A", 0, 0)
	g.must(err)
	if count != 1 || len(users) != 1 || users[0].Username != "ada" {
		t.Errorf("%d users: %+v", count, users)
	}
	user, factor, err := g.User(t.Context(), g.root, "ADA")
	if err != nil || user.Username != "ada" || !factor.On || factor.RecoveryCodes != 10 {
		t.Errorf("%+v, %+v, %v", user, factor, err)
	}
	_, _, err = g.User(t.Context(), g.root, "nobody")
	refused(t, fault.NotFound, err)
	_, _, err = g.Users(t.Context(), g.ada, "", 0, 0)
	refused(t, fault.Denied, err)
	_, _, err = g.User(t.Context(), g.ada, "ada")
	refused(t, fault.Denied, err)
}
