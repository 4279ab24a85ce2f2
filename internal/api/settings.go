package api

import (
	"cmp"
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/wire"
)

// settings adds to a project what it is set to.
func (d *door) settings(ctx context.Context, p account.Project, shown *wire.Project) error {
	variables, err := d.config.Projects.Variables(ctx, p)
	if err != nil {
		return err
	}
	shown.EnvironmentVariables = make(map[string]wire.Variable, len(variables))
	for _, variable := range variables {
		shown.EnvironmentVariables[variable.Name] = wire.Variable{Value: variable.Value, Secret: variable.Secret}
	}
	shown.DefaultEnvironment = cmp.Or(p.EnvironmentID, account.DefaultEnvironmentID)
	repository, err := d.config.Projects.Repository(ctx, p)
	switch {
	case err == nil:
		linked := repositoryOf(repository)
		shown.Repository, shown.YAMLPath = &linked, repository.ConfigPath
	case !fault.Is(err, fault.NotFound):
		return err
	}
	return nil
}

func repositoryOf(r project.Repository) wire.Repository {
	return wire.Repository{
		URL: r.URL, Username: r.Username, Login: string(r.Login), KnownHosts: r.KnownHosts, ConfigPath: r.ConfigPath,
		LinkedAt: wire.NewTime(r.LinkedAt),
	}
}

type projectUpdate struct {
	Project string `path:"project" doc:"Id, name or OWNER/NAME"`
	Body    wire.ProjectChange
}

func (d *door) changeProject(ctx context.Context, v *visit, in *projectUpdate) (wire.Project, error) {
	if in.Body.DefaultEnvironment != nil {
		err := d.config.Projects.SetDefaultEnvironment(ctx, v.actor, in.Project, *in.Body.DefaultEnvironment)
		if err != nil {
			return wire.Project{}, renamed(err, "environment", "default_environment")
		}
	}
	return d.getProject(ctx, v, &projectKey{Project: in.Project})
}

type newVariable struct {
	Project string `path:"project" doc:"Id, name or OWNER/NAME"`
	Body    wire.NewVariable
}

func (d *door) setVariable(ctx context.Context, v *visit, in *newVariable) (wire.Project, error) {
	err := d.config.Projects.SetVariable(ctx, v.actor, in.Project, in.Body.Name, in.Body.Value.Text(), in.Body.Secret)
	if err != nil {
		return wire.Project{}, err
	}
	return d.getProject(ctx, v, &projectKey{Project: in.Project})
}

type oldVariable struct {
	Project string `path:"project" doc:"Id, name or OWNER/NAME"`
	Name    string `query:"name" doc:"Which one; also taken from a body, where existing clients write it"`
	Body    *struct {
		Name string `json:"name,omitempty" required:"false" doc:"Which one, in place of the query"`
	} `required:"false"`
}

func (d *door) deleteVariable(ctx context.Context, v *visit, in *oldVariable) error {
	name := in.Name
	if in.Body != nil {
		name = cmp.Or(name, in.Body.Name)
	}
	return d.config.Projects.DeleteVariable(ctx, v.actor, in.Project, name)
}

func (d *door) getRepository(ctx context.Context, v *visit, in *projectKey) (wire.Repository, error) {
	found, err := d.config.Accounts.Project(ctx, v.actor, in.Project)
	if err != nil {
		return wire.Repository{}, err
	}
	repository, err := d.config.Projects.Repository(ctx, found)
	return repositoryOf(repository), err
}

type repositoryLink struct {
	Project string `path:"project" doc:"Id, name or OWNER/NAME"`
	Body    wire.RepositoryLink
}

func (d *door) linkRepository(ctx context.Context, v *visit, in *repositoryLink) (wire.Repository, error) {
	linked, err := d.config.Projects.Link(ctx, v.actor, in.Project, project.Link{
		URL: in.Body.URL, Username: in.Body.Username, Token: in.Body.Token.Text(), SSHKey: in.Body.SSHKey.Text(),
		KnownHosts: in.Body.KnownHosts, ConfigPath: in.Body.ConfigPath,
	})
	return repositoryOf(linked), err
}

func (d *door) unlinkRepository(ctx context.Context, v *visit, in *projectKey) error {
	return d.config.Projects.Unlink(ctx, v.actor, in.Project)
}

func (d *door) fetchRepository(ctx context.Context, v *visit, in *projectKey) (wire.Fetched, error) {
	commits, err := d.config.Executions.Fetch(ctx, v.actor, in.Project)
	fetched := wire.Fetched{Errors: []string{}, Commits: each(commits, func(c execution.Commit) wire.FetchedCommit {
		return wire.FetchedCommit{Ref: c.Ref, Identifier: c.Identifier}
	})}
	return fetched, err
}
