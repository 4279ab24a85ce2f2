package adapter

import (
	"context"

	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/wire"
	"fairlead.dev/fairlead/internal/worker"
)

// Roles is what gets grants with the machine's own role, as worker.Roles.
type Roles struct{ Issuer *grant.RoleIssuer }

// Authorize gets an authorization for an image.
func (r Roles) Authorize(ctx context.Context, role wire.GrantRole, ref image.Reference) (worker.RoleGrant, error) {
	own, err := r.Issuer.Issue(ctx, grant.Role(role), ref)
	return worker.RoleGrant{Authorization: own.Authorization, ExpiresAt: own.ExpiresAt, Narrow: own.Narrow}, err
}
