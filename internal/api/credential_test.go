package api_test

import "testing"

func TestCredentialsAreTheAdminsAlone(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	change := `{"name":"mine","configuration":{"password":"another password"}}`
	create := `{"type":"generic","image_pattern":"quay.io/acme/*","owner":"acme","configuration":{"username":"robot","password":"another password"}}`
	var scenarios []scenario
	for _, who := range []struct {
		as     string
		status int
		code   string
	}{
		{"", 401, "token_missing"},
		{"ben", 403, "not_admin"},
		{"eve", 404, "unknown"},
		{"worker", 404, "unknown"},
	} {
		name := who.as
		if name == "" {
			name = "nobody"
		}
		want := []string{who.code}
		not := []string{"Acme's registry", "registry.acme.example", "robot", "another password"}
		scenarios = append(scenarios,
			scenario{name: name + " does not see one", as: who.as, method: "GET", path: "registry-credentials/{credential}/", status: who.status, want: want, not: not},
			scenario{name: name + " does not replace one", as: who.as, method: "PUT", path: "registry-credentials/{credential}/", body: change, status: who.status, want: want, not: not},
			scenario{name: name + " does not change one", as: who.as, method: "PATCH", path: "registry-credentials/{credential}/", body: change, status: who.status, want: want, not: not},
			scenario{name: name + " does not delete one", as: who.as, method: "DELETE", path: "registry-credentials/{credential}/", status: who.status, want: want, not: not},
			scenario{name: name + " does not add one", as: who.as, method: "POST", path: "registry-credentials/", body: create, status: who.status, want: want, not: not},
			scenario{name: name + " does not list them", as: who.as, method: "GET", path: "registry-credentials/?organization=acme", status: who.status, want: want, not: not},
		)
	}
	h.play(t, scenarios)
}

func TestACredentialFromItsFirstDayToItsLast(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.play(t, []scenario{
		{name: "kinds tell their fields", as: "ben", method: "GET", path: "registry-credential-kinds/", status: 200, want: []string{`"type":"docker-hub"`, `"name":"access_token"`, `"secret":true`}},
		{name: "an admin sees all but the secret", as: "ada", method: "GET", path: "registry-credentials/{credential}/", status: 200, want: []string{`"kind":"generic","type":"docker"`, `"image_pattern":"registry.acme.example/*"`, `"username":"robot"`, `"last_used_at":null`}, not: []string{`"password"`}},
		{name: "without the slash it is found too", as: "ada", method: "GET", path: "registry-credentials/{credential}", status: 200, want: []string{`"kind":"generic","type":"docker"`}},
		{name: "an admin lists them", as: "ada", method: "GET", path: "registry-credentials/?limit=9000", status: 200, want: []string{`"count":1`, "{credential}"}},
		{name: "another admin has none", as: "eve", method: "GET", path: "registry-credentials/", status: 200, want: []string{`"count":0`, `"results":[]`}},
		{name: "a member may list none", as: "ben", method: "GET", path: "registry-credentials/", status: 403, want: []string{`"code":"not_admin"`}},
		{name: "Terraform's docker for Docker Hub becomes docker-hub", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"docker","image_pattern":"docker.io/acme/*","owner":1,"configuration":{"version":"1","username":"acme","password":"dckr_pat_sesame"}}`, status: 201, want: []string{`"kind":"docker-hub","type":"docker"`, `"name":"docker.io/acme/*"`}, not: []string{"dckr_pat_sesame", `"version"`}},
		{name: "unwise secrets are warned of", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"docker-hub","image_patterns":["docker.io/beta/*"],"configuration":{"username":"beta","access_token":"open sesame"}}`, status: 201, want: []string{`"warnings":["`}, not: []string{"open sesame"}},
		{name: "a kind must be one", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"floppy","image_pattern":"ghcr.io/*","configuration":{"username":"robot","password":"sesame street"}}`, status: 400, want: []string{`"name":"type"`, `"non_field_errors":["type: `}, not: []string{"sesame street"}},
		{name: "a field of another kind is named", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"generic","image_pattern":"ghcr.io/*","configuration":{"username":"robot","password":"sesame street","region":"eu-west-1"}}`, status: 400, want: []string{`"region":["is no field of a generic credential"]`}, not: []string{"sesame street"}},
		{name: "patterns are checked with the fields", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"generic","image_pattern":"https://ghcr.io/*","configuration":{"username":"robot"}}`, status: 400, want: []string{`"password":[`, "https"}},
		{name: "a configuration of texts alone", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"generic","image_pattern":"ghcr.io/*","configuration":{"username":"robot","password":12345678901}}`, status: 400, want: []string{`"configuration.password":["expected string"]`}, not: []string{"12345678901"}},
		{name: "an unknown version is told", as: "ada", method: "POST", path: "registry-credentials/", body: `{"type":"generic","image_pattern":"ghcr.io/*","configuration":{"version":"2"}}`, status: 400, want: []string{`"version":[`}},
		{name: "a change keeps what it does not name", as: "ada", method: "PATCH", path: "registry-credentials/{credential}/", body: `{"name":"The registry"}`, status: 200, want: []string{`"name":"The registry"`, `"username":"robot"`, "registry.acme.example/*"}},
		{name: "Terraform sends it all again", as: "ada", method: "PUT", path: "registry-credentials/{credential}/", body: `{"type":"docker","image_pattern":"registry.acme.example/ml/*","owner":1,"configuration":{"version":"1","username":"robot","password":"` + registryPassword + `"}}`, status: 200, want: []string{`"image_patterns":["registry.acme.example/ml/*"]`}},
		{name: "the kind stays", as: "ada", method: "PATCH", path: "registry-credentials/{credential}/", body: `{"type":"jfrog"}`, status: 400, want: []string{`"name":"type"`}},
		{name: "the organisation stays", as: "ada", method: "PATCH", path: "registry-credentials/{credential}/", body: `{"owner":"evil"}`, status: 404},

		{name: "explain tells which wins", as: "ben", method: "GET", path: "explain/?project=vision&image=registry.acme.example/ml/train:v1", status: 200, want: []string{"is pulled with the registry credential The registry (generic)", `"candidates":[{`}},
		{name: "and what almost does", as: "ben", method: "GET", path: "explain/?project=vision&image=registry.acme.exampel/ml/train", status: 200, want: []string{"is pulled without a credential", "Almost: the pattern registry.acme.example/ml/*", `"candidates":[]`}},
		{name: "a stranger's project explains nothing", as: "eve", method: "GET", path: "explain/?project={project}&image=registry.acme.example/ml/train", status: 404, not: []string{"The registry"}},
		{name: "an image must be one", as: "ben", method: "GET", path: "explain/?project=vision&image=UPPER", status: 400},
		{name: "and be given", as: "ben", method: "GET", path: "explain/?project=vision", status: 400, want: []string{`"image":["is required"]`}},

		{name: "the trail tells an admin who did what", as: "ada", method: "GET", path: "audit/?verb=credential.update", status: 200, want: []string{`"count":2`, `"actor":"ada"`, `"object_id":"{credential}"`}, not: []string{"user.create"}},
		{name: "an operator reads what belongs to nobody", as: "root", method: "GET", path: "audit/?verb=user.create&limit=1", status: 200, want: []string{`"count":4`, `"organization":0`, "before="}},
		{name: "an admin does not", as: "ada", method: "GET", path: "audit/?verb=user.create", status: 200, want: []string{`"count":0`}},
		{name: "another admin reads nothing of it", as: "eve", method: "GET", path: "audit/", status: 200, not: []string{"{credential}", "vision"}},
		{name: "a member may not read it", as: "ben", method: "GET", path: "audit/", status: 403, want: []string{`"code":"not_admin"`}},

		{name: "a credential is deleted", as: "ada", method: "DELETE", path: "registry-credentials/{credential}/", status: 204},
		{name: "and is gone", as: "ada", method: "GET", path: "registry-credentials/{credential}/", status: 404, want: []string{`"code":"credential_unknown"`}},
	})
}
