package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/account"
)

// invite has ada invite somebody, and returns where they accept it.
func (h *house) invite(draft account.NewInvitation) string {
	h.t.Helper()
	_, text, err := h.accounts.Invite(h.t.Context(), h.actors["ada"], "acme", draft)
	h.must(err)
	return "/invitations/" + text.Reveal() + "/"
}

func TestWhoeverIsInvitedMakesAnAccountAndIsSignedIn(t *testing.T) {
	h := newHouse(t)
	link := h.invite(account.NewInvitation{Email: "<i/id=evil>@acme.example", Role: account.Admin})
	v := h.visitor("")
	asked := v.get(link)
	asked.wants(t, http.StatusOK, "Join acme", "ada invites you", "as an admin")
	if asked.byID("evil") != nil || asked.header.Get("Referrer-Policy") != "strict-origin" || asked.header.Get("Cache-Control") != "no-store" {
		t.Errorf("the address became HTML, or the link is told to others: %v", asked.header)
	}
	taken := v.post(link, url.Values{"username": {"ben"}, "email": {"grace@acme.example"}, "password": {"password of grace"}})
	taken.wants(t, http.StatusUnprocessableEntity, "ben")
	if strings.Contains(taken.text, "password of grace") || attribute(taken.byID("email"), "value") != "grace@acme.example" {
		t.Error("the password came back, or the address is lost")
	}
	v.post(link, url.Values{"username": {"grace"}, "password": {"short"}}).wants(t, http.StatusUnprocessableEntity, "must have 10 to")
	done := v.post(link, url.Values{"username": {"grace"}, "email": {"grace@acme.example"}, "password": {"password of grace"}})
	if done.status != http.StatusOK || !strings.HasPrefix(done.path, "/o/") || !strings.Contains(v.get("/settings/").words(), "grace@acme.example") {
		t.Errorf("it came to %d %s", done.status, done.path)
	}
	h.visitor("").get(link).wants(t, http.StatusNotFound, "This invitation is not good")
	h.visitor("grace")
}

func TestWhoeverIsSignedInJoinsAsTheyAreAndAMemberStaysWhatTheyAre(t *testing.T) {
	h := newHouse(t)
	link := h.invite(account.NewInvitation{})
	ben := h.visitor("ben")
	ben.post(link+"join/", url.Values{}).wants(t, http.StatusUnprocessableEntity, "member")
	eve := h.visitor("eve")
	asked := eve.get(link)
	asked.wants(t, http.StatusOK, "Join as eve")
	if asked.byID("password") != nil {
		t.Error("who is signed in is asked for a password")
	}
	eve.post(link, url.Values{"username": {"mallory"}, "password": {"password of mallory"}}).wants(t, http.StatusUnprocessableEntity, "You are signed in as eve")
	eve.post(link+"join/", url.Values{}).wants(t, http.StatusOK, "you are a member of acme now")
	if s := h.visitor("").post(link+"join/", url.Values{}); s.path != "/sign-in/" {
		t.Errorf("a stranger came to %s", s.path)
	}
}
