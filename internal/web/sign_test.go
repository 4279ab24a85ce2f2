package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestWhoeverIsNotSignedInIsAskedAndComesBackToThePage(t *testing.T) {
	v := newHouse(t).visitor("")
	asked := v.get("/executions/?status=error")
	asked.wants(t, http.StatusOK, "Sign in", "User name", "Password")
	if to := attribute(asked.byName("to"), "value"); to != "/executions/?status=error" {
		t.Errorf("it leads on to %q", to)
	}
	back := v.post("/sign-in/", url.Values{"username": {"ada"}, "password": {"password of ada"}, "to": {"/executions/?status=error"}})
	back.wants(t, http.StatusOK, "Executions")
	if back.path != "/executions/?status=error" {
		t.Errorf("it came to %s", back.path)
	}
	v.post("/sign-out/", url.Values{}).wants(t, http.StatusOK, "You are signed out.")
	if again := v.get("/executions/"); !strings.HasPrefix(again.path, "/sign-in/") {
		t.Errorf("after the sign-out %s is shown", again.path)
	}
}

func TestARefusedSignInKeepsTheNameAndNeverThePassword(t *testing.T) {
	v := newHouse(t).visitor("")
	form := url.Values{"username": {"ada"}, "password": {"not hers at all"}, "to": {"/projects/"}}
	refused := v.post("/sign-in/", form)
	refused.wants(t, http.StatusUnprocessableEntity, "The user name or the password is wrong.")
	if name := attribute(refused.byID("username"), "value"); name != "ada" {
		t.Errorf("the name is %q", name)
	}
	live := v.htmx("/sign-in/", form)
	live.wants(t, http.StatusUnprocessableEntity, "The user name or the password is wrong.")
	for _, s := range []shown{refused, live} {
		if strings.Contains(s.text, "not hers at all") {
			t.Error("the password came back")
		}
	}
	if strings.Contains(live.text, "<input") {
		t.Error("fields were replaced, and what was typed in them")
	}
}

func TestThePagesAreSentUnderAPolicyThatRunsNothingInline(t *testing.T) {
	v := newHouse(t).visitor("ada")
	for _, path := range []string{"/sign-in/", "/executions/", "/projects/", "/nowhere/"} {
		s := v.get(path)
		policy := s.header.Get("Content-Security-Policy")
		if !strings.Contains(policy, "default-src 'none'") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s: policy %q", path, policy)
		}
		for node := range s.root.Descendants() {
			for _, a := range node.Attr {
				if a.Key == "style" || strings.HasPrefix(a.Key, "on") || strings.HasPrefix(a.Key, "hx-on") {
					t.Errorf("%s: <%s %s=%q>", path, node.Data, a.Key, a.Val)
				}
			}
			if (node.Data == "script" || node.Data == "style") && node.FirstChild != nil {
				t.Errorf("%s: an inline <%s>", path, node.Data)
			}
		}
	}
}

func TestAFormOfAnotherSiteIsRefused(t *testing.T) {
	v := newHouse(t).visitor("ada")
	s := v.do(http.MethodPost, "/projects/", url.Values{"name": {"stolen"}}, "Origin", "https://evil.example", "Sec-Fetch-Site", "cross-site")
	s.wants(t, http.StatusForbidden, "another site")
	if strings.Contains(v.get("/projects/").words(), "stolen") {
		t.Error("the project was made")
	}
}

func TestCookiesOfASessionAreOutOfReachOfScriptsAndOtherSites(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("")
	v.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	s := v.post("/sign-in/", url.Values{"username": {"ada"}, "password": {"password of ada"}})
	cookie := s.header.Get("Set-Cookie")
	for _, part := range []string{"fairlead_session=fls_", "HttpOnly", "SameSite=Lax", "Path=/"} {
		if !strings.Contains(cookie, part) {
			t.Errorf("the cookie %q has no %s", cookie, part)
		}
	}
}

func TestFilesOfThePagesAreKeptByBrowsersUntilTheyChange(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("")
	s := v.get("/sign-in/")
	found := 0
	for node := range s.root.Descendants() {
		link := attribute(node, "href") + attribute(node, "src")
		if !strings.HasPrefix(link, "/static/") {
			continue
		}
		found++
		file := v.get(link)
		if file.status != http.StatusOK || !strings.Contains(file.header.Get("Cache-Control"), "immutable") {
			t.Errorf("%s: %d %v", link, file.status, file.header)
		}
		same := v.do(http.MethodGet, link, nil, "If-None-Match", file.header.Get("ETag"))
		if same.status != http.StatusNotModified {
			t.Errorf("%s again: %d", link, same.status)
		}
		bare, _, _ := strings.Cut(link, "?")
		if kept := v.get(bare).header.Get("Cache-Control"); kept != "no-cache" {
			t.Errorf("%s without its hash: %q", bare, kept)
		}
	}
	if found < 3 {
		t.Errorf("%d files", found)
	}
}
