package storetest

import (
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

// line queues an execution of a project.
func (h *house) line(project account.Project, name string, priority int, environment string) {
	h.Helper()
	draft := h.draftExecution(project, name)
	draft.Priority, draft.Environment.ID = priority, environment
	created, err := h.CreateExecution(h.ctx, draft, nil, event(audit.ExecutionCreate, name))
	h.check(err)
	h.same(priority, created.Priority)
}

// order takes executions of the environment, at most that many, and tells their
// steps. Those before the last two go on running.
func (h *house) order(environment string, count int) []string {
	h.Helper()
	var steps []string
	for range count {
		e, ok, err := h.TakeLease(h.ctx, environment, execution.Lease{
			ID: fmt.Sprintf("lease-%d-%s", len(steps), environment), WorkerID: "w1", WorkerName: "gpu", ExpiresAt: noon.Add(time.Hour),
		}, noon)
		h.check(err)
		if !ok {
			break
		}
		steps = append(steps, e.Work.Step)
	}
	return steps
}

var queue = []sentence{
	{"projects take turns, however many executions one has queued before the others", func(h *house) {
		speech, text := h.project("speech", h.acme), h.project("text", h.acme)
		for i := range 4 {
			h.line(h.vision, fmt.Sprintf("v%d", i), 0, "")
		}
		h.line(speech, "s0", 0, "")
		h.line(speech, "s1", 0, "")
		h.line(text, "t0", 0, "")
		got := h.order("", 10)
		h.same(7, len(got))
		first := map[string]bool{got[0]: true, got[1]: true, got[2]: true}
		h.same(map[string]bool{"v0": true, "s0": true, "t0": true}, first)
		h.same([]string{"v2", "v3"}, got[5:])
	}},
	{"projects take turns too where one execution runs at a time", func(h *house) {
		speech := h.project("speech", h.acme)
		for i := range 3 {
			h.line(h.vision, fmt.Sprintf("v%d", i), 0, "")
			h.line(speech, fmt.Sprintf("s%d", i), 0, "")
		}
		var turns string
		for range 6 {
			turns += h.take("l").Work.Step[:1]
			h.finish("l")
		}
		if turns != "vsvsvs" && turns != "svsvsv" {
			h.Errorf("the turns are %s", turns)
		}
	}},
	{"the project with the fewest running goes first", func(h *house) {
		h.line(h.vision, "v0", 0, "")
		h.line(h.vision, "v1", 0, "")
		h.same([]string{"v0"}, h.order("", 1))
		speech := h.project("speech", h.acme)
		h.line(speech, "s0", 0, "")
		h.same("s0", h.take("l").Work.Step)
	}},
	{"among a project's own the highest priority goes first, and takes no turn from others", func(h *house) {
		speech := h.project("speech", h.acme)
		h.line(speech, "s0", -1, "")
		h.line(h.vision, "late", 0, "")
		h.line(h.vision, "low", -5, "")
		h.line(h.vision, "first", 7, "")
		got := h.order("", 10)
		h.same(true, got[0] == "s0" || got[1] == "s0")
		var own []string
		for _, step := range got {
			if step != "s0" {
				own = append(own, step)
			}
		}
		h.same([]string{"first", "late", "low"}, own)
	}},
	{"a worker takes nothing of another environment", func(h *house) {
		h.line(h.vision, "here", 0, "a")
		h.same(0, len(h.order("b", 1)))
		h.same([]string{"here"}, h.order("a", 2))
	}},
	{"an environment runs as many at once as its limit says", func(h *house) {
		h.check(h.CreateEnvironment(h.ctx, account.Environment{ID: "e1", Name: "gpus", Slug: "gpus", Limit: 2}, event(audit.EnvironmentCreate, "gpus")))
		for i := range 4 {
			h.line(h.vision, fmt.Sprintf("v%d", i), 0, "e1")
		}
		h.same([]string{"v0", "v1"}, h.order("e1", 4))
		h.finish("lease-0-e1")
		h.same([]string{"v2"}, h.order("e1", 4))
	}},
	{"the unfinished are counted by environment and user", func(h *house) {
		h.line(h.vision, "v0", 0, "a")
		h.line(h.vision, "v1", 0, "a")
		h.line(h.vision, "v2", 0, "b")
		h.same([]string{"v0"}, h.order("a", 1))
		counts, err := h.Unfinished(h.ctx, h.ada.ID)
		h.check(err)
		h.same(map[string]int{"a": 2, "b": 1}, counts)
		h.finish("lease-0-a")
		counts, err = h.Unfinished(h.ctx, "")
		h.check(err)
		h.same(map[string]int{"a": 1, "b": 1}, counts)
		counts, err = h.Unfinished(h.ctx, "nobody")
		h.check(err)
		h.same(0, len(counts))
	}},
	{"what waits and what runs is counted by environment, with the age of the oldest that waits", func(h *house) {
		loads, err := h.Loads(h.ctx)
		h.check(err)
		h.same(0, len(loads))
		h.line(h.vision, "v0", 0, "a")
		h.line(h.vision, "v1", 0, "a")
		h.line(h.vision, "v2", 9, "a")
		h.line(h.vision, "v3", 0, "b")
		h.same([]string{"v2"}, h.order("a", 1))
		h.same([]string{"v3"}, h.order("b", 1))
		loads, err = h.Loads(h.ctx)
		h.check(err)
		h.same(map[string]execution.Load{
			"a": {Queued: 2, Running: 1, OldestAt: noon}, "b": {Running: 1},
		}, loads)
		held, err := h.Held(h.ctx, 10)
		h.check(err)
		h.same(2, len(held))
		h.same(execution.Held{
			ExecutionID: held[0].ExecutionID, ProjectID: h.vision.ID, EnvironmentID: "a", Counter: 3, WorkerID: "w1", WorkerName: "gpu", Attempt: 1,
			StartedAt: noon, ExpiresAt: noon.Add(time.Hour),
		}, held[0])
		h.finish("lease-0-a")
		held, err = h.Held(h.ctx, 1)
		h.check(err)
		h.same(1, len(held))
		h.same("b", held[0].EnvironmentID)
	}},
	{"a stop of the lease asks for the end once, and only while it is held", func(h *house) {
		h.queue("one")
		e := h.take("l1")
		for range 2 {
			h.check(h.StopLease(h.ctx, "l1", status("enough")))
		}
		h.same(execution.Stopping, h.load(e.ID).Status)
		h.same([]string{"queued", "enough"}, h.texts(e.ID))
		h.finish("l1")
		h.refused(fault.NotFound, h.StopLease(h.ctx, "l1", nil))
	}},
	{"tags are replaced", func(h *house) {
		created := h.queue("one")
		h.audits(audit.ExecutionTag, 1, func() {
			e, err := h.SetTags(h.ctx, created.ID, []string{"new"}, event(audit.ExecutionTag, "one"))
			h.check(err)
			h.same([]string{"new"}, e.Tags)
		})
		_, err := h.SetTags(h.ctx, created.ID, nil, event(audit.ExecutionTag, "one"))
		h.check(err)
		h.same(0, len(h.load(created.ID).Tags))
	}},
}
