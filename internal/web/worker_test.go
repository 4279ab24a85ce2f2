package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
)

func TestAWorkersTokenIsShownOnceAndEnded(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("root")
	refused := v.post("/workers/token/", url.Values{"name": {"gpu box"}, "environment": {account.DefaultEnvironmentID}, "expires_at": {"soon"}})
	refused.wants(t, http.StatusUnprocessableEntity)
	if got := refused.wordsOf("expires_at-problem"); !strings.Contains(got, `"soon" is no date`) || attribute(refused.byID("name"), "value") != "gpu box" {
		t.Errorf("beside the date: %q", got)
	}
	made := v.post("/workers/token/", url.Values{"name": {"gpu-box-1"}, "environment": {account.DefaultEnvironmentID}})
	made.wants(t, http.StatusOK, "It is shown now and never again.", "fairlead worker --server "+h.server.URL+" --token-file /etc/fairlead/token")
	text := made.wordsOf("token")
	actor, err := h.accounts.Authenticate(t.Context(), secret.New(text), "")
	if err != nil || actor.WorkerName != "gpu-box-1" || made.header.Get("Cache-Control") != "no-store" {
		t.Fatalf("the token %q is %+v, %v", text, actor, err)
	}
	list := v.get("/workers/")
	list.wants(t, http.StatusOK, "gpu-box-1", "here", "worker-1", "No cache apart from the server has a token.")
	if strings.Contains(list.text, text) {
		t.Error("the token comes back")
	}
	v.post("/workers/"+actor.WorkerID+"/delete/", url.Values{}).wants(t, http.StatusOK, "The token of gpu-box-1 is ended.")
	if _, err := h.accounts.Authenticate(t.Context(), secret.New(text), ""); err == nil {
		t.Error("the token is still good")
	}
	v.post("/workers/"+actor.WorkerID+"/delete/", url.Values{}).wants(t, http.StatusNotFound)

	cache := v.post("/workers/cache-token/", url.Values{"name": {"near-gpus"}})
	cache.wants(t, http.StatusOK, "Token of near-gpus", "fairlead cache --server ")
	v.get("/workers/").wants(t, http.StatusOK, "near-gpus", "nobody can pull through it any more")
}

func TestAnOperatorSeesWhatEachWorkerRunsAndNothingOfStrangers(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.run()
	h.take()
	h.visitor("root").get("/workers/").wants(t, http.StatusOK, "worker-1", "acme/vision #1", "1 1") // root is of acme
	h.must(h.accounts.RemoveMember(t.Context(), h.actors["ada"], "acme", "root"))
	page := h.visitor("root").get("/workers/")
	page.wants(t, http.StatusOK, "#1 of a project that is not yours")
	if strings.Contains(page.text, "vision") || strings.Contains(page.text, "train") {
		t.Error("an operator reads of what is not theirs")
	}
}

func TestMachinesAreForOperatorsAlone(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("ada")
	for _, path := range []string{"/workers/", "/workers/token/", "/workers/cache-token/"} {
		v.get(path).wants(t, http.StatusForbidden, "Only an operator")
	}
	for _, path := range []string{"/workers/token/", "/workers/cache-token/", "/workers/" + h.actors["worker"].WorkerID + "/delete/"} {
		v.post(path, url.Values{"name": {"mine"}}).wants(t, http.StatusForbidden, "Only an operator")
	}
	h.visitor("").get("/workers/").wants(t, http.StatusOK, "Sign in")
}
