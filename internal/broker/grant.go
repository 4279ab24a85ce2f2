package broker

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

// Grant is the right to pull one repository for a while.
type Grant struct {
	Host       string
	Repository string

	// Scheme is how it is shown to the registry: bearer, basic or anonymous.
	Scheme string
	User   string // of basic
	Secret secret.Text

	IssuedAt  time.Time
	ExpiresAt time.Time
	RefreshAt time.Time // from when on a new one is worth asking for

	// Narrow tells that the grant itself says it is limited to pulling the one
	// repository.
	Narrow bool

	// Role is set where the worker has to get an authorization with a role of
	// its own; there is no secret then.
	Role *Role

	// Reach is how the worker has to reach the registry, or the cache in its place.
	Reach Reach

	// Through says that the worker has to pull through this server's pull-through cache,
	// since the registry takes only the secret itself; there is none here then.
	Through bool

	// HeldVersion is the credential's version that gave it, where that is the
	// one before the present; 0 otherwise.
	HeldVersion int
}

// Role is what a worker needs to know to get an authorization by itself.
type Role struct{ Kind, Region, Name string }

// Reach is how a credential says that its registry is reached: a proxy's
// address, PEM certificates, and HOST=ADDRESS:PORT with commas between.
type Reach struct{ Proxy, CA, Addresses string }

// Issuer trades a credential for a grant with the registry's own protocol, and
// remembers nothing. Every error is a fault. It is called concurrently.
type Issuer interface {
	// Issue trades a credential. Kept says that the grant does not leave the server,
	// and so may be the secret itself; a fault of code basic_only tells that it has to
	// be, and is not kept.
	Issue(ctx context.Context, kind string, ref image.Reference, material registry.Material, kept bool) (Grant, error)

	// Anonymous gets a grant without a credential; a fault of code
	// credential_required tells that the image is not for everybody.
	Anonymous(ctx context.Context, ref image.Reference) (Grant, error)

	// Resolve asks the registry with a grant what an image is now, and
	// downloads nothing.
	Resolve(ctx context.Context, ref image.Reference, grant Grant) (digest string, err error)
}

// Request asks for a grant for one execution.
type Request struct {
	// Actor is the worker that holds the execution.
	Actor       account.Actor
	Project     account.Project
	ExecutionID string
	Image       image.Reference

	// Refused is the IssuedAt of a grant that the registry no longer takes;
	// zero: none was refused.
	Refused time.Time

	// Since is how new a grant must be that itself says what it is good for: it is the
	// word of that moment, while any other is looked up by the registry at each request.
	// While the token service cannot be asked, and if zero, whatever holds is good enough.
	Since time.Time

	// Kept says that the grant does not leave the server: for the pull-through cache,
	// which also reads what a worker would need the password itself for.
	Kept bool

	// OnlyCovered refuses an image that no credential covers, without asking its
	// registry anything: an upstream_unknown fault.
	OnlyCovered bool
}

// Answer is a grant and whose it is.
type Answer struct {
	Grant Grant

	// Credential is the credential that was traded, nil for an image that
	// everybody may pull; Pattern is the pattern that covered the image.
	Credential *registry.Credential
	Pattern    image.Pattern

	// Others are the names of credentials that cover the image too and were not
	// tried.
	Others []string

	remembered bool // nobody was asked for the grant
}
