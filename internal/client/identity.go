package client

import (
	"context"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/wire"
)

// Identities are those of a provider that a user signs in with: one's own, or as
// an operator anybody's.
func (c *Client) Identities(ctx context.Context, username string) ([]wire.Identity, error) {
	return all[wire.Identity](ctx, c, path("users", username, "identities"), nil)
}

// LinkIdentity has a subject of a provider be that user; only an operator may.
func (c *Client) LinkIdentity(ctx context.Context, username string, identity wire.NewIdentity) error {
	return c.post(ctx, path("users", username, "identities"), identity, nil)
}

// UnlinkIdentity takes an identity from a user and ends its sessions.
func (c *Client) UnlinkIdentity(ctx context.Context, username string, identity wire.NewIdentity) error {
	return c.call(ctx, http.MethodDelete, path("users", username, "identities"),
		url.Values{"issuer": {identity.Issuer}, "subject": {identity.Subject}}, nil, nil)
}
