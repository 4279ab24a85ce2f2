package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
)

func TestOperatorsMakeUsersAndHelpWhoLostTheirPasswordOrPhone(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/users/", "/users/ben/", "/organizations/"} {
		h.visitor("ada").get(path).wants(t, http.StatusForbidden)
	}
	root := h.visitor("root")
	root.get("/users/").wants(t, http.StatusOK, "ada", "ben", "eve", "root operator")
	if found := root.get("/users/?find=B").wordsOf("main"); !strings.Contains(found, "ben") || strings.Contains(found, "eve") {
		t.Errorf("found %s", found)
	}
	refused := root.post("/users/", url.Values{"username": {"ADA"}, "email": {"<i id=evil>"}, "password": {"password of grace"}})
	refused.wants(t, http.StatusUnprocessableEntity, "is no e-mail address")
	if strings.Contains(refused.text, "password of grace") || refused.byID("evil") != nil || attribute(refused.byID("username"), "value") != "ADA" {
		t.Error("the password came back, HTML got through, or the name is lost")
	}
	root.post("/users/", url.Values{"username": {"grace"}, "email": {"grace@acme.example"}, "password": {"password of grace"}}).
		wants(t, http.StatusOK, "The user grace is made", "grace@acme.example")

	grace := h.visitor("grace")
	key := grace.post("/settings/second-factor/begin/", url.Values{}).wordsOf("key")
	code, err := totp.GenerateCode(key, time.Now())
	h.must(err)
	grace.post("/settings/second-factor/confirm/", url.Values{"code": {code}}).wants(t, http.StatusOK, "The second factor is on")
	root.get("/users/grace/").wants(t, http.StatusOK, "10 recovery codes left", "Switch the second factor off")
	root.post("/users/grace/second-factor/reset/", url.Values{}).wants(t, http.StatusOK, "grace signs in without a second factor now")
	root.post("/users/grace/second-factor/reset/", url.Values{}).wants(t, http.StatusUnprocessableEntity, "has no second factor")
	root.post("/users/grace/password/", url.Values{"password": {"short"}}).wants(t, http.StatusUnprocessableEntity, "must have 10 to")
	root.post("/users/grace/password/", url.Values{"password": {"password of ben"}}).wants(t, http.StatusOK, "is signed out everywhere")
	if s := grace.get("/settings/"); !strings.HasPrefix(s.path, "/sign-in/") {
		t.Errorf("grace is still at %s", s.path)
	}
	if s := root.post("/users/root/password/", url.Values{"password": {"password of ben"}}); s.path != "/settings/password/" {
		t.Errorf("the operator's own password is set without the old one, at %s", s.path)
	}
	root.get("/users/nobody/").wants(t, http.StatusNotFound, "There is no user")

	root.post("/organizations/", url.Values{"name": {"acme"}}).wants(t, http.StatusUnprocessableEntity, "acme")
	root.post("/organizations/", url.Values{"name": {"labs"}}).wants(t, http.StatusOK, "The organisation labs is made", "Members of labs", "you")
}
