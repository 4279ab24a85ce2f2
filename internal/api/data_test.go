package api_test

import (
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/wire"
)

// leave has the worker leave a file in the outputs.
func (h *house) leave(name, text string) wire.Datum {
	h.t.Helper()
	request := h.request("worker", http.MethodPost, h.fill("leases/{lease}/outputs/?name=")+url.QueryEscape(name), strings.NewReader(text))
	request.Header.Set("Content-Type", "application/octet-stream")
	var kept wire.Datum
	h.read(request, http.StatusCreated, &kept)
	h.names["datum"] = kept.ID
	return kept
}

func TestWhatAnExecutionLeavesIsForThoseWhoSeeItsProject(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	kept := h.leave("deep/model.bin", "0123456789")
	if kept.Size != 10 || kept.URI != "datum://"+kept.ID || kept.SHA256 != "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882" {
		t.Errorf("it is kept as %+v", kept)
	}
	var link wire.Download
	h.call("ben", http.MethodGet, h.fill("data/{datum}/download/"), nil, &link)
	_, path, found := strings.Cut(link.URL, wire.Base)
	if !found {
		t.Fatalf("the link is %s", link.URL)
	}
	h.names["link"] = path
	h.play(t, []scenario{
		{name: "members list it", as: "ben", method: "GET", path: "data/?output_execution={execution}", status: 200, want: []string{`"count":1`, `"name":"deep/model.bin"`}},
		{name: "and by its project", as: "ben", method: "GET", path: "data/?project=acme/vision", status: 200, want: []string{`"count":1`}},
		{name: "the execution shows it", as: "ben", method: "GET", path: "executions/{execution}/", status: 200, want: []string{`"outputs":[{"id":"{datum}"`}},
		{name: "unless it is asked not to", as: "ben", method: "GET", path: "executions/{execution}/?exclude=outputs", status: 200, not: []string{"{datum}"}},
		{name: "others see nothing", as: "eve", method: "GET", path: "data/", status: 200, want: []string{`"count":0`}},
		{name: "nor find it", as: "eve", method: "GET", path: "data/{datum}/", status: 404, want: []string{"datum_unknown"}},
		{name: "nor get a link", as: "eve", method: "GET", path: "data/{datum}/download/", status: 404},
		{name: "nor purge it", as: "eve", method: "POST", path: "data/{datum}/purge/", status: 404},
		{name: "the link needs no token", method: "GET", path: "{link}", status: 200, want: []string{"0123456789", `filename=model.bin`, "Content-Length:[10]", "nosniff"}},
		{name: "and goes on where it broke off", method: "GET", path: "{link}", header: map[string]string{"Range": "bytes=7-"}, status: 206, want: []string{"bytes 7-9/10", "789"}, not: []string{"0123"}},
		{name: "a range that is none is the whole", method: "GET", path: "{link}", header: map[string]string{"Range": "bytes=10-"}, status: 200, want: []string{"0123456789"}},
		{name: "a link cannot be made up", method: "GET", path: "data/{datum}/content/?expires=99999999999&signature=00", status: 403, want: []string{"link_expired"}},
		{name: "nor made to last", method: "GET", path: "{link}&expires=99999999999", status: 200}, // the first one counts
		{name: "a name does not lead out", as: "worker", method: "POST", path: "leases/{lease}/outputs/?name=../x", body: "x", contentType: "application/octet-stream", status: 400, want: []string{"does not lead below the outputs"}},
		{name: "only who holds the lease adds", as: "worker-2", method: "POST", path: "leases/{lease}/outputs/?name=x", body: "x", contentType: "application/octet-stream", status: 404},
		{name: "a worker gets no file that is no input", as: "worker", method: "GET", path: "leases/{lease}/data/{datum}/", status: 404, want: []string{"datum_unknown"}},
		{name: "it is not purged while it runs", as: "ben", method: "POST", path: "data/{datum}/purge/", status: 409, want: []string{"execution_runs"}},
	})
	h.finish()
	h.play(t, []scenario{
		{name: "it is purged", as: "ben", method: "POST", path: "data/{datum}/purge/", status: 200, want: []string{`"purged":true`}},
		{name: "the link leads to nothing then", method: "GET", path: "{link}", status: 404, want: []string{"datum_purged"}},
		{name: "the trail tells", as: "ada", method: "GET", path: "audit/?verb=datum.purge", status: 200, want: []string{`"count":1`, "{datum}"}},
	})
}

func TestAnInputIsTheOutputOfAnotherOfTheSameOwner(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	h.leave("model.bin", "0123456789")
	h.finish()
	var other wire.Project
	h.call("ben", http.MethodPost, "projects/", wire.NewProject{Name: "own"}, &other)
	var commit wire.Commit
	h.read(h.upload("ben", other.ID, tarball(t, map[string]string{"valohai.yaml": stepsWithInput})), http.StatusCreated, &commit)
	h.names["own"], h.names["own-commit"] = other.ID, commit.Identifier
	h.read(h.upload("ben", h.names["project"], tarball(t, map[string]string{"valohai.yaml": stepsWithInput})), http.StatusCreated, &commit)
	h.names["with-input"] = commit.Identifier
	h.play(t, []scenario{
		{
			name: "a personal project gets no organisation's file", as: "ben", method: "POST", path: "executions/",
			body: `{"project":"{own}","commit":"{own-commit}","step":"use","inputs":{"model":["datum://{datum}"]}}`, status: 400, want: []string{"has another owner"},
		},
		{
			name: "nor a URL with a password in it", as: "ben", method: "POST", path: "executions/",
			body: `{"project":"{own}","commit":"{own-commit}","step":"use","inputs":{"model":["https://a:b@example.com/x"]}}`, status: 400, want: []string{"holds a user name"},
		},
	})
	var created wire.Execution
	h.call("ben", http.MethodPost, "executions/", wire.NewExecution{
		Project: h.names["project"], Commit: h.names["with-input"], Step: "use", Inputs: map[string][]string{"model": {h.fill("datum://{datum}")}},
	}, &created)
	lease := h.take()
	if files := lease.Execution.Inputs[0].Files; len(files) != 1 || files[0].Size != 10 || files[0].Path != "model.bin" {
		t.Errorf("the worker is told of %+v", lease.Execution.Inputs)
	}
	h.play(t, []scenario{
		{name: "the worker gets it", as: "worker", method: "GET", path: "leases/{lease}/data/{datum}/", status: 200, want: []string{"0123456789"}},
		{name: "another worker does not", as: "worker-2", method: "GET", path: "leases/{lease}/data/{datum}/", status: 404},
	})
}

const stepsWithInput = `
- step:
    name: use
    image: registry.acme.example/ml/train:v1
    command: cat
    inputs:
      - name: model
`

func TestWhatACommandTellsIsListed(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	h.run()
	h.take()
	h.append(1, `{"loss":0.5}`, "no object", `[1]`, `{}`, ` {"loss":0.25,"epoch":2} `)
	h.append(1, `{"loss":0.5}`) // the same batch again
	h.play(t, []scenario{
		{name: "all of it", as: "ben", method: "GET", path: "executions/{execution}/metadata/", status: 200, want: []string{`"count":2`, `"value":{"loss":0.5}`, `"number":2`}},
		{name: "what is new", as: "ben", method: "GET", path: "executions/{execution}/metadata/?after=1", status: 200, want: []string{`"epoch":2`}, not: []string{`"loss":0.5`}},
		{name: "not for others", as: "eve", method: "GET", path: "executions/{execution}/metadata/", status: 404},
	})
}
