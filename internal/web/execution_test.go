package web_test

import (
	"bufio"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/execution"
)

func TestAStepIsRunFromItsForm(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("ben")
	v.get("/executions/").wants(t, http.StatusOK, "Nothing has run yet", "fairlead run STEP")
	h.furnish()
	form := v.get("/projects/" + h.project.ID + "/run/?commit=" + url.QueryEscape(h.commit.Identifier))
	form.wants(t, http.StatusOK, "epochs", "fast")
	if value := attribute(form.byID("parameters.epochs"), "value"); value != "5" {
		t.Errorf("epochs begins with %q", value)
	}
	fields := url.Values{"commit": {h.commit.Identifier}, "step": {"train"}, "parameters.epochs": {"many"}, "title": {"My run"}}
	refused := v.post("/projects/"+h.project.ID+"/run/", fields)
	refused.wants(t, http.StatusUnprocessableEntity)
	if problem := refused.wordsOf("parameters.epochs-problem"); !strings.Contains(problem, "many") {
		t.Errorf("beside the field: %q", problem)
	}
	if title := attribute(refused.byID("title"), "value"); title != "My run" {
		t.Errorf("the title became %q", title)
	}
	fields.Set("parameters.epochs", "7")
	fields.Set("parameters.fast", "yes")
	made := v.post("/projects/"+h.project.ID+"/run/", fields)
	made.wants(t, http.StatusOK, "#1 was put into the queue.", "My run", "registry.acme.example/ml/train:v1", "python train.py --epochs=7 --fast")
	v.get("/executions/").wants(t, http.StatusOK, "My run", "queued", "acme/vision", "ben")
}

func TestALogIsFollowedInColoursAndGoesOnWhereItBrokeOff(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	v := h.visitor("ben")
	e := h.run()
	lease := h.take()
	h.log(lease, 1, execution.StatusStream, "Pulling image: x", "Layer 1f2e3d4c5b6a: downloading 1.0 MB of 4.2 MB")
	h.log(lease, 2, execution.Stdout, "\x1b[1;31mred", "still red\x1b[0m <b>not bold</b>", "::group::Epoch 1", "\x1b]0;title\x07", "::endgroup::")
	zero := 0
	h.finish(lease, execution.Result{Status: execution.Complete, ExitCode: &zero})

	log := v.get("/executions/" + e.ID + "/log/")
	for _, want := range []string{
		"event: lines", "id: 7", `data-layer="1f2e3d4c5b6a" data-phase="downloading" data-done="1000000" data-total="4200000"`,
		`<span class="f1 bo">red</span>`, `<span class="f1 bo">still red</span> &lt;b&gt;not bold&lt;/b&gt;`,
		`data-fold="Epoch 1"`, `data-unfold="yes"`, `<span class="esc">\x1b</span>]0;title`, "event: state", "complete", "event: end",
	} {
		if !strings.Contains(log.text, want) {
			t.Errorf("the log has no %s:\n%s", want, log.text)
		}
	}
	rest := v.do(http.MethodGet, "/executions/"+e.ID+"/log/", nil, "Last-Event-ID", "5")
	if strings.Contains(rest.text, "red") || !strings.Contains(rest.text, "title") {
		t.Errorf("after line 5 comes\n%s", rest.text)
	}
	v.get("/executions/"+e.ID+"/log.txt").wants(t, http.StatusOK, "stdout still red", "status Pulling image: x")
}

func TestALogThatGoesOnIsToldAsItComes(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	v := h.visitor("ben")
	e := h.run()
	lease := h.take()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, h.server.URL+"/executions/"+e.ID+"/log/", nil)
	h.must(err)
	response, err := v.client.Do(request)
	h.must(err)
	defer response.Body.Close()
	if kind := response.Header.Get("Content-Type"); kind != "text/event-stream" {
		t.Fatalf("it is %s", kind)
	}
	scanner := bufio.NewScanner(response.Body)
	until := func(text string) {
		t.Helper()
		for scanner.Scan() {
			if strings.Contains(scanner.Text(), text) {
				return
			}
		}
		t.Fatalf("it ended before %q: %v", text, scanner.Err())
	}
	until("event: state")
	h.log(lease, 1, execution.Stdout, "first words")
	until("first words")
	_, err = h.executions.Stop(t.Context(), h.actors["ben"], e.ID)
	h.must(err)
	until("stopping")
	h.finish(lease, execution.Result{Status: execution.Stopped})
	until("event: end")
}

func TestAFailedPullSaysWhyAndWhereItsTimeWent(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	v := h.visitor("ben")
	e := h.run()
	lease := h.take()
	h.must(h.dispatch.NoteImage(t.Context(), h.actors["worker"], lease, "", []byte(`{"sentence":"Pull not finished after 2 s","unfinished":true,
		"total_seconds":2,"token_spans":[{"begin_seconds":0,"end_seconds":0.5}],"layers":[{"digest":"sha256:0123456789abcdef","size_bytes":1000,
		"from":"registry","failed":true,"requested_at_seconds":0.5,"first_byte_at_seconds":1}]}`)))
	h.finish(lease, execution.Result{Status: execution.Error, Code: "pull_denied", Message: "registry.acme.example knows robot, who may not pull <ml/train>"})
	s := v.get("/executions/" + e.ID + "/")
	s.wants(t, http.StatusOK, "failed", "who may not pull <ml/train>", "Pull not finished after 2 s", "0123456789ab", "The pull failed by the layer that is marked.")
	if !strings.Contains(s.text, `<rect class="wait" x="25.00%" y="2" width="25.00%"`) {
		t.Errorf("the wait is not drawn: %s", s.text)
	}
}

func TestWhatAnExecutionToldIsDrawnAndItsOutputsCanBeSaved(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	v := h.visitor("ben")
	e := h.run()
	lease := h.take()
	h.log(lease, 1, execution.Stdout, `{"loss": 0.9, "note": "warm"}`, `{"loss": 0.4}`, `{"loss": 0.5}`)
	held, err := h.dispatch.Held(t.Context(), h.actors["worker"], lease)
	h.must(err)
	_, err = h.executions.AddOutput(t.Context(), h.actors["worker"], held, "models/best <1>.bin", strings.NewReader("weights"))
	h.must(err)
	zero := 0
	h.finish(lease, execution.Result{Status: execution.Complete, ExitCode: &zero})
	s := v.get("/executions/" + e.ID + "/")
	s.wants(t, http.StatusOK, "0.4 to 0.9 in 3 values, last 0.5", "note", "warm", "models/best <1>.bin", "7 B")
	if !strings.Contains(s.text, `points="0.0,0.0 160.0,110.0 320.0,88.0"`) {
		t.Errorf("the line is not drawn: %s", s.text)
	}
	var link string
	for node := range s.root.Descendants() {
		if to := attribute(node, "href"); strings.HasPrefix(to, "/data/") {
			link = to
		}
	}
	file := v.get(link)
	if file.text != "weights" || file.header.Get("Content-Disposition") != `attachment; filename="best <1>.bin"` {
		t.Errorf("%q %v", file.text, file.header)
	}
	h.visitor("eve").get(link).wants(t, http.StatusNotFound)
}

func TestAnotherOrganisationsExecutionsAreNotThere(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	e := h.run()
	eve := h.visitor("eve")
	for _, path := range []string{
		"/executions/" + e.ID + "/", "/executions/" + e.ID + "/log/", "/executions/" + e.ID + "/log.txt", "/executions/" + e.ID + "/results/",
		"/projects/" + h.project.ID + "/", "/projects/" + h.project.ID + "/run/?commit=" + url.QueryEscape(h.commit.Identifier),
	} {
		eve.get(path).wants(t, http.StatusNotFound)
	}
	for _, action := range []string{"stop", "again", "delete"} {
		eve.post("/executions/"+e.ID+"/"+action+"/", url.Values{}).wants(t, http.StatusNotFound)
	}
	if strings.Contains(eve.get("/executions/").words(), "vision") {
		t.Error("eve sees the project")
	}
}

func TestAnExecutionIsStoppedRunAgainAndDeleted(t *testing.T) {
	h := newHouse(t)
	h.furnish()
	v := h.visitor("ben")
	e := h.run()
	v.post("/executions/"+e.ID+"/stop/", url.Values{}).wants(t, http.StatusOK, "#1 was told to stop.", "stopped")
	again := v.htmx("/executions/"+e.ID+"/again/", url.Values{})
	if to := again.header.Get("HX-Redirect"); !strings.HasPrefix(to, "/executions/") {
		t.Errorf("htmx is led to %q", to)
	}
	v.get("/executions/?status=queued").wants(t, http.StatusOK, "#2")
	v.post("/executions/"+e.ID+"/delete/", url.Values{}).wants(t, http.StatusOK, "The execution is deleted.")
	v.get("/executions/"+e.ID+"/").wants(t, http.StatusNotFound)
}

func TestAProjectIsMadeAndAWrongNameLosesNothing(t *testing.T) {
	h := newHouse(t)
	v := h.visitor("ben")
	v.get("/projects/").wants(t, http.StatusOK, "There is no project yet")
	refused := v.htmx("/projects/", url.Values{"name": {""}, "owner": {"acme"}, "description": {"words"}})
	refused.wants(t, http.StatusUnprocessableEntity)
	if problem := refused.wordsOf("name-problem"); problem == "" {
		t.Errorf("no message beside the name: %s", refused.text)
	}
	v.post("/projects/", url.Values{"name": {"speech"}, "owner": {"acme"}}).wants(t, http.StatusOK, "speech", "Nothing has run in this project yet")
	v.post("/projects/", url.Values{"name": {"mine"}, "owner": {""}}).wants(t, http.StatusOK, "it can never use an organisation's registry credentials")
}
