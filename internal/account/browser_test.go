package account_test

import (
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// browser signs a user in with a browser.
func (s *town) browser(name string) (account.Actor, secret.Text) {
	s.t.Helper()
	_, text, err := s.StartSession(s.t.Context(), account.SignIn{Username: name, Password: password, Agent: "Firefox/150.0", Remote: "192.0.2.1"})
	s.must(err)
	actor, _, err := s.AuthenticateSession(s.t.Context(), text, "192.0.2.1")
	s.must(err)
	return actor, text
}

// over wants the session to be refused.
func (s *town) over(text secret.Text) {
	s.t.Helper()
	_, _, err := s.AuthenticateSession(s.t.Context(), text, "192.0.2.1")
	refused(s.t, fault.Unauthenticated, err)
}

// good wants the session to be taken.
func (s *town) good(text secret.Text) account.Session {
	s.t.Helper()
	_, session, err := s.AuthenticateSession(s.t.Context(), text, "192.0.2.1")
	s.must(err)
	return session
}

// code wants a refusal with that code.
func code(t *testing.T, want string, err error) {
	t.Helper()
	if err == nil || fault.From(err).Code != want {
		t.Errorf("refused as %v, want the code %s", err, want)
	}
}

// trail is what was written down of the verb, the newest first.
func (s *town) trail(verb audit.Verb) []audit.Link {
	s.t.Helper()
	events, _, err := s.store.Events(s.t.Context(), audit.Filter{OrganizationIDs: []int64{0}, Verb: verb, Limit: 100})
	s.must(err)
	return events
}

func TestABrowserIsItsUserWithTheUsersRights(t *testing.T) {
	s := newTown(t)
	s.user("ada", account.Admin)
	actor, text := s.browser("ada")
	if actor.Username != "ada" || actor.Roles[1] != account.Admin || actor.SessionID == "" || actor.Remote != "192.0.2.1" {
		t.Errorf("actor %+v", actor)
	}
	if !strings.HasPrefix(text.Reveal(), "fls_") {
		t.Error("a session's text does not say what it is")
	}
	if _, err := s.store.SessionByHash(t.Context(), text.Reveal()); !fault.Is(err, fault.NotFound) {
		t.Error("the session's text itself is in the database")
	}
	s.must(s.RemoveMember(t.Context(), s.root, "acme", "ada"))
	actor, _, err := s.AuthenticateSession(t.Context(), text, "192.0.2.9")
	s.must(err)
	if actor.IsMember(1) || actor.Remote != "192.0.2.9" {
		t.Errorf("a right that was taken away is there: %+v", actor)
	}
}

func TestASessionIsNoTokenAndATokenNoSession(t *testing.T) {
	s := newTown(t)
	ada := s.user("ada", "")
	_, session := s.browser("ada")
	_, token, err := s.CreateToken(t.Context(), ada, "ci", time.Time{})
	s.must(err)
	for range 2 { // also when both were taken a moment ago
		_, err = s.Authenticate(t.Context(), session, "192.0.2.1")
		code(t, "token_unknown", err)
		s.over(token)
		_, err = s.Authenticate(t.Context(), token, "192.0.2.1")
		s.must(err)
		s.good(session)
	}
	_, _, err = s.AuthenticateSession(t.Context(), secret.Text{}, "")
	code(t, "session_missing", err)
	s.over(secret.New("fls_made-up"))
}

func TestASessionEndsAWeekAfterItsLastUseAndAMonthAfterTheSignIn(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	_, unused := s.browser("ada")
	_, used := s.browser("ada")
	s.ahead = 6 * 24 * time.Hour
	s.good(used)
	s.ahead = 7*24*time.Hour + time.Minute
	s.over(unused)
	for day := 8; day < 30; day += 6 {
		s.ahead = time.Duration(day) * 24 * time.Hour
		s.good(used)
	}
	s.ahead = 30 * 24 * time.Hour
	s.over(used)
}

func TestTheLastUseOfASessionIsKeptToFiveMinutes(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	ada, text := s.browser("ada")
	made := s.good(text)
	s.ahead = 4 * time.Minute
	if again := s.good(text); !again.LastUsedAt.Equal(made.LastUsedAt) {
		t.Error("every use is written")
	}
	s.ahead = 6 * time.Minute
	_, session, err := s.AuthenticateSession(t.Context(), text, "192.0.2.44")
	s.must(err)
	all, err := s.Sessions(t.Context(), ada)
	s.must(err)
	if !session.LastUsedAt.After(made.LastUsedAt.Add(5*time.Minute)) || all[0].Remote != "192.0.2.44" || all[0].LastUsedAt.Before(session.LastUsedAt.Truncate(time.Microsecond)) {
		t.Errorf("used %v, listed %+v", session, all)
	}
}

func TestSessionsAreListedWithWhatTheyAreAndEndedOneByOneOrTogether(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	s.user("eve", "")
	ada, first := s.browser("ada")
	_, second := s.browser("ada")
	_, third := s.browser("ada")
	eve, eves := s.browser("eve")
	all, err := s.Sessions(t.Context(), ada)
	s.must(err)
	if len(all) != 3 || all[0].Agent != "Firefox/150.0" || all[0].Remote != "192.0.2.1" || all[2].ID != ada.SessionID {
		t.Errorf("sessions %+v", all)
	}
	refused(t, fault.NotFound, s.EndSession(t.Context(), eve, all[0].ID))
	s.must(s.EndSession(t.Context(), ada, all[0].ID))
	s.over(third)
	s.must(s.EndOtherSessions(t.Context(), ada))
	s.over(second)
	s.good(first)
	s.must(s.EndSession(t.Context(), ada, ada.SessionID))
	s.over(first)
	s.good(eves)
	if got := s.trail(audit.SessionEnd); len(got) != 3 || got[0].Actor != "ada" {
		t.Errorf("written down %+v", got)
	}
}

func TestANewPasswordEndsTheOtherSessionsAndNotTheOneThatItIsSetFrom(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	ada, first := s.browser("ada")
	_, second := s.browser("ada")
	s.must(s.SetPassword(t.Context(), ada, "ada", secret.New("another-long-password")))
	s.good(first)
	s.over(second)
}

func TestAnOperatorEndsAUsersSessionsWithTheNewPasswordIfTheyWant(t *testing.T) {
	s := newTown(t)
	ada := s.user("ada", "")
	s.user("eve", "")
	_, text := s.browser("ada")
	_, eves := s.browser("eve")
	s.must(s.SetPassword(t.Context(), s.root, "ada", secret.New("another-long-password")))
	s.good(text)
	s.must(s.SetPasswordAndEndSessions(t.Context(), s.root, "ada", secret.New("a-third-long-password")))
	s.over(text)
	s.good(eves)
	refused(t, fault.Denied, s.SetPasswordAndEndSessions(t.Context(), ada, "eve", password))
}

func TestAMachineHasNoSessions(t *testing.T) {
	s := newTown(t)
	_, text, err := s.CreateWorkerToken(t.Context(), s.root, "gpu", "", time.Time{})
	s.must(err)
	worker, err := s.Authenticate(t.Context(), text, "")
	s.must(err)
	_, err = s.Sessions(t.Context(), worker)
	refused(t, fault.Denied, err)
	refused(t, fault.Denied, s.EndSession(t.Context(), worker, "x"))
	refused(t, fault.Denied, s.EndOtherSessions(t.Context(), worker))
}

func TestASignInIsWrittenDownAndARefusedOneWithoutWhatWasTyped(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	s.browser("ada")
	if got := s.trail(audit.SessionStart); len(got) != 1 || got[0].Actor != "ada" || got[0].Result != audit.ResultOK || got[0].Remote != "192.0.2.1" {
		t.Errorf("of a sign-in was written %+v", got)
	}
	before := len(s.trail(audit.UserSignIn))
	_, _, err := s.StartSession(t.Context(), account.SignIn{Username: "Ada", Password: secret.New("wrong-password"), Remote: "192.0.2.7"})
	code(t, "sign_in_refused", err)
	_, _, err = s.StartSession(t.Context(), account.SignIn{Username: "my-secret-password", Password: secret.New("ada"), Remote: "192.0.2.8"})
	code(t, "sign_in_refused", err)
	got := s.trail(audit.UserSignIn)
	if len(got) != before+2 {
		t.Fatalf("%d rows, want %d", len(got), before+2)
	}
	unknown, wrong := got[0], got[1]
	if wrong.ObjectName != "ada" || wrong.Result != "sign_in_refused" || wrong.Remote != "192.0.2.7" || wrong.Actor != "" {
		t.Errorf("of a wrong password was written %+v", wrong)
	}
	if unknown.ObjectName != "" || unknown.ObjectID != "" || unknown.Actor != "" || len(unknown.Details) != 0 || unknown.Remote != "192.0.2.8" {
		t.Errorf("of an unknown user was written %+v", unknown)
	}
}

func TestWhatABrowserSaysThatItIsCanBeShown(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	for said, want := range map[string]string{
		"Firefox/150.0 (X11)":          "Firefox/150.0 (X11)",
		"a\x1b[31mb\r\nc\x00\xff":      "a[31mbc",
		strings.Repeat("ä", 200) + "":  strings.Repeat("ä", 128),
		strings.Repeat("\x01", 5000):   "",
		"x" + strings.Repeat("ä", 200): "x" + strings.Repeat("ä", 127),
	} {
		session, _, err := s.StartSession(t.Context(), account.SignIn{Username: "ada", Password: password, Agent: said})
		s.must(err)
		if session.Agent != want {
			t.Errorf("%q is kept as %q", said, session.Agent)
		}
	}
}
