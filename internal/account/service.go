package account

import (
	"context"
	"crypto/rand"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Service is what the doors call. Make it with NewService; safe for concurrent
// use.
type Service struct {
	store     Store
	passwords *Passwords
	throttle  *throttle
	sealer    Sealer // of second factors; nil: there are none
	sealing   secret.Sealing
	now       func() time.Time

	mu         sync.Mutex
	recent     map[string]recalled // by the hash of a token's or session's text
	generation int                 // counts what made them stale

	devices *devices

	// operatorsOnly has nobody else sign in with a password.
	operatorsOnly bool
}

// NewService returns a service over store. Times are taken from now, in UTC.
func NewService(store Store, now func() time.Time) *Service {
	return &Service{store: store, passwords: NewPasswords(), throttle: newThrottle(), now: now, recent: make(map[string]recalled), devices: newDevices()}
}

// Bootstrap makes the first user, an operator and admin of a first
// organisation, if there is no user yet. The password is returned once and is
// empty when there was nothing to do.
func (s *Service) Bootstrap(ctx context.Context, username, organization string) (secret.Text, error) {
	count, err := s.store.CountUsers(ctx)
	if err != nil || count > 0 {
		return secret.Text{}, err
	}
	password := secret.New(strings.ToLower(rand.Text()))
	hash, err := s.passwords.Hash(password)
	if err := fault.Join(validName("username", username), validName("organization", organization), err); err != nil {
		return secret.Text{}, err
	}
	user := User{ID: uuid.NewString(), Username: username, Operator: true, CreatedAt: s.now()}
	event := s.event(Actor{Username: "fairlead"}, audit.UserCreate, 0, user.ID, user.Username)
	return password, s.store.Bootstrap(ctx, user, hash, Organization{Name: organization, CreatedAt: s.now()}, event)
}

// NewUser is what a user is made from.
type NewUser struct {
	Username string
	Email    string
	Password secret.Text
	Operator bool
}

// CreateUser makes a user; only an operator may.
func (s *Service) CreateUser(ctx context.Context, actor Actor, draft NewUser) (User, error) {
	if err := actor.MayOperate(); err != nil {
		return User{}, err
	}
	hash, passwordErr := s.passwords.Hash(draft.Password)
	if err := fault.Join(validName("username", draft.Username), validEmail(draft.Email), passwordErr); err != nil {
		return User{}, err
	}
	user := User{
		ID: uuid.NewString(), Username: draft.Username, Email: draft.Email,
		Operator: draft.Operator, CreatedAt: s.now(),
	}
	return user, s.store.CreateUser(ctx, user, hash, s.event(actor, audit.UserCreate, 0, user.ID, user.Username))
}

// SetPassword changes a user's password: one's own, or as an operator
// anybody's. Tokens stay good. One's own other sessions end with it; those of
// somebody else stay, see SetPasswordAndEndSessions.
func (s *Service) SetPassword(ctx context.Context, actor Actor, username string, password secret.Text) error {
	return s.setPassword(ctx, actor, username, password, strings.EqualFold(username, actor.Username))
}

// SetPasswordAndEndSessions is SetPassword that ends all sessions of the user as
// well, but for the one that actor asks from.
func (s *Service) SetPasswordAndEndSessions(ctx context.Context, actor Actor, username string, password secret.Text) error {
	return s.setPassword(ctx, actor, username, password, true)
}

func (s *Service) setPassword(ctx context.Context, actor Actor, username string, password secret.Text, endSessions bool) error {
	if !strings.EqualFold(username, actor.Username) {
		if err := actor.MayOperate(); err != nil {
			return err
		}
	}
	hash, err := s.passwords.Hash(password)
	if err != nil {
		return err
	}
	user, _, err := s.store.UserByName(ctx, username)
	if err != nil {
		return err
	}
	event := s.event(actor, audit.UserPassword, 0, user.ID, user.Username)
	if !endSessions {
		return s.store.SetPassword(ctx, user.ID, hash, event)
	}
	event.Details = map[string]string{"sessions": "ended"}
	defer s.forget()
	return s.store.SetPasswordAndEndSessions(ctx, user.ID, hash, actor.SessionID, event)
}

// Me is the user behind actor.
func (s *Service) Me(ctx context.Context, actor Actor) (User, error) {
	if actor.UserID == "" {
		return User{}, fault.New(fault.Denied, "not_user", "a worker's token is no user")
	}
	return s.store.UserByID(ctx, actor.UserID)
}

// CreateOrganization makes an organisation with actor as its first admin; only
// an operator may.
func (s *Service) CreateOrganization(ctx context.Context, actor Actor, name string) (Organization, error) {
	if err := fault.Join(actor.MayOperate(), validName("name", name)); err != nil {
		return Organization{}, err
	}
	created, err := s.store.CreateOrganization(ctx, Organization{Name: name, CreatedAt: s.now()}, actor.UserID,
		s.event(actor, audit.OrganizationCreate, 0, "", name))
	s.forget()
	return created, err
}

// Organizations are those that actor belongs to, with the actor's role.
func (s *Service) Organizations(ctx context.Context, actor Actor) ([]Membership, error) {
	return s.store.Memberships(ctx, actor.UserID)
}

// Organization finds one that actor belongs to, by id or name.
func (s *Service) Organization(ctx context.Context, actor Actor, key string) (Organization, error) {
	var found Organization
	var err error
	if id, parseErr := strconv.ParseInt(key, 10, 64); parseErr == nil {
		found, err = s.store.OrganizationByID(ctx, id)
	} else {
		found, err = s.store.OrganizationByName(ctx, key)
	}
	if fault.Is(err, fault.NotFound) || err == nil && !actor.IsMember(found.ID) {
		return Organization{}, noOrganization(key)
	}
	return found, err
}

// Members are an organisation's; every member may see them.
func (s *Service) Members(ctx context.Context, actor Actor, organization string) ([]Membership, error) {
	found, err := s.Organization(ctx, actor, organization)
	if err != nil {
		return nil, err
	}
	return s.store.Members(ctx, found.ID)
}

// SetMember gives a user a role in an organisation; only its admins may. An
// organisation cannot lose its last admin.
func (s *Service) SetMember(ctx context.Context, actor Actor, organization, username string, role Role) (Membership, error) {
	found, user, err := s.member(ctx, actor, organization, username)
	if err != nil {
		return Membership{}, err
	}
	event := s.event(actor, audit.MemberSet, found.ID, user.ID, user.Username)
	event.Details = map[string]string{"role": string(role)}
	if err := s.store.SetMember(ctx, found.ID, user.ID, role, event); err != nil {
		return Membership{}, err
	}
	s.forget()
	return Membership{Organization: found, UserID: user.ID, Username: user.Username, Role: role}, nil
}

// RemoveMember takes a user out of an organisation; only its admins may.
func (s *Service) RemoveMember(ctx context.Context, actor Actor, organization, username string) error {
	found, user, err := s.member(ctx, actor, organization, username)
	if err != nil {
		return err
	}
	defer s.forget()
	return s.store.RemoveMember(ctx, found.ID, user.ID, s.event(actor, audit.MemberRemove, found.ID, user.ID, user.Username))
}

// member finds the organisation that actor administers, and the user.
func (s *Service) member(ctx context.Context, actor Actor, organization, username string) (Organization, User, error) {
	found, err := s.Organization(ctx, actor, organization)
	if err != nil {
		return Organization{}, User{}, err
	}
	if err := actor.MayAdminister(found); err != nil {
		return Organization{}, User{}, err
	}
	user, _, err := s.store.UserByName(ctx, username)
	if fault.Is(err, fault.NotFound) {
		err = fault.InvalidField("username", "user_unknown", "there is no user %.80q", username).
			WithHint("An operator makes users with `fairlead user create`.")
	}
	return found, user, err
}

// NewProject is what a project is made from. Owner is an organisation's name
// or id; empty makes a personal project.
type NewProject struct {
	Name        string
	Description string
	Owner       string
}

// CreateProject makes a project; every member may make one in the organisation.
func (s *Service) CreateProject(ctx context.Context, actor Actor, draft NewProject) (Project, error) {
	if actor.UserID == "" {
		return Project{}, fault.New(fault.Denied, "not_user", "only a user can make a project")
	}
	if err := fault.Join(validName("name", draft.Name), validDescription(draft.Description)); err != nil {
		return Project{}, err
	}
	owner := Owner{UserID: actor.UserID, Name: actor.Username}
	if draft.Owner != "" && draft.Owner != actor.Username {
		organization, err := s.Organization(ctx, actor, draft.Owner)
		if err != nil {
			return Project{}, err
		}
		owner = Owner{OrganizationID: organization.ID, Name: organization.Name}
	}
	project := Project{
		ID: uuid.NewString(), Name: draft.Name, Description: draft.Description,
		Owner: owner, CreatedAt: s.now(),
	}
	return project, s.store.CreateProject(ctx, project,
		s.event(actor, audit.ProjectCreate, owner.OrganizationID, project.ID, project.Name))
}

// Projects are all that actor may see.
func (s *Service) Projects(ctx context.Context, actor Actor) ([]Project, error) {
	organizations := make([]int64, 0, len(actor.Roles))
	for id := range actor.Roles {
		organizations = append(organizations, id)
	}
	return s.store.Projects(ctx, organizations, actor.UserID)
}

// Project finds one that actor may see: by id, by name where it is the only one
// of that name, or by OWNER/NAME.
func (s *Service) Project(ctx context.Context, actor Actor, key string) (Project, error) {
	if _, err := uuid.Parse(key); err == nil {
		project, err := s.store.ProjectByID(ctx, key)
		if fault.Is(err, fault.NotFound) {
			return Project{}, noProject(key)
		}
		if err != nil {
			return Project{}, err
		}
		return project, actor.MaySee(project)
	}
	all, err := s.Projects(ctx, actor)
	if err != nil {
		return Project{}, err
	}
	var found []Project
	for _, project := range all {
		if strings.EqualFold(project.Name, key) || strings.EqualFold(project.Owner.Name+"/"+project.Name, key) {
			found = append(found, project)
		}
	}
	switch len(found) {
	case 0:
		return Project{}, noProject(key)
	case 1:
		return found[0], nil
	default:
		return Project{}, fault.InvalidField("project", "project_ambiguous", "%d projects are called %.80q", len(found), key).
			WithHint("Say whose: %s/%s.", found[0].Owner.Name, found[0].Name)
	}
}

// AnyProject finds any project by its id or OWNER/NAME, whoever may see it: for what
// an operator has set up. A NotFound fault says that there is none.
func (s *Service) AnyProject(ctx context.Context, key string) (Project, error) {
	if _, err := uuid.Parse(key); err == nil {
		return s.store.ProjectByID(ctx, key)
	}
	owner, name, _ := strings.Cut(key, "/")
	organizations, user := []int64{}, ""
	if found, err := s.store.OrganizationByName(ctx, owner); err == nil {
		organizations = append(organizations, found.ID)
	} else if !fault.Is(err, fault.NotFound) {
		return Project{}, err
	}
	if found, _, err := s.store.UserByName(ctx, owner); err == nil {
		user = found.ID
	} else if !fault.Is(err, fault.NotFound) {
		return Project{}, err
	}
	projects, err := s.store.Projects(ctx, organizations, user)
	if err != nil {
		return Project{}, err
	}
	for _, project := range projects {
		if strings.EqualFold(project.Name, name) {
			return project, nil
		}
	}
	return Project{}, fault.New(fault.NotFound, "project_unknown", "there is no project %.80q", key).
		WithHint("`fairlead project list` shows yours; write it as OWNER/NAME.")
}

func (s *Service) event(actor Actor, verb audit.Verb, organizationID int64, id, name string) audit.Event {
	return audit.Event{
		Time: s.now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: verb, Result: audit.ResultOK, OrganizationID: organizationID, ObjectID: id, ObjectName: name,
	}
}

func validEmail(email string) error {
	if email == "" || strings.Count(email, "@") == 1 && len(email) < 255 && !strings.ContainsAny(email, " \t\r\n") {
		return nil
	}
	return fault.InvalidField("email", "email", "%.80q is no e-mail address", email)
}

func validDescription(text string) error {
	const most = 4096
	if len(text) <= most {
		return nil
	}
	return fault.InvalidField("description", "long", "has %d bytes; at most %d are kept", len(text), most)
}
