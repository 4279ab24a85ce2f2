package web

import (
	"fmt"
	"strconv"
	"strings"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

func (s *site) environmentRoutes() {
	s.on("GET /environments/{$}", user, s.listEnvironments)
	s.on("POST /environments/{$}", operator, s.createEnvironment)
	s.on("GET /environments/{environment}/{$}", operator, s.showEnvironment)
	s.on("POST /environments/{environment}/{$}", operator, s.changeEnvironment)
	s.on("POST /environments/{environment}/delete/{$}", operator, s.deleteEnvironment)
}

// environmentRow is an environment with what there is to do in it.
type environmentRow struct {
	account.Environment
	execution.Load
}

func (s *site) environmentRows(v *visit) ([]environmentRow, error) {
	environments, err := s.config.Accounts.Environments(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	loads, err := s.config.Executions.Loads(v.ctx())
	if err != nil {
		return nil, err
	}
	rows := make([]environmentRow, len(environments))
	for i, e := range environments {
		rows[i] = environmentRow{e, loads[e.ID]}
	}
	return rows, nil
}

// environmentsData is what the list of environments shows.
type environmentsData struct {
	Rows     []environmentRow
	For      []option
	Operator bool
}

// forWhom are the two ways of an environment's being for projects.
var forWhom = []option{{"all", "All projects"}, {"some", "The projects below alone"}}

func (s *site) listEnvironments(v *visit) (answer, error) { return s.environmentsPage(v) }

func (s *site) environmentsPage(v *visit) (page, error) {
	rows, err := s.environmentRows(v)
	if err != nil {
		return page{}, err
	}
	return page{
		file: "environments.html", title: "Environments", data: environmentsData{Rows: rows, For: forWhom, Operator: v.actor.Operator},
		form: formOf(map[string]string{"enabled": "yes"}),
	}, nil
}

// environmentForm is what a form says of an environment.
func environmentForm(f *form) (account.EnvironmentChange, error) {
	name, description, enabled := f.get("name"), f.get("description"), f.has("enabled")
	limit, limitErr := f.number("limit")
	quota, quotaErr := f.number("per_user_queue_quota")
	change := account.EnvironmentChange{Name: &name, Description: &description, Enabled: &enabled, Limit: &limit, UserQuota: &quota}
	if f.get("for") == "some" {
		projects := f.lines("projects")
		change.Projects = &projects
	} else {
		change.Everybody = true
	}
	return change, fault.Join(limitErr, quotaErr)
}

// number is a field's number; nothing is 0.
func (f *form) number(name string) (int, error) {
	text := f.get(name)
	if text == "" {
		return 0, nil
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		return 0, fault.InvalidField(name, "number", "%.40q is no whole number", text)
	}
	return n, nil
}

func (s *site) createEnvironment(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	change, err := environmentForm(f)
	if err == nil {
		var made account.Environment
		if made, err = s.config.Accounts.CreateEnvironment(v.ctx(), v.actor, change); err == nil {
			return seeOther{to: "/environments/", said: "The environment " + made.Name + " is made. Its first worker needs a token of it."}, nil
		}
	}
	again, pageErr := s.environmentsPage(v)
	if pageErr != nil {
		return nil, pageErr
	}
	return v.refuse(f, err, again, environmentFields...)
}

// environmentFields are the form's.
var environmentFields = []string{"name", "description", "limit", "per_user_queue_quota", "enabled", "for", "projects"}

// environmentData is what the page of one environment shows.
type environmentData struct {
	environmentRow
	For []option
}

// environmentPage is the page of one, filled in with what is kept of it.
func (s *site) environmentPage(v *visit) (page, error) {
	e, err := s.config.Accounts.Environment(v.ctx(), v.actor, v.path("environment"))
	if err != nil {
		return page{}, err
	}
	loads, err := s.config.Executions.Loads(v.ctx())
	if err != nil {
		return page{}, err
	}
	names, err := s.projectNames(v)
	if err != nil {
		return page{}, err
	}
	values := map[string]string{"name": e.Name, "description": e.Description, "for": "all"}
	for name, number := range map[string]int{"limit": e.Limit, "per_user_queue_quota": e.UserQuota} {
		if number > 0 {
			values[name] = strconv.Itoa(number)
		}
	}
	if e.Enabled {
		values["enabled"] = "yes"
	}
	if e.Restricted {
		values["for"] = "some"
		projects := make([]string, len(e.Projects))
		for i, id := range e.Projects {
			if projects[i] = names[id]; projects[i] == "" {
				projects[i] = id // one that the operator may not see
			}
		}
		values["projects"] = strings.Join(projects, "\n")
	}
	return page{
		file: "environment.html", title: e.Name, form: formOf(values),
		data: environmentData{environmentRow: environmentRow{e, loads[e.ID]}, For: forWhom},
	}, nil
}

// projectNames are the projects that the actor may see, as OWNER/NAME by id.
func (s *site) projectNames(v *visit) (map[string]string, error) {
	projects, err := s.config.Accounts.Projects(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	names := make(map[string]string, len(projects))
	for _, p := range projects {
		names[p.ID] = p.Owner.Name + "/" + p.Name
	}
	return names, nil
}

func (s *site) showEnvironment(v *visit) (answer, error) { return s.environmentPage(v) }

func (s *site) changeEnvironment(v *visit) (answer, error) {
	f, err := v.readForm()
	if err != nil {
		return nil, err
	}
	again, err := s.environmentPage(v)
	if err != nil {
		return nil, err
	}
	change, err := environmentForm(f)
	if err == nil {
		id := again.data.(environmentData).ID
		var changed account.Environment
		if changed, err = s.config.Accounts.UpdateEnvironment(v.ctx(), v.actor, id, change); err == nil {
			return seeOther{to: "/environments/", said: fmt.Sprintf("The environment %s is saved.", changed.Name)}, nil
		}
	}
	return v.refuse(f, err, again, environmentFields...)
}

func (s *site) deleteEnvironment(v *visit) (answer, error) {
	again, err := s.environmentPage(v)
	if err != nil {
		return nil, err
	}
	e := again.data.(environmentData)
	if err := s.config.Accounts.DeleteEnvironment(v.ctx(), v.actor, e.ID); err != nil {
		return v.refuse(again.form, err, again, environmentFields...)
	}
	return seeOther{to: "/environments/", said: "The environment " + e.Name + " is deleted."}, nil
}
