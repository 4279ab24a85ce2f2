package api_test

import (
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func TestACacheActsForThoseAloneWhoseTokensItShows(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	for _, who := range []string{"ada", "root", "worker", "eve"} {
		h.names["token of "+who] = h.tokens[who]
	}
	login := `{"user":"acme/vision","token":"{token of ada}","remote":"10.0.0.1"}`
	image := "registry.acme.example/ml/train:v1"
	ask := `{"login":` + login + `,"image":"` + image + `","only_covered":true}`
	h.play(t, []scenario{
		{name: "it learns who that is", as: "cache", method: "POST", path: "cache/readers/", body: login, status: 200, want: []string{`"name":"ada"`, `"organization":"acme"`, `"name":"vision"`}, not: []string{"{token of ada}"}},
		{name: "without a project too", as: "cache", method: "POST", path: "cache/readers/", body: `{"user":"","token":"{token of root}","remote":""}`, status: 200, want: []string{`"operator":true`}},
		{name: "nobody's token is refused, and the cache's is still good", as: "cache", method: "POST", path: "cache/readers/", body: strings.Replace(login, "{token of ada}", "flu_x", 1), status: 403, want: []string{wire.CodeReaderUnknown}},
		{name: "so is a project that they may not see", as: "cache", method: "POST", path: "cache/readers/", body: strings.Replace(login, "{token of ada}", "{token of eve}", 1), status: 404, want: []string{"project_unknown"}},
		{name: "a worker shows its lease, and this is none", as: "cache", method: "POST", path: "cache/readers/", body: strings.Replace(login, "{token of ada}", "{token of worker}", 1), status: 404, want: []string{"lease_lost"}},
		{name: "nobody else may ask so, not even an admin", as: "ada", method: "POST", path: "cache/grants/", body: ask, status: 403, want: []string{"not_cache"}, not: []string{`"secret"`}},
		{name: "nor a worker", as: "worker", method: "POST", path: "cache/grants/", body: ask, status: 403, not: []string{`"secret"`}},
		{name: "nor who asks about others", as: "ada", method: "POST", path: "cache/readers/", body: login, status: 403, want: []string{"not_cache"}},
		{name: "a cache without a reader gets nothing", as: "cache", method: "POST", path: "cache/grants/", body: strings.Replace(ask, "{token of ada}", "", 1), status: 403, not: []string{`"secret"`}},
		{name: "an image that is none is told", as: "cache", method: "POST", path: "cache/grants/", body: strings.Replace(ask, image, "UPPER", 1), status: 400},
		{name: "what no credential covers is refused", as: "cache", method: "POST", path: "cache/grants/", body: strings.Replace(ask, "registry.acme.example", "other.example", 1), status: 403, want: []string{"upstream_unknown"}},
		{name: "caches' tokens are the operator's", as: "ada", method: "GET", path: "cache-tokens/", status: 403},
		{name: "who sees them without their texts", as: "root", method: "GET", path: "cache-tokens/", status: 200, want: []string{`"name":"near"`}, not: []string{"flc_", "worker-1"}},
		{name: "and makes them", as: "root", method: "POST", path: "cache-tokens/", body: `{"name":"far"}`, status: 201, want: []string{`"token":"flc_`}},
		{name: "nobody else does", as: "ada", method: "POST", path: "cache-tokens/", body: `{"name":"far"}`, status: 403},
	})

	var given wire.CacheGrant
	h.call("cache", http.MethodPost, "cache/grants/", wire.CacheGrantRequest{
		Login: wire.CacheLogin{User: "acme/vision", Token: wire.OpenSecret{Text: secret.New(h.tokens["ada"])}}, Image: image,
	}, &given)
	if given.Repository != "ml/train" || !given.Narrow || given.CredentialID != h.names["credential"] || given.Version != 1 {
		t.Errorf("the grant is %+v", given)
	}
	h.play(t, []scenario{
		{name: "the trail names the reader", as: "ada", method: "GET", path: "audit/?verb=grant.issue", status: 200, want: []string{`"actor":"ada"`, `"result":"upstream_unknown"`}},
	})
	if strings.Contains(h.log.String(), h.tokens["ada"]) {
		t.Error("the log shows the reader's token")
	}
}
