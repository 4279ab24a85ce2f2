package api_test

import (
	"encoding/json"
	"net/http"
	"regexp"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/wire"
)

func TestADayWithTheCommandLineClient(t *testing.T) {
	h := newHouse(t)
	h.play(t, []scenario{
		{name: "a project comes as a form", as: "ada", method: "POST", path: "projects/", body: "name=vision&description=See&owner=acme", contentType: form, status: 201, want: []string{`"name":"vision"`, `"username":"acme"`, `"personal":false`, `"display":"http://`}},
		{name: "without an owner it is personal", as: "ada", method: "POST", path: "projects/", body: "name=notes", contentType: form, status: 201, want: []string{`"personal":true`, `"username":"ada"`}},
		{name: "an owner is one's own organisation", as: "ada", method: "POST", path: "projects/", body: "name=spy&owner=evil", contentType: form, status: 404},
		{name: "options are names", as: "ada", method: "GET", path: "projects/ownership_options/", status: 200, want: []string{`["ada","acme"]`}},
		{name: "a member lists the organisation's projects", as: "ben", method: "GET", path: "projects/?limit=1000", status: 200, want: []string{`"count":1`, `"name":"vision"`}, not: []string{"notes"}},
		{name: "a project is found by its name", as: "ben", method: "GET", path: "projects/vision/", status: 200, want: []string{`"execution_summary":{"count":0}`}},
		{name: "or by its owner's too", as: "ben", method: "GET", path: "projects/acme%2Fvision/", status: 200, want: []string{`"name":"vision"`}},
		{name: "a stranger finds none", as: "eve", method: "GET", path: "projects/vision/", status: 404},
	})
	h.furnishAgain()
	data := tarball(t, map[string]string{"valohai.yaml": steps})
	h.names["new"] = identifier(data)

	var first, second wire.Commit
	h.play(t, []scenario{{name: "a client looks before it uploads", as: "ben", method: "GET", path: "commits/{new}/?project={project}&include=config", status: 404, want: []string{`"code":"commit_unknown"`}}})
	h.read(h.upload("ben", h.names["project"], data, "description", "first"), http.StatusCreated, &first)
	h.read(h.upload("ben", h.names["project"], data, "description", "second"), http.StatusCreated, &second)
	if first.Identifier != h.names["new"] || second.Identifier != first.Identifier || !first.Adhoc {
		t.Errorf("uploading twice made %+v and %+v", first, second)
	}
	h.play(t, []scenario{
		{name: "then it is there, once", as: "ben", method: "GET", path: "projects/{project}/commits/", status: 200, want: []string{`"count":1`, `"identifier":"{new}"`, `"adhoc":true`}},
		{name: "with its steps as data", as: "ben", method: "GET", path: "commits/{new}/?project={project}&include=config", status: 200, want: []string{`"config":[{"step":{`, `"name":"train"`}},
		{name: "which are left out if not asked for", as: "ben", method: "GET", path: "commits/{new}/?project={project}", status: 200, not: []string{`"config"`}},
		{name: "no commit is of a repository", as: "ben", method: "GET", path: "commits/?project={project}&adhoc=false&limit=9000", status: 200, want: []string{`"count":0`}},
		{name: "a stranger sees no commits", as: "eve", method: "GET", path: "commits/?project={project}", status: 404},
		{name: "a project must be said", as: "ben", method: "GET", path: "commits/", status: 400, want: []string{`"project":["is required"]`}},

		{name: "a step is run as vh asks for it", as: "ben", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"train","parameters":{"epochs":7},"inputs":{},"title":"Try","tags":["a"]}`, status: 201, want: []string{`"counter":1`, `"status":"queued"`, `"urls":{"display":"http://`, `"epochs":7`, `"command":"python train.py --epochs=7`}},
		{name: "inputs are told of", as: "ben", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"train","inputs":{"data":["s3://x"]}}`, status: 400, want: []string{`"inputs":[`}},
		{name: "an unknown step is told", as: "ben", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"tran"}`, status: 400},
		{name: "a wrong value is told", as: "ben", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"train","parameters":{"epochs":"many"}}`, status: 400},
		{name: "a network is one of two", as: "ben", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"train","network":"bridge"}`, status: 400, want: []string{`"network":[`}},
		{name: "a stranger runs nothing", as: "eve", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"train"}`, status: 404},
		{name: "a worker runs nothing", as: "worker", method: "POST", path: "executions/", body: `{"project":"{project}","commit":"{new}","step":"train"}`, status: 404},

		{name: "executions are listed", as: "ben", method: "GET", path: "executions/?project={project}&status=incomplete&counter=1&counter=2&limit=1000&ordering=-counter", status: 200, want: []string{`"count":1`, `"title":"Try"`, `"tags":["a"]`}},
		{name: "by their status", as: "ben", method: "GET", path: "executions/?project={project}&status=complete", status: 200, want: []string{`"count":0`}},
		{name: "which must be one", as: "ben", method: "GET", path: "executions/?status=done", status: 400, want: []string{"is no status"}},
		{name: "an ordering too", as: "ben", method: "GET", path: "executions/?ordering=title", status: 400, want: []string{`"ordering":[`}},
		{name: "a stranger lists none", as: "eve", method: "GET", path: "executions/", status: 200, want: []string{`"count":0`}, not: []string{"train"}},
		{name: "nor those of a project", as: "eve", method: "GET", path: "executions/?project={project}", status: 404},
		{name: "one is found by its number", as: "ben", method: "GET", path: "executions/{project}:1/?exclude=metadata,events,outputs", status: 200, want: []string{`"counter":1`, `"exit_code":null`}},
		{name: "the latest too", as: "ben", method: "GET", path: "executions/{project}:latest/", status: 200, want: []string{`"counter":1`}},
		{name: "a stranger finds none", as: "eve", method: "GET", path: "executions/{project}:1/", status: 404},
		{name: "nor its log", as: "eve", method: "GET", path: "executions/{project}:1/events/", status: 404},
		{name: "nor its stream", as: "eve", method: "GET", path: "executions/{project}:1/events/", header: map[string]string{"Accept": "text/event-stream"}, status: 404},
		{name: "nor stops it", as: "eve", method: "POST", path: "executions/{project}:1/stop/", status: 404},
		{name: "nor deletes it", as: "eve", method: "DELETE", path: "executions/{project}:1/", status: 404},
		{name: "one that has not ended stays", as: "ben", method: "DELETE", path: "executions/{project}:1/", status: 409, want: []string{`"kind":"conflict"`}},
		{name: "a colleague stops it", as: "ada", method: "POST", path: "executions/{project}:1/stop/", status: 200, want: []string{`"status":"stopped"`}},
		{name: "the log says who did", as: "ben", method: "GET", path: "executions/{project}:1/events/?limit=0", status: 200, want: []string{`"stream":"status"`, `"message":"Stopped by ada"`, `"total":1,"truncated":false`}},
		{name: "a limit is a number", as: "ben", method: "GET", path: "executions/{project}:1/events/?limit=-3", status: 400, want: []string{`"limit":[`}},
		{name: "then it is counted", as: "ben", method: "GET", path: "projects/{project}/", status: 200, want: []string{`"count":1`, `"stopped_count":1`, `"last_execution_ctime":"20`}},
		{name: "then it is deleted", as: "ben", method: "DELETE", path: "executions/{project}:1/", status: 204},
		{name: "and gone", as: "ben", method: "GET", path: "executions/{project}:1/", status: 404, want: []string{`"code":"execution_unknown"`}},
	})
}

// furnishAgain learns the id of the project that a scenario made.
func (h *house) furnishAgain() {
	h.t.Helper()
	var project wire.Project
	h.call("ada", http.MethodGet, "projects/vision/", nil, &project)
	h.names["project"] = project.ID
}

func TestTimesHaveSixDigitsSinceClientsCutThem(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	var shown map[string]json.RawMessage
	h.call("ben", http.MethodGet, h.fill("executions/{execution}/"), nil, &shown)
	if digits := regexp.MustCompile(`^"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z"$`); !digits.Match(shown["ctime"]) {
		t.Errorf("ctime is %s", shown["ctime"])
	}
	if diff := cmp.Diff("null", string(shown["end_time"])); diff != "" {
		t.Errorf("end_time (-want +got):\n%s", diff)
	}
}

func TestAnUploadThatIsNoCodeIsRefusedWithTheReason(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	good := tarball(t, map[string]string{"sub/steps.yaml": steps, "x": "y"})
	for _, c := range []struct {
		name   string
		who    string
		data   []byte
		fields []string
		status int
	}{
		{"a yaml_path before the data is heeded", "ben", good, []string{"yaml_path", "sub/steps.yaml", "description", "d"}, 201},
		{"a package without its valohai.yaml", "ben", good, nil, 400},
		{"no package at all", "ben", []byte("hello"), nil, 400},
		{"a valohai.yaml that cannot be run", "ben", tarball(t, map[string]string{"valohai.yaml": "- step: {name: x}"}), nil, 400},
		{"a field that there is not", "ben", good, []string{"branch", "main"}, 400},
		{"a stranger's", "eve", good, nil, 404},
		{"a worker's", "worker", good, nil, 404},
		{"nobody's", "", good, nil, 401},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := *h
			h.t = t
			h.read(h.upload(c.who, h.names["project"], c.data, c.fields...), c.status, nil)
		})
	}
	late := "--b\r\nContent-Disposition: form-data; name=\"data\"\r\n\r\n" + string(tarball(t, map[string]string{"valohai.yaml": steps, "late": "1"})) +
		"\r\n--b\r\nContent-Disposition: form-data; name=\"yaml_path\"\r\n\r\nother.yaml\r\n--b--\r\n"
	h.play(t, []scenario{
		{name: "a field behind the data would be missed", as: "ben", method: "POST", path: "projects/{project}/import-package/", body: late, contentType: "multipart/form-data; boundary=b", status: 400, want: []string{`"yaml_path":["stands behind the data`}},
		{name: "an upload without its end", as: "ben", method: "POST", path: "projects/{project}/import-package/", body: late[:len(late)/2], contentType: "multipart/form-data; boundary=b", status: 400},
		{name: "an upload without data", as: "ben", method: "POST", path: "projects/{project}/import-package/", body: "--b--\r\n", contentType: "multipart/form-data; boundary=b", status: 400, want: []string{`"data":["is required`}},
		{name: "an upload of another type", as: "ben", method: "POST", path: "projects/{project}/import-package/", body: "x=y", contentType: form, status: 400, want: []string{`"code":"content_type"`}},
		{name: "nothing of it was kept", as: "ben", method: "GET", path: "projects/{project}/commits/", status: 200, want: []string{`"count":2`}},
	})
}
