package storetest

import (
	"encoding/json"
	"fmt"
	"slices"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func status(text string) []execution.Line {
	return []execution.Line{{Time: noon, Stream: execution.StatusStream, Text: text}}
}

func (h *house) draftExecution(project account.Project, name string) execution.Execution {
	return execution.Execution{
		ID: "execution-" + name, ProjectID: project.ID, Title: "about " + name, Tags: []string{"a", "b"},
		Work: execution.Work{
			Step: name, Commit: "~abc", Image: "ghcr.io/acme/train:v1", Commands: []string{"echo 1", "echo 2"}, Script: "echo 1\necho 2",
			Environment: map[string]string{"A": "b"}, TimeLimit: time.Minute, MemoryBytes: 1 << 30, CPUs: 0.5, NoNetwork: true,
		},
		CreatedBy: h.ada.ID, CreatedByName: "ada", Status: execution.Queued, CreatedAt: noon,
	}
}

// queue queues an execution of vision.
func (h *house) queue(name string) execution.Execution {
	h.Helper()
	created, err := h.CreateExecution(h.ctx, h.draftExecution(h.vision, name), status("queued"), event(audit.ExecutionCreate, name))
	h.check(err)
	return created
}

// take takes the next execution under the lease.
func (h *house) take(lease string) execution.Execution {
	h.Helper()
	e, ok, err := h.TakeLease(h.ctx, "", execution.Lease{
		ID: lease, WorkerID: "w1", WorkerName: "gpu", ExpiresAt: noon.Add(15 * time.Second),
	}, noon.Add(time.Second))
	h.check(err)
	h.same(true, ok)
	return e
}

// finish ends the execution of that lease.
func (h *house) finish(lease string) {
	h.Helper()
	h.check(h.FinishLease(h.ctx, lease, noon.Add(time.Minute), execution.Result{Status: execution.Complete}, nil))
}

func (h *house) load(id string) execution.Execution {
	h.Helper()
	e, err := h.ExecutionByID(h.ctx, id)
	h.check(err)
	return e
}

// texts are the lines of the whole log.
func (h *house) texts(id string) []string {
	h.Helper()
	lines, err := h.ReadLog(h.ctx, id, 0, 1000)
	h.check(err)
	var texts []string
	for _, line := range lines {
		texts = append(texts, line.Text)
	}
	return texts
}

var commits = []sentence{
	{"a commit is kept once, and audited once", func(h *house) {
		commit := execution.Commit{
			ProjectID: h.vision.ID, Identifier: "~abc", Description: "first", CreatedAt: noon,
			Config: "- step: {}", ConfigPath: "valohai.yaml", Size: 77,
		}
		h.audits(audit.CommitImport, 1, func() {
			together(8, func(int) {
				if _, err := h.CreateCommit(h.ctx, commit, event(audit.CommitImport, "~abc")); err != nil {
					h.Error(err)
				}
			})
		})
		again := commit
		again.Description = "second"
		added, err := h.CreateCommit(h.ctx, again, event(audit.CommitImport, "~abc"))
		h.check(err)
		h.same(false, added)
		got, err := h.CommitByIdentifier(h.ctx, h.vision.ID, "~abc")
		h.check(err)
		h.same(commit, got)
	}},
	{"commits are a project's, newest first, without their config", func(h *house) {
		speech := h.project("speech", h.acme)
		for i := range 4 {
			project := []string{h.vision.ID, speech.ID}[i/3]
			_, err := h.CreateCommit(h.ctx, execution.Commit{ProjectID: project, Identifier: fmt.Sprint("~", i), Config: "x"}, event(audit.CommitImport, ""))
			h.check(err)
		}
		got, count, err := h.Commits(h.ctx, h.vision.ID, "", execution.Page{Limit: 2, Offset: 1})
		h.check(err)
		h.same(3, count)
		h.same([]execution.Commit{{ProjectID: h.vision.ID, Identifier: "~1"}, {ProjectID: h.vision.ID, Identifier: "~0"}}, got)
		_, err = h.CommitByIdentifier(h.ctx, h.vision.ID, "~3")
		h.refused(fault.NotFound, err)
	}},
}

var executions = []sentence{
	{"the images of an organisation's newest executions come each once, the newest first", func(h *house) {
		speech, other := h.project("speech", h.acme), h.project("other", h.organization("other", h.user("eve")))
		run := func(project account.Project, name, image string) {
			draft := h.draftExecution(project, name)
			draft.Work.Image = image
			_, err := h.CreateExecution(h.ctx, draft, nil, event(audit.ExecutionCreate, name))
			h.check(err)
		}
		for i, image := range []string{"old", "a", "b", "a", "c"} {
			run(h.vision, fmt.Sprint("v", i), image)
		}
		run(speech, "s0", "b")
		run(speech, "s1", "d")
		run(other, "o0", "hidden")
		all, err := h.RecentImages(h.ctx, h.acme.ID, 10, 10)
		h.check(err)
		h.same([]string{"d", "b", "c", "a", "old"}, all)
		each, err := h.RecentImages(h.ctx, h.acme.ID, 10, 2)
		h.check(err)
		h.same([]string{"d", "b", "c", "a"}, each)
		latest, err := h.RecentImages(h.ctx, h.acme.ID, 1, 10)
		h.check(err)
		h.same([]string{"d", "b"}, latest)
	}},
	{"an execution comes back as it was stored, with its counter and first lines", func(h *house) {
		want := h.draftExecution(h.vision, "train")
		want.Work.Parameters = map[string]valohaiyaml.Value{"rate": valohaiyaml.FloatValue(3), "epochs": valohaiyaml.IntValue(3)}
		h.audits(audit.ExecutionCreate, 1, func() {
			created, err := h.CreateExecution(h.ctx, want, status("queued"), event(audit.ExecutionCreate, "train"))
			h.check(err)
			h.same(1, created.Counter)
		})
		got := h.load(want.ID)
		h.same("3.0", got.Work.Parameters["rate"].String())
		h.same("3", got.Work.Parameters["epochs"].String())
		want.Counter, want.Work.Parameters, got.Work.Parameters = 1, nil, nil
		h.same(want, got)
		h.same([]string{"queued"}, h.texts(want.ID))
	}},
	{"a hundred at once are numbered without a gap", func(h *house) {
		var mu sync.Mutex
		var counters []int
		together(100, func(i int) {
			e, err := h.CreateExecution(h.ctx, h.draftExecution(h.vision, fmt.Sprint(i)), nil, event(audit.ExecutionCreate, ""))
			if err != nil {
				h.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			counters = append(counters, e.Counter)
		})
		slices.Sort(counters)
		for i, counter := range counters {
			h.same(i+1, counter)
		}
	}},
	{"one that is refused takes no number", func(h *house) {
		h.queue("a")
		_, err := h.CreateExecution(h.ctx, h.draftExecution(h.vision, "a"), nil, event(audit.ExecutionCreate, "a"))
		h.refused(fault.Conflict, err)
		h.same(2, h.queue("b").Counter)
		ghost := h.draftExecution(h.vision, "c")
		ghost.ProjectID = "none"
		_, err = h.CreateExecution(h.ctx, ghost, nil, event(audit.ExecutionCreate, "c"))
		h.refused(fault.NotFound, err)
	}},
	{"it is found by its counter, and 0 is the latest", func(h *house) {
		first, second := h.queue("a"), h.queue("b")
		got, err := h.ExecutionByCounter(h.ctx, h.vision.ID, 1)
		h.check(err)
		h.same(first.ID, got.ID)
		got, err = h.ExecutionByCounter(h.ctx, h.vision.ID, 0)
		h.check(err)
		h.same(second.ID, got.ID)
		_, err = h.ExecutionByCounter(h.ctx, h.vision.ID, 3)
		h.refused(fault.NotFound, err)
		_, err = h.ExecutionByID(h.ctx, "none")
		h.refused(fault.NotFound, err)
	}},
	{"a list is narrowed, ordered and paged", func(h *house) {
		speech := h.project("speech", h.acme)
		for _, name := range []string{"v1", "v2", "v3"} {
			h.queue(name)
		}
		h.take("l1")
		_, err := h.CreateExecution(h.ctx, h.draftExecution(speech, "s1"), nil, event(audit.ExecutionCreate, ""))
		h.check(err)
		both := []string{h.vision.ID, speech.ID}
		for _, test := range []struct {
			filter execution.Filter
			want   []string
			count  int
		}{
			{execution.Filter{ProjectIDs: both}, []string{"s1", "v3", "v2", "v1"}, 4},
			{execution.Filter{ProjectIDs: both, OldestFirst: true}, []string{"v1", "s1", "v2", "v3"}, 4},
			{execution.Filter{ProjectIDs: both[:1], Page: execution.Page{Limit: 1, Offset: 1}}, []string{"v2"}, 3},
			{execution.Filter{ProjectIDs: both, Statuses: []execution.Status{execution.Started, execution.Stopped}}, []string{"v1"}, 1},
			{execution.Filter{ProjectIDs: both, Counters: []int{1, 3}}, []string{"s1", "v3", "v1"}, 3},
			{execution.Filter{ProjectIDs: both[:1], CreatedBy: h.ada.ID}, []string{"v3", "v2", "v1"}, 3},
			{execution.Filter{ProjectIDs: both, CreatedBy: "nobody"}, nil, 0},
			{execution.Filter{ProjectIDs: both, CreatedBy: h.ada.ID, Statuses: []execution.Status{execution.Queued}, Page: execution.Page{Limit: 2, Offset: 1}}, []string{"v3", "v2"}, 3},
			{execution.Filter{ProjectIDs: both, Page: execution.Page{Limit: 2, Offset: 3}}, []string{"v1"}, 4},
			{execution.Filter{ProjectIDs: both, Page: execution.Page{Limit: 2, Offset: 4}}, nil, 4},
			{execution.Filter{ProjectIDs: both, OldestFirst: true, Page: execution.Page{Limit: 2, Offset: 1}}, []string{"s1", "v2"}, 4},
			{execution.Filter{ProjectIDs: append(both, "none"), Counters: []int{2}, Page: execution.Page{Limit: 1}}, []string{"v2"}, 1},
			{execution.Filter{}, nil, 0},
		} {
			if test.filter.Page.Limit == 0 {
				test.filter.Page.Limit = 100
			}
			found, count, err := h.Executions(h.ctx, test.filter)
			h.check(err)
			var got []string
			for _, e := range found {
				got = append(got, e.Work.Step)
			}
			h.same(test.want, got)
			h.same(test.count, count)
		}
		counts, err := h.CountByStatus(h.ctx, h.vision.ID)
		h.check(err)
		h.same(map[execution.Status]int{execution.Queued: 2, execution.Started: 1}, counts)
	}},
	{"only what has ended can be deleted, and its log goes with it", func(h *house) {
		e := h.queue("a")
		h.refused(fault.Conflict, h.DeleteExecution(h.ctx, e.ID, event(audit.ExecutionDelete, "a")))
		h.take("l1")
		h.finish("l1")
		h.audits(audit.ExecutionDelete, 1, func() { h.check(h.DeleteExecution(h.ctx, e.ID, event(audit.ExecutionDelete, "a"))) })
		_, err := h.ExecutionByID(h.ctx, e.ID)
		h.refused(fault.NotFound, err)
		_, err = h.LogLength(h.ctx, e.ID)
		h.refused(fault.NotFound, err)
		_, err = h.ReadLog(h.ctx, e.ID, 0, 10)
		h.refused(fault.NotFound, err)
		h.refused(fault.NotFound, h.DeleteExecution(h.ctx, e.ID, event(audit.ExecutionDelete, "a")))
		h.same(2, h.queue("b").Counter)
	}},
	{"a queued one is stopped at once", func(h *house) {
		e := h.queue("a")
		h.audits(audit.ExecutionStop, 1, func() {
			stopped, err := h.RequestStop(h.ctx, e.ID, noon.Add(time.Minute), status("stopped by ada"), event(audit.ExecutionStop, "a"))
			h.check(err)
			h.same(execution.Stopped, stopped.Status)
			h.same(execution.Stopped, stopped.Result.Status)
			h.same(noon.Add(time.Minute), stopped.EndedAt)
			h.same(stopped, h.load(e.ID))
		})
		h.same([]string{"queued", "stopped by ada"}, h.texts(e.ID))
		_, ok, err := h.TakeLease(h.ctx, "", execution.Lease{ID: "l1"}, noon)
		h.check(err)
		h.same(false, ok)
		_, err = h.RequestStop(h.ctx, e.ID, noon, nil, event(audit.ExecutionStop, "a"))
		h.refused(fault.Conflict, err)
		_, err = h.RequestStop(h.ctx, "none", noon, nil, event(audit.ExecutionStop, "a"))
		h.refused(fault.NotFound, err)
	}},
	{"a started one is stopping, and asking again changes nothing", func(h *house) {
		e := h.queue("a")
		h.take("l1")
		h.audits(audit.ExecutionStop, 1, func() {
			for range 2 {
				stopping, err := h.RequestStop(h.ctx, e.ID, noon.Add(time.Minute), status("stopped by ada"), event(audit.ExecutionStop, "a"))
				h.check(err)
				h.same(execution.Stopping, stopping.Status)
				h.same("l1", stopping.Lease.ID)
				h.same(time.Time{}, stopping.EndedAt)
			}
		})
		h.same([]string{"queued", "stopped by ada"}, h.texts(e.ID))
	}},
}

var leases = []sentence{
	{"the oldest is taken first, with the lease and one attempt more", func(h *house) {
		first, second := h.queue("a"), h.queue("b")
		got := h.take("l1")
		want := first
		want.Status, want.StartedAt = execution.Started, noon.Add(time.Second)
		want.Lease = execution.Lease{ID: "l1", WorkerID: "w1", WorkerName: "gpu", Attempt: 1, ExpiresAt: noon.Add(15 * time.Second)}
		h.same(want, got)
		byLease, err := h.ExecutionByLease(h.ctx, "l1")
		h.check(err)
		h.same(want, byLease)
		h.same(second.ID, h.take("l2").ID)
		_, ok, err := h.TakeLease(h.ctx, "", execution.Lease{ID: "l3"}, noon)
		h.check(err)
		h.same(false, ok)
	}},
	{"no two takers get the same execution", func(h *house) {
		const count = 60
		for i := range count {
			h.queue(fmt.Sprint(i))
		}
		var mu sync.Mutex
		taken := make(map[string]int)
		together(16, func(taker int) {
			for n := 0; ; n++ {
				e, ok, err := h.TakeLease(h.ctx, "", execution.Lease{ID: fmt.Sprint(taker, "/", n), ExpiresAt: noon}, noon)
				if err != nil {
					h.Error(err)
				}
				if !ok {
					return
				}
				mu.Lock()
				taken[e.ID]++
				mu.Unlock()
			}
		})
		h.same(count, len(taken))
		for id, times := range taken {
			if times != 1 {
				h.Errorf("%s was taken %d times", id, times)
			}
		}
	}},
	{"a lease that is not the present one is worth nothing", func(h *house) {
		e := h.queue("a")
		h.take("old")
		h.check(h.RequeueLease(h.ctx, "old", status("lost")))
		h.take("new")
		for _, lease := range []string{"old", "none", ""} {
			_, err := h.ExecutionByLease(h.ctx, lease)
			h.refused(fault.NotFound, err)
			_, err = h.RenewLease(h.ctx, lease, noon)
			h.refused(fault.NotFound, err)
			h.refused(fault.NotFound, h.NoteImage(h.ctx, lease, "sha256:1", nil))
			h.refused(fault.NotFound, h.AppendLog(h.ctx, lease, 1, status("late")))
			h.refused(fault.NotFound, h.RequeueLease(h.ctx, lease, status("late")))
			h.refused(fault.NotFound, h.FinishLease(h.ctx, lease, noon, execution.Result{Status: execution.Complete}, status("late")))
		}
		h.same([]string{"queued", "lost"}, h.texts(e.ID))
		h.same(execution.Started, h.load(e.ID).Status)
	}},
	{"a renewed lease ends later", func(h *house) {
		h.queue("a")
		h.take("l1")
		until := noon.Add(time.Hour)
		e, err := h.RenewLease(h.ctx, "l1", until)
		h.check(err)
		h.same(until, e.Lease.ExpiresAt)
		h.same(e, h.load(e.ID))
	}},
	{"the image is noted, and its report where there is one", func(h *house) {
		e := h.queue("a")
		h.take("l1")
		h.check(h.NoteImage(h.ctx, "l1", "sha256:1", json.RawMessage(`{"bytes": 1}`)))
		h.check(h.NoteImage(h.ctx, "l1", "sha256:2", nil))
		got := h.load(e.ID)
		h.same("sha256:2", got.ImageDigest)
		h.same(`{"bytes": 1}`, string(got.PullReport))
	}},
	{"a finished one has its result, its last lines and no lease", func(h *house) {
		e := h.queue("a")
		h.take("l1")
		code := 137
		result := execution.Result{Status: execution.Error, ExitCode: &code, Code: "out_of_memory", Message: "it had no memory left"}
		h.check(h.FinishLease(h.ctx, "l1", noon.Add(time.Minute), result, status("failed")))
		got := h.load(e.ID)
		h.same(execution.Error, got.Status)
		h.same(result, got.Result)
		h.same(noon.Add(time.Minute), got.EndedAt)
		h.same(execution.Lease{WorkerID: "w1", WorkerName: "gpu", Attempt: 1}, got.Lease) // who held it last is still told
		h.same([]string{"queued", "failed"}, h.texts(e.ID))
		_, err := h.ExecutionByLease(h.ctx, "l1")
		h.refused(fault.NotFound, err)
	}},
	{"what is given back keeps its place in the queue and its first start", func(h *house) {
		first, second := h.queue("a"), h.queue("b")
		started := h.take("l1").StartedAt
		h.check(h.AppendLog(h.ctx, "l1", 5, status("one")))
		h.check(h.RequeueLease(h.ctx, "l1", status("lost")))
		got := h.load(first.ID)
		h.same(execution.Queued, got.Status)
		h.same(execution.Lease{WorkerID: "w1", WorkerName: "gpu", Attempt: 1}, got.Lease) // who held it last is still told
		again, ok, err := h.TakeLease(h.ctx, "", execution.Lease{ID: "l2", ExpiresAt: noon}, noon.Add(time.Hour))
		h.check(err)
		h.same(true, ok)
		h.same(first.ID, again.ID)
		h.same(2, again.Lease.Attempt)
		h.same(int64(0), again.Lease.Batch)
		h.same(started, again.StartedAt)
		h.check(h.AppendLog(h.ctx, "l2", 1, status("two")))
		h.same([]string{"queued", "one", "lost", "two"}, h.texts(first.ID))
		h.same(second.ID, h.take("l3").ID)
	}},
	{"one that was asked to stop does not go back to the queue", func(h *house) {
		e := h.queue("a")
		h.take("l1")
		_, err := h.RequestStop(h.ctx, e.ID, noon, nil, event(audit.ExecutionStop, "a"))
		h.check(err)
		h.refused(fault.Conflict, h.RequeueLease(h.ctx, "l1", status("lost")))
		got := h.load(e.ID)
		h.same(execution.Stopping, got.Status)
		h.same("l1", got.Lease.ID)
		h.check(h.FinishLease(h.ctx, "l1", noon, execution.Result{Status: execution.Stopped}, nil))
	}},
	{"lapsed leases are those that ended before, the longest ago first", func(h *house) {
		for i := range 4 {
			e := h.queue(fmt.Sprint(i))
			h.take(e.ID)
			_, err := h.RenewLease(h.ctx, e.ID, noon.Add(time.Duration(4-i)*time.Second))
			h.check(err)
		}
		h.finish("execution-3")
		lapsed, err := h.LapsedLeases(h.ctx, noon.Add(4*time.Second), 10)
		h.check(err)
		var got []string
		for _, e := range lapsed {
			got = append(got, e.ID)
		}
		h.same([]string{"execution-2", "execution-1"}, got)
		lapsed, err = h.LapsedLeases(h.ctx, noon.Add(time.Hour), 1)
		h.check(err)
		h.same(1, len(lapsed))
	}},
	{"a restart keeps everything", func(h *house) {
		queued := h.queue("a")
		h.take("l1")
		h.check(h.AppendLog(h.ctx, "l1", 3, status("one")))
		h.check(h.NoteImage(h.ctx, "l1", "sha256:1", json.RawMessage(`{}`)))
		credential := h.credential("hub")
		before, generation := h.load(queued.ID), h.generation()
		h.restart()
		h.same(before, h.load(queued.ID))
		h.same(generation, h.generation())
		h.same([]string{"queued", "one"}, h.texts(queued.ID))
		got, err := h.CredentialByID(h.ctx, credential.ID)
		h.check(err)
		h.same(credential, got)
		h.check(h.AppendLog(h.ctx, "l1", 3, status("again")))
		h.check(h.AppendLog(h.ctx, "l1", 4, status("two")))
		h.same([]string{"queued", "one", "two"}, h.texts(queued.ID))
		h.same(2, h.queue("b").Counter)
		h.same(true, h.organization("beta", h.ada).ID > h.acme.ID)
	}},
}
