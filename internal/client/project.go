package client

import (
	"context"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/wire"
)

// LinkRepository links a project to a git repository.
func (c *Client) LinkRepository(ctx context.Context, project string, link wire.RepositoryLink) (linked wire.Repository, err error) {
	return linked, c.call(ctx, http.MethodPut, path("projects", project, "repository"), nil, link, &linked)
}

// UnlinkRepository takes the link away.
func (c *Client) UnlinkRepository(ctx context.Context, project string) error {
	return c.delete(ctx, path("projects", project, "repository"))
}

// FetchRepository gets the new commits of the linked repository.
func (c *Client) FetchRepository(ctx context.Context, project string) (fetched wire.Fetched, err error) {
	return fetched, c.call(ctx, http.MethodPost, path("projects", project, "fetch"), nil, nil, &fetched)
}

// SetVariable gives every later execution of a project a variable.
func (c *Client) SetVariable(ctx context.Context, project string, variable wire.NewVariable) error {
	return c.post(ctx, path("projects", project, "environment_variable"), variable, nil)
}

// DeleteVariable takes a project's variable away.
func (c *Client) DeleteVariable(ctx context.Context, project, name string) error {
	return c.call(ctx, http.MethodDelete, path("projects", project, "environment_variable"), url.Values{"name": {name}}, nil, nil)
}

// ChangeProject changes a project's settings.
func (c *Client) ChangeProject(ctx context.Context, project string, change wire.ProjectChange) (changed wire.Project, err error) {
	return changed, c.call(ctx, http.MethodPatch, path("projects", project), nil, change, &changed)
}
