package account_test

import (
	"context"
	"errors"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

const issuer = "https://login.acme.example"

// port is a town with a federation.
type port struct {
	*town
	*account.Federation
	vault *vault.Vault
}

func newPort(t *testing.T, rules ...string) *port {
	t.Helper()
	s := &port{town: newTown(t)}
	var err error
	s.vault, err = vault.Open(filepath.Join(t.TempDir(), "keys.json"))
	s.must(err)
	s.federate(rules...)
	return s
}

// federate has the rules be those from now on.
func (s *port) federate(rules ...string) {
	s.t.Helper()
	roles, err := account.ParseRoleMap("oidc-roles", rules)
	s.must(err)
	s.Federation = account.NewFederation(account.FederationConfig{Accounts: s.Service, Sealer: adapter.Sealer{Vault: s.vault}, Roles: roles})
}

func external(subject string, groups ...string) account.External {
	return account.External{
		Issuer: issuer, Subject: subject, Username: strings.TrimPrefix(subject, "s-"), Email: subject + "@acme.example", EmailVerified: true,
		Groups: groups, SID: "sid of " + subject, RefreshToken: secret.New("refresh token of " + subject), Agent: "Firefox/150.0", Remote: "192.0.2.1",
	}
}

// arrive signs somebody in whom the provider answers for.
func (s *port) arrive(in account.External) (account.Actor, secret.Text) {
	s.t.Helper()
	_, text, err := s.StartExternalSession(s.t.Context(), in)
	s.must(err)
	actor, _, err := s.AuthenticateSession(s.t.Context(), text, "192.0.2.1")
	s.must(err)
	return actor, text
}

// acmes is what was written down of the verb in acme, the newest first.
func (s *port) acmes(verb audit.Verb) []audit.Link {
	s.t.Helper()
	events, _, err := s.store.Events(s.t.Context(), audit.Filter{OrganizationIDs: []int64{1}, Verb: verb, Limit: 100})
	s.must(err)
	return events
}

func TestAtTheFirstSignInAUserIsMadeAndAtTheNextItIsTheSame(t *testing.T) {
	s := newPort(t)
	first, _ := s.arrive(external("s-ada"))
	second, _ := s.arrive(external("s-ada"))
	if first.Username != "ada" || first.UserID != second.UserID || first.SessionID == second.SessionID || first.Operator || len(first.Roles) > 0 {
		t.Errorf("first %+v, then %+v", first, second)
	}
	me, err := s.Me(t.Context(), first)
	s.must(err)
	if me.Email != "s-ada@acme.example" {
		t.Errorf("made as %+v", me)
	}
	made := s.trail(audit.UserCreate)
	if made[0].ObjectName != "ada" || made[0].Details["issuer"] != issuer || made[0].Details["subject"] != "s-ada" || len(made) != 2 {
		t.Errorf("written down as %+v", made)
	}
	if started := s.trail(audit.SessionStart); len(started) != 2 || started[0].Details["issuer"] != issuer || started[0].ActorID != first.UserID {
		t.Errorf("written down as %+v", started)
	}
	_, _, err = s.SignIn(t.Context(), "ada", secret.New(""), "x", "")
	code(t, "sign_in_refused", err)
}

func TestANewIdentityNeverBecomesSomebodyWhoIsThere(t *testing.T) {
	s := newPort(t)
	s.user("ada", account.Admin)
	for _, c := range []struct{ subject, username, email, want string }{
		{"1", "ada", "ada@acme.example", "ada-2"},
		{"2", "ADA", "", "ADA-3"},
		{"3", "root", "", "root-2"},
		{"4", "acme", "", "acme-2"}, // an organisation, which owns projects too
		{"5", "", "ada@acme.example", "ada-4"},
		{"6", "grace@acme.example", "", "grace"},
		{"7", "", "", "user"},
		{"8", "Зинаида", "zinaida@acme.example", "zinaida"},
		{"9", "-_.", "@", "user-2"},
		{"10", "Ada Lovelace", "", "Ada-Lovelace"},
		{"11", strings.Repeat("x", 200), "", strings.Repeat("x", 64)},
		{"12", strings.Repeat("x", 200), "", strings.Repeat("x", 62) + "-2"},
	} {
		in := external(c.subject)
		in.Username, in.Email, in.EmailVerified = c.username, c.email, false
		actor, _ := s.arrive(in)
		me, err := s.Me(t.Context(), actor)
		s.must(err)
		if actor.Username != c.want || len(actor.Roles) > 0 || actor.Operator || me.Email != "" {
			t.Errorf("%q, %q became %+v with the address %q", c.username, c.email, actor, me.Email)
		}
	}
	other := external("1")
	other.Issuer = "https://elsewhere.example"
	if actor, _ := s.arrive(other); actor.Username == "ada-2" {
		t.Error("the same subject of another issuer is taken for the same")
	}
}

func TestManySignInsOfOneNewIdentityAtOnceMakeOneUser(t *testing.T) {
	s := newPort(t)
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if _, _, err := s.StartExternalSession(context.Background(), external("s-ada")); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if made := s.trail(audit.UserCreate); len(made) != 2 { // root is the other
		t.Errorf("%d users", len(made))
	}
}

func TestRolesOfGroupsComeAndGoAndThoseByHandStay(t *testing.T) {
	s := newPort(t, "ml=acme:member", "leads=acme:admin", "ops=operator", "ml=later:admin")
	ada, _ := s.arrive(external("s-ada", "ml", "ops"))
	if ada.Roles[1] != account.Member || !ada.Operator || len(ada.Roles) != 1 {
		t.Fatalf("groups gave %+v", ada)
	}
	if given := s.acmes(audit.MemberSet); given[0].Details["by"] != "groups" || given[0].Details["role"] != "member" || given[0].Actor != "fairlead" {
		t.Errorf("written down as %+v", given[0])
	}
	if given := s.trail(audit.UserOperator); len(given) != 1 || given[0].ObjectName != "ada" || given[0].Details["role"] != "operator" {
		t.Errorf("written down as %+v", given)
	}
	_, err := s.CreateOrganization(t.Context(), s.root, "later")
	s.must(err)
	ada, _ = s.arrive(external("s-ada", "ml", "leads"))
	if ada.Roles[1] != account.Admin || ada.Roles[2] != account.Admin || ada.Operator {
		t.Errorf("then they gave %+v", ada)
	}
	ada, _ = s.arrive(external("s-ada", "ml"))
	if ada.Roles[1] != account.Member {
		t.Errorf("without leads, %+v", ada)
	}
	before := len(s.acmes(audit.MemberSet))
	ada, _ = s.arrive(external("s-ada", "ml"))
	if ada.Roles[1] != account.Member || len(s.acmes(audit.MemberSet)) != before {
		t.Errorf("the same groups changed something: %+v", ada)
	}
	_, err = s.SetMember(t.Context(), s.root, "acme", "ada", account.Member)
	s.must(err)
	ada, _ = s.arrive(external("s-ada", "leads"))
	if ada.Roles[1] != account.Admin || ada.IsMember(2) {
		t.Errorf("a group gives no more than the hand did: %+v", ada)
	}
	ada, _ = s.arrive(external("s-ada"))
	if ada.Roles[1] != account.Member {
		t.Errorf("what was given by hand went with the group: %+v", ada)
	}
	s.must(s.RemoveMember(t.Context(), s.root, "acme", "ada"))
	_, _, err = s.StartExternalSession(t.Context(), external("s-ada"))
	code(t, "group_missing", err)
}

func TestWhoIsInNoGroupOfTheMapIsNotLetIn(t *testing.T) {
	s := newPort(t, "ml=acme:member")
	_, _, err := s.StartExternalSession(t.Context(), external("s-eve", "sales"))
	refused(t, fault.Denied, err)
	code(t, "group_missing", err)
	if made := s.trail(audit.UserCreate); len(made) != 1 {
		t.Errorf("a user was made: %+v", made)
	}
	if told := s.trail(audit.UserSignIn); told[0].Result != "group_missing" {
		t.Errorf("written down as %+v", told[0])
	}
	_, old := s.arrive(external("s-ada", "ml"))
	_, _, err = s.StartExternalSession(t.Context(), external("s-ada"))
	code(t, "group_missing", err)
	actor, _, err := s.AuthenticateSession(t.Context(), old, "")
	if err != nil || actor.IsMember(1) {
		t.Errorf("the older session has %+v, %v", actor, err)
	}
	if gone := s.acmes(audit.MemberRemove); len(gone) != 1 || gone[0].Details["by"] != "groups" {
		t.Errorf("written down as %+v", gone)
	}
}

func TestTheLastAdminAndTheLastOperatorStayWhenTheirGroupGoes(t *testing.T) {
	s := newPort(t, "leads=acme:admin", "ops=operator")
	_, first := s.arrive(external("s-ada", "leads", "ops"))
	s.must(s.RemoveMember(t.Context(), s.root, "acme", "root"))
	ada, _ := s.arrive(external("s-ada"))
	if ada.Roles[1] != account.Admin || ada.Operator {
		t.Fatalf("acme is left without an admin: %+v", ada)
	}
	s.good(first)
	if kept := s.acmes(audit.MemberSet); kept[0].Result != "last_admin" {
		t.Errorf("written down as %+v", kept[0])
	}
	s.arrive(external("s-bob", "leads"))
	_, _, err := s.StartExternalSession(t.Context(), external("s-ada"))
	code(t, "group_missing", err)
}

func TestAnIdentityIsLinkedByItsUserOrAnOperatorAlone(t *testing.T) {
	s := newPort(t)
	ada, grace := s.user("ada", account.Admin), s.user("grace", "")
	s.must(s.LinkOwn(t.Context(), ada, external("s-ada")))
	s.must(s.LinkOwn(t.Context(), ada, external("s-ada")))
	actor, _ := s.arrive(external("s-ada"))
	if actor.UserID != ada.UserID || actor.Roles[1] != account.Admin {
		t.Errorf("the linked identity is %+v", actor)
	}
	refused(t, fault.Conflict, s.LinkOwn(t.Context(), grace, external("s-ada")))
	refused(t, fault.Denied, s.LinkIdentity(t.Context(), grace, "grace", issuer, "s-grace"))
	refused(t, fault.Conflict, s.LinkIdentity(t.Context(), s.root, "grace", issuer, "s-ada"))
	refused(t, fault.NotFound, s.LinkIdentity(t.Context(), s.root, "nobody", issuer, "s-x"))
	refused(t, fault.Invalid, s.LinkIdentity(t.Context(), s.root, "grace", "", "s\nx"))
	s.must(s.LinkIdentity(t.Context(), s.root, "grace", issuer, "s-grace"))
	actor, text := s.arrive(external("s-grace"))
	if actor.UserID != grace.UserID {
		t.Errorf("the linked identity is %+v", actor)
	}
	_, err := s.Identities(t.Context(), ada, "grace")
	refused(t, fault.Denied, err)
	found, err := s.Identities(t.Context(), s.root, "grace")
	s.must(err)
	if len(found) != 1 || found[0].Subject != "s-grace" || found[0].Email != "s-grace@acme.example" || found[0].LastUsedAt.IsZero() {
		t.Errorf("grace has %+v", found)
	}
	refused(t, fault.Denied, s.UnlinkIdentity(t.Context(), ada, "grace", issuer, "s-grace"))
	_, own := s.browser("grace")
	s.must(s.UnlinkIdentity(t.Context(), grace, "grace", issuer, "s-grace"))
	s.over(text)
	s.good(own)
	refused(t, fault.NotFound, s.UnlinkIdentity(t.Context(), grace, "grace", issuer, "s-grace"))
	if actor, _ := s.arrive(external("s-grace")); actor.UserID == grace.UserID {
		t.Error("an unlinked identity is still grace")
	}
	if linked, unlinked := s.trail(audit.IdentityLink), s.trail(audit.IdentityUnlink); len(linked) != 2 || len(unlinked) != 1 || linked[0].Actor != "root" {
		t.Errorf("written down as %+v and %+v", linked, unlinked)
	}
}

func TestAProviderEndsOneSessionOrAllOfASubject(t *testing.T) {
	s := newPort(t)
	one, two := external("s-ada"), external("s-ada")
	one.SID, two.SID = "one", "two"
	_, first := s.arrive(one)
	_, second := s.arrive(two)
	_, bob := s.arrive(external("s-bob"))
	ended := func(want int, of, subject, sid string) {
		t.Helper()
		n, err := s.EndExternalSessions(t.Context(), of, subject, sid)
		if err != nil || n != want {
			t.Errorf("%d ended, %v", n, err)
		}
	}
	ended(0, "https://elsewhere.example", "s-ada", "")
	ended(0, issuer, "s-bob", "one")
	ended(0, issuer, "", "")
	s.good(first)
	ended(1, issuer, "", "one")
	s.over(first)
	s.good(second)
	ended(1, issuer, "s-ada", "")
	s.over(second)
	s.good(bob)
	if told := s.trail(audit.SessionEnd); len(told) != 2 || told[0].Details["reason"] != "provider_logout" || told[0].ObjectName != "ada" || told[0].Actor != "fairlead" {
		t.Errorf("written down as %+v", told)
	}
	unnamed := external("s-ada")
	unnamed.SID = ""
	_, third := s.arrive(unnamed)
	ended(1, issuer, "s-ada", "three") // which of them it is, nobody knows
	s.over(third)
	n, err := s.EndSessionsOfOthers(t.Context(), issuer)
	if err != nil || n != 0 {
		t.Errorf("%d ended, %v", n, err)
	}
	s.good(bob)
	n, err = s.EndSessionsOfOthers(t.Context(), "")
	if err != nil || n != 1 {
		t.Errorf("%d ended, %v", n, err)
	}
	s.over(bob)
}

// provider answers what a test wants to be asked about refresh tokens.
type provider struct {
	asked []string
	err   error
	as    string
}

func (p *provider) refresh(_ context.Context, token secret.Text) (account.Refreshed, error) {
	p.asked = append(p.asked, token.Reveal())
	return account.Refreshed{Subject: p.as, RefreshToken: secret.New(token.Reveal() + "+")}, p.err
}

// tend moves the clock on and asks about what is due.
func (s *port) tend(p *provider, later time.Duration) (asked []string) {
	s.t.Helper()
	s.ahead += later
	p.asked = nil
	_, err := s.RefreshDue(s.t.Context(), p.refresh)
	s.must(err)
	return p.asked
}

func TestAProviderIsAskedAboutEverySessionOnceAnHour(t *testing.T) {
	s := newPort(t)
	_, text := s.arrive(external("s-ada"))
	p := &provider{as: "s-ada"}
	if asked := s.tend(p, time.Minute); len(asked) > 0 {
		t.Errorf("asked after a minute: %q", asked)
	}
	for _, want := range []string{"refresh token of s-ada", "refresh token of s-ada+", "refresh token of s-ada++"} {
		if diff := cmp.Diff([]string{want}, s.tend(p, 67*time.Minute)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if asked := s.tend(p, time.Minute); len(asked) > 0 {
			t.Errorf("asked again at once: %q", asked)
		}
	}
	s.good(text)
	p.err = fault.New(fault.Unauthenticated, "oidc_session_ended", "the provider ended the session")
	s.tend(p, 67*time.Minute)
	s.over(text)
	if told := s.trail(audit.SessionEnd); told[0].Details["reason"] != "oidc_session_ended" || told[0].ObjectName != "ada" {
		t.Errorf("written down as %+v", told)
	}
	if asked := s.tend(p, 67*time.Minute); len(asked) > 0 {
		t.Errorf("asked about a session that ended: %q", asked)
	}
}

func TestAProviderThatIsAwayEndsNothingForADay(t *testing.T) {
	s := newPort(t)
	_, text := s.arrive(external("s-ada"))
	p := &provider{err: errors.New("no route to host")}
	s.tend(p, 67*time.Minute)
	for range 23 {
		if asked := s.tend(p, time.Hour); len(asked) != 1 {
			t.Fatalf("asked %q", asked)
		}
		s.good(text)
	}
	p.err = nil
	s.tend(p, 30*time.Minute) // it is back, and the day begins anew
	p.err = errors.New("no route to host")
	s.tend(p, 67*time.Minute)
	s.tend(p, 23*time.Hour)
	s.good(text)
	s.tend(p, time.Hour)
	s.over(text)
	if told := s.trail(audit.SessionEnd); told[0].Details["reason"] != "provider_away" {
		t.Errorf("written down as %+v", told)
	}
}

func TestARefreshTokenThatIsSomebodyElsesNowEndsTheSession(t *testing.T) {
	s := newPort(t)
	_, text := s.arrive(external("s-ada"))
	s.tend(&provider{as: "s-bob"}, 67*time.Minute)
	s.over(text)
}

func TestASessionThatNobodyCanBeAskedAboutIsShort(t *testing.T) {
	s := newPort(t)
	in := external("s-ada")
	in.RefreshToken = secret.Text{}
	_, text := s.arrive(in)
	if asked := s.tend(&provider{}, 23*time.Hour); len(asked) > 0 {
		t.Errorf("asked %q", asked)
	}
	s.good(text)
	s.ahead += time.Hour
	s.over(text)
}

func TestRefreshTokensAreSealedAndFollowTheKeys(t *testing.T) {
	s := newPort(t)
	s.arrive(external("s-ada"))
	s.arrive(external("s-bob"))
	kept, err := s.store.RefreshSecretsBefore(t.Context(), 0, 10)
	s.must(err)
	for _, k := range kept {
		if strings.Contains(string(k.Sealed.Bytes), "refresh token") {
			t.Error("a refresh token is in the database as it is")
		}
	}
	old, err := s.vault.KeyIDs()
	s.must(err)
	id, err := s.vault.Rotate()
	s.must(err)
	n, err := s.Reseal(t.Context(), id)
	if err != nil || n != 2 || len(kept) != 2 {
		t.Fatalf("%d of %d sealed anew, %v", n, len(kept), err)
	}
	s.must(s.vault.Retire(old[0]))
	p := &provider{err: errors.New("no route to host")}
	s.tend(p, 67*time.Minute)
	p.err = nil
	if asked := s.tend(p, 67*time.Minute); len(asked) != 2 {
		t.Errorf("asked with %q", asked)
	}
}

func TestWhereAProviderAnswersForPeopleOnlyOperatorsMayKeepPasswords(t *testing.T) {
	s := newPort(t)
	s.user("ada", account.Admin)
	s.WithPasswordsOfOperatorsOnly()
	_, _, err := s.SignIn(t.Context(), "ada", password, "x", "192.0.2.1")
	refused(t, fault.Denied, err)
	code(t, "password_sign_in_off", err)
	_, _, err = s.StartSession(t.Context(), account.SignIn{Username: "ada", Password: password, Remote: "192.0.2.1"})
	code(t, "password_sign_in_off", err)
	_, _, err = s.SignIn(t.Context(), "ada", secret.New("a wrong password"), "x", "192.0.2.1")
	code(t, "sign_in_refused", err)
	s.must(s.SetPassword(t.Context(), s.root, "root", password))
	s.browser("root")
}
