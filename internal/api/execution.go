package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
	"fairlead.dev/fairlead/internal/wire"
)

// noNetwork is the network of a container that has none.
const noNetwork = "none"

func (d *door) createExecution(ctx context.Context, v *visit, in *struct{ Body wire.NewExecution }) (wire.Execution, error) {
	draft, err := draftOf(in.Body)
	if err != nil {
		return wire.Execution{}, err
	}
	project, err := d.config.Accounts.Project(ctx, v.actor, draft.Project)
	if err != nil {
		return wire.Execution{}, err
	}
	created, err := d.config.Executions.Create(ctx, v.actor, draft)
	if err != nil {
		return wire.Execution{}, renamed(err, "memory", "memory_bytes")
	}
	return d.execution(v, created, project)
}

func draftOf(body wire.NewExecution) (execution.Draft, error) {
	draft := execution.Draft{
		Project: body.Project, Commit: body.Commit, Step: body.Step, Image: body.Image,
		Parameters: make(map[string]valohaiyaml.Value, len(body.Parameters)), Environment: make(map[string]string, len(body.Environment)), Inputs: body.Inputs,
		Title: body.Title, Tags: body.Tags, EnvironmentKey: body.Where, VariableGroups: body.Groups, Priority: body.Priority,
		MemoryBytes: body.MemoryBytes, CPUs: body.CPUs, ShmBytes: body.ShmBytes, NoNetwork: body.Network == noNetwork,
	}
	if body.TimeLimit != nil {
		limit := time.Duration(*body.TimeLimit) * time.Second
		draft.TimeLimit = &limit
	}
	// Clients send null for what nobody gave a value.
	for name, text := range body.Environment {
		var value *string
		if err := json.Unmarshal(text, &value); err != nil {
			return execution.Draft{}, fault.InvalidField("environment_variables", "value", "the value of %.80q is no text", name)
		}
		if value != nil {
			draft.Environment[name] = *value
		}
	}
	for name, text := range body.Parameters {
		if string(text) == "null" {
			continue
		}
		var value valohaiyaml.Value
		if err := json.Unmarshal(text, &value); err != nil {
			return execution.Draft{}, fault.InvalidField("parameters", "value", "the value of %.80q cannot be read", name)
		}
		draft.Parameters[name] = value
	}
	return draft, nil
}

type executionsQuery struct {
	Project  string   `query:"project" doc:"Id, name or OWNER/NAME; absent: of all projects"`
	Status   []string `query:"status,explode" doc:"Only those; incomplete stands for all that are not final"`
	Counter  []int    `query:"counter,explode" doc:"Only those"`
	Creator  string   `query:"creator" doc:"Only those of this user, by id"`
	Deleted  string   `query:"deleted" doc:"true lists none: what is deleted is gone"`
	Ordering string   `query:"ordering" enum:"counter,-counter" doc:"-counter, the newest first, if absent"`
	Page
}

func (d *door) listExecutions(ctx context.Context, v *visit, in *executionsQuery) (list wire.List[wire.Execution], err error) {
	statuses, err := statusesOf(in.Status)
	if err != nil {
		return list, err
	}
	if strings.EqualFold(in.Deleted, "true") {
		return listOf(v, in.Page, []wire.Execution{}, 0), nil
	}
	found, count, err := d.config.Executions.List(ctx, v.actor, in.Project, execution.Filter{
		Statuses: statuses, Counters: in.Counter, CreatedBy: in.Creator, OldestFirst: in.Ordering == "counter", Page: in.rows(),
	})
	if err != nil {
		return list, err
	}
	projects, err := d.config.Accounts.Projects(ctx, v.actor)
	if err != nil {
		return list, err
	}
	byID := make(map[string]account.Project, len(projects))
	for _, project := range projects {
		byID[project.ID] = project
	}
	shown := make([]wire.Execution, len(found))
	for i, e := range found {
		if shown[i], err = d.execution(v, e, byID[e.ProjectID]); err != nil {
			return list, err
		}
	}
	return listOf(v, in.Page, shown, count), nil
}

// incomplete is what clients call all statuses that are not final.
const incomplete = "incomplete"

func statusesOf(names []string) ([]execution.Status, error) {
	known := []execution.Status{
		execution.Created, execution.Queued, execution.Started, execution.Stopping,
		execution.Complete, execution.Error, execution.Stopped, execution.Crashed,
	}
	var statuses []execution.Status
	for _, name := range names {
		switch status := execution.Status(name); {
		case name == incomplete:
			statuses = append(statuses, slices.DeleteFunc(slices.Clone(known), execution.Status.IsFinal)...)
		case slices.Contains(known, status):
			statuses = append(statuses, status)
		default:
			return nil, fault.InvalidField("status", "status_unknown", "%.40q is no status: use %s or one of %s", name, incomplete, fmt.Sprint(known))
		}
	}
	return statuses, nil
}

type executionKey struct {
	Execution string `path:"execution" doc:"Id, PROJECT:COUNTER or PROJECT:latest"`
}

type executionQuery struct {
	Execution string   `path:"execution" doc:"Id, PROJECT:COUNTER or PROJECT:latest"`
	Exclude   []string `query:"exclude" doc:"outputs: leave them out; further names are taken from clients that send them"`
	Include   []string `query:"include" doc:"Taken from clients that send it"`
}

func (d *door) getExecution(ctx context.Context, v *visit, in *executionQuery) (wire.Execution, error) {
	e, project, err := d.config.Executions.Get(ctx, v.actor, in.Execution)
	if err != nil {
		return wire.Execution{}, err
	}
	shown, err := d.execution(v, e, project)
	if err != nil {
		return wire.Execution{}, err
	}
	repository, err := d.config.Projects.Repository(ctx, project)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return wire.Execution{}, err
	}
	shown.Commit.Repository = repository.URL
	if shown.Metadata, err = d.config.Executions.LatestMetadata(ctx, e); err != nil {
		return wire.Execution{}, err
	}
	if slices.Contains(in.Exclude, "outputs") {
		return shown, nil
	}
	data, _, err := d.config.Executions.Data(ctx, v.actor, e.ID, "", execution.Page{Limit: outputsShown})
	shown.Outputs = each(data, v.datum)
	return shown, err
}

// outputsShown is how many outputs an execution shows; the list has all.
const outputsShown = 1000

func (d *door) stopExecution(ctx context.Context, v *visit, in *executionKey) (wire.Execution, error) {
	_, project, err := d.config.Executions.Get(ctx, v.actor, in.Execution)
	if err != nil {
		return wire.Execution{}, err
	}
	stopped, err := d.config.Executions.Stop(ctx, v.actor, in.Execution)
	if err != nil {
		return wire.Execution{}, err
	}
	return d.execution(v, stopped, project)
}

func (d *door) copyExecution(ctx context.Context, v *visit, in *executionKey) (wire.Execution, error) {
	copied, project, err := d.config.Executions.Copy(ctx, v.actor, in.Execution)
	if err != nil {
		return wire.Execution{}, err
	}
	return d.execution(v, copied, project)
}

type newTags struct {
	Execution string `path:"execution" doc:"Id, PROJECT:COUNTER or PROJECT:latest"`
	Body      wire.Tags
}

func (d *door) setTags(ctx context.Context, v *visit, in *newTags) (wire.Execution, error) {
	tagged, project, err := d.config.Executions.SetTags(ctx, v.actor, in.Execution, in.Body.Tags)
	if err != nil {
		return wire.Execution{}, err
	}
	return d.execution(v, tagged, project)
}

func (d *door) deleteExecution(ctx context.Context, v *visit, in *executionKey) error {
	return d.config.Executions.Delete(ctx, v.actor, in.Execution)
}

// execution gives an execution its shape.
func (d *door) execution(v *visit, e execution.Execution, project account.Project) (wire.Execution, error) {
	parameters, err := valuesOf(e.Work.Parameters)
	if err != nil {
		return wire.Execution{}, err
	}
	address := v.resource("executions", e.ID)
	shown := wire.Execution{
		ID: e.ID, Counter: e.Counter, URL: address,
		URLs:    wire.ExecutionURLs{Display: v.origin + "/executions/" + url.PathEscape(e.ID) + "/", Stop: address + "stop/", Copy: address + "copy/"},
		Project: wire.NamedID{ID: project.ID, Name: project.Name}, Commit: wire.CommitName{Identifier: e.Work.Commit},
		Step: e.Work.Step, Image: e.Work.Image, Command: e.Work.Script, Title: e.Title, Tags: orEmpty(e.Tags),
		Parameters: parameters, Inputs: each(e.Work.Inputs, inputOf), Environment: orEmptyMap(e.Work.Environment),
		Priority: e.Priority, Status: string(e.Status), Creator: e.CreatedByName,
		CTime: wire.NewTime(e.CreatedAt), StartTime: wire.NewTime(e.StartedAt), EndTime: wire.NewTime(e.EndedAt),
		Duration: e.Duration(d.config.Now()).Seconds(), Worker: e.Lease.WorkerName,
		ImageDigest: e.ImageDigest, PullReport: e.PullReport,
	}
	if e.Environment.Name != "" {
		shown.Where = &wire.EnvironmentName{ID: e.Environment.ID, Name: e.Environment.Name, Slug: e.Environment.Slug}
	}
	if e.Status.IsFinal() {
		shown.ExitCode = e.Result.ExitCode
		if e.Result.Code != "" {
			shown.Failure = &wire.Failure{Code: e.Result.Code, Message: e.Result.Message}
		}
	}
	return shown, nil
}

func inputOf(input execution.Input) wire.Input {
	return wire.Input{Name: input.Name, URLs: each(input.Files, func(file execution.InputFile) string { return file.URL })}
}

func valuesOf(values map[string]valohaiyaml.Value) (map[string]json.RawMessage, error) {
	texts := make(map[string]json.RawMessage, len(values))
	for name, value := range values {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, fmt.Errorf("showing the parameter %s: %w", name, err)
		}
		texts[name] = text
	}
	return texts, nil
}

// orEmpty and orEmptyMap show as [] and {} what else would be null.
func orEmpty[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}

func orEmptyMap[T any](m map[string]T) map[string]T {
	if m == nil {
		return map[string]T{}
	}
	return m
}
