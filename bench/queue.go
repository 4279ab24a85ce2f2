package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/wire"
)

// What is queued: that many executions of each of so many projects.
const (
	queueProjects = 10
	queueEach     = 100
)

// queue has the server's own worker run a thousand executions of ten projects,
// which were queued project after project before the first of them began. The
// times are those that the server wrote down.
func queue(ctx context.Context, h *house) error {
	letGo, err := h.holdWorker(ctx)
	if err != nil {
		return err
	}
	projects, err := h.fillQueue(ctx)
	if err != nil {
		return err
	}
	if err := letGo(); err != nil {
		return err
	}
	if err := h.untilNone(ctx, "queued"); err != nil {
		return err
	}
	if err := h.untilNone(ctx, "started"); err != nil {
		return err
	}
	var all []wire.Execution
	for _, project := range projects {
		ended, err := h.api.Executions(ctx, project.ID, "", queueEach)
		if err != nil {
			return err
		}
		all = append(all, ended...)
	}
	if len(all) != queueProjects*queueEach {
		return fmt.Errorf("there are %d executions, not %d", len(all), queueProjects*queueEach)
	}
	for _, e := range all {
		if e.Status != "complete" || e.StartTime == nil || e.EndTime == nil {
			return fmt.Errorf("the execution %s is %s: %+v", e.ID, e.Status, e.Failure)
		}
	}
	begin := slices.MinFunc(all, func(a, b wire.Execution) int { return a.StartTime.Compare(b.StartTime.Time) }).StartTime
	end := slices.MaxFunc(all, func(a, b wire.Execution) int { return a.EndTime.Compare(b.EndTime.Time) }).EndTime
	took := end.Sub(begin.Time)
	fmt.Printf("  executions a second: %.1f (limit: at least 10), %d of %d projects in %v, %d at a time\n  largest lead of a project: %d\n",
		float64(len(all))/took.Seconds(), len(all), len(projects), took.Round(time.Millisecond), runtime.NumCPU(), largestLead(all))
	return nil
}

// holdWorker gives the worker steps that stay, as many as it runs at a time,
// which also makes the image warm. letGo ends them.
func (h *house) holdWorker(ctx context.Context) (letGo func() error, err error) {
	commit, err := h.importSteps(ctx, h.project)
	if err != nil {
		return nil, err
	}
	held := make([]wire.Execution, runtime.NumCPU())
	for i := range held {
		if held[i], err = h.api.CreateExecution(ctx, wire.NewExecution{Project: h.project.ID, Commit: commit, Step: "wait"}); err != nil {
			return nil, err
		}
	}
	if err := h.untilNone(ctx, "queued"); err != nil {
		return nil, err
	}
	return func() error {
		var errs []error
		for _, e := range held {
			_, err := h.api.Stop(ctx, e.ID)
			errs = append(errs, err)
		}
		return errors.Join(errs...)
	}, nil
}

// fillQueue makes the projects and queues the executions of one after those of
// the other.
func (h *house) fillQueue(ctx context.Context) ([]wire.Project, error) {
	var projects []wire.Project
	for i := range queueProjects {
		project, err := h.api.CreateProject(ctx, wire.NewProject{Name: fmt.Sprintf("queue-%d", i), Owner: "main"})
		if err != nil {
			return nil, err
		}
		commit, err := h.importSteps(ctx, project)
		if err != nil {
			return nil, err
		}
		for range queueEach {
			if _, err := h.api.CreateExecution(ctx, wire.NewExecution{Project: project.ID, Commit: commit, Step: "nothing"}); err != nil {
				return nil, err
			}
		}
		projects = append(projects, project)
	}
	return projects, nil
}

// importSteps uploads the steps to a project and gives the commit.
func (h *house) importSteps(ctx context.Context, project wire.Project) (string, error) {
	var packed bytes.Buffer
	if _, err := source.Pack(ctx, filepath.Join(h.dir, "project"), &packed, source.Options{}); err != nil {
		return "", err
	}
	commit, err := h.api.ImportPackage(ctx, project.ID, "bench", "", &packed)
	return commit.Identifier, err
}

// untilNone waits until no execution has the status. It looks seldom, so that
// looking takes nothing from what is measured.
func (h *house) untilNone(ctx context.Context, status string) error {
	again := time.NewTicker(time.Second)
	defer again.Stop()
	for {
		found, err := h.api.Executions(ctx, "", status, 1)
		if err != nil || len(found) == 0 {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-again.C:
		}
	}
}

// largestLead is how many executions of one project had ended, at the most, more
// than of another one, while both had queued ones. A queue that is fair to
// projects keeps it near what runs at a time; the oldest first makes it as large
// as what one project has queued.
func largestLead(all []wire.Execution) int {
	type change struct {
		at           time.Time
		project      string
		left, endeds int
	}
	var changes []change
	queued, ended := make(map[string]int), make(map[string]int)
	for _, e := range all {
		queued[e.Project.ID]++
		changes = append(changes,
			change{at: e.StartTime.Time, project: e.Project.ID, left: 1},
			change{at: e.EndTime.Time, project: e.Project.ID, endeds: 1})
	}
	slices.SortStableFunc(changes, func(a, b change) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.endeds, b.endeds)) })
	largest := 0
	for _, c := range changes {
		queued[c.project] -= c.left
		ended[c.project] += c.endeds
		least, most := len(all), 0
		for project, n := range queued {
			if n > 0 {
				least, most = min(least, ended[project]), max(most, ended[project])
			}
		}
		largest = max(largest, most-least)
	}
	return largest
}
