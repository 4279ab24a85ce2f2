package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func TestAdminsMakeWebhooksWhoseSecretIsShownOnce(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	ada := h.visitor("ada")
	ada.get("/o/1/settings/").wants(t, http.StatusOK, "Settings of acme", "Nobody is told of anything yet", "This server sends no mail")
	ada.get("/o/1/settings/new-channel/?way=webhook").wants(t, http.StatusOK, "New webhook", "an execution ends")
	form := url.Values{
		"way": {"webhook"}, "name": {"<b id=evil>chat</b>"}, "url": {"http://127.0.0.1:1/hooks/of-a-secret"}, "events": {"execution.ends"},
		"statuses": {"error", "stopped"}, "projects": {"acme/vision"},
	}
	refused := ada.post("/o/1/settings/channels/", form)
	refused.wants(t, http.StatusUnprocessableEntity, "is not https")
	if refused.wordsOf("url-problem") == "" || strings.Contains(refused.text, "of-a-secret") {
		t.Error("nothing is beside the address, or the address came back")
	}
	if box := refused.byID("statuses-stopped"); box == nil || !strings.Contains(refused.text, `value="stopped" checked`) {
		t.Error("what was ticked is lost")
	}
	form.Set("url", "https://127.0.0.1:1/hooks/of-a-secret")
	form.Del("events")
	ada.htmx("/o/1/settings/channels/", form).wants(t, http.StatusUnprocessableEntity, "say at least one event")
	form.Set("events", "execution.ends")
	made := ada.post("/o/1/settings/channels/", form)
	made.wants(t, http.StatusOK, "127.0.0.1:1")
	signing, path := made.wordsOf("signing-secret"), made.link("/settings/channels/")
	if !strings.HasPrefix(signing, "whsec_") || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the secret is %q", signing)
	}
	shown := ada.get(path)
	shown.wants(t, http.StatusOK, "<b id=evil>chat</b>", "It was told nothing", "acme/vision")
	for _, hidden := range []string{signing, "of-a-secret"} {
		if strings.Contains(shown.text, hidden) || shown.byID("evil") != nil {
			t.Error("a secret is shown again, or the name became HTML")
		}
	}
	ada.post(path+"test/", url.Values{}).wants(t, http.StatusUnprocessableEntity, "The test did not arrive", "given up")
	ada.post(path+"pause/", url.Values{}).wants(t, http.StatusOK, "The channel is paused", "Resume")
	ada.post(path+"resume/", url.Values{}).wants(t, http.StatusOK, "The channel tells again")
	form = url.Values{"name": {"chat"}, "events": {"credential.fails"}, "statuses": {"<i>"}}
	ada.post(path, form).wants(t, http.StatusUnprocessableEntity, "no way for an execution to end")
	form.Set("statuses", "complete")
	ada.post(path, form).wants(t, http.StatusOK, "The channel is changed", "127.0.0.1:1")
	if again := ada.post(path+"secret/", url.Values{}).wordsOf("signing-secret"); !strings.HasPrefix(again, "whsec_") || again == signing {
		t.Errorf("another secret is %q", again)
	}

	h.visitor("ben").get("/o/1/settings/").wants(t, http.StatusForbidden)
	h.visitor("ben").get("/o/1/settings/new-channel/").wants(t, http.StatusForbidden)
	eve := h.visitor("eve")
	eve.get(path).wants(t, http.StatusNotFound)
	eve.get(strings.Replace(path, "/o/1/", "/o/2/", 1)).wants(t, http.StatusNotFound)
	eve.post(strings.Replace(path, "/o/1/", "/o/2/", 1)+"delete/", url.Values{}).wants(t, http.StatusNotFound)
	ada.post(path+"delete/", url.Values{}).wants(t, http.StatusOK, "The channel chat is deleted", "Nobody is told of anything yet")
}

func TestAnEMailChannelNeedsAMailServer(t *testing.T) {
	ada := newHouse(t).visitor("ada")
	form := url.Values{"way": {"email"}, "name": {"team"}, "addresses": {"ada@acme.example\nben@acme.example"}, "events": {"credential.fails"}}
	refused := ada.post("/o/1/settings/channels/", form)
	refused.wants(t, http.StatusUnprocessableEntity, "This server sends no mail", "ben@acme.example")
}

func TestAnOrganizationsPagesAreFoundByItsNameAsWellAsItsNumber(t *testing.T) {
	v := newHouse(t).visitor("ben")
	v.get("/o/ACME/members/").wants(t, http.StatusOK, "Members of acme")
	v.get("/o/evil/members/").wants(t, http.StatusNotFound)
}

func TestOperatorsMakeTheChannelsOfTheInstallation(t *testing.T) {
	h := newHouse(t)
	for _, path := range []string{"/notices/", "/notices/new-channel/"} {
		h.visitor("ada").get(path).wants(t, http.StatusForbidden)
	}
	root := h.visitor("root")
	root.get("/notices/").wants(t, http.StatusOK, "Notices of the installation", "Nobody is told of anything yet")
	if asked := root.get("/notices/new-channel/"); asked.byID("events-worker.lost") == nil || asked.byID("projects") != nil {
		t.Errorf("it asks %s", asked.words())
	}
	form := url.Values{"way": {"webhook"}, "name": {"machines"}, "url": {"https://127.0.0.1:1/hook"}, "events": {"worker.lost"}}
	path := root.post("/notices/channels/", form).link("/notices/channels/")
	root.get("/notices/").wants(t, http.StatusOK, "machines", "a worker is lost")
	root.post(path, url.Values{"name": {"lost"}, "events": {"worker.lost"}}).wants(t, http.StatusOK, "The channel is changed", "lost")
	root.get("/o/1/settings"+strings.TrimPrefix(path, "/notices")).wants(t, http.StatusNotFound, "There is no such notice channel here")
	root.post(path+"delete/", url.Values{}).wants(t, http.StatusOK, "The channel lost is deleted", "Notices of the installation")
}
