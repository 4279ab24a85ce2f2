package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/wire"
)

func TestARequestHasOneIDInTheAnswerTheBodyAndTheLog(t *testing.T) {
	h := newHouse(t)
	ask := func(given, path string) (http.Header, string) {
		request := h.request("ben", http.MethodGet, path, nil)
		request.Header.Set("X-Request-Id", given)
		response, err := http.DefaultClient.Do(request)
		h.must(err)
		body, err := io.ReadAll(response.Body)
		h.must(err)
		h.must(response.Body.Close())
		return response.Header, string(body)
	}
	header, _ := ask("from-the-client.1", "users/me/")
	if got := header.Get("X-Request-Id"); got != "from-the-client.1" || !strings.Contains(h.log.String(), `"request":"from-the-client.1"`) {
		t.Errorf("the answer has %q, and the log\n%s", got, h.log)
	}
	header, body := ask("from the client; rm -rf", "executions/nothing/")
	made := header.Get("X-Request-Id")
	var p wire.Problem
	h.must(json.Unmarshal([]byte(body), &p))
	if !regexp.MustCompile(`^[a-z2-7]{26}$`).MatchString(made) || p.RequestID != made || strings.Contains(h.log.String(), "rm -rf") {
		t.Errorf("the answer has %q, the body %q, and the log\n%s", made, p.RequestID, h.log)
	}
	// Existing clients show every member of a 400 as a field.
	if _, body := ask("x", "explain/"); strings.Contains(body, "request_id") {
		t.Errorf("a refused form has it too: %s", body)
	}
	h.keys.fail = true
	request := h.request("root", http.MethodPost, "keys/rotate/", nil)
	request.Header.Set("X-Request-Id", "panicking")
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	h.must(response.Body.Close())
	if !strings.Contains(h.log.String(), `"a handler panicked","request":"panicking"`) {
		t.Errorf("the log does not say which request it was:\n%s", h.log)
	}
}
