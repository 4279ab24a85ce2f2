package account

import (
	"cmp"

	"fairlead.dev/fairlead/internal/fault"
)

// Actor is who asks: a user with all memberships, a worker, a pull-through cache, or
// the server itself for its own chores. The zero Actor is nobody and may do nothing.
type Actor struct {
	UserID   string
	Username string
	Operator bool

	// Roles are the user's roles by organisation id.
	Roles map[int64]Role

	// SessionID is the session that the user asks from; "" with a token.
	SessionID string

	// WorkerID is set for a worker's token, and then nothing of a user's is.
	WorkerID   string
	WorkerName string

	// EnvironmentID is where that worker takes executions from.
	EnvironmentID string

	// CacheID is set for a cache's token, and then nothing of the others is.
	CacheID   string
	CacheName string

	// Remote is the address that the request came from.
	Remote string
}

// IsZero reports whether a is nobody.
func (a Actor) IsZero() bool { return a.UserID == "" && a.WorkerID == "" && a.CacheID == "" }

// Name is what audit rows and people call the actor.
func (a Actor) Name() string {
	switch {
	case a.WorkerID != "":
		return "worker " + a.WorkerName
	case a.CacheID != "":
		return "cache " + a.CacheName
	default:
		return a.Username
	}
}

// ID is the user's, the worker's or the cache's id.
func (a Actor) ID() string { return cmp.Or(a.WorkerID, a.CacheID, a.UserID) }

// MaySee says whether a may see project: a member of the owning organisation
// or the owning user. Anybody else learns only that there is no such project.
func (a Actor) MaySee(project Project) error {
	if project.IsPersonal() {
		if a.UserID != "" && a.UserID == project.Owner.UserID {
			return nil
		}
	} else if a.IsMember(project.Owner.OrganizationID) {
		return nil
	}
	return noProject(project.ID)
}

// IsMember reports whether a has any role in the organisation.
func (a Actor) IsMember(organizationID int64) bool {
	_, member := a.Roles[organizationID]
	return member
}

// MayAdminister says whether a may manage the organisation's members and
// credentials. A member is Denied; a stranger learns only that there is no
// such organisation.
func (a Actor) MayAdminister(organization Organization) error {
	switch a.Roles[organization.ID] {
	case Admin:
		return nil
	case Member:
		return fault.New(fault.Denied, "not_admin", "only an admin of the organisation %s may do this", organization.Name).
			WithHint("Ask one of its admins: `fairlead org members %s` lists them.", organization.Name)
	default:
		return noOrganization(organization.Name)
	}
}

// OnlyAdministered is the one organisation among the actor's that it administers:
// what is meant where none is named. A member who administers none is Denied.
func (a Actor) OnlyAdministered(memberships []Membership) (Organization, error) {
	var administered []Organization
	for _, m := range memberships {
		if m.Role == Admin {
			administered = append(administered, m.Organization)
		}
	}
	switch {
	case len(administered) == 1:
		return administered[0], nil
	case len(administered) == 0 && len(memberships) > 0:
		return Organization{}, a.MayAdminister(memberships[0].Organization)
	default:
		return Organization{}, fault.InvalidField("owner", "blank", "say which organisation: you administer %d", len(administered)).
			WithHint("`fairlead org list` shows yours.")
	}
}

// MayOperate says whether a runs the installation.
func (a Actor) MayOperate() error {
	if a.Operator {
		return nil
	}
	return fault.New(fault.Denied, "not_operator", "only an operator of this Fairlead may do this").
		WithHint("Ask whoever runs `fairlead serve`.")
}

// MayWork says whether a is a worker.
func (a Actor) MayWork() error {
	if a.WorkerID != "" {
		return nil
	}
	return fault.New(fault.Denied, "not_worker", "only a worker may do this").
		WithHint("Use a token made by `fairlead worker-token create`.")
}

// MayMirror says whether a is a pull-through cache.
func (a Actor) MayMirror() error {
	if a.CacheID != "" {
		return nil
	}
	return fault.New(fault.Denied, "not_cache", "only a pull-through cache may do this").
		WithHint("Use a token made by `fairlead cache token create`.")
}

func noProject(key string) error {
	return fault.New(fault.NotFound, "project_unknown", "there is no project %.80q, or none that you may see", key).
		WithHint("`fairlead project list` shows yours.")
}

func noOrganization(key string) error {
	return fault.New(fault.NotFound, "organization_unknown", "there is no organisation %.80q, or none that you may see", key).
		WithHint("`fairlead org list` shows yours.")
}
