package execution

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// Bounds of an execution.
const (
	titleMost       = 200
	tagsMost        = 50
	tagMost         = 100
	priorityMost    = 1_000_000
	environmentMost = 1000
	scriptMost      = 1 << 20
	pageDefault     = 100
	pageMost        = 10_000
)

// Projects finds projects as an actor may see them; account.Service is one.
type Projects interface {
	Project(ctx context.Context, actor account.Actor, key string) (account.Project, error)
	Projects(ctx context.Context, actor account.Actor) ([]account.Project, error)

	// EnvironmentFor finds where an execution of the project runs, by the first
	// key that is not empty.
	EnvironmentFor(ctx context.Context, project account.Project, keys ...string) (account.Environment, error)
}

// Settings are what projects are set to; project.Service is one.
type Settings interface {
	// PlainVariables are the variables of every execution of a project: the open
	// ones by name, and the names of the secret ones.
	PlainVariables(ctx context.Context, projectID string) (plain map[string]string, secrets []string, err error)
}

// Config is what a Service is made of.
type Config struct {
	Store    Store
	Packages Packages
	Depot    Depot
	Projects Projects

	// Repositories and Settings are of the projects.
	Repositories Repositories
	Settings     Settings

	Now func() time.Time

	// Changed is rung with an execution's id when it or its log changed, and
	// with QueueKey when there is something new to run.
	Changed *Bell

	// Ended hears of an execution that was stopped before a worker had it; nobody
	// does if nil.
	Ended func(status string)
}

// QueueKey is what Changed is rung with for the queue.
const QueueKey = "queue"

// Service starts, shows and ends executions for the doors. Make it with
// NewService; safe for concurrent use.
type Service struct {
	store    Store
	packages Packages
	depot    Depot
	projects Projects

	repositories Repositories
	settings     Settings

	now     func() time.Time
	changed *Bell
	ended   func(status string)
}

// NewService wires a service.
func NewService(config Config) *Service {
	return &Service{
		store: config.Store, packages: config.Packages, depot: config.Depot, projects: config.Projects,
		repositories: config.Repositories, settings: config.Settings, now: config.Now, changed: config.Changed, ended: config.Ended,
	}
}

// Draft is what an execution is made from. Project is an id or a name.
type Draft struct {
	Project string
	Commit  string
	Step    string

	// Image overrides the step's; "" keeps it.
	Image string

	Parameters map[string]valohaiyaml.Value

	// Inputs are URLs in place of the step's own, by the inputs' names.
	Inputs map[string][]string

	Environment map[string]string

	// VariableGroups are names in place of the step's; nil keeps those.
	VariableGroups []string

	Title string
	Tags  []string

	// EnvironmentKey names the environment in place of the step's.
	EnvironmentKey string
	Priority       int

	// TimeLimit overrides the step's; nil keeps it, 0 is none.
	TimeLimit *time.Duration

	MemoryBytes int64
	CPUs        float64
	ShmBytes    int64
	NoNetwork   bool
}

// Create queues a step. Everything that can be known to be wrong is told here:
// the step, its parameters, the image's name.
func (s *Service) Create(ctx context.Context, actor account.Actor, draft Draft) (Execution, error) {
	project, err := s.projects.Project(ctx, actor, draft.Project)
	if err != nil {
		return Execution{}, err
	}
	commit, step, err := s.step(ctx, project, draft)
	if err != nil {
		return Execution{}, err
	}
	plain, secrets, err := s.settings.PlainVariables(ctx, project.ID)
	if err != nil {
		return Execution{}, err
	}
	work, err := newWork(step, draft, variables{plain: plain, secret: secrets})
	work.Commit, work.Package = commit.Identifier, commit.Package
	inputs, inputErr := s.inputs(ctx, actor, project, step, draft.Inputs)
	environment, environmentErr := s.environment(ctx, actor, project, draft.EnvironmentKey, step.Environment, project.EnvironmentID)
	if err := fault.Join(err, inputErr, environmentErr, validLabels(draft)); err != nil {
		return Execution{}, err
	}
	work.Inputs = inputs
	e := Execution{
		ID: uuid.NewString(), ProjectID: project.ID, Title: draft.Title, Tags: draft.Tags, Work: work,
		Environment: environment, Priority: draft.Priority,
		CreatedBy: actor.UserID, CreatedByName: actor.Username, Status: Queued, CreatedAt: s.now(),
	}
	return s.queue(ctx, e, s.event(actor, audit.ExecutionCreate, project, e))
}

func (s *Service) queue(ctx context.Context, e Execution, event audit.Event) (Execution, error) {
	event.Details["image"] = e.Work.Image
	created, err := s.store.CreateExecution(ctx, e, nil, event)
	if err != nil {
		return Execution{}, err
	}
	s.changed.Ring(QueueKey)
	return created, nil
}

// environment finds where an execution runs, by the first key that is not empty,
// and refuses one where actor has as many unfinished executions as one may have.
func (s *Service) environment(ctx context.Context, actor account.Actor, project account.Project, keys ...string) (EnvironmentName, error) {
	found, err := s.projects.EnvironmentFor(ctx, project, keys...)
	if err != nil {
		return EnvironmentName{}, err
	}
	if found.UserQuota > 0 {
		unfinished, err := s.store.Unfinished(ctx, actor.UserID)
		if err != nil {
			return EnvironmentName{}, err
		}
		if count := unfinished[found.ID]; count >= found.UserQuota {
			return EnvironmentName{}, fault.New(fault.Exhausted, "environment_quota", "you have %d unfinished executions in the environment %s, and one user may have %d", count, found.Name, found.UserQuota).
				WithHint("Wait until one has ended, or stop one: `fairlead execution list --status incomplete` shows them.")
		}
	}
	return EnvironmentName{ID: found.ID, Name: found.Name, Slug: found.Slug}, nil
}

// step finds the step of the draft's commit.
func (s *Service) step(ctx context.Context, project account.Project, draft Draft) (Commit, *valohaiyaml.Step, error) {
	commit, err := s.commit(ctx, project, draft.Commit)
	if err != nil {
		return Commit{}, nil, err
	}
	file, findings := valohaiyaml.Parse(commit.ConfigPath, []byte(commit.Config))
	if err := findings.Err(); err != nil {
		return Commit{}, nil, err
	}
	step, err := file.FindStep(draft.Step)
	return commit, step, err
}

// Get finds an execution that actor may see: by its id, or by
// PROJECT:COUNTER or PROJECT:latest.
func (s *Service) Get(ctx context.Context, actor account.Actor, key string) (Execution, account.Project, error) {
	projectKey, counterText, ofProject := strings.Cut(key, ":")
	if !ofProject {
		return s.byID(ctx, actor, key)
	}
	project, err := s.projects.Project(ctx, actor, projectKey)
	if err != nil {
		return Execution{}, account.Project{}, err
	}
	counter, err := strconv.Atoi(counterText)
	switch {
	case counterText == "latest":
		counter = 0
	case err != nil || counter < 1:
		return Execution{}, account.Project{}, noExecution(key)
	}
	e, err := s.store.ExecutionByCounter(ctx, project.ID, counter)
	if fault.Is(err, fault.NotFound) {
		err = noExecution(key)
	}
	return e, project, err
}

func (s *Service) byID(ctx context.Context, actor account.Actor, id string) (Execution, account.Project, error) {
	e, err := s.store.ExecutionByID(ctx, id)
	if fault.Is(err, fault.NotFound) {
		return Execution{}, account.Project{}, noExecution(id)
	}
	if err != nil {
		return Execution{}, account.Project{}, err
	}
	project, err := s.projects.Project(ctx, actor, e.ProjectID)
	if fault.Is(err, fault.NotFound) {
		err = noExecution(id)
	}
	if err != nil {
		return Execution{}, account.Project{}, err
	}
	return e, project, nil
}

// List are the executions of one project, or where project is "" of all that
// actor may see, and the count of all of them. Filter's ProjectIDs are set
// here; a page of 0 has 100 executions.
func (s *Service) List(ctx context.Context, actor account.Actor, project string, filter Filter) ([]Execution, int, error) {
	filter.ProjectIDs = nil
	if project != "" {
		found, err := s.projects.Project(ctx, actor, project)
		if err != nil {
			return nil, 0, err
		}
		filter.ProjectIDs = []string{found.ID}
	} else {
		all, err := s.projects.Projects(ctx, actor)
		if err != nil {
			return nil, 0, err
		}
		for _, found := range all {
			filter.ProjectIDs = append(filter.ProjectIDs, found.ID)
		}
	}
	if len(filter.ProjectIDs) == 0 {
		return nil, 0, nil
	}
	filter.Page = filter.Page.bounded()
	return s.store.Executions(ctx, filter)
}

// Summary counts a project's executions by status.
func (s *Service) Summary(ctx context.Context, project account.Project) (map[Status]int, error) {
	return s.store.CountByStatus(ctx, project.ID)
}

// Stop asks for the end of an execution: a queued one ends at once, a started
// one when its worker has stopped the command. Stopping it again changes
// nothing; one that has ended is a Conflict.
func (s *Service) Stop(ctx context.Context, actor account.Actor, key string) (Execution, error) {
	e, project, err := s.Get(ctx, actor, key)
	if err != nil {
		return Execution{}, err
	}
	line := Line{Time: s.now(), Stream: StatusStream, Text: CleanText("Stopped by " + actor.Name())}
	stopped, err := s.store.RequestStop(ctx, e.ID, s.now(), []Line{line}, s.event(actor, audit.ExecutionStop, project, e))
	s.changed.Ring(e.ID)
	if err == nil && s.ended != nil && !e.Status.IsFinal() && stopped.Status.IsFinal() {
		s.ended(string(stopped.Status))
	}
	return stopped, err
}

// Copy queues what an execution did once more: the same code, command, image and
// inputs, whatever has changed since. It is a new execution of actor's.
func (s *Service) Copy(ctx context.Context, actor account.Actor, key string) (Execution, account.Project, error) {
	old, project, err := s.Get(ctx, actor, key)
	if err != nil {
		return Execution{}, account.Project{}, err
	}
	environment, err := s.environment(ctx, actor, project, old.Environment.Slug, project.EnvironmentID)
	if err != nil {
		return Execution{}, account.Project{}, err
	}
	e := Execution{
		ID: uuid.NewString(), ProjectID: project.ID, Title: old.Title, Tags: old.Tags, Work: old.Work,
		Environment: environment, Priority: old.Priority,
		CreatedBy: actor.UserID, CreatedByName: actor.Username, Status: Queued, CreatedAt: s.now(),
	}
	event := s.event(actor, audit.ExecutionCreate, project, e)
	event.Details["copy_of"] = old.ID
	created, err := s.queue(ctx, e, event)
	return created, project, err
}

// SetTags replaces the tags of an execution.
func (s *Service) SetTags(ctx context.Context, actor account.Actor, key string, tags []string) (Execution, account.Project, error) {
	e, project, err := s.Get(ctx, actor, key)
	if err == nil {
		err = validTags(tags)
	}
	if err != nil {
		return Execution{}, account.Project{}, err
	}
	e, err = s.store.SetTags(ctx, e.ID, tags, s.event(actor, audit.ExecutionTag, project, e))
	return e, project, err
}

// Unfinished counts the executions of the installation that have not ended, by
// environment.
func (s *Service) Unfinished(ctx context.Context) (map[string]int, error) {
	return s.store.Unfinished(ctx, "")
}

// Delete removes an execution that has ended, with its log and its outputs.
func (s *Service) Delete(ctx context.Context, actor account.Actor, key string) error {
	e, project, err := s.Get(ctx, actor, key)
	if err != nil {
		return err
	}
	data, _, err := s.store.Data(ctx, DatumFilter{ProjectIDs: []string{project.ID}, ExecutionID: e.ID, Page: Page{Limit: dataMost}})
	if err != nil {
		return err
	}
	if err := s.store.DeleteExecution(ctx, e.ID, s.event(actor, audit.ExecutionDelete, project, e)); err != nil {
		return err
	}
	return s.purgeAll(context.WithoutCancel(ctx), data)
}

func (s *Service) event(actor account.Actor, verb audit.Verb, project account.Project, e Execution) audit.Event {
	return audit.Event{
		Time: s.now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: verb, Result: audit.ResultOK, OrganizationID: project.Owner.OrganizationID,
		ObjectID: e.ID, ObjectName: e.Work.Step, ExecutionID: e.ID,
		Details: map[string]string{"project": project.Name},
	}
}

func (p Page) bounded() Page {
	if p.Limit <= 0 {
		p.Limit = pageDefault
	}
	p.Limit = min(p.Limit, pageMost)
	p.Offset = max(p.Offset, 0)
	return p
}

func noExecution(key string) error {
	return fault.New(fault.NotFound, "execution_unknown", "there is no execution %.80q, or none that you may see", key).
		WithHint("`fairlead execution list` shows yours.")
}

func validLabels(draft Draft) error {
	var errs []error
	if len(draft.Title) > titleMost {
		errs = append(errs, fault.InvalidField("title", "long", "has %d bytes; at most %d", len(draft.Title), titleMost))
	}
	if draft.Priority < -priorityMost || draft.Priority > priorityMost {
		errs = append(errs, fault.InvalidField("priority", "bounds", "%d is not from -%d to %d", draft.Priority, priorityMost, priorityMost))
	}
	return fault.Join(append(errs, validTags(draft.Tags))...)
}

func validTags(tags []string) error {
	if len(tags) > tagsMost {
		return fault.InvalidField("tags", "many", "%d tags; at most %d", len(tags), tagsMost)
	}
	for _, tag := range tags {
		if tag == "" || len(tag) > tagMost {
			return fault.InvalidField("tags", "tag", "%.80q is no tag: one has from 1 to %d bytes", tag, tagMost)
		}
	}
	return nil
}
