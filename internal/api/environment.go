package api

import (
	"context"
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/wire"
)

// unfinishedCount is the part of an environment that is shown where it is asked
// for.
const unfinishedCount = "unfinished_job_count"

type environmentsQuery struct {
	Include []string `query:"include" doc:"unfinished_job_count: how many executions have not ended"`
	Page
}

func (d *door) listEnvironments(ctx context.Context, v *visit, in *environmentsQuery) (list wire.List[wire.Environment], err error) {
	environments, err := d.config.Accounts.Environments(ctx, v.actor)
	if err != nil {
		return list, err
	}
	shown := each(environments, v.environment)
	if slices.Contains(in.Include, unfinishedCount) {
		if err := d.countUnfinished(ctx, shown); err != nil {
			return list, err
		}
	}
	return pageOf(v, in.Page, shown), nil
}

type environmentQuery struct {
	Environment string   `path:"environment" doc:"Id, slug or name"`
	Include     []string `query:"include" doc:"unfinished_job_count: how many executions have not ended"`
}

func (d *door) getEnvironment(ctx context.Context, v *visit, in *environmentQuery) (wire.Environment, error) {
	found, err := d.config.Accounts.Environment(ctx, v.actor, in.Environment)
	if err != nil {
		return wire.Environment{}, err
	}
	shown := []wire.Environment{v.environment(found)}
	if slices.Contains(in.Include, unfinishedCount) {
		err = d.countUnfinished(ctx, shown)
	}
	return shown[0], err
}

func (d *door) countUnfinished(ctx context.Context, shown []wire.Environment) error {
	unfinished, err := d.config.Executions.Unfinished(ctx)
	if err != nil {
		return err
	}
	for i := range shown {
		count := unfinished[shown[i].ID]
		shown[i].UnfinishedJobCount = &count
	}
	return nil
}

func (d *door) createEnvironment(ctx context.Context, v *visit, in *struct{ Body wire.EnvironmentChange }) (wire.Environment, error) {
	created, err := d.config.Accounts.CreateEnvironment(ctx, v.actor, environmentChange(in.Body))
	return v.environment(created), err
}

type environmentUpdate struct {
	Environment string `path:"environment" doc:"Id, slug or name"`
	Body        wire.EnvironmentChange
}

func (d *door) changeEnvironment(ctx context.Context, v *visit, in *environmentUpdate) (wire.Environment, error) {
	changed, err := d.config.Accounts.UpdateEnvironment(ctx, v.actor, in.Environment, environmentChange(in.Body))
	return v.environment(changed), err
}

type environmentKey struct {
	Environment string `path:"environment" doc:"Id, slug or name"`
}

func (d *door) deleteEnvironment(ctx context.Context, v *visit, in *environmentKey) error {
	return d.config.Accounts.DeleteEnvironment(ctx, v.actor, in.Environment)
}

func environmentChange(body wire.EnvironmentChange) account.EnvironmentChange {
	return account.EnvironmentChange{
		Name: body.Name, Description: body.Description, Enabled: body.Enabled,
		Limit: body.Limit, UserQuota: body.PerUserQueueQuota, Projects: body.Projects, Everybody: body.AllProjects,
	}
}

func (v *visit) environment(e account.Environment) wire.Environment {
	shown := wire.Environment{
		ID: e.ID, Name: e.Name, Slug: e.Slug, Description: e.Description, Enabled: e.Enabled, Default: e.IsDefault(),
		PerUserQueueQuota: e.UserQuota, Limit: e.Limit, URL: v.resource("environments", e.ID),
	}
	if e.Restricted {
		projects := orEmpty(e.Projects)
		shown.Projects = &projects
	}
	return shown
}
