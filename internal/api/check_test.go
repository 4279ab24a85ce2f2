package api_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/random"

	"fairlead.dev/fairlead/internal/wire"
)

func TestACheckAndARotationAreTheAdminsAlone(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	rotate := `{"configuration":{"password":"another password"}}`
	var scenarios []scenario
	for who, status := range map[string]int{"": 401, "ben": 403, "eve": 404, "worker": 404} {
		scenarios = append(scenarios,
			scenario{name: who + " may not check", as: who, method: "POST", path: "registry-credentials/{credential}/check/", body: `{}`, status: status, not: []string{"robot"}},
			scenario{name: who + " may not rotate", as: who, method: "POST", path: "registry-credentials/{credential}/rotate/", body: rotate, status: status, not: []string{"robot", "another password"}},
		)
	}
	h.play(t, scenarios)
}

func TestACredentialIsCheckedAndRotatedOverTheAPI(t *testing.T) {
	h := newHouse(t)
	image, err := random.Image(1024, 1)
	h.must(err)
	_, err = h.registry.Push(t.Context(), "ml/train", "v1", image)
	h.must(err)
	h.furnish()
	h.play(t, []scenario{
		{name: "saving checks", as: "ada", method: "GET", path: "registry-credentials/{credential}/", status: 200, want: []string{`"check":{`, `"result":"passed"`}, not: []string{registryPassword}},
		{name: "a wrong secret is saved and marked", as: "ada", method: "PATCH", path: "registry-credentials/{credential}/", body: `{"configuration":{"password":"no password"}}`, status: 200, want: []string{`"state":"fails"`, `"code":"secret_refused"`}, not: []string{"no password"}},
		{name: "and mended", as: "ada", method: "PATCH", path: "registry-credentials/{credential}/", body: `{"configuration":{"password":"` + registryPassword + `"}}`, status: 200, not: []string{`"state":"fails"`, registryPassword}},
		{name: "a change may go unchecked", as: "ada", method: "PATCH", path: "registry-credentials/{credential}/", body: `{"name":"team","check":false}`, status: 200, want: []string{`"state":"unchecked"`}},
		{name: "a check with an image", as: "ada", method: "POST", path: "registry-credentials/{credential}/check/", body: `{"image":"registry.acme.example/ml/train:v1"}`, status: 200, want: []string{`"question":"image"`, `"state":`}},
		{name: "an image must be one", as: "ada", method: "POST", path: "registry-credentials/{credential}/check/", body: `{"image":"UPPER"}`, status: 400},
		{name: "a refused rotation changes nothing", as: "ada", method: "POST", path: "registry-credentials/{credential}/rotate/", body: `{"configuration":{"password":"mistyped one"}}`, status: 400, want: []string{"nothing has changed"}, not: []string{"mistyped one"}},
		{name: "an empty rotation is told", as: "ada", method: "POST", path: "registry-credentials/{credential}/rotate/", body: `{}`, status: 400, want: []string{"renew"}},
		{name: "one that is accepted holds the old secret", as: "ada", method: "POST", path: "registry-credentials/{credential}/rotate/", body: `{"configuration":{"password":"` + registryPassword + `"}}`, status: 200, want: []string{`"held_until":"`}, not: []string{registryPassword}},
		{name: "a member tries an image", as: "ben", method: "POST", path: "check/", body: `{"project":"vision","image":"registry.acme.example/ml/train:v1"}`, status: 200, want: []string{`"digest":"sha256:`, `"credential":"team"`, `"narrow":true`}},
		{name: "one that is not there is told as a pull would", as: "ben", method: "POST", path: "check/", body: `{"project":"vision","image":"registry.acme.example/ml/train:none"}`, status: 200, want: []string{`"failure":{"code":"image_not_found"`}},
		{name: "a stranger tries nothing", as: "eve", method: "POST", path: "check/", body: `{"project":"{project}","image":"registry.acme.example/ml/train:v1"}`, status: 404},
		{name: "the trail knows", as: "ada", method: "GET", path: "audit/?verb=credential.rotate", status: 200, want: []string{`"count":1`, `"actor":"ada"`}},
	})
}

func TestAFollowedCheckAnswersAStepALine(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	request := h.request("ada", http.MethodPost, "registry-credentials/"+h.names["credential"]+"/check/", strings.NewReader("{}"))
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/x-ndjson")
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	defer func() { _ = response.Body.Close() }()
	if got := response.Header.Get("Content-Type"); response.StatusCode != http.StatusOK || got != "application/x-ndjson" {
		t.Fatalf("%s, of type %s", response.Status, got)
	}
	var steps []wire.CheckStep
	var last wire.CheckEvent
	for lines := bufio.NewScanner(response.Body); lines.Scan(); {
		last = wire.CheckEvent{}
		h.must(json.Unmarshal(lines.Bytes(), &last))
		if last.Step != nil {
			steps = append(steps, *last.Step)
		}
	}
	if len(steps) == 0 || last.Credential == nil || len(last.Credential.Check.Steps) != len(steps) {
		t.Errorf("%d steps, and at the end %+v", len(steps), last)
	}
}
