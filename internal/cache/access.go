package cache

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/secret"
)

// Reader is who pulls through the cache: for one project, whose organisation's
// credentials count. A personal project has none and reads what anybody may.
type Reader struct {
	Actor       account.Actor
	Project     account.Project // zero: images are refused
	ExecutionID string          // "" where a person or a machine pulls

	// Login is what the reader showed, for an Authority that has to show it on; zero
	// for others.
	Login Login
}

// Login is what a client logs in with.
type Login struct {
	User   string
	Token  secret.Text
	Remote string // the address that it came from
}

// ProjectMissing is the fault of who does not say for which project images are read.
func ProjectMissing() error {
	return fault.New(fault.Unauthenticated, "project_missing", "it is not said for which project images are pulled").
		WithHint("Log in with the project as the user name: docker login -u OWNER/PROJECT, with a token as the password.")
}

// organization is whose account the reader's bytes are on.
func (r Reader) organization() string { return r.Project.Owner.Name }

// Access is a reader's way to one repository of a registry.
type Access struct {
	// Route is the guarded way to the registry, as the credential says that it is
	// reached.
	Route *oci.Route

	// Authorization is what requests show, until ExpiresAt (zero: without an end).
	Authorization oci.Authorization
	IssuedAt      time.Time
	ExpiresAt     time.Time

	// Credential and Version are the credential that gave it, and Name what it is
	// called; zero where none covers the repository, which is then read as anybody
	// may.
	Credential string // UUID
	Version    int
	Name       string

	asked time.Time // when the cache was given it
}

// Authority says how a reader reaches a repository. Its errors are faults. It is
// called concurrently.
type Authority interface {
	// Access gives the right of this moment. Refused is the IssuedAt of one that the
	// registry no longer takes; zero: none was refused.
	Access(ctx context.Context, reader Reader, ref image.Reference, refused time.Time) (Access, error)
}

// nearEnd is how long before its end an access is asked for anew.
const nearEnd = 10 * time.Second

// accessKey is what an access was given for.
type accessKey struct {
	project    string
	actor      string
	execution  string
	host       string
	repository string
}

// entry is an access that was given, and when.
type entry struct {
	access Access
	at     time.Time
}

// access gives a reader's access to a repository and the place that it opens. One that
// was given is used again for as long as a proof holds, so that who loses a right in
// Fairlead loses it here as soon as who loses it at the registry.
func (c *Cache) access(ctx context.Context, reader Reader, ref image.Reference, refused time.Time) (Access, place, error) {
	k := accessKey{reader.Project.ID, reader.Actor.ID(), reader.ExecutionID, ref.Host(), ref.Repository()}
	now := c.config.Now()
	if known, ok := c.accesses.Get(k); ok && now.Sub(known.at) < c.config.Fresh && (refused.IsZero() || known.access.IssuedAt.After(refused)) && !ends(known.access, now) {
		return known.access, placeOf(known.access, ref), nil
	}
	given, err := c.config.Authority.Access(ctx, reader, ref, refused)
	if err == nil {
		given.asked = now
		c.accesses.Add(k, entry{given, now})
		return given, placeOf(given, ref), nil
	}
	if known, ok := c.accesses.Get(k); ok && isAway(err) && now.Sub(known.at) < c.config.Fresh+max(c.config.Stale, 0) {
		return known.access, placeOf(known.access, ref), away{err}
	}
	if !isAway(err) {
		c.accesses.Remove(k)
	}
	return Access{}, place{}, err
}

// away is why no access could be given now, beside one that was given before and may
// have ended: enough to say what was shown, and for nothing else.
type away struct{ error }

func (a away) Unwrap() error { return a.error }

// isAway reports whether a failure says nothing about rights.
func isAway(err error) bool {
	f := fault.From(err)
	return f.Kind == fault.Unavailable || f.Kind == fault.Exhausted
}

func ends(a Access, now time.Time) bool {
	return !a.ExpiresAt.IsZero() && a.ExpiresAt.Sub(now) < nearEnd
}

// placeOf is a repository as it is read with one version of one credential of one
// organisation: another secret proves its rights anew.
func placeOf(a Access, ref image.Reference) place {
	p := place{host: ref.Host(), repository: ref.Repository()}
	if a.Credential != "" {
		p.reader, p.version = a.Credential, a.Version
	}
	return p
}
