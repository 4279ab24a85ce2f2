package api_test

import (
	"encoding/json"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// document is what of an OpenAPI document these tests read.
type document struct {
	OpenAPI    string                          `json:"openapi"`
	Info       struct{ Title, Version string } `json:"info"`
	Paths      map[string]map[string]operation `json:"paths"`
	Components struct {
		Schemas map[string]json.RawMessage `json:"schemas"`
	} `json:"components"`
}

type operation struct {
	OperationID string                     `json:"operationId"`
	Summary     string                     `json:"summary"`
	Responses   map[string]json.RawMessage `json:"responses"`
	Security    []map[string][]string      `json:"security"`
	Parameters  []struct {
		Name     string `json:"name"`
		In       string `json:"in"`
		Required bool   `json:"required"`
	} `json:"parameters"`
}

// routes are all that clients may rely on.
var routes = strings.Fields(`
GET:audit/ GET:audit/export/ GET:audit/verify/ GET:doctor/ POST:check/ GET:commits/ GET:commits/{identifier}/
GET:data/ GET:data/{datum}/ GET:data/{datum}/content/ GET:data/{datum}/download/ POST:data/{datum}/purge/
PATCH:projects/{project}/ POST:projects/{project}/environment_variable/ DELETE:projects/{project}/environment_variable/
GET:projects/{project}/repository/ PUT:projects/{project}/repository/ DELETE:projects/{project}/repository/ POST:projects/{project}/fetch/
POST:executions/{execution}/copy/ PUT:executions/{execution}/tags/
GET:notice-channels/ POST:notice-channels/ GET:notice-channels/{channel}/ PATCH:notice-channels/{channel}/ DELETE:notice-channels/{channel}/
POST:notice-channels/{channel}/test/ GET:notice-channels/{channel}/deliveries/ GET:notice-wishes/me/ PUT:notice-wishes/me/
GET:environments/ POST:environments/ GET:environments/{environment}/ PATCH:environments/{environment}/ DELETE:environments/{environment}/
GET:executions/ POST:executions/ GET:executions/{execution}/ DELETE:executions/{execution}/
GET:executions/{execution}/events/ GET:executions/{execution}/metadata/ POST:executions/{execution}/stop/ GET:explain/ POST:get-token/ POST:keys/rotate/
POST:leases/ POST:leases/{lease}/events/ POST:leases/{lease}/finish/ POST:leases/{lease}/image/ GET:leases/{lease}/package/
GET:leases/{lease}/data/{datum}/ POST:leases/{lease}/outputs/
POST:leases/{lease}/release/ POST:leases/{lease}/renew/ GET:leases/{lease}/stop/
GET:organizations/ POST:organizations/ GET:organizations/{organization}/members/ POST:organizations/{organization}/members/
DELETE:organizations/{organization}/members/{username}/
GET:organizations/{organization}/invitations/ POST:organizations/{organization}/invitations/
DELETE:organizations/{organization}/invitations/{invitation}/ POST:invitations/show/ POST:invitations/accept/ POST:invitations/join/
POST:device-logins/ POST:device-logins/token/ POST:device-logins/show/ POST:device-logins/approve/ POST:device-logins/deny/
GET:projects/ POST:projects/ GET:projects/ownership_options/ GET:projects/{project}/ GET:projects/{project}/commits/
POST:projects/{project}/import-package/ POST:pull-grants/ GET:registry-credential-kinds/
GET:registry-credentials/ POST:registry-credentials/ GET:registry-credentials/{credential}/ PUT:registry-credentials/{credential}/
PATCH:registry-credentials/{credential}/ DELETE:registry-credentials/{credential}/
POST:registry-credentials/{credential}/check/ POST:registry-credentials/{credential}/rotate/
GET:server/ GET:tokens/ POST:tokens/ DELETE:tokens/{token}/ POST:users/ GET:users/me/ POST:users/{username}/password/
GET:users/{username}/identities/ POST:users/{username}/identities/ DELETE:users/{username}/identities/
GET:sessions/ DELETE:sessions/ DELETE:sessions/{session}/ GET:totp/ POST:totp/ POST:totp/confirm/ POST:totp/disable/ DELETE:users/{username}/totp/
GET:cache-tokens/ POST:cache-tokens/ DELETE:cache-tokens/{token}/ POST:cache/grants/ POST:cache/readers/
GET:worker-tokens/ POST:worker-tokens/ DELETE:worker-tokens/{token}/
`)

func TestTheDocumentListsEveryRoute(t *testing.T) {
	h := newHouse(t)
	var d document
	h.call("", http.MethodGet, "openapi.json", nil, &d)
	if d.OpenAPI != "3.1.0" || d.Info.Title != "Fairlead" || d.Info.Version != "1.2.3" {
		t.Errorf("it is of %s, about %+v", d.OpenAPI, d.Info)
	}
	var listed []string
	ids := make(map[string]bool)
	for path, operations := range d.Paths {
		for method, op := range operations {
			route := strings.ToUpper(method) + ":" + strings.TrimPrefix(path, "/api/v0/")
			listed = append(listed, route)
			checkOperation(t, route, op)
			if ids[op.OperationID] {
				t.Errorf("%s: the id %s is taken", route, op.OperationID)
			}
			ids[op.OperationID] = true
		}
	}
	slices.Sort(listed)
	want := slices.Sorted(slices.Values(routes))
	if diff := cmp.Diff(want, listed); diff != "" {
		t.Errorf("the routes (-want +got):\n%s", diff)
	}
}

// isPublic reports whether a route asks for no token: a link to a file has a
// signature instead.
func isPublic(route string) bool {
	return slices.Contains([]string{
		"GET:server/", "POST:get-token/", "GET:data/{datum}/content/",
		"POST:invitations/show/", "POST:invitations/accept/", "POST:device-logins/", "POST:device-logins/token/",
	}, route)
}

var inBraces = regexp.MustCompile(`\{(\w+)\}`)

func checkOperation(t *testing.T, route string, op operation) {
	t.Helper()
	if op.OperationID == "" || op.Summary == "" || len(op.Responses) < 2 || op.Responses["default"] == nil {
		t.Errorf("%s has no id, no summary, or lacks an answer: %+v", route, op)
	}
	public := isPublic(route)
	if public != (len(op.Security) == 0) {
		t.Errorf("%s: its security is %v", route, op.Security)
	}
	documented := make(map[string]bool)
	for _, parameter := range op.Parameters {
		documented[parameter.In+" "+parameter.Name] = parameter.Required
	}
	for _, match := range inBraces.FindAllStringSubmatch(route, -1) {
		if !documented["path "+match[1]] {
			t.Errorf("%s: %s is not documented as a part of its path", route, match[1])
		}
	}
}

func TestEveryReferenceInTheDocumentLeadsSomewhere(t *testing.T) {
	h := newHouse(t)
	response, err := http.DefaultClient.Do(h.request("", http.MethodGet, "openapi.json", nil))
	h.must(err)
	text, err := io.ReadAll(response.Body)
	h.must(err)
	h.must(response.Body.Close())
	var d document
	h.must(json.Unmarshal(text, &d))
	references := regexp.MustCompile(`"\$ref":"#/components/schemas/(\w+)"`).FindAllSubmatch(text, -1)
	if len(references) == 0 {
		t.Fatal("there is no reference at all")
	}
	for _, reference := range references {
		if d.Components.Schemas[string(reference[1])] == nil {
			t.Errorf("there is no schema %s", reference[1])
		}
	}
}

func TestEveryRouteOfTheDocumentAsksForAToken(t *testing.T) {
	h := newHouse(t)
	var scenarios []scenario
	for _, route := range routes {
		method, path, _ := strings.Cut(route, ":")
		if !isPublic(route) {
			path = inBraces.ReplaceAllString(path, "x")
			scenarios = append(scenarios, scenario{name: route, method: method, path: path, status: 401, want: []string{`"code":"token_missing"`}})
		}
	}
	h.play(t, scenarios)
}

func TestTheDocumentIsThereAsYAML(t *testing.T) {
	newHouse(t).play(t, []scenario{{name: "for people", method: "GET", path: "openapi.yaml", status: 200, want: []string{"openapi: 3.1.0", "/api/v0/pull-grants/"}}})
}

func TestTheDocumentSaysWhatAPullReportHolds(t *testing.T) {
	h := newHouse(t)
	var d document
	h.call("", http.MethodGet, "openapi.json", nil, &d)
	type properties struct {
		Properties map[string]json.RawMessage `json:"properties"`
	}
	var e, layer properties
	h.must(json.Unmarshal(d.Components.Schemas["Execution"], &e))
	if got := string(e.Properties["pull_report"]); !strings.Contains(got, "#/components/schemas/PullReport") {
		t.Errorf("an execution's pull_report is %s", got)
	}
	h.must(json.Unmarshal(d.Components.Schemas["PulledLayer"], &layer))
	for _, name := range []string{"from", "requested_at_seconds", "first_byte_at_seconds", "last_byte_at_seconds", "unpacked_at_seconds"} {
		if layer.Properties[name] == nil {
			t.Errorf("a layer of it has no %s", name)
		}
	}
}
