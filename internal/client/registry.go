package client

import (
	"context"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/wire"
)

// CredentialKinds are the kinds of registry credential that there are.
func (c *Client) CredentialKinds(ctx context.Context) ([]wire.CredentialKind, error) {
	return all[wire.CredentialKind](ctx, c, "registry-credential-kinds/", nil)
}

// Credentials are those of one organisation, or of all that the caller
// administers where organization is "".
func (c *Client) Credentials(ctx context.Context, organization string) ([]wire.Credential, error) {
	query := url.Values{}
	if organization != "" {
		query.Set("organization", organization)
	}
	return all[wire.Credential](ctx, c, "registry-credentials/", query)
}

// Credential finds one by id.
func (c *Client) Credential(ctx context.Context, id string) (found wire.Credential, err error) {
	return found, c.get(ctx, path("registry-credentials", id), nil, &found)
}

// CreateCredential registers a credential.
func (c *Client) CreateCredential(ctx context.Context, draft wire.CredentialChange) (created wire.Credential, err error) {
	return created, c.post(ctx, "registry-credentials/", draft, &created)
}

// ChangeCredential changes what is set in change and keeps the rest.
func (c *Client) ChangeCredential(ctx context.Context, id string, change wire.CredentialChange) (changed wire.Credential, err error) {
	return changed, c.call(ctx, http.MethodPatch, path("registry-credentials", id), nil, change, &changed)
}

// DeleteCredential forgets a credential.
func (c *Client) DeleteCredential(ctx context.Context, id string) error {
	return c.delete(ctx, path("registry-credentials", id))
}

// Explain tells which credential an image would be pulled with.
func (c *Client) Explain(ctx context.Context, project, image string) (explained wire.Explanation, err error) {
	query := url.Values{"project": {project}, "image": {image}}
	return explained, c.get(ctx, "explain/", query, &explained)
}

// Audit are the newest events, at most limit, of an execution if one is given.
func (c *Client) Audit(ctx context.Context, execution string, limit int) ([]wire.AuditEvent, error) {
	query := url.Values{}
	if execution != "" {
		query.Set("execution", execution)
	}
	return some[wire.AuditEvent](ctx, c, "audit/", query, limit)
}
