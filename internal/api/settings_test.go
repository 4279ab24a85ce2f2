package api_test

import (
	"crypto/x509"
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/gitfetch/gittest"
	"fairlead.dev/fairlead/internal/wire"
)

// gitToken is what the git host of the tests takes.
const gitToken = "glpat-right0hunter2"

func gitRoots(host *gittest.Host) *x509.CertPool {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(host.CA())
	return roots
}

func TestAProjectRunsCommitsOfTheRepositoryThatItIsLinkedTo(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	first := h.git.Commit(t, "acme/vision", "main", "the first\n\nwith more to say", map[string]string{"ml/valohai.yaml": steps, "train.py": "print(1)"})
	path := h.fill("projects/{project}/")

	h.read(h.request("ada", http.MethodPost, path+"fetch/", nil), http.StatusNotFound, nil)
	var linked wire.Repository
	h.call("ben", http.MethodPut, path+"repository/", map[string]string{
		"url": h.git.URL("acme/vision"), "token": gitToken, "yaml_path": "ml/valohai.yaml",
	}, &linked)
	if linked.Login != "token" || linked.ConfigPath != "ml/valohai.yaml" {
		t.Errorf("linked %+v", linked)
	}
	var fetched wire.Fetched
	h.call("ben", http.MethodPost, path+"fetch/", nil, &fetched)
	if len(fetched.Commits) != 1 || fetched.Commits[0] != (wire.FetchedCommit{Ref: "main", Identifier: first}) {
		t.Fatalf("fetched %+v", fetched)
	}
	h.call("ben", http.MethodPost, path+"fetch/", nil, &fetched)
	if len(fetched.Commits) != 0 {
		t.Errorf("fetched again %+v", fetched)
	}

	// As clients list them, and read the steps.
	var list wire.List[wire.Commit]
	h.call("ben", http.MethodGet, h.fill("commits/?project={project}&adhoc=false&limit=9000"), nil, &list)
	if list.Count != 1 || list.Results[0].Identifier != first || list.Results[0].Adhoc || list.Results[0].Description != "the first" {
		t.Errorf("commits %+v", list)
	}
	var commit wire.Commit
	h.call("ben", http.MethodGet, "commits/"+first+"/?include=config&project="+h.names["project"], nil, &commit)
	if !strings.Contains(string(commit.Config), `"train"`) {
		t.Errorf("config %s", commit.Config)
	}

	// A branch and the beginning of a hash name a commit too, also one that was
	// not fetched yet.
	second := h.git.Commit(t, "acme/vision", "topic", "the second", map[string]string{"train.py": "print(2)"})
	for _, name := range []string{"topic", second[:9], second} {
		var created wire.Execution
		h.call("ben", http.MethodPost, "executions/", wire.NewExecution{Project: h.names["project"], Commit: name, Step: "train"}, &created)
		if created.Commit.Identifier != second {
			t.Errorf("%s runs %s, not %s", name, created.Commit.Identifier, second)
		}
		h.call("ben", http.MethodGet, "executions/"+created.ID+"/", nil, &created)
		if created.Commit.Repository != h.git.URL("acme/vision") {
			t.Errorf("the execution is of the repository %q", created.Commit.Repository)
		}
	}
	lease := h.take()
	if lease.Execution.Commit != second || !strings.HasPrefix(lease.Execution.Package, "~") {
		t.Errorf("the worker gets %s as %s", lease.Execution.Commit, lease.Execution.Package)
	}
	h.read(h.request("worker", http.MethodGet, h.fill("leases/{lease}/package/"), nil), http.StatusOK, nil)

	// Of others nobody learns anything, and the token comes out nowhere.
	h.read(h.request("eve", http.MethodPost, path+"fetch/", nil), http.StatusNotFound, nil)
	h.read(h.request("eve", http.MethodDelete, path+"repository/", nil), http.StatusNotFound, nil)
	var shown json.RawMessage
	h.call("ben", http.MethodGet, path, nil, &shown)
	if strings.Contains(string(shown), gitToken) || strings.Contains(h.log.String(), gitToken) {
		t.Error("the token came out")
	}
	h.read(h.request("ben", http.MethodDelete, path+"repository/", nil), http.StatusNoContent, nil)
	h.read(h.request("ben", http.MethodPost, path+"fetch/", nil), http.StatusNotFound, nil)
	h.call("ben", http.MethodPost, "executions/", wire.NewExecution{Project: h.names["project"], Commit: second, Step: "train"}, &struct{}{})
}

func TestAProjectsVariablesReachItsExecutions(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	path := h.fill("projects/{project}/")
	set := func(name, value string, secret bool) {
		h.call("ben", http.MethodPost, path+"environment_variable/", wire.NewVariable{Name: name, Value: wire.NewPassword(value), Secret: secret}, &struct{}{})
	}
	set("COLOUR", "green", false)
	set("COLOUR", "red", false)
	set("SIZE", "7", false)
	set("WANDB_API_KEY", "wandb-0hunter2", true)
	set("GONE", "x", true)
	h.read(h.request("ben", http.MethodDelete, path+"environment_variable/", strings.NewReader(`{"name":"GONE"}`)), http.StatusNoContent, nil)
	h.read(h.request("ben", http.MethodDelete, path+"environment_variable/?name=GONE", nil), http.StatusNotFound, nil)

	var project wire.Project
	h.call("ben", http.MethodGet, path, nil, &project)
	want := map[string]wire.Variable{"COLOUR": {Value: "red"}, "SIZE": {Value: "7"}, "WANDB_API_KEY": {Secret: true}}
	for name, variable := range want {
		if project.EnvironmentVariables[name] != variable {
			t.Errorf("%s is %+v, not %+v", name, project.EnvironmentVariables[name], variable)
		}
	}
	var created wire.Execution
	h.call("ben", http.MethodPost, "executions/", wire.NewExecution{
		Project: h.names["project"], Commit: h.names["commit"], Step: "train", Environment: wire.Texts(map[string]string{"SIZE": "8"}),
	}, &created)
	if len(created.Environment) != 2 || created.Environment["SIZE"] != "8" || created.Environment["COLOUR"] != "red" {
		t.Errorf("the execution has %v", created.Environment)
	}
	lease := h.take()
	if got := lease.Execution.Secrets["WANDB_API_KEY"].Reveal(); got != "wandb-0hunter2" || len(lease.Execution.Secrets) != 1 {
		t.Errorf("the worker gets %q", got)
	}
	if strings.Contains(h.log.String(), "wandb-0hunter2") {
		t.Error("the secret came out in the log")
	}
}
