package web

import (
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// executionRoutes are the pages of executions and projects.
func (s *site) executionRoutes() {
	s.on("GET /executions/{$}", user, s.listExecutions)
	s.on("GET /executions/{execution}/{$}", user, s.showExecution)
	s.on("GET /executions/{execution}/results/{$}", user, s.showResults)
	s.on("GET /executions/{execution}/log/{$}", user, s.logStream)
	s.on("GET /executions/{execution}/log.txt", user, s.logText)
	s.on("POST /executions/{execution}/stop/{$}", user, s.stopExecution)
	s.on("POST /executions/{execution}/again/{$}", user, s.copyExecution)
	s.on("POST /executions/{execution}/delete/{$}", user, s.deleteExecution)
	s.on("GET /data/{datum}/{$}", user, s.sendDatum)

	s.on("GET /projects/{$}", user, s.listProjects)
	s.on("POST /projects/{$}", user, s.createProject)
	s.on("GET /projects/{project}/{$}", user, s.showProject)
	s.on("GET /projects/{project}/run/{$}", user, s.showRun)
	s.on("POST /projects/{project}/run/{$}", user, s.run)
}

// perPage is how many rows a list shows.
const perPage = 50

// pager leads to what a list does not show.
type pager struct{ Newer, Older, Said string }

// pagerOf is the pager of a list by offset.
func pagerOf(at *url.URL, offset, shown, count int) pager {
	link := func(offset int) string {
		query := at.Query()
		query.Set("offset", strconv.Itoa(offset))
		if offset == 0 {
			query.Del("offset")
		}
		return at.Path + "?" + query.Encode()
	}
	var p pager
	if offset > 0 {
		p.Newer = link(max(0, offset-perPage))
	}
	if offset+shown < count {
		p.Older = link(offset + shown)
	}
	if count > shown {
		p.Said = fmt.Sprintf("%d to %d of %d", offset+1, offset+shown, count)
	}
	return p
}

// offset is where a list begins.
func (v *visit) offset() int {
	offset, err := strconv.Atoi(v.r.URL.Query().Get("offset"))
	if err != nil {
		return 0
	}
	return max(offset, 0)
}

// executionView is an execution as the pages show it.
type executionView struct {
	execution.Execution
	ProjectName string
	Took        time.Duration
	Now         time.Time

	// Final and Waiting are where it is in its life.
	Final, Waiting bool
}

func (v *visit) executionView(e execution.Execution, project string) executionView {
	now := v.site.config.Now()
	return executionView{
		Execution: e, ProjectName: project, Took: e.Duration(now), Now: now,
		Final: e.Status.IsFinal(), Waiting: e.Status == execution.Created || e.Status == execution.Queued,
	}
}

// Good is the class of its state.
func (e executionView) Good() string {
	switch e.Status {
	case execution.Complete:
		return "good"
	case execution.Error, execution.Crashed:
		return "bad"
	case execution.Stopped, execution.Stopping:
		return "warn"
	default:
		return ""
	}
}

// Words are its state for people.
func (e executionView) Words() string {
	switch e.Status {
	case execution.Started:
		return "running"
	case execution.Error:
		return "failed"
	default:
		return string(e.Status)
	}
}

// statusOptions are what a list can be narrowed to.
var statusOptions = []option{
	{"", "Any state"}, {"queued", "Queued"}, {"started", "Running"}, {"complete", "Complete"}, {"error", "Failed"}, {"stopped", "Stopped"}, {"crashed", "Crashed"},
}

type executionsData struct {
	Rows     []executionView
	Pager    pager
	Filter   *form
	Projects []option
	Statuses []option
	Filtered bool
	Here     string // this page's own address, to ask again
}

func (s *site) listExecutions(v *visit) (answer, error) {
	projects, err := s.config.Accounts.Projects(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	query := v.r.URL.Query()
	data := executionsData{
		Filter: &form{values: query}, Statuses: statusOptions, Here: v.r.URL.RequestURI(),
		Projects: append([]option{{"", "All projects"}}, projectOptions(projects)...),
		Filtered: query.Get("project") != "" || query.Get("status") != "" || query.Get("mine") != "",
	}
	filter := execution.Filter{Page: execution.Page{Limit: perPage, Offset: v.offset()}}
	if status := query.Get("status"); status != "" {
		filter.Statuses = []execution.Status{execution.Status(status)}
	}
	if query.Get("mine") != "" {
		filter.CreatedBy = v.actor.UserID
	}
	found, count, err := s.config.Executions.List(v.ctx(), v.actor, query.Get("project"), filter)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(projects))
	for _, p := range projects {
		names[p.ID] = p.Owner.Name + "/" + p.Name
	}
	for _, e := range found {
		data.Rows = append(data.Rows, v.executionView(e, names[e.ProjectID]))
	}
	data.Pager = pagerOf(v.r.URL, filter.Page.Offset, len(found), count)
	return page{file: "executions.html", title: "Executions", data: data}, nil
}

func projectOptions(projects []account.Project) []option {
	options := make([]option, len(projects))
	for i, p := range projects {
		options[i] = option{p.ID, p.Owner.Name + "/" + p.Name}
	}
	return options
}

// executionData is what the page of one execution shows.
type executionData struct {
	executionView
	Project account.Project

	Parameters []setting
	Variables  []setting
	Results    resultsData
}

// setting is a name and its value.
type setting struct{ Name, Value string }

// resultsData is what an execution brought: it comes again when it has ended.
type resultsData struct {
	executionView
	Pull    *waterfall
	Report  *wire.PullReport
	Plots   []plot
	Latest  []setting
	Outputs []execution.Datum
	More    int // outputs that are not shown
}

func (s *site) showExecution(v *visit) (answer, error) {
	e, project, err := s.config.Executions.Get(v.ctx(), v.actor, v.path("execution"))
	if err != nil {
		return nil, err
	}
	data := executionData{executionView: v.executionView(e, project.Owner.Name+"/"+project.Name), Project: project}
	for _, name := range slices.Sorted(maps.Keys(e.Work.Parameters)) {
		data.Parameters = append(data.Parameters, setting{name, e.Work.Parameters[name].String()})
	}
	for _, name := range slices.Sorted(maps.Keys(e.Work.Environment)) {
		data.Variables = append(data.Variables, setting{name, e.Work.Environment[name]})
	}
	for _, name := range e.Work.SecretEnvironment {
		data.Variables = append(data.Variables, setting{name, "***"})
	}
	if data.Results, err = v.results(e, data.executionView); err != nil {
		return nil, err
	}
	return page{file: "execution.html", title: fmt.Sprintf("#%d %s", e.Counter, titleOfExecution(e)), data: data}, nil
}

func titleOfExecution(e execution.Execution) string {
	if e.Title != "" {
		return e.Title
	}
	return e.Work.Step
}

// Name is what the execution is called.
func (e executionView) Name() string { return titleOfExecution(e.Execution) }

const outputsMost = 100

func (v *visit) results(e execution.Execution, shown executionView) (resultsData, error) {
	s, data := v.site, resultsData{executionView: shown}
	if len(e.PullReport) > 0 {
		if report, err := wire.ParsePullReport(e.PullReport); err == nil { // one that makes no sense is not drawn
			data.Report = &report
			if !report.Warm {
				data.Pull = newWaterfall(report)
			}
		}
	}
	told, _, err := s.config.Executions.Metadata(v.ctx(), v.actor, e.ID, 0, 0)
	if err != nil {
		return data, err
	}
	data.Plots, data.Latest = plotsOf(told)
	outputs, count, err := s.config.Executions.Data(v.ctx(), v.actor, e.ID, "", execution.Page{Limit: outputsMost})
	if err != nil {
		return data, err
	}
	data.Outputs, data.More = outputs, count-len(outputs)
	return data, nil
}

// showResults is the part of the page that comes again.
func (s *site) showResults(v *visit) (answer, error) {
	e, project, err := s.config.Executions.Get(v.ctx(), v.actor, v.path("execution"))
	if err != nil {
		return nil, err
	}
	data, err := v.results(e, v.executionView(e, project.Name))
	if err != nil {
		return nil, err
	}
	return part{file: "execution.html", name: "results", data: data}, nil
}

func (s *site) stopExecution(v *visit) (answer, error) {
	e, err := s.config.Executions.Stop(v.ctx(), v.actor, v.path("execution"))
	if err != nil {
		return nil, err
	}
	return seeOther{to: executionPath(e.ID), said: fmt.Sprintf("#%d was told to stop.", e.Counter)}, nil
}

func (s *site) copyExecution(v *visit) (answer, error) {
	e, _, err := s.config.Executions.Copy(v.ctx(), v.actor, v.path("execution"))
	if err != nil {
		return nil, err
	}
	return seeOther{to: executionPath(e.ID), said: fmt.Sprintf("It runs again, as #%d.", e.Counter)}, nil
}

func (s *site) deleteExecution(v *visit) (answer, error) {
	if err := s.config.Executions.Delete(v.ctx(), v.actor, v.path("execution")); err != nil {
		return nil, err
	}
	return seeOther{to: "/executions/", said: "The execution is deleted."}, nil
}

func executionPath(id string) string { return "/executions/" + id + "/" }

// sendDatum gives an output to be saved, never to be shown: it may be anything.
func (s *site) sendDatum(v *visit) (answer, error) {
	datum, err := s.config.Executions.Datum(v.ctx(), v.actor, v.path("datum"))
	if err != nil {
		return nil, err
	}
	if datum.IsPurged() {
		return nil, fault.New(fault.NotFound, "datum_purged", "%s was purged", datum.Name)
	}
	body, err := s.config.Executions.OpenDatum(v.ctx(), datum, 0)
	if err != nil {
		return nil, err
	}
	return stream(func(v *visit) error { return v.download(body, lastPart(datum.Name), datum.Size) }), nil
}

func lastPart(name string) string { return name[strings.LastIndexByte(name, '/')+1:] }

// compact is a value of metadata as one line: as it was written, but for spaces.
func compact(value jsontext.Value) string {
	if value.Kind() == '"' {
		if text, err := jsontext.AppendUnquote(nil, value); err == nil {
			return string(text)
		}
	}
	if value.Compact(jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true)) != nil {
		return "?"
	}
	return string(value)
}
