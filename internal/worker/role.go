package worker

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/wire"
)

// Roles gets authorizations for registries with a role that this machine has of
// its own, such as its instance's. It is called concurrently.
type Roles interface {
	// Authorize gets one for an image. The error is a fault.
	Authorize(ctx context.Context, role wire.GrantRole, ref image.Reference) (RoleGrant, error)
}

// RoleGrant is what the machine's own role gives.
type RoleGrant struct {
	Authorization oci.Authorization
	ExpiresAt     time.Time
	Narrow        bool
}

// withRole fills in what this machine's own role gives, where the server has
// nothing to hand over.
func (w *Worker) withRole(ctx context.Context, grant wire.Grant, ref image.Reference) (wire.Grant, error) {
	if grant.Role == nil {
		return grant, nil
	}
	if w.config.Roles == nil {
		return wire.Grant{}, fault.New(fault.Unauthenticated, "worker_role_missing", "this worker has no role of its own to pull %s with", ref)
	}
	own, err := w.config.Roles.Authorize(ctx, *grant.Role, ref)
	if err != nil {
		return wire.Grant{}, err
	}
	grant.Scheme, grant.User = string(own.Authorization.Scheme()), own.Authorization.User()
	grant.Secret = wire.OpenSecret{Text: own.Authorization.Secret()}
	grant.ExpiresAt, grant.Narrow = wire.NewTime(own.ExpiresAt), own.Narrow
	return grant, nil
}
