package api_test

import (
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/wire"
)

func TestANoticeChannelIsItsAdminsAndItsSecretIsShownOnce(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	draft := map[string]any{"owner": "acme", "name": "chat", "kind": "webhook", "webhook_url": "https://hooks.acme.example/x", "events": []string{"execution.ends"}}
	request := func(who, method, path, body string, status int, out any) {
		t.Helper()
		request := h.request(who, method, path, strings.NewReader(body))
		request.Header.Set("Content-Type", "application/json")
		h.read(request, status, out)
	}
	var made wire.NoticeChannel
	h.call("ada", http.MethodPost, "notice-channels/", draft, &made)
	if !strings.HasPrefix(made.Secret, "whsec_") || made.Kind != "webhook" || !made.Enabled || len(made.Events) != 1 || len(made.Statuses) != 2 {
		t.Fatalf("made %+v", made)
	}
	path := "notice-channels/" + made.ID + "/"
	var list wire.List[wire.NoticeChannel]
	h.call("ada", http.MethodGet, "notice-channels/?organization=acme", nil, &list)
	if list.Count != 1 || list.Results[0].Secret != "" || list.Results[0].WebhookURL != made.WebhookURL {
		t.Errorf("listed %+v", list)
	}
	for who, status := range map[string]int{"ben": http.StatusForbidden, "eve": http.StatusNotFound} {
		request(who, http.MethodGet, path, "", status, nil)
		request(who, http.MethodPatch, path, `{"enabled": false}`, status, nil)
		request(who, http.MethodPost, path+"test/", "{}", status, nil)
		request(who, http.MethodGet, path+"deliveries/", "", status, nil)
		request(who, http.MethodDelete, path, "", status, nil)
	}
	request("ada", http.MethodPost, "notice-channels/", `{"installation": true, "name": "ops", "kind": "webhook", "webhook_url": "https://hooks.acme.example/x"}`, http.StatusForbidden, nil)
	request("ada", http.MethodPost, "notice-channels/", `{"owner": "acme", "name": "mail", "kind": "email", "addresses": ["ada@acme.example"]}`, http.StatusConflict, nil)
	request("ada", http.MethodPatch, path, `{"webhook_url": "http://hooks.acme.example/x"}`, http.StatusBadRequest, nil)
	var changed wire.NoticeChannel
	h.call("ada", http.MethodPatch, path, map[string]any{"enabled": false, "new_secret": true}, &changed)
	if changed.Enabled || !strings.HasPrefix(changed.Secret, "whsec_") || changed.Secret == made.Secret {
		t.Errorf("changed %+v", changed)
	}
	var wish wire.NoticeWish
	h.call("ben", http.MethodGet, "notice-wishes/me/", nil, &wish)
	if len(wish.Executions) != 0 {
		t.Errorf("wish %+v", wish)
	}
	request("ada", http.MethodDelete, path, "", http.StatusNoContent, nil)
	request("ada", http.MethodGet, path, "", http.StatusNotFound, nil)
	if text := h.log.String(); strings.Contains(text, made.Secret) || strings.Contains(text, "hooks.acme.example") {
		t.Error("the log tells of the channel's secret or address")
	}
}
