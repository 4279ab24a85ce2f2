package client

import (
	"context"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/wire"
)

// Environments are those that the caller may know of, with how many executions
// have not ended in each.
func (c *Client) Environments(ctx context.Context) ([]wire.Environment, error) {
	return all[wire.Environment](ctx, c, "environments/", url.Values{"include": {"unfinished_job_count"}})
}

// CreateEnvironment makes an environment.
func (c *Client) CreateEnvironment(ctx context.Context, draft wire.EnvironmentChange) (created wire.Environment, err error) {
	return created, c.post(ctx, "environments/", draft, &created)
}

// UpdateEnvironment changes an environment.
func (c *Client) UpdateEnvironment(ctx context.Context, key string, change wire.EnvironmentChange) (changed wire.Environment, err error) {
	return changed, c.call(ctx, http.MethodPatch, path("environments", key), nil, change, &changed)
}

// DeleteEnvironment removes an environment.
func (c *Client) DeleteEnvironment(ctx context.Context, key string) error {
	return c.delete(ctx, path("environments", key))
}
