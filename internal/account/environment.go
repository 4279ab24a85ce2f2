package account

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// Environment is a named group of workers. A worker belongs to the one that its
// token names, and takes only executions that are queued there.
type Environment struct {
	ID          string // UUID
	Name        string // unique without case
	Slug        string // of the name: lower case, with hyphens; unique
	Description string

	// Limit is how many executions run in it at once; 0: as many as its workers
	// take.
	Limit int

	// UserQuota is how many unfinished executions one user may have in it; 0:
	// any number.
	UserQuota int

	// Enabled says whether it takes new executions. Those that are queued still
	// run.
	Enabled bool

	// Restricted environments are for Projects alone, which are ids; others are
	// for all projects.
	Restricted bool
	Projects   []string

	CreatedAt time.Time
}

// DefaultEnvironmentID is the environment of executions and of workers that name
// none. It cannot be deleted.
const DefaultEnvironmentID = "e0000000-0000-4000-8000-000000000000"

// IsDefault reports whether e is the one that is always there.
func (e Environment) IsDefault() bool { return e.ID == DefaultEnvironmentID }

// Allows says whether executions of the project may run in e.
func (e Environment) Allows(projectID string) bool {
	return !e.Restricted || slices.Contains(e.Projects, projectID)
}

// Bounds of an environment's numbers.
const environmentNumberMost = 1_000_000

// EnvironmentChange is what an environment is made from, or changed by; nil
// leaves a value as it is.
type EnvironmentChange struct {
	Name        *string
	Description *string
	Limit       *int
	UserQuota   *int
	Enabled     *bool

	// Projects restricts the environment to these, as ids or OWNER/NAME; an
	// empty list is for none. Everybody opens it to all.
	Projects  *[]string
	Everybody bool
}

// Environments are those that actor may know of, by name: an operator of all, a
// user of those that a project which they see may use.
func (s *Service) Environments(ctx context.Context, actor Actor) ([]Environment, error) {
	all, err := s.store.Environments(ctx)
	if err != nil || actor.Operator {
		return all, err
	}
	if actor.UserID == "" {
		return nil, nil
	}
	projects, err := s.Projects(ctx, actor)
	if err != nil {
		return nil, err
	}
	var seen []Environment
	for _, environment := range all {
		if !environment.Restricted || slices.ContainsFunc(projects, func(p Project) bool { return environment.Allows(p.ID) }) {
			environment.Projects = slices.DeleteFunc(environment.Projects, func(id string) bool {
				return !slices.ContainsFunc(projects, func(p Project) bool { return p.ID == id })
			})
			seen = append(seen, environment)
		}
	}
	return seen, nil
}

// Environment finds one that actor may know of, by id, slug or name.
func (s *Service) Environment(ctx context.Context, actor Actor, key string) (Environment, error) {
	seen, err := s.Environments(ctx, actor)
	if err != nil {
		return Environment{}, err
	}
	return named(seen, key)
}

// EnvironmentFor is where an execution of the project runs: the environment that
// the first of the keys names which is not empty, by id, slug, name or a part
// of the name, and the default one where none does. One that the project may
// not use is as unknown as one that is not there.
func (s *Service) EnvironmentFor(ctx context.Context, project Project, keys ...string) (Environment, error) {
	all, err := s.store.Environments(ctx)
	if err != nil {
		return Environment{}, err
	}
	usable := slices.DeleteFunc(all, func(e Environment) bool { return !e.Allows(project.ID) })
	key := cmp.Or(cmp.Or(keys...), DefaultEnvironmentID)
	found, err := named(usable, key)
	if fault.Is(err, fault.NotFound) {
		return Environment{}, fault.InvalidField("environment", "environment_unknown", "there is no environment %.80q that the project %s may use", key, project.Name).
			WithHint("`fairlead environment list` shows them; an operator lets a project use one.")
	}
	if err == nil && !found.Enabled {
		err = fault.InvalidField("environment", "environment_disabled", "the environment %s takes no new executions", found.Name).
			WithHint("Choose another one, or ask an operator: `fairlead environment update %s --enabled`.", found.Slug)
	}
	return found, err
}

// named finds the one that key names: whole, or as a part of one name alone.
func named(environments []Environment, key string) (Environment, error) {
	for _, e := range environments {
		if e.ID == key || e.Slug == key || strings.EqualFold(e.Name, key) {
			return e, nil
		}
	}
	var found []Environment
	for _, e := range environments {
		if key != "" && strings.Contains(strings.ToLower(e.Name), strings.ToLower(key)) {
			found = append(found, e)
		}
	}
	switch len(found) {
	case 1:
		return found[0], nil
	case 0:
		return Environment{}, noEnvironment(key)
	default:
		return Environment{}, fault.InvalidField("environment", "environment_ambiguous", "%d environments have %.80q in their name, such as %s and %s", len(found), key, found[0].Name, found[1].Name).
			WithHint("Write the whole name, the slug or the id.")
	}
}

// CreateEnvironment makes an environment; only an operator may.
func (s *Service) CreateEnvironment(ctx context.Context, actor Actor, draft EnvironmentChange) (Environment, error) {
	if err := actor.MayOperate(); err != nil {
		return Environment{}, err
	}
	if draft.Name == nil {
		return Environment{}, fault.InvalidField("name", "required", "an environment needs a name")
	}
	environment, err := s.changed(ctx, Environment{ID: uuid.NewString(), Enabled: true, CreatedAt: s.now()}, draft)
	if err != nil {
		return Environment{}, err
	}
	return environment, s.store.CreateEnvironment(ctx, environment,
		s.event(actor, audit.EnvironmentCreate, 0, environment.ID, environment.Name))
}

// UpdateEnvironment changes an environment; only an operator may.
func (s *Service) UpdateEnvironment(ctx context.Context, actor Actor, key string, change EnvironmentChange) (Environment, error) {
	if err := actor.MayOperate(); err != nil {
		return Environment{}, err
	}
	environment, err := s.Environment(ctx, actor, key)
	if err != nil {
		return Environment{}, err
	}
	if environment, err = s.changed(ctx, environment, change); err != nil {
		return Environment{}, err
	}
	return environment, s.store.UpdateEnvironment(ctx, environment,
		s.event(actor, audit.EnvironmentUpdate, 0, environment.ID, environment.Name))
}

// DeleteEnvironment removes an environment that no worker's token and no
// unfinished execution names; only an operator may.
func (s *Service) DeleteEnvironment(ctx context.Context, actor Actor, key string) error {
	if err := actor.MayOperate(); err != nil {
		return err
	}
	environment, err := s.Environment(ctx, actor, key)
	if err != nil {
		return err
	}
	if environment.IsDefault() {
		return fault.New(fault.Conflict, "environment_default", "the default environment cannot be deleted").
			WithHint("Disable it: `fairlead environment update %s --enabled=false`.", environment.Slug)
	}
	return s.store.DeleteEnvironment(ctx, environment.ID, s.event(actor, audit.EnvironmentDelete, 0, environment.ID, environment.Name))
}

// changed is the environment with the change, checked.
func (s *Service) changed(ctx context.Context, e Environment, change EnvironmentChange) (Environment, error) {
	var errs []error
	if change.Name != nil {
		e.Name, e.Slug = *change.Name, slugOf(*change.Name)
		errs = append(errs, validTitle(e.Name))
	}
	if change.Description != nil {
		e.Description = *change.Description
		errs = append(errs, validDescription(e.Description))
	}
	for _, number := range []struct {
		field string
		from  *int
		into  *int
	}{{"limit", change.Limit, &e.Limit}, {"per_user_queue_quota", change.UserQuota, &e.UserQuota}} {
		if number.from == nil {
			continue
		}
		if *number.from < 0 || *number.from > environmentNumberMost {
			errs = append(errs, fault.InvalidField(number.field, "bounds", "%d is not from 0 to %d; 0 is no limit", *number.from, environmentNumberMost))
		}
		*number.into = *number.from
	}
	if change.Enabled != nil {
		e.Enabled = *change.Enabled
	}
	switch {
	case change.Projects != nil && change.Everybody:
		errs = append(errs, fault.InvalidField("projects", "projects_everybody", "an environment is for all projects or for some, not for both"))
	case change.Everybody:
		e.Restricted, e.Projects = false, nil
	case change.Projects != nil:
		e.Restricted, e.Projects = true, nil
		for _, key := range *change.Projects {
			id, err := s.projectID(ctx, key)
			if err != nil {
				errs = append(errs, err)
			} else if !slices.Contains(e.Projects, id) {
				e.Projects = append(e.Projects, id)
			}
		}
	}
	return e, fault.Join(errs...)
}

// projectID finds any project by its id or OWNER/NAME, for an operator, who need
// not belong to the organisation that owns it.
func (s *Service) projectID(ctx context.Context, key string) (string, error) {
	project, err := s.AnyProject(ctx, key)
	if fault.Is(err, fault.NotFound) {
		err = fault.InvalidField("projects", "project_unknown", "there is no project %.80q", key).
			WithHint("Write it as OWNER/NAME or as its id.")
	}
	return project.ID, err
}

// validTitle refuses what cannot be shown in one line.
func validTitle(name string) error {
	const most = 100
	if name == "" || len(name) > most || strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl) {
		return fault.InvalidField("name", "name", "%.80q is no name: it has 1 to %d bytes in one line, with no space around it", name, most)
	}
	return nil
}

// slugOf is a name as a word of an address: lower case, with hyphens.
func slugOf(name string) string {
	words := strings.FieldsFunc(strings.ToLower(name), func(r rune) bool { return !unicode.IsLetter(r) && !unicode.IsDigit(r) })
	return cmp.Or(strings.Join(words, "-"), "environment")
}

func noEnvironment(key string) error {
	return fault.New(fault.NotFound, "environment_unknown", "there is no environment %.80q, or none that you may use", key).
		WithHint("`fairlead environment list` shows yours.")
}
