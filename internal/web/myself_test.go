package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"
	"golang.org/x/net/html/atom"
)

// link is the address behind the first link, or form, whose address has the part.
func (s shown) link(part string) string {
	for node := range s.root.Descendants() {
		if to := attribute(node, "href") + attribute(node, "action"); strings.Contains(to, part) {
			return to
		}
	}
	return ""
}

// actions are where the forms of the content lead.
func (s shown) actions() []string {
	var to []string
	for node := range s.byID("main").Descendants() {
		if node.DataAtom == atom.Form {
			to = append(to, attribute(node, "action"))
		}
	}
	return to
}

func TestAPasswordIsChangedByWhoKnowsItAndEndsOtherSessions(t *testing.T) {
	h := newHouse(t)
	here, elsewhere := h.visitor("ada"), h.visitor("ada")
	form := url.Values{"current_password": {"not hers at all"}, "password": {"the next one of ada"}, "password_again": {"the next one of ada"}}
	refused := here.post("/settings/password/", form)
	refused.wants(t, http.StatusUnprocessableEntity, "the password is wrong")
	if got := refused.wordsOf("current_password-problem"); got != "the password is wrong" {
		t.Errorf("beside the field it says %q", got)
	}
	for _, typed := range []string{"not hers at all", "the next one of ada"} {
		if strings.Contains(refused.text, typed) {
			t.Errorf("%q came back", typed)
		}
	}
	form.Set("current_password", "password of ada")
	form.Set("password_again", "the next one of eve")
	here.htmx("/settings/password/", form).wants(t, http.StatusUnprocessableEntity, "not the same")
	form.Set("password_again", "the next one of ada")
	here.post("/settings/password/", form).wants(t, http.StatusOK, "The password is changed", "this one")
	if s := elsewhere.get("/settings/"); !strings.HasPrefix(s.path, "/sign-in/") {
		t.Errorf("another session goes on at %s", s.path)
	}
}

func TestASecondFactorIsSwitchedOnWithItsKeyShownOnceAndOff(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("ada")
	v.get("/settings/").wants(t, http.StatusOK, "ada", "Switch it on", "This server sends no mail", "this one")
	begun := v.post("/settings/second-factor/begin/", url.Values{})
	key := begun.wordsOf("key")
	if begun.status != http.StatusOK || len(key) < 16 || !strings.Contains(begun.wordsOf("key-url"), "otpauth://totp/Fairlead:ada?") || begun.link("otpauth") != "" {
		t.Fatalf("it shows %d %q %q", begun.status, key, begun.wordsOf("key-url"))
	}
	if got := begun.header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("the page of the key is kept: %q", got)
	}
	for node := range begun.root.Descendants() {
		if node.DataAtom == atom.Img || node.DataAtom == atom.Image {
			t.Errorf("a picture is asked for: %v", node.Attr)
		}
	}
	if !strings.Contains(begun.text, "<svg class=\"qr\"") {
		t.Error("there is no QR code")
	}
	wrong := v.post("/settings/second-factor/confirm/", url.Values{"code": {"000000"}})
	wrong.wants(t, http.StatusUnprocessableEntity, "begin again")
	if wrong.wordsOf("code-problem") == "" || strings.Contains(wrong.text, key) {
		t.Errorf("a wrong code is answered %s", wrong.words())
	}
	code, err := totp.GenerateCode(key, time.Now())
	h.must(err)
	on := v.htmx("/settings/second-factor/confirm/", url.Values{"code": {code}})
	on.wants(t, http.StatusOK, "The second factor is on")
	codes := strings.Fields(on.wordsOf("codes"))
	if len(codes) != 10 || on.byID("lost") != nil {
		t.Fatalf("recovery codes %v, in a page of its own: %t", codes, on.byID("lost") != nil)
	}
	state := v.get("/settings/second-factor/")
	state.wants(t, http.StatusOK, "10 recovery codes left")
	if strings.Contains(state.text, key) || strings.Contains(state.text, codes[0]) {
		t.Error("the key or a recovery code is shown again")
	}
	again := h.visitor("")
	again.post("/sign-in/", url.Values{"username": {"ada"}, "password": {"password of ada"}}).wants(t, http.StatusUnprocessableEntity, "second factor")
	again.post("/sign-in/", url.Values{"username": {"ada"}, "password": {"password of ada"}, "code": {codes[0]}}).wants(t, http.StatusOK, "Executions")

	v.post("/settings/second-factor/begin/", url.Values{}).wants(t, http.StatusUnprocessableEntity, "on already")
	refused := v.post("/settings/second-factor/off/", url.Values{"password": {"not hers at all"}, "code": {codes[1]}})
	refused.wants(t, http.StatusUnprocessableEntity, "the password is wrong")
	if strings.Contains(refused.text, "not hers at all") {
		t.Error("the password came back")
	}
	v.post("/settings/second-factor/off/", url.Values{"password": {"password of ada"}, "code": {codes[1]}}).wants(t, http.StatusOK, "The second factor is off")
}

func TestSessionsAreListedAndEndedAndWhatBrowsersSayIsNoHTML(t *testing.T) {
	h := newHouse(t)
	here, other, third := h.visitor("ada"), h.visitor(""), h.visitor("ada")
	other.do(http.MethodPost, "/sign-in/", url.Values{"username": {"ada"}, "password": {"password of ada"}}, "User-Agent", "<b id=evil>Netscape</b>")
	list := here.get("/settings/")
	list.wants(t, http.StatusOK, "<b id=evil>Netscape</b>", "127.0.0.1")
	if list.byID("evil") != nil {
		t.Error("what a browser says became HTML")
	}
	if ended := h.visitor("ben").post(list.link("/end/"), url.Values{}); ended.status != http.StatusOK {
		t.Errorf("%d", ended.status)
	}
	if s := other.get("/settings/"); s.path != "/settings/" {
		t.Error("ben ended a session of ada's")
	}
	here.post("/settings/sessions/end-others/", url.Values{}).wants(t, http.StatusOK, "All your other sessions have ended")
	for _, v := range []*visitor{other, third} {
		if s := v.get("/settings/"); !strings.HasPrefix(s.path, "/sign-in/") {
			t.Errorf("a session goes on at %s", s.path)
		}
	}
	if s := here.post(here.get("/settings/").link("/end/"), url.Values{}); s.path != "/sign-in/" {
		t.Errorf("ending one's own leads to %s", s.path)
	}
}

func TestNoticesOfMyExecutionsNeedAServerThatSendsMail(t *testing.T) {
	v := newHouse(t).visitor("ada")
	v.get("/settings/").wants(t, http.StatusOK, "This server sends no mail")
	v.post("/settings/notices/", url.Values{"executions": {"error"}}).wants(t, http.StatusUnprocessableEntity, "This server sends no mail")
	v.post("/settings/notices/", url.Values{}).wants(t, http.StatusOK, "Your notices are saved")
}
