package outbox_test

import (
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAnInvitationIsMailedAtOnceAndKeptNowhere(t *testing.T) {
	p := newPost(t)
	link := secret.New("https://fairlead.example/invitations/fli_hunter2/")
	invitation := account.Invitation{
		ID: "i1", Organization: p.acme, Email: "zoe@acme.example", Role: account.Member, InvitedBy: "ada",
		ExpiresAt: time.Date(2026, 3, 8, 12, 0, 0, 0, time.UTC),
	}
	if !p.outbox.Mails() {
		t.Fatal("there is no mail server")
	}
	p.must(p.outbox.MailInvitation(t.Context(), invitation, link))
	letters := p.box.Letters()
	if len(letters) != 1 || letters[0].Subject() != "[Fairlead] ada invites you to acme" || strings.Join(letters[0].To, " ") != "zoe@acme.example" {
		t.Fatalf("letters %+v", letters)
	}
	for _, want := range []string{"ada invites you to the organisation acme, as member.", "until 2026-03-08 at 12:00 UTC", link.Reveal()} {
		if !strings.Contains(letters[0].Text, want) {
			t.Errorf("the letter does not tell %q:\n%s", want, letters[0].Text)
		}
	}
	p.look()
	if got := p.box.Letters(); len(got) != 1 {
		t.Errorf("it was mailed %d times", len(got))
	}
	invitation.Email = "no address"
	if err := p.outbox.MailInvitation(t.Context(), invitation, link); !fault.Is(err, fault.Invalid) || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}
