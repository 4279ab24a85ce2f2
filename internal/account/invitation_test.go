package account_test

import (
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// verbs are those of the events of acme and of nobody, newest first.
func (s *town) verbs(most int) []audit.Verb {
	s.t.Helper()
	events, _, err := s.store.Events(s.t.Context(), audit.Filter{OrganizationIDs: []int64{0, 1}, Limit: most})
	s.must(err)
	verbs := make([]audit.Verb, len(events))
	for i, event := range events {
		verbs[i] = event.Verb
	}
	return verbs
}

func (s *town) invite(draft account.NewInvitation) (account.Invitation, secret.Text) {
	s.t.Helper()
	invitation, text, err := s.Invite(s.t.Context(), s.root, "acme", draft)
	s.must(err)
	return invitation, text
}

func TestWhoIsInvitedBecomesAUserAndAMemberAtOnce(t *testing.T) {
	s := newTown(t)
	made, text := s.invite(account.NewInvitation{Email: "zoe@acme.example", Role: account.Admin})
	if got := made.ExpiresAt.Sub(made.CreatedAt); got != 7*24*time.Hour {
		t.Errorf("it is good for %s", got)
	}
	if text.Reveal()[:4] != "fli_" {
		t.Errorf("its text begins with %q", text.Reveal()[:4])
	}
	shown, err := s.Invitation(t.Context(), text)
	s.must(err)
	if shown.Organization.Name != "acme" || shown.Email != "zoe@acme.example" || shown.Role != account.Admin || shown.InvitedBy != "root" {
		t.Errorf("it shows %+v", shown)
	}
	user, err := s.AcceptInvitation(t.Context(), text, account.NewUser{Username: "zoe", Password: password, Operator: true}, "192.0.2.9")
	s.must(err)
	if user.Operator || user.Email != "zoe@acme.example" {
		t.Errorf("the user is %+v", user)
	}
	zoe := s.enter("zoe", password)
	if zoe.Operator || zoe.Roles[1] != account.Admin {
		t.Errorf("the user acts as %+v", zoe)
	}
	if got, want := fmt.Sprint(s.verbs(5)), "[user.sign-in member.set invitation.accept user.create invitation.create]"; got != want {
		t.Errorf("the trail is %s, want %s", got, want)
	}
	events, _, err := s.store.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{0}, Verb: audit.UserCreate, Limit: 1})
	s.must(err)
	if events[0].Actor != "zoe" || events[0].Remote != "192.0.2.9" {
		t.Errorf("the trail says that %q made the user, from %q", events[0].Actor, events[0].Remote)
	}
}

func TestAnUnknownAUsedARevokedAndAnExpiredInvitationLookTheSame(t *testing.T) {
	s := newTown(t)
	_, used := s.invite(account.NewInvitation{})
	_, err := s.AcceptInvitation(t.Context(), used, account.NewUser{Username: "zoe", Password: password}, "")
	s.must(err)
	revoked, revokedText := s.invite(account.NewInvitation{})
	s.must(s.RevokeInvitation(t.Context(), s.root, "acme", revoked.ID))
	_, expired := s.invite(account.NewInvitation{})
	s.ahead = 7 * 24 * time.Hour
	_, unknown := s.Invitation(t.Context(), secret.New("fli_nonsense"))
	refused(t, fault.NotFound, unknown)
	bob := s.user("bob", "")
	for name, text := range map[string]secret.Text{"used": used, "revoked": revokedText, "expired": expired, "empty": {}} {
		_, shown := s.Invitation(t.Context(), text)
		_, accepted := s.AcceptInvitation(t.Context(), text, account.NewUser{Username: "mallory", Password: password}, "")
		_, joined := s.AcceptInvitationAs(t.Context(), bob, text)
		for _, err := range []error{shown, accepted, joined} {
			refused(t, fault.NotFound, err)
			if fault.From(err).Sentence() != fault.From(unknown).Sentence() {
				t.Errorf("%s: %v, and %v", name, err, unknown)
			}
		}
	}
}

func TestOnlyAdminsInviteAndStrangersDoNotKnowTheOrganisation(t *testing.T) {
	s := newTown(t)
	made, _ := s.invite(account.NewInvitation{})
	for who, want := range map[string]fault.Kind{"member": fault.Denied, "stranger": fault.NotFound} {
		role := account.Member
		if who == "stranger" {
			role = ""
		}
		actor := s.user(who, role)
		_, _, err := s.Invite(t.Context(), actor, "acme", account.NewInvitation{})
		refused(t, want, err)
		_, err = s.Invitations(t.Context(), actor, "acme")
		refused(t, want, err)
		refused(t, want, s.RevokeInvitation(t.Context(), actor, "acme", made.ID))
	}
	refused(t, fault.NotFound, s.RevokeInvitation(t.Context(), s.root, "acme", "nothing"))
	open, err := s.Invitations(t.Context(), s.root, "acme")
	s.must(err)
	if len(open) != 1 || open[0].ID != made.ID {
		t.Errorf("open are %+v", open)
	}
}

func TestEveryMistakeOfAnInvitationIsToldAtOnce(t *testing.T) {
	s := newTown(t)
	_, _, err := s.Invite(t.Context(), s.root, "acme", account.NewInvitation{
		Email: "two words", Role: "king", Expires: s.clock().Add(31 * 24 * time.Hour),
	})
	refused(t, fault.Invalid, err)
	if got := len(fault.From(err).Fields); got != 3 {
		t.Errorf("%d fields: %v", got, err)
	}
	_, _, err = s.Invite(t.Context(), s.root, "acme", account.NewInvitation{Expires: s.clock()})
	refused(t, fault.Invalid, err)
}

func TestAMistakeOfWhoAcceptsLeavesTheInvitationGood(t *testing.T) {
	s := newTown(t)
	_, text := s.invite(account.NewInvitation{})
	_, err := s.AcceptInvitation(t.Context(), text, account.NewUser{Username: "a b", Email: "x y", Password: secret.New("short")}, "")
	refused(t, fault.Invalid, err)
	if got := len(fault.From(err).Fields); got != 3 {
		t.Errorf("%d fields: %v", got, err)
	}
	_, err = s.AcceptInvitation(t.Context(), text, account.NewUser{Username: "ROOT", Password: password}, "")
	refused(t, fault.Conflict, err)
	_, err = s.AcceptInvitationAs(t.Context(), s.root, text)
	refused(t, fault.Conflict, err)
	bob := s.user("bob", "")
	joined, err := s.AcceptInvitationAs(t.Context(), bob, text)
	s.must(err)
	if joined.Organization.Name != "acme" || joined.Username != "bob" || joined.Role != account.Member {
		t.Errorf("joined %+v", joined)
	}
	if again := s.enter("bob", password); again.Roles[1] != account.Member {
		t.Errorf("bob acts as %+v", again)
	}
}

func TestOneWhoIsSignedInIsAMemberFromTheNextRequestOn(t *testing.T) {
	s := newTown(t)
	s.user("bob", "")
	_, token, err := s.SignIn(t.Context(), "bob", password, "laptop", "")
	s.must(err)
	before, err := s.Authenticate(t.Context(), token, "")
	s.must(err)
	_, text := s.invite(account.NewInvitation{})
	_, err = s.AcceptInvitationAs(t.Context(), before, text)
	s.must(err)
	after, err := s.Authenticate(t.Context(), token, "")
	s.must(err)
	if !after.IsMember(1) {
		t.Error("the session that was remembered is still a stranger's")
	}
}

func TestAWorkerAcceptsNoInvitation(t *testing.T) {
	s := newTown(t)
	_, text := s.invite(account.NewInvitation{})
	_, err := s.AcceptInvitationAs(t.Context(), account.Actor{WorkerID: "w", WorkerName: "gpu"}, text)
	refused(t, fault.Denied, err)
}

// clock is the service's own.
func (s *town) clock() time.Time { return s.begun.Add(s.ahead) }
