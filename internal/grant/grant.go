// Package grant trades a stored registry credential for a pull grant: what one
// execution gets to pull one repository with, short-lived and for pulling
// only.
//
// Each kind of registry is one file that holds all there is to know of it: its
// fields, its rules for them, its exchange. The package knows no users, no
// projects and no database, and remembers nothing between two calls: caching
// is the caller's. It never turns an error into an anonymous grant.
//
// Start with NewCatalogue.
package grant

import (
	"context"
	"maps"
	"time"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// Grant is the right to pull from one registry for a while.
type Grant struct {
	// Host and Repository are of the image that it was issued for.
	Host       string
	Repository string

	// Authorization is what to show to the registry: a secret.
	Authorization oci.Authorization

	// IssuedAt is before the exchange began, so that ExpiresAt errs on the
	// early side. From RefreshAt on, a new grant should be asked for.
	IssuedAt  time.Time
	ExpiresAt time.Time
	RefreshAt time.Time

	// Narrow tells that the grant itself says it is limited to pulling the one
	// repository. A token that cannot be read is not narrow, though it was
	// asked for that repository alone.
	Narrow bool

	// Kind is the name of the kind that issued it, and "" for an anonymous one.
	Kind string

	// Role is set where there is nothing to hand over: the worker gets an
	// authorization with a role of its own. Authorization is Anonymous then.
	Role *Role

	// Reach is how the worker has to reach the registry, where the credential
	// says so.
	Reach oci.Reach
}

// Role is what a worker needs to know to get an authorization by itself; none
// of it is secret.
type Role struct {
	Kind   string // aws-ecr-role
	Region string
	Name   string // of the role; empty: whichever the worker has
}

// Expired reports whether the grant is of no more use at a moment.
func (g Grant) Expired(now time.Time) bool { return !now.Before(g.ExpiresAt) }

// Material is what a credential is made of: the values of its kind's fields,
// secret and not.
type Material struct {
	Config  map[string]string
	Secrets map[string]secret.Text
}

// with is m with one open field set to another value; m itself stays.
func (m Material) with(name, value string) Material {
	m.Config = maps.Clone(m.Config)
	m.Config[name] = value
	return m
}

// Request asks for a grant to pull one image.
type Request struct {
	Image    image.Reference
	Material Material // as Normalise returned it

	// Kept says that the grant does not leave the server, so that it may be the secret
	// itself where the registry takes nothing else.
	Kept bool
}

// Kind is one kind of registry credential: all that is to be known of it.
// Implementations are safe for concurrent use.
type Kind interface {
	// Description is for forms, documentation and the API. It never changes.
	Description() Description

	// Normalise checks every field and puts it in the form that Issue wants.
	// The error is an Invalid fault that tells of all wrong fields at once and
	// repeats no secret. The warnings are sentences about what is allowed but
	// unwise.
	Normalise(Material) (normal Material, warnings []string, err error)

	// Issue trades the material for a grant. Every error is a fault: of kind
	// Unauthenticated where the secret is refused, Denied where it has no
	// right or the rules forbid the exchange, NotFound, Unavailable, Exhausted
	// with the registry's own wait, or Invalid where the image is none of this
	// kind's.
	Issue(ctx context.Context, request Request) (Grant, error)

	// Check asks the registry, with real requests, what the material is good
	// for, and tells each answer as a step of the checkup. It never changes
	// anything at the registry.
	Check(ctx context.Context, request CheckRequest, checkup *Checkup)
}

// Renewer is a Kind whose registry can make a new secret by itself.
type Renewer interface {
	Kind

	// Renew makes a new secret with the present one and returns the material
	// with it; the present one still holds. Every error is a fault.
	Renew(ctx context.Context, material Material) (Material, error)

	// Retire ends the old material's secret, with the fresh one's. A secret
	// that is gone already is no error.
	Retire(ctx context.Context, old, fresh Material) error
}

// Description is what a kind says about itself.
type Description struct {
	Name  string // docker-hub
	Title string // Docker Hub
	Help  string // one sentence

	// LegacyNames are what other clients of the API call the kind.
	LegacyNames []string

	// Fields in the order of a form.
	Fields []Field

	// Patterns are match patterns to begin with.
	Patterns []string
}

// Field is one field of a kind.
type Field struct {
	Name     string // access_token
	Title    string // Access token
	Help     string // one or two sentences
	Secret   bool
	Required bool
	Default  string
	Example  string
	Choices  []string // the only values allowed; empty: any

	// Lines allows line breaks: a key file, certificates.
	Lines bool

	// Advanced is for fields that few need; a form shows them last.
	Advanced bool
}

// field is the field of that name.
func (d Description) field(name string) (Field, bool) {
	for _, f := range d.Fields {
		if f.Name == name {
			return f, true
		}
	}
	return Field{}, false
}
