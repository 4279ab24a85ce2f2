// Package project knows what a project is set to: the git repository that its
// code comes from, the variables of its executions, and where they run. Who may
// see a project is account's to say; whoever sees one may set it.
//
// Secrets are sealed, bound to the place that they are of, as those of registry
// credentials are: moved to another project or put back from an older version
// they do not open.
package project

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/secret"
)

// Repository is the git repository that a project is linked to.
type Repository struct {
	ProjectID string

	// URL, Username and KnownHosts are as gitfetch.Remote has them.
	URL        string
	Username   string
	KnownHosts string

	// Login says what logs in, and is "" for a public repository.
	Login Login

	// ConfigPath is where in the repository the valohai.yaml is.
	ConfigPath string

	LinkedAt time.Time

	// Version differs from that of every earlier link of the project, so that no
	// sealed login of one opens.
	Version int
	Sealed  Sealed // nothing where Login is ""
}

// Login is a kind of secret that logs in to a git host.
type Login string

// The kinds of login.
const (
	Token  Login = "token"
	SSHKey Login = "ssh_key"
)

// Variable is an environment variable of every execution of a project.
type Variable struct {
	ProjectID string
	Name      string
	Secret    bool
	Value     string // "" where it is secret
	Version   int
	Sealed    Sealed
}

// Sealed is a secret at rest.
type Sealed struct {
	KeyID uint32
	Bytes []byte
}

// Place is what a sealed secret is bound to.
type Place struct {
	ProjectID string
	Name      string
	Version   int
}

// The name of the place of a repository's login, and what those of variables
// begin with.
const (
	RepositoryPlace = "repository"
	VariablePlace   = "variable/"
)

// Place is where r's login belongs.
func (r Repository) Place() Place {
	return Place{ProjectID: r.ProjectID, Name: RepositoryPlace, Version: r.Version}
}

// Place is where v's value belongs.
func (v Variable) Place() Place {
	return Place{ProjectID: v.ProjectID, Name: VariablePlace + v.Name, Version: v.Version}
}

// versionAt is the version of what is sealed at that moment: microseconds since
// 1970. What was deleted leaves no number to count on from.
func versionAt(t time.Time) int { return int(t.UnixMicro()) }

// Kept is a sealed secret and where it belongs.
type Kept struct {
	Place  Place
	Sealed Sealed
}

// Store keeps the settings. Its methods may be called concurrently, and what has
// returned is durable. A method that takes an audit event writes it in the same
// transaction as the change.
type Store interface {
	// Repository is NotFound where the project is linked to none.
	Repository(ctx context.Context, projectID string) (Repository, error)
	SetRepository(ctx context.Context, repository Repository, event audit.Event) error
	DeleteRepository(ctx context.Context, projectID string, event audit.Event) error

	// Variables are a project's, by name.
	Variables(ctx context.Context, projectID string) ([]Variable, error)
	SetVariable(ctx context.Context, variable Variable, event audit.Event) error
	DeleteVariable(ctx context.Context, projectID, name string, event audit.Event) error

	// SetDefaultEnvironment sets where executions run that name no environment;
	// "" is the installation's default.
	SetDefaultEnvironment(ctx context.Context, projectID, environmentID string, event audit.Event) error

	// ProjectSecretsBefore are up to limit secrets of the whole installation that
	// are sealed with another key than keyID.
	ProjectSecretsBefore(ctx context.Context, keyID uint32, limit int) ([]Kept, error)

	// ResealProjectSecret replaces the sealed bytes at a place if they are still
	// old, and reports whether they were.
	ResealProjectSecret(ctx context.Context, place Place, old, fresh Sealed) (bool, error)
}

// Sealer seals secrets at rest. Open fails for bytes that were sealed for
// another place.
type Sealer interface {
	SealSecret(plain secret.Text, place Place) (Sealed, error)
	OpenSecret(sealed Sealed, place Place) (secret.Text, error)
}

// Accounts say who sees which project, and which environments it may use;
// account.Service is one.
type Accounts interface {
	Project(ctx context.Context, actor account.Actor, key string) (account.Project, error)
	EnvironmentFor(ctx context.Context, project account.Project, keys ...string) (account.Environment, error)
}

// Hosts know git hosts.
type Hosts interface {
	// CheckRepository says what is wrong with a link, without asking its host: an
	// Invalid fault names the field.
	CheckRepository(repository Repository, login secret.Text) error
}

// Service is what the doors call. Make it with NewService; safe for concurrent
// use.
type Service struct {
	store    Store
	accounts Accounts
	sealer   Sealer
	hosts    Hosts
	now      func() time.Time

	sealing secret.Sealing
}

// NewService wires a service.
func NewService(store Store, accounts Accounts, sealer Sealer, hosts Hosts, now func() time.Time) *Service {
	return &Service{store: store, accounts: accounts, sealer: sealer, hosts: hosts, now: now}
}

func (s *Service) event(actor account.Actor, verb audit.Verb, project account.Project) audit.Event {
	return audit.Event{
		Time: s.now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: verb, Result: audit.ResultOK, OrganizationID: project.Owner.OrganizationID,
		ObjectID: project.ID, ObjectName: project.Name, Details: make(map[string]string),
	}
}
