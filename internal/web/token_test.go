package web_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/secret"
)

func TestATokensTextIsShownOnceAndWorksUntilItIsDeleted(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("ada")
	refused := v.post("/auth/tokens/", url.Values{"name": {"<b id=evil>"}, "expires": {"90"}})
	refused.wants(t, http.StatusUnprocessableEntity, "is not a name")
	if refused.byID("evil") != nil || attribute(refused.byID("name"), "value") != "<b id=evil>" {
		t.Error("the name became HTML, or was lost")
	}
	for _, send := range []func(string, url.Values) shown{v.post, v.htmx} {
		made := send("/auth/tokens/", url.Values{"name": {"ci"}, "expires": {"90"}})
		text := made.wordsOf("token-text")
		actor, err := h.accounts.Authenticate(t.Context(), secret.New(text), "")
		if err != nil || actor.Username != "ada" {
			t.Fatalf("the text %q acts as %q, %v", text, actor.Username, err)
		}
		list := v.get("/auth/tokens/")
		list.wants(t, http.StatusOK, "ci", "2 months from now")
		if strings.Contains(list.text, text) {
			t.Error("the text is shown again")
		}
		others := h.visitor("eve").post(list.link("/delete/"), url.Values{})
		others.wants(t, http.StatusNotFound, "of yours")
		v.post(list.link("/delete/"), url.Values{}).wants(t, http.StatusOK, "it is refused from now on")
		if _, err := h.accounts.Authenticate(t.Context(), secret.New(text), ""); err == nil {
			t.Error("it is good still")
		}
	}
}
