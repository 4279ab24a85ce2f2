package client

import (
	"context"
	"net/http"

	"fairlead.dev/fairlead/internal/wire"
)

// About tells which server answers; it needs no token.
func (c *Client) About(ctx context.Context) (server wire.Server, err error) {
	return server, c.get(ctx, "server/", nil, &server)
}

// SignIn trades a password for a token.
func (c *Client) SignIn(ctx context.Context, ask wire.GetToken) (got wire.GotToken, err error) {
	return got, c.post(ctx, "get-token/", ask, &got)
}

// Me is the user behind the token.
func (c *Client) Me(ctx context.Context) (user wire.User, err error) {
	return user, c.get(ctx, "users/me/", nil, &user)
}

// CreateUser makes a user.
func (c *Client) CreateUser(ctx context.Context, draft wire.NewUser) (user wire.User, err error) {
	return user, c.post(ctx, "users/", draft, &user)
}

// SetPassword changes a user's password: one's own, or as an operator anybody's.
func (c *Client) SetPassword(ctx context.Context, username string, change wire.PasswordChange) error {
	return c.post(ctx, path("users", username, "password"), change, nil)
}

// Organizations are those that the caller belongs to.
func (c *Client) Organizations(ctx context.Context) ([]wire.Organization, error) {
	return all[wire.Organization](ctx, c, "organizations/", nil)
}

// CreateOrganization makes an organisation.
func (c *Client) CreateOrganization(ctx context.Context, draft wire.NewOrganization) (created wire.Organization, err error) {
	return created, c.post(ctx, "organizations/", draft, &created)
}

// Members are an organisation's.
func (c *Client) Members(ctx context.Context, organization string) ([]wire.Member, error) {
	return all[wire.Member](ctx, c, path("organizations", organization, "members"), nil)
}

// SetMember gives a user a role in an organisation.
func (c *Client) SetMember(ctx context.Context, organization string, member wire.NewMember) (set wire.Member, err error) {
	return set, c.post(ctx, path("organizations", organization, "members"), member, &set)
}

// RemoveMember takes a user out of an organisation.
func (c *Client) RemoveMember(ctx context.Context, organization, username string) error {
	return c.delete(ctx, path("organizations", organization, "members", username))
}

// Projects are those that the caller may see.
func (c *Client) Projects(ctx context.Context) ([]wire.Project, error) {
	return all[wire.Project](ctx, c, "projects/", nil)
}

// Project finds a project by id, name or OWNER/NAME.
func (c *Client) Project(ctx context.Context, key string) (project wire.Project, err error) {
	return project, c.get(ctx, path("projects", key), nil, &project)
}

// CreateProject makes a project.
func (c *Client) CreateProject(ctx context.Context, draft wire.NewProject) (project wire.Project, err error) {
	return project, c.post(ctx, "projects/", draft, &project)
}

// Tokens are the caller's own.
func (c *Client) Tokens(ctx context.Context) ([]wire.Token, error) {
	return all[wire.Token](ctx, c, "tokens/", nil)
}

// CreateToken makes a token for the caller.
func (c *Client) CreateToken(ctx context.Context, draft wire.NewToken) (created wire.CreatedToken, err error) {
	return created, c.post(ctx, "tokens/", draft, &created)
}

// DeleteToken ends a token of the caller.
func (c *Client) DeleteToken(ctx context.Context, id string) error {
	return c.delete(ctx, path("tokens", id))
}

// WorkerTokens are the workers'.
func (c *Client) WorkerTokens(ctx context.Context) ([]wire.Token, error) {
	return all[wire.Token](ctx, c, "worker-tokens/", nil)
}

// CreateWorkerToken makes a token for a worker.
func (c *Client) CreateWorkerToken(ctx context.Context, draft wire.NewWorkerToken) (created wire.CreatedToken, err error) {
	return created, c.post(ctx, "worker-tokens/", draft, &created)
}

// DeleteWorkerToken ends a worker's token.
func (c *Client) DeleteWorkerToken(ctx context.Context, id string) error {
	return c.delete(ctx, path("worker-tokens", id))
}

// CacheTokens lists the tokens of pull-through caches; for operators.
func (c *Client) CacheTokens(ctx context.Context) ([]wire.Token, error) {
	return all[wire.Token](ctx, c, "cache-tokens/", nil)
}

// CreateCacheToken makes a token of a pull-through cache; for operators.
func (c *Client) CreateCacheToken(ctx context.Context, draft wire.NewToken) (created wire.CreatedToken, err error) {
	return created, c.post(ctx, "cache-tokens/", draft, &created)
}

// DeleteCacheToken ends a token of a pull-through cache; for operators.
func (c *Client) DeleteCacheToken(ctx context.Context, id string) error {
	return c.delete(ctx, path("cache-tokens", id))
}

// RotateKeys makes a new sealing key and seals every secret anew with it.
func (c *Client) RotateKeys(ctx context.Context) (rotation wire.KeyRotation, err error) {
	return rotation, c.call(ctx, http.MethodPost, path("keys", "rotate"), nil, nil, &rotation)
}
