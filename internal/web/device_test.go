package web_test

import (
	"net/http"
	"net/url"
	"testing"

	"fairlead.dev/fairlead/internal/account"
)

func TestAMachineIsSignedInByTheCodeThatItShows(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("ada")
	begin := func() account.DeviceRequest {
		t.Helper()
		request, err := h.accounts.BeginDevice(t.Context(), "gpu-7", "192.0.2.7")
		h.must(err)
		return request
	}
	request := begin()
	asked := v.get("/device/?user_code=" + request.UserCode)
	if got := attribute(asked.byID("user_code"), "value"); got != request.UserCode {
		t.Errorf("the field has %q", got)
	}
	for code, want := range map[string]string{"BBBB-BBBB": "no machine waits with this code", "x": "is no code"} {
		wrong := v.post("/device/", url.Values{"user_code": {code}})
		wrong.wants(t, http.StatusUnprocessableEntity, want)
		if wrong.wordsOf("user_code-problem") == "" || attribute(wrong.byID("user_code"), "value") != code {
			t.Errorf("%s: nothing is beside the field, or the code is lost", code)
		}
	}
	v.post("/device/", url.Values{"user_code": {request.UserCode}}).wants(t, http.StatusOK, "gpu-7", "192.0.2.7", "just now", "Approve", "Deny")
	v.post("/device/decide/", url.Values{"user_code": {request.UserCode}}).wants(t, http.StatusUnprocessableEntity, "approve or deny")
	v.post("/device/decide/", url.Values{"user_code": {request.UserCode}, "decision": {"approve"}}).wants(t, http.StatusOK, "gpu-7 is approved")
	_, text, err := h.accounts.PollDevice(t.Context(), request.DeviceCode)
	h.must(err)
	if actor, err := h.accounts.Authenticate(t.Context(), text, ""); err != nil || actor.Username != "ada" {
		t.Errorf("it acts as %q, %v", actor.Username, err)
	}
	request = begin()
	v.post("/device/decide/", url.Values{"user_code": {request.UserCode}, "decision": {"deny"}}).wants(t, http.StatusOK, "gpu-7 is denied")
	if _, _, err := h.accounts.PollDevice(t.Context(), request.DeviceCode); err == nil {
		t.Error("it got a token")
	}
}
