package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/registry"
)

// checked has a credential's check come out like that.
func (h *harbour) checked(c registry.Credential, check registry.Check) {
	h.t.Helper()
	check.Version, check.At = c.Version, time.Now()
	h.must(h.store.SaveCheck(h.t.Context(), c.ID, check, time.Now().Add(time.Hour), audit.Event{
		Time: time.Now(), Verb: audit.CredentialCheck, OrganizationID: c.OrganizationID, ObjectID: c.ID, Result: "<b>code</b>",
	}))
}

func TestEachStateOfACredentialHasItsWordsAndItsReason(t *testing.T) {
	h := newHarbour(t)
	step := func(result registry.CheckResult) []registry.CheckStep {
		return []registry.CheckStep{
			{Question: "secret", Result: registry.CheckPassed, Sentence: "It is accepted"},
			{Question: "rights", Result: result, Sentence: "The <i>" + string(result) + "</i> step", Hint: "Say `fairlead x`.", Policy: "{\"a\": \"<script>\"}"},
		}
	}
	h.add("unchecked", "ghcr.io/a/*")
	for name, check := range map[string]registry.Check{
		"expired": {Steps: step(registry.CheckPassed), SecretExpiresAt: time.Now().Add(-time.Hour)},
		"ending":  {Steps: step(registry.CheckPassed), SecretExpiresAt: time.Now().Add(50 * time.Hour)},
		"failing": {Steps: step(registry.CheckFailed)},
		"warning": {Steps: step(registry.CheckWarning), RateLimit: &registry.RateLimit{Limit: 200, Remaining: 17, Window: 6 * time.Hour}},
		"working": {Steps: step(registry.CheckPassed), Identity: "robot@there", Repositories: []string{"ghcr.io/a/readable"}},
	} {
		h.checked(h.add(name, "ghcr.io/"+name+"/*"), check)
	}
	ada := h.guest("ada")
	list := ada.get(h.acme).wants(http.StatusOK, "6 in all", "expired unused", "expires soon", "fails unused The <i>failed</i> step", "works, with a warning unused The <i>warning</i> step",
		"works unused", "unchecked unused", "17 of 200 in 6 h 0 min", "2 days from now")
	list.lacks("<i>failed", "<script>\"")
	for state, fit := range map[string]string{"bad": "2 of 6", "warn": "2 of 6", "good": "1 of 6", "unchecked": "1 of 6", "unused": "6 in all", "": "6 in all"} {
		ada.get(h.acme+"?state="+state).wants(http.StatusOK, fit)
	}
	all, err := h.registries.List(t.Context(), h.ada, "acme")
	h.must(err)
	for _, c := range all {
		page := ada.get(h.acme+c.ID+"/").lacks("<i>", "<b>code", "{\"a\": \"<script>")
		switch c.Name {
		case "failing":
			page.wants(http.StatusOK, "fails", "failed The <i>failed</i> step. Say fairlead x .", "What to paste at the registry", "Copy", "credential.check", "<b>code</b>")
		case "working":
			page.wants(http.StatusOK, "robot@there", "ghcr.io/a/readable", "passed It is accepted")
		}
	}
}

func TestAPreviewOfAChangeLeavesTheCredentialItselfOut(t *testing.T) {
	h := newHarbour(t)
	made := h.add("one", "ghcr.io/acme/*")
	h.ran("ghcr.io/acme/web:v1")
	ada := h.guest("ada")
	here := h.acme + made.ID + "/change/"
	ada.get(here).wants(http.StatusOK, "1 would use it", "ghcr.io/acme/web:v1 uses this, by the pattern ghcr.io/acme/*")
	htmx := http.Header{"Hx-Request": {"true"}}
	ada.send(http.MethodPost, here+"preview/", url.Values{"image_patterns": {"ghcr.io/acme/web"}}, htmx).wants(http.StatusOK, "uses this, by the pattern ghcr.io/acme/web")
	ada.send(http.MethodPost, here+"preview/", url.Values{"image_patterns": {"ghcr.io/other"}}, htmx).wants(http.StatusOK, "0 would use it", "would be pulled without a credential")
}

func TestAFormSendsNoSecretWhileItIsTyped(t *testing.T) {
	h := newHarbour(t)
	page := h.guest("ada").get(h.acme + "add/aws-ecr/").wants(http.StatusOK)
	var sent string
	for _, attribute := range page.find("image_patterns").Attr {
		if attribute.Key == "hx-params" {
			sent = attribute.Val
		}
	}
	if !strings.HasPrefix(sent, "image_patterns,access_key_id,") || strings.Contains(sent, "secret") || strings.Contains(sent, "session_token") || strings.Contains(sent, "pasted") {
		t.Errorf("it sends %q", sent)
	}
}
