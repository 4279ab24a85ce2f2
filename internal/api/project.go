package api

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/wire"
)

func (d *door) listProjects(ctx context.Context, v *visit, in *Page) (list wire.List[wire.Project], err error) {
	projects, err := d.config.Accounts.Projects(ctx, v.actor)
	if err != nil {
		return list, err
	}
	return pageOf(v, *in, each(projects, v.project)), nil
}

func (d *door) createProject(ctx context.Context, v *visit, in *struct{ Body wire.NewProject }) (wire.Project, error) {
	created, err := d.config.Accounts.CreateProject(ctx, v.actor, account.NewProject{
		Name: in.Body.Name, Description: in.Body.Description, Owner: in.Body.Owner,
	})
	return v.project(created), err
}

func (d *door) ownershipOptions(ctx context.Context, v *visit, _ *nothing) ([]string, error) {
	memberships, err := d.config.Accounts.Organizations(ctx, v.actor)
	if err != nil {
		return nil, err
	}
	names := each(memberships, func(m account.Membership) string { return m.Organization.Name })
	if v.actor.UserID != "" {
		names = append([]string{v.actor.Username}, names...)
	}
	return names, nil
}

type projectKey struct {
	Project string `path:"project" doc:"Id, name or OWNER/NAME"`
}

func (d *door) getProject(ctx context.Context, v *visit, in *projectKey) (wire.Project, error) {
	project, err := d.config.Accounts.Project(ctx, v.actor, in.Project)
	if err != nil {
		return wire.Project{}, err
	}
	counts, err := d.config.Executions.Summary(ctx, project)
	if err != nil {
		return wire.Project{}, err
	}
	shown := v.project(project)
	shown.ExecutionSummary = map[string]int{"count": 0}
	for status, count := range counts {
		shown.ExecutionSummary[string(status)+"_count"] = count
		shown.ExecutionSummary["count"] += count
	}
	if err := d.settings(ctx, project, &shown); err != nil {
		return wire.Project{}, err
	}
	return shown, nil
}

func (v *visit) project(p account.Project) wire.Project {
	owner := wire.Owner{ID: p.Owner.OrganizationID, Username: p.Owner.Name}
	if p.IsPersonal() {
		owner.ID, owner.Personal = p.Owner.UserID, true
	}
	return wire.Project{
		ID: p.ID, Name: p.Name, Description: p.Description, Owner: owner,
		CTime: wire.NewTime(p.CreatedAt), YAMLPath: project.ConfigName, LastExecutionCTime: wire.NewTime(p.LastExecutionAt),
		URL: v.resource("projects", p.ID), URLs: wire.Display{Display: v.origin + "/projects/" + p.ID + "/"},
	}
}
