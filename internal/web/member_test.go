package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestMembersAreSeenByAllAndChangedByAdmins(t *testing.T) {
	h := newHouse(t)
	ada, ben := h.visitor("ada"), h.visitor("ben")
	seen := ben.get("/o/1/members/")
	seen.wants(t, http.StatusOK, "ada", "ben", "root")
	if forms := seen.actions(); len(forms) != 0 || seen.link("/invitations/") != "" {
		t.Errorf("a member is shown the forms %v", forms)
	}
	ben.post("/o/1/members/", url.Values{"username": {"eve"}, "role": {"admin"}}).wants(t, http.StatusForbidden)
	ben.get("/o/1/invitations/").wants(t, http.StatusForbidden)
	h.visitor("eve").get("/o/1/members/").wants(t, http.StatusNotFound, "There is no organisation 1")

	unknown := ada.post("/o/1/members/", url.Values{"username": {"<i id=evil>"}, "role": {"member"}})
	unknown.wants(t, http.StatusUnprocessableEntity, "there is no user")
	if unknown.wordsOf("username-problem") == "" || unknown.byID("evil") != nil {
		t.Error("nothing is beside the field, or the name became HTML")
	}
	ada.post("/o/1/members/", url.Values{"username": {"eve"}, "role": {"member"}}).wants(t, http.StatusOK, "eve is a member of acme now", "eve")
	ada.post("/o/1/members/eve/role/", url.Values{"role": {"admin"}}).wants(t, http.StatusOK, "eve is an admin of acme now")
	ada.post("/o/1/members/eve/remove/", url.Values{}).wants(t, http.StatusOK, "eve is no longer a member")
	ada.post("/o/1/members/root/remove/", url.Values{}).wants(t, http.StatusOK, "root is no longer a member")
	ada.post("/o/1/members/ada/remove/", url.Values{}).wants(t, http.StatusUnprocessableEntity, "admin", "Members of acme")
	ada.post("/o/1/members/ada/role/", url.Values{"role": {"member"}}).wants(t, http.StatusUnprocessableEntity, "Members of acme")
	ada.post("/o/1/members/ben/role/", url.Values{"role": {"admin"}}).wants(t, http.StatusOK)
	if s := ada.post("/o/1/members/ada/remove/", url.Values{}); s.path != "/executions/" || s.link("/o/1/") != "" {
		t.Errorf("who left is at %s", s.path)
	}
}

func TestAnInvitationsLinkIsShownOnceAndRevoked(t *testing.T) {
	h := newHouse(t)
	ada := h.visitor("ada")
	ada.post("/o/1/invitations/", url.Values{"email": {"nobody"}, "role": {"member"}, "days": {"7"}}).wants(t, http.StatusUnprocessableEntity, "is no e-mail address")
	ada.post("/o/1/invitations/", url.Values{"role": {"member"}, "days": {"400"}}).wants(t, http.StatusUnprocessableEntity, "that are offered")
	made := ada.post("/o/1/invitations/", url.Values{"email": {"grace@acme.example"}, "role": {"admin"}, "days": {"30"}})
	made.wants(t, http.StatusOK, "becomes an admin")
	link, found := strings.CutPrefix(made.wordsOf("link"), h.server.URL)
	if !found || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the link is %q, of %v", link, made.header)
	}
	h.visitor("").get(link).wants(t, http.StatusOK, "ada invites you", "as an admin")
	list := ada.get("/o/1/invitations/")
	list.wants(t, http.StatusOK, "grace@acme.example", "4 weeks from now")
	if strings.Contains(list.text, strings.Split(link, "/")[2]) {
		t.Error("the text is shown again")
	}
	h.visitor("eve").post(list.link("/revoke/"), url.Values{}).wants(t, http.StatusNotFound)
	ada.post(list.link("/revoke/"), url.Values{}).wants(t, http.StatusOK, "The invitation is revoked", "No invitation is open")
	h.visitor("").get(link).wants(t, http.StatusNotFound)
}
