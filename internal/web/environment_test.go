package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// linkTo is where the link with that text leads; "": there is none.
func (s shown) linkTo(text string) string {
	for node := range s.root.Descendants() {
		if node.Data == "a" && attribute(node, "href") != "" && (shown{root: node}).words() == text {
			return attribute(node, "href")
		}
	}
	return ""
}

func TestAnOperatorMakesChangesAndDeletesAnEnvironment(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	v := h.visitor("root")
	fields := url.Values{"name": {"Big GPUs"}, "description": {"<b>eight</b> of them"}, "limit": {"many"}, "enabled": {"yes"}, "for": {"some"}, "projects": {"acme/vision\nacme/none"}}
	refused := v.post("/environments/", fields)
	refused.wants(t, http.StatusUnprocessableEntity)
	if got := refused.wordsOf("limit-problem"); !strings.Contains(got, `"many" is no whole number`) || attribute(refused.byID("name"), "value") != "Big GPUs" {
		t.Errorf("beside the limit: %q", got)
	}
	fields.Set("limit", "2")
	part := v.htmx("/environments/", fields)
	if got := part.wordsOf("projects-problem"); part.status != http.StatusUnprocessableEntity || !strings.Contains(got, "acme/none") {
		t.Errorf("beside the projects: %d %q", part.status, got)
	}
	fields.Set("projects", "acme/vision")
	made := v.post("/environments/", fields)
	made.wants(t, http.StatusOK, "The environment Big GPUs is made.", "big-gpus", "1 project", "<b>eight</b> of them")
	at := made.linkTo("Big GPUs")
	one := v.get(at)
	one.wants(t, http.StatusOK, "0 running, 0 waiting", "Delete this environment")
	if got := one.wordsOf("projects"); got != "acme/vision" || attribute(one.byID("limit"), "value") != "2" {
		t.Errorf("the form has the projects %q", got)
	}
	fields.Set("for", "all")
	fields.Set("limit", "")
	fields.Del("enabled")
	v.post(at, fields).wants(t, http.StatusOK, "The environment Big GPUs is saved.", "takes nothing new", "all projects")
	if _, _, err := h.accounts.CreateWorkerToken(t.Context(), h.actors["root"], "gpu-box-1", "big-gpus", h.project.CreatedAt.AddDate(1, 0, 0)); err != nil {
		t.Fatal(err)
	}
	v.post(at+"delete/", url.Values{}).wants(t, http.StatusUnprocessableEntity, "The environment is in use: worker tokens 1")
	tokens, err := h.accounts.WorkerTokens(t.Context(), h.actors["root"])
	h.must(err)
	for _, token := range tokens {
		if token.Name == "gpu-box-1" {
			h.must(h.accounts.DeleteToken(t.Context(), h.actors["root"], token.ID))
		}
	}
	v.post(at+"delete/", url.Values{}).wants(t, http.StatusOK, "The environment Big GPUs is deleted.")
	v.get(at).wants(t, http.StatusNotFound)
}

func TestAMemberSeesTheEnvironmentsThatTheyMayUseAndNoForm(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	root := h.visitor("root")
	root.post("/environments/", url.Values{"name": {"Ours"}, "for": {"some"}, "projects": {"acme/vision"}, "enabled": {"yes"}})
	h.run()
	h.run()
	h.take()
	ben := h.visitor("ben").get("/environments/")
	ben.wants(t, http.StatusOK, "Ours", "1 of your projects", "enabled")
	if ben.byName("name") != nil || ben.linkTo("Ours") != "" {
		t.Error("a member sees the form")
	}
	if eve := h.visitor("eve").get("/environments/"); strings.Contains(eve.text, "Ours") {
		t.Error("eve sees what is not for her")
	}
	for _, path := range []string{"/environments/", "/environments/ours/", "/environments/ours/delete/"} {
		h.visitor("ben").post(path, url.Values{"name": {"Mine"}}).wants(t, http.StatusForbidden, "Only an operator")
	}
	h.visitor("ben").get("/environments/ours/").wants(t, http.StatusForbidden)
	standing := root.get("/environments/").words()
	if !strings.Contains(standing, "all projects 1 1 any any") {
		t.Errorf("what runs and waits is not told: %s", standing)
	}
}
