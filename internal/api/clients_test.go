package api_test

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// vh sends requests as that client sends them, with one login.
type vh struct {
	*house
	token string
}

// do sends a request to a path below the API's base, or to a whole address, and
// returns the answer as data.
func (c *vh) do(method, address, contentType string, body []byte, status int) map[string]any {
	c.t.Helper()
	text := c.raw(method, address, contentType, body, status)
	var answer map[string]any
	if len(text) > 0 && text[0] == '{' {
		c.must(json.Unmarshal(text, &answer))
	}
	return answer
}

func (c *vh) raw(method, address, contentType string, body []byte, status int) []byte {
	c.t.Helper()
	if !strings.HasPrefix(address, "http") {
		address = c.server.URL + "/api/v0/" + address
	}
	request, err := http.NewRequestWithContext(c.t.Context(), method, address, bytes.NewReader(body))
	c.must(err)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("User-Agent", "valohai-cli/0.29.0 (CPython/3.11)")
	if c.token != "" {
		request.Header.Set("Authorization", "Token "+c.token)
	}
	if contentType != "" {
		request.Header.Set("Content-Type", contentType)
	}
	response, err := http.DefaultClient.Do(request)
	c.must(err)
	defer func() { _ = response.Body.Close() }() // only read
	text, err := io.ReadAll(response.Body)
	c.must(err)
	if response.StatusCode != status {
		c.t.Fatalf("%s %s: got %d, not %d: %s", method, address, response.StatusCode, status, text)
	}
	return text
}

func (c *vh) form(address string, status int, fields ...string) map[string]any {
	c.t.Helper()
	values := url.Values{}
	for i := 0; i+1 < len(fields); i += 2 {
		values.Set(fields[i], fields[i+1])
	}
	return c.do(http.MethodPost, address, "application/x-www-form-urlencoded", []byte(values.Encode()), status)
}

func (c *vh) post(address string, status int, body any) map[string]any {
	c.t.Helper()
	text, err := json.Marshal(body)
	c.must(err)
	return c.do(http.MethodPost, address, "application/json", text, status)
}

func (c *vh) get(address string) map[string]any {
	c.t.Helper()
	return c.do(http.MethodGet, address, "", nil, http.StatusOK)
}

// at walks into an answer: names and, as numbers, places in lists.
func at(t testing.TB, data any, path ...any) any {
	t.Helper()
	for _, step := range path {
		switch step := step.(type) {
		case string:
			object, ok := data.(map[string]any)
			if !ok {
				t.Fatalf("%v: %q is sought in %v", path, step, data)
			}
			if data, ok = object[step]; !ok {
				t.Fatalf("%v: there is no %q in %v", path, step, object)
			}
		case int:
			list, ok := data.([]any)
			if !ok || step >= len(list) {
				t.Fatalf("%v: place %d is sought in %v", path, step, data)
			}
			data = list[step]
		}
	}
	return data
}

func text(t testing.TB, data any, path ...any) string {
	t.Helper()
	return fmt.Sprint(at(t, data, path...))
}

func TestTheDayOfAUserOfVhGoesAsTheyKnowIt(t *testing.T) {
	h := newHouse(t)
	c := &vh{house: h}

	// vh login
	if said := text(t, c.form("get-token/", http.StatusUnauthorized, "username", "ada", "password", "wrong"), "detail"); said == "" {
		t.Error("a wrong password is told without a word")
	}
	c.token = text(t, c.form("get-token/", http.StatusOK, "username", "ada", "password", "password of ada"), "token")
	if got := text(t, c.get("users/me/"), "username"); got != "ada" {
		t.Errorf("the user is %s", got)
	}

	// vh project create, with what vh asks before
	if options := string(c.raw(http.MethodGet, "projects/ownership_options/", "", nil, http.StatusOK)); !strings.Contains(options, `"acme"`) {
		t.Errorf("a project may be owned by %s", options)
	}
	project := c.form("projects/", http.StatusCreated, "name", "vision", "description", "cats", "owner", "acme")
	id := text(t, project, "id")
	if text(t, project, "owner", "username") != "acme" || text(t, project, "name") != "vision" || !strings.HasPrefix(text(t, project, "urls", "display"), "http") {
		t.Errorf("the project is %v", project)
	}

	// vh project link
	if found := text(t, c.get("projects/?limit=1000"), "results", 0, "id"); found != id {
		t.Errorf("the project is listed as %s", found)
	}

	// vh environments
	environments := c.get("environments/?limit=9000&include=unfinished_job_count")
	environment := text(t, environments, "results", 0, "slug")
	for _, name := range []string{"id", "name", "description", "gpu_spec", "per_hour_price_usd", "per_user_queue_quota", "unfinished_job_count", "enabled"} {
		at(t, environments, "results", 0, name)
	}

	// vh exec run --adhoc: the package is uploaded where it is not known
	data := tarball(t, map[string]string{"valohai.yaml": vhSteps, "train.py": "print(1)"})
	sum := sha256.Sum256(data)
	identifier := "~" + hex.EncodeToString(sum[:])
	c.do(http.MethodGet, "commits/"+identifier+"/?project="+id, "", nil, http.StatusNotFound)
	upload := h.upload("", id, data, "description", "of ada", "yaml_path", "valohai.yaml")
	upload.Header.Set("Authorization", "Token "+c.token)
	var commit map[string]any
	h.read(upload, http.StatusCreated, &commit)
	if text(t, commit, "identifier") != identifier {
		t.Errorf("the commit is %v", commit)
	}
	commit = c.get("commits/" + identifier + "/?project=" + id + "&include=config")
	if at(t, commit, "adhoc") != true || text(t, commit, "config", 0, "step", "name") != "Train a model" {
		t.Errorf("the commit is %v", commit)
	}
	created := c.post("executions/", http.StatusCreated, map[string]any{
		"project": id, "commit": identifier, "step": "Train a model",
		"parameters": map[string]any{"none": nil, "epochs": 7, "layers": []int{64, 32}, "verbose": true}, "inputs": map[string]any{"images": []string{"https://example.com/cats.tar"}},
		"environment": environment, "title": "a title", "tags": []string{"good"}, "environment_variables": map[string]any{"COLOUR": "red", "UNSET": nil},
		"runtime_config": map[string]any{}, "priority": 3, "time_limit": 0,
	})
	if text(t, created, "counter") != "1" || !strings.Contains(text(t, created, "urls", "display"), text(t, created, "id")) {
		t.Errorf("it is created as %v", created)
	}
	address := text(t, created, "url")

	// … --watch, while a worker runs it
	detail := c.get(address + "?exclude=metadata,events")
	if text(t, detail, "status") != "queued" || text(t, detail, "environment", "slug") != environment || text(t, detail, "priority") != "3" {
		t.Errorf("it is shown as %v", detail)
	}
	if command := text(t, detail, "command"); !strings.Contains(command, "--epochs=7 --layers=64 --layers=32 --verbose") {
		t.Errorf("the command is %s", command)
	}
	if got := text(t, detail, "inputs", 0, "urls", 0); got != "https://example.com/cats.tar" {
		t.Errorf("the input is %s", got)
	}
	lease := h.take()
	if lease.Execution.Environment["COLOUR"] != "red" {
		t.Errorf("the worker gets %v", lease.Execution.Environment)
	}
	h.append(1, "epoch 1", "epoch 1", `{"loss": 0.5}`)
	h.leave("model.bin", "0123456789")
	events := c.get(address + "events/")
	if text(t, events, "total") != "3" || text(t, events, "truncated") != "false" || text(t, events, "events", 0, "stream") != "stdout" {
		t.Errorf("the events are %v", events)
	}
	first, second := text(t, events, "events", 0, "time"), text(t, events, "events", 1, "time")
	if first >= second { // vh tells two equal lines apart by their times
		t.Errorf("two equal lines are of %s and %s", first, second)
	}
	if _, err := time.Parse("2006-01-02T15:04:05.000000Z", first); err != nil {
		t.Error(err)
	}
	if running := c.get("executions/?project=" + id + "&status=incomplete&limit=9000&ordering=-counter"); text(t, running, "count") != "1" {
		t.Errorf("running are %v", running)
	}

	// vh exec stop, and what the worker then tells
	if said := c.raw(http.MethodPost, text(t, detail, "urls", "stop"), "", nil, http.StatusOK); len(said) == 0 {
		t.Error("a stop is told without a word")
	}
	c.do(http.MethodDelete, address, "", nil, http.StatusConflict)
	h.finish()

	// vh exec list, info, logs, outputs
	if listed := c.get("executions/?project=" + id + "&counter=1&counter=2&limit=9000"); text(t, listed, "count") != "1" || text(t, listed, "results", 0, "title") != "a title" {
		t.Errorf("listed is %v", listed)
	}
	info := c.get("executions/" + id + ":1/?exclude=metadata,events")
	for _, key := range []string{"duration", "exit_code", "tags", "ctime", "image", "image_digest", "outputs", "parameters", "step"} {
		at(t, info, key)
	}
	if text(t, info, "commit", "identifier") != identifier || text(t, info, "project", "name") != "vision" {
		t.Errorf("info is %v", info)
	}
	if text(t, info, "cumulative_metadata", "loss") != "0.5" { // vh exec summarize
		t.Errorf("the metadata are %v", info)
	}
	creator := text(t, c.get("users/me/"), "id")
	if owned := c.get("executions/?project=" + id + "&deleted=false&creator=" + creator); text(t, owned, "count") != "1" {
		t.Errorf("ada's are %v", owned)
	}
	if deleted := c.get("executions/?project=" + id + "&deleted=True"); text(t, deleted, "count") != "0" {
		t.Errorf("deleted are %v", deleted)
	}
	if latest := c.get("executions/" + id + ":latest/"); text(t, latest, "id") != text(t, info, "id") {
		t.Error("the latest is another one")
	}
	if logs := c.get("executions/" + id + ":1/events/?limit=0"); text(t, logs, "truncated") != "false" {
		t.Errorf("the log is %v", logs)
	}
	if all := c.get("data/?limit=100&ordering=-ctime&deleted=false&no_count=true&project=" + id); text(t, all, "results", 0, "output_execution", "counter") != "1" {
		t.Errorf("the data are %v", all) // vh data list
	}
	outputs := c.get("data/?output_execution=" + text(t, info, "id") + "&limit=5000")
	datum := text(t, outputs, "results", 0, "id")
	if text(t, outputs, "results", 0, "name") != "model.bin" || text(t, outputs, "results", 0, "size") != "10" {
		t.Errorf("the outputs are %v", outputs)
	}
	link := text(t, c.get("data/"+datum+"/download/"), "url")
	stranger := &vh{house: h}
	if got := string(stranger.raw(http.MethodGet, link, "", nil, http.StatusOK)); got != "0123456789" {
		t.Errorf("the output is %q", got)
	}

	// The next one gets the first one's output, and the first is copied.
	c.post("executions/", http.StatusCreated, map[string]any{
		"project": id, "commit": identifier, "step": "Train a model", "inputs": map[string]any{"images": []string{"datum://" + datum}},
	})
	copied := c.do(http.MethodPost, text(t, info, "urls", "copy"), "", nil, http.StatusCreated)
	if text(t, copied, "counter") != "3" || text(t, copied, "command") != text(t, info, "command") {
		t.Errorf("the copy is %v", copied)
	}

	// vh exec delete --purge-outputs
	c.do(http.MethodPost, "data/"+datum+"/purge/", "", nil, http.StatusOK)
	c.do(http.MethodDelete, address, "", nil, http.StatusNoContent)
	c.do(http.MethodGet, address, "", nil, http.StatusNotFound)

	// vh project status, environment-variables, fetch
	c.form("projects/"+id+"/environment_variable/", http.StatusOK, "name", "SIZE", "value", "7", "secret", "false")
	status := c.get("projects/" + id + "/")
	if text(t, status, "execution_summary", "count") != "2" || text(t, status, "environment_variables", "SIZE", "value") != "7" {
		t.Errorf("the project is %v", status)
	}
	at(t, status, "default_environment")
	if said := text(t, c.do(http.MethodPost, "projects/"+id+"/fetch/", "", nil, http.StatusNotFound), "detail"); !strings.Contains(said, "no git repository") {
		t.Errorf("a fetch says %s", said)
	}
	if commits := c.get("commits/?project=" + id + "&adhoc=false&limit=9000"); text(t, commits, "count") != "0" {
		t.Errorf("commits of a repository are %v", commits)
	}

	// vh pipeline run and its kin are refused with a sentence.
	for _, path := range []string{"pipelines/", "tasks/", "datum-aliases/", "pipelines/" + id + ":1/", "deployments/"} {
		if said := text(t, c.post(path, http.StatusNotFound, map[string]any{"project": id}), "detail"); !strings.Contains(said, "Fairlead runs single steps") {
			t.Errorf("%s says %s", path, said)
		}
	}
}

// vhSteps is a file as a team brings it.
const vhSteps = `
- step:
    name: Train a model
    image: registry.acme.example/ml/train:v1
    command: python train.py {parameters}
    parameters:
      - name: epochs
        type: integer
        default: 5
      - name: layers
        type: integer
        multiple: repeat
        optional: true
      - name: verbose
        type: flag
    inputs:
      - name: images
        default: https://example.com/dogs.tar
- pipeline:
    name: Train twice
    nodes:
      - {name: one, type: execution, step: Train a model}
      - {name: two, type: execution, step: Train a model}
    edges:
      - [one.output.*, two.input.images]
`

// serviceAccount is a key file of Google's form, with a key of its own.
func serviceAccount(t *testing.T) string {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text, err := json.Marshal(map[string]string{
		"type": "service_account", "project_id": "acme-ml-1", "private_key_id": "0123456789abcdef0123456789abcdef01234567", "client_id": "2",
		"private_key":  string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		"client_email": "puller@acme-ml-1.iam.gserviceaccount.com", "token_uri": "https://oauth2.googleapis.com/token",
	})
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestTerraformKeepsCredentialsOfItsFourTypes(t *testing.T) {
	h := newHouse(t)
	c := &vh{house: h, token: h.tokens["ada"]}
	organization := at(t, c.get("organizations/"), "results", 0, "id") // an integer, which Terraform sends as the owner
	for _, resource := range []struct {
		kind, pattern string
		configuration map[string]string
		secrets       []string
	}{
		{"docker", "registry.acme.example/*", map[string]string{"username": "robot", "password": registryPassword}, []string{registryPassword}},
		{"aws-ecr", "123456789012.dkr.ecr.eu-north-1.amazonaws.com/*", map[string]string{
			"access_key_id": "AKIAIOSFODNN7EXAMPLE", "secret_access_key": "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "region": "eu-north-1",
		}, []string{"wJalrXUtnFEMI"}},
		{"aws-ecr-role", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/*", map[string]string{"role_name": "puller", "region": "eu-west-1"}, nil},
		{"gcp-cr", "europe-docker.pkg.dev/acme-ml-1/*", map[string]string{"service_account_json": serviceAccount(t)}, []string{"PRIVATE KEY"}},
	} {
		t.Run(resource.kind, func(t *testing.T) {
			resource.configuration["version"] = "1"
			body := map[string]any{"type": resource.kind, "image_pattern": resource.pattern, "owner": organization, "configuration": resource.configuration}
			made := c.post("registry-credentials/", http.StatusCreated, body)
			path := "registry-credentials/" + text(t, made, "id") + "/"
			body["image_pattern"] = strings.TrimSuffix(resource.pattern, "*") + "ml/*"
			changed, err := json.Marshal(body)
			h.must(err)
			for _, answer := range []map[string]any{
				made, c.get(path), c.do(http.MethodPut, path, "application/json", changed, http.StatusOK), c.get(path),
			} {
				if text(t, answer, "type") != resource.kind || at(t, answer, "owner") != organization {
					t.Errorf("it is answered as %v", answer)
				}
				all, err := json.Marshal(answer)
				h.must(err)
				for _, secret := range resource.secrets {
					if strings.Contains(string(all), secret) {
						t.Errorf("the secret comes back: %s", all)
					}
				}
			}
			if got := text(t, c.get(path), "image_pattern"); got != body["image_pattern"] {
				t.Errorf("the pattern is %s", got)
			}
			c.do(http.MethodDelete, path, "", nil, http.StatusNoContent)
			c.do(http.MethodGet, path, "", nil, http.StatusNotFound)
		})
	}
	said := c.post("registry-credentials/", http.StatusBadRequest, map[string]any{
		"type": "docker", "image_pattern": "registry.acme.example/*", "owner": organization, "configuration": map[string]string{"username": "robot", "password": "x", "colour": "red"},
	})
	if !strings.Contains(fmt.Sprint(said), "colour") {
		t.Errorf("an unknown key is told as %v", said)
	}
}
