package web

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

type projectsData struct {
	Projects []account.Project
	Owners   []option
}

// ownerOptions are who may own a new project.
func (v *visit) ownerOptions() []option {
	var options []option
	for _, m := range v.organizations {
		options = append(options, option{m.Organization.Name, m.Organization.Name})
	}
	return append(options, option{"", v.actor.Username + " (personal: no registry credentials)"})
}

func (s *site) projectsPage(v *visit) (page, error) {
	projects, err := s.config.Accounts.Projects(v.ctx(), v.actor)
	if err != nil {
		return page{}, err
	}
	return page{file: "projects.html", title: "Projects", data: projectsData{projects, v.ownerOptions()}}, nil
}

func (s *site) listProjects(v *visit) (answer, error) { return s.projectsPage(v) }

func (s *site) createProject(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	made, err := s.config.Accounts.CreateProject(v.ctx(), v.actor, account.NewProject{Name: f.get("name"), Description: f.get("description"), Owner: f.get("owner")})
	if err != nil {
		again, failed := s.projectsPage(v)
		if failed != nil {
			return nil, failed
		}
		return v.refuse(f, err, again, "name", "description", "owner")
	}
	return seeOther{to: projectPath(made.ID), said: "The project is made."}, nil
}

func projectPath(id string) string { return "/projects/" + id + "/" }

type projectData struct {
	Project    account.Project
	Summary    []summary
	Executions []executionView
	Commits    []execution.Commit
	Repository *project.Repository
	Variables  []project.Variable
}

// summary counts the executions of a state.
type summary struct {
	executionView
	Count int
}

// Some of what a project has; the rest is a link away.
const (
	someExecutions = 10
	someCommits    = 10
)

func (s *site) showProject(v *visit) (answer, error) {
	found, err := s.config.Accounts.Project(v.ctx(), v.actor, v.path("project"))
	if err != nil {
		return nil, err
	}
	data := projectData{Project: found}
	counts, err := s.config.Executions.Summary(v.ctx(), found)
	if err != nil {
		return nil, err
	}
	for _, status := range []execution.Status{execution.Queued, execution.Started, execution.Complete, execution.Error, execution.Stopped, execution.Crashed} {
		if counts[status] > 0 {
			data.Summary = append(data.Summary, summary{executionView{Execution: execution.Execution{Status: status}}, counts[status]})
		}
	}
	executions, _, err := s.config.Executions.List(v.ctx(), v.actor, found.ID, execution.Filter{Page: execution.Page{Limit: someExecutions}})
	if err != nil {
		return nil, err
	}
	for _, e := range executions {
		data.Executions = append(data.Executions, v.executionView(e, found.Name))
	}
	if data.Commits, _, err = s.config.Executions.Commits(v.ctx(), v.actor, found.ID, "", execution.Page{Limit: someCommits}); err != nil {
		return nil, err
	}
	linked, err := s.config.Projects.Repository(v.ctx(), found)
	switch {
	case err == nil:
		data.Repository = &linked
	case !fault.Is(err, fault.NotFound):
		return nil, err
	}
	if data.Variables, err = s.config.Projects.Variables(v.ctx(), found); err != nil {
		return nil, err
	}
	return page{file: "project.html", title: found.Name, data: data}, nil
}

// runData is the page that starts a step.
type runData struct {
	Project account.Project
	Commit  execution.Commit
	Steps   []string
	Step    *valohaiyaml.Step // nil: none is chosen
	Fields  []parameterField
	Inputs  []inputField

	Environments []option
}

// parameterField asks for one parameter.
type parameterField struct {
	Parameter *valohaiyaml.Parameter
	Field     field
}

type inputField struct{ Field field }

func (s *site) showRun(v *visit) (answer, error) {
	query := v.r.URL.Query()
	p, err := s.runPage(v, query.Get("commit"), query.Get("step"), nil)
	if err != nil {
		return nil, err
	}
	return p, nil
}

// runPage is the page with what was typed, or with the step's own values.
func (s *site) runPage(v *visit, commit, step string, f *form) (page, error) {
	data := runData{}
	var err error
	if data.Project, err = s.config.Accounts.Project(v.ctx(), v.actor, v.path("project")); err != nil {
		return page{}, err
	}
	if data.Commit, err = s.config.Executions.Commit(v.ctx(), v.actor, data.Project.ID, commit); err != nil {
		return page{}, err
	}
	file, findings := valohaiyaml.Parse(data.Commit.ConfigPath, []byte(data.Commit.Config))
	if err := findings.Err(); err != nil {
		return page{}, err
	}
	for _, known := range file.Steps {
		data.Steps = append(data.Steps, known.Name)
	}
	if step == "" && len(data.Steps) == 1 {
		step = data.Steps[0]
	}
	if step != "" {
		if data.Step, err = file.FindStep(step); err != nil {
			return page{}, err
		}
		data.ask(f)
		if data.Environments, err = s.environmentOptions(v); err != nil {
			return page{}, err
		}
	}
	return page{file: "run.html", title: "Run a step of " + data.Project.Name, data: data}, nil
}

func (s *site) environmentOptions(v *visit) ([]option, error) {
	all, err := s.config.Accounts.Environments(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	options := []option{{"", "As the step or the project says"}}
	for _, e := range all {
		if e.Enabled {
			options = append(options, option{e.ID, e.Name})
		}
	}
	return options, nil
}

// Names of the fields of a step's parameters and inputs.
const (
	parameterPrefix = "parameters." // as what is wrong with one is named
	inputPrefix     = "input."
)

// ask makes the fields of the step.
func (d *runData) ask(f *form) {
	for _, p := range d.Step.Parameters {
		name := parameterPrefix + p.Name
		asked := newField(f, name, p.Name)
		asked.Help, asked.Required = p.Description, !p.Optional && p.Default.IsNull()
		if f == nil {
			asked.Value = defaultText(p)
		}
		switch {
		case p.Type == valohaiyaml.FlagParameter:
			if f == nil && !p.Default.Truthy() {
				asked.Value = ""
			}
		case p.Multiple != valohaiyaml.Single:
			asked.Rows = 3
			asked.Help = strings.TrimSpace(asked.Help + " One value a line.")
		case len(p.Choices) > 0:
			if !asked.Required {
				asked.Options = append(asked.Options, option{"", "–"})
			}
			for _, choice := range p.Choices {
				asked.Options = append(asked.Options, option{choice.String(), choice.String()})
			}
		}
		d.Fields = append(d.Fields, parameterField{p, asked})
	}
	for _, in := range d.Step.Inputs {
		asked := newField(f, inputPrefix+in.Name, in.Name)
		asked.Rows, asked.Required = 2, !in.Optional && len(in.Default) == 0
		asked.Help = strings.TrimSpace(in.Description + " One address a line.")
		if f == nil {
			asked.Value = strings.Join(in.Default, "\n")
		}
		d.Inputs = append(d.Inputs, inputField{asked})
	}
}

// IsFlag reports whether the parameter is a box to tick.
func (p parameterField) IsFlag() bool { return p.Parameter.Type == valohaiyaml.FlagParameter }

func defaultText(p *valohaiyaml.Parameter) string {
	if p.Default.IsNull() {
		return ""
	}
	if p.Multiple == valohaiyaml.Single {
		return p.Default.String()
	}
	var lines []string
	for _, item := range p.Default.Items() {
		lines = append(lines, item.String())
	}
	return strings.Join(lines, "\n")
}

func (s *site) run(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	again, err := s.runPage(v, f.get("commit"), f.get("step"), f)
	if err != nil {
		return nil, err
	}
	data := again.data.(runData)
	if data.Step == nil {
		return nil, fault.InvalidField("step", "step_missing", "choose a step")
	}
	draft := execution.Draft{
		Project: data.Project.ID, Commit: data.Commit.Identifier, Step: data.Step.Name, Title: f.get("title"), Image: f.get("image"),
		EnvironmentKey: f.get("environment"), Inputs: make(map[string][]string),
	}
	if draft.Parameters, err = data.Step.ParseValues(data.pairs(f)); err != nil {
		return v.refuse(f, err, again)
	}
	for _, in := range data.Step.Inputs {
		if urls := f.lines(inputPrefix + in.Name); !slices.Equal(urls, in.Default) && len(urls) > 0 {
			draft.Inputs[in.Name] = urls
		}
	}
	made, err := s.config.Executions.Create(v.ctx(), v.actor, draft)
	if err != nil {
		return v.refuse(f, err, again)
	}
	return seeOther{to: executionPath(made.ID), said: fmt.Sprintf("#%d was put into the queue.", made.Counter)}, nil
}

// pairs are the parameters that were given, as NAME=VALUE. A field that was left empty
// is not given.
func (d *runData) pairs(f *form) []string {
	var pairs []string
	for _, p := range d.Step.Parameters {
		name := parameterPrefix + p.Name
		switch {
		case p.Type == valohaiyaml.FlagParameter:
			pairs = append(pairs, fmt.Sprintf("%s=%t", p.Name, f.has(name)))
		case p.Multiple != valohaiyaml.Single:
			for _, line := range f.lines(name) {
				pairs = append(pairs, p.Name+"="+line)
			}
		case f.values.Get(name) != "":
			pairs = append(pairs, p.Name+"="+f.values.Get(name))
		}
	}
	return pairs
}

// RunPath is where a commit's steps are run.
func (d projectData) RunPath(commit execution.Commit) string {
	return projectPath(d.Project.ID) + "run/?" + url.Values{"commit": {commit.Identifier}}.Encode()
}
