package account

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Federation lets those sign in whom a provider elsewhere answers for. A subject
// of a provider is one user; which one, was decided when it first came or was
// linked, and never by a name or an address that the provider tells. Make it with
// NewFederation; safe for concurrent use.
type Federation struct {
	FederationConfig
	sealing secret.Sealing
}

// FederationConfig is what a Federation is made of.
type FederationConfig struct {
	Accounts *Service
	Sealer   RefreshSealer

	// Roles are what groups give.
	Roles RoleMap
}

// NewFederation wires a federation.
func NewFederation(config FederationConfig) *Federation { return &Federation{FederationConfig: config} }

// WithPasswordsOfOperatorsOnly has a password be of no use to anybody else, and
// returns s. It is called before the service is.
func (s *Service) WithPasswordsOfOperatorsOnly() *Service {
	s.operatorsOnly = true
	return s
}

// Identity is a subject of a provider, and the user that it is.
type Identity struct {
	Issuer  string
	Subject string
	UserID  string

	// Username and Email are what the provider last told, for people to
	// recognise the identity by; nothing is decided by them.
	Username string
	Email    string

	CreatedAt  time.Time
	LastUsedAt time.Time // zero: never
}

// External is somebody whom a provider has just answered for.
type External struct {
	Issuer  string
	Subject string

	// Username and Email are wishes: for the name of a user who is made, and
	// for the address of one, if it is verified.
	Username      string
	Email         string
	EmailVerified bool

	Groups []string

	// SID is the provider's own session; "": it does not say.
	SID string

	// RefreshToken asks the provider later whether that goes on; empty: nothing
	// does, and the session here is a short one.
	RefreshToken secret.Text

	// Agent is what the browser says that it is, and Remote the address that
	// the request came from.
	Agent, Remote string
}

// ExternalSession is a session that a provider answers for.
type ExternalSession struct {
	SessionID string
	UserID    string
	Username  string // of the user; not kept with it

	Issuer  string
	Subject string
	SID     string

	// Version counts the refresh tokens; the seal is bound to it.
	Version int
	Sealed  SealedRefresh // no bytes: there is none

	RefreshAt time.Time // when the provider is asked again; zero: never
	AwaySince time.Time // zero: it answered the last time
}

// unaskedLife is how long a session lasts whose provider cannot be asked about
// it.
const unaskedLife = 24 * time.Hour

// StartExternalSession signs a browser in whose user a provider answers for. At
// the first time a user is made, who has no password; who is in no group of the
// role map is refused then, and later as soon as they have no role that was given
// by hand. Roles are as the groups and the hand give them from then on. The text is kept nowhere.
func (f *Federation) StartExternalSession(ctx context.Context, in External) (Session, secret.Text, error) {
	if in.Issuer == "" || in.Subject == "" {
		return Session{}, secret.Text{}, fault.New(fault.Unauthenticated, "identity_missing", "the provider names nobody").WithHint("Sign in again.")
	}
	user, err := f.user(ctx, in)
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	if err := f.applyGroups(ctx, user, in); err != nil {
		return Session{}, secret.Text{}, err
	}
	if !f.Roles.IsEmpty() {
		actor, err := f.Accounts.userActor(ctx, user.ID)
		if err != nil {
			return Session{}, secret.Text{}, err
		}
		if len(actor.Roles) == 0 && !actor.Operator {
			return Session{}, secret.Text{}, f.refuse(ctx, user, in)
		}
	}
	return f.start(ctx, user, in)
}

// refuse writes down that who came is in no group, and says so.
func (f *Federation) refuse(ctx context.Context, user User, in External) error {
	event := f.Accounts.event(Actor{Remote: in.Remote}, audit.UserSignIn, 0, user.ID, user.Username)
	event.Details = map[string]string{"issuer": in.Issuer, "subject": in.Subject}
	return f.Accounts.refuse(ctx, event, fault.New(fault.Denied, "group_missing", "none of your groups at the provider lets you use Fairlead").
		WithHint("Ask who runs Fairlead which group does (--oidc-roles), and sign in again when you are in it."))
}

// user is who the identity is, made where nobody is yet.
func (f *Federation) user(ctx context.Context, in External) (User, error) {
	store := f.Accounts.store
	const tries = 3 // another request may have the same identity or name in hand
	for try := 0; ; try++ {
		identity, err := store.Identity(ctx, in.Issuer, in.Subject)
		if err == nil {
			return store.UserByID(ctx, identity.UserID)
		}
		if !fault.Is(err, fault.NotFound) {
			return User{}, err
		}
		if !f.Roles.IsEmpty() && len(f.Roles.Of(in.Groups)) == 0 {
			return User{}, f.refuse(ctx, User{}, in)
		}
		user, err := f.newUser(ctx, in)
		if err != nil {
			return User{}, err
		}
		event := f.event(in.Remote, audit.UserCreate, user.ID, user.Username)
		event.Details["issuer"], event.Details["subject"] = in.Issuer, in.Subject
		err = store.CreateExternalUser(ctx, user, f.identity(in, user.ID), event)
		if err == nil || !fault.Is(err, fault.Conflict) || try == tries {
			return user, err
		}
	}
}

// newUser is a user for the identity, under a name that nobody has.
func (f *Federation) newUser(ctx context.Context, in External) (User, error) {
	name, err := f.freeName(ctx, nameFrom(in.Username, in.Email))
	if err != nil {
		return User{}, err
	}
	user := User{ID: uuid.NewString(), Username: name, CreatedAt: f.Accounts.now()}
	if in.EmailVerified && validEmail(in.Email) == nil {
		user.Email = in.Email
	}
	return user, nil
}

// numbersMost is how many numbers are tried behind a name that is taken.
const numbersMost = 100

// freeName is the name, or the name with a number: one that no user has and, since
// both may own projects, no organisation.
func (f *Federation) freeName(ctx context.Context, base string) (string, error) {
	for number := 1; number <= numbersMost; number++ {
		name := base
		if number > 1 {
			suffix := "-" + strconv.Itoa(number)
			name = base[:min(len(base), nameMost-len(suffix))] + suffix
		}
		_, _, err := f.Accounts.store.UserByName(ctx, name)
		if err == nil {
			continue
		}
		if !fault.Is(err, fault.NotFound) {
			return "", err
		}
		_, err = f.Accounts.store.OrganizationByName(ctx, name)
		if fault.Is(err, fault.NotFound) {
			return name, nil
		}
		if err != nil {
			return "", err
		}
	}
	return base[:min(len(base), nameMost-9)] + "-" + uuid.NewString()[:8], nil
}

// nameMost is the length of the longest name that nameRule allows.
const nameMost = 64

// nameFrom makes a name of what the provider tells: up to an @, without what no
// name may have.
func nameFrom(wishes ...string) string {
	for _, wish := range wishes {
		wish, _, _ = strings.Cut(wish, "@")
		var name strings.Builder
		for _, r := range wish {
			switch {
			case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', r == '.', r == '_', r == '-':
				name.WriteRune(r)
			default:
				name.WriteByte('-')
			}
		}
		cleaned := strings.Trim(name.String(), "-._")
		cleaned = strings.TrimRight(cleaned[:min(len(cleaned), nameMost)], "-._")
		if nameRule.MatchString(cleaned) {
			return cleaned
		}
	}
	return "user"
}

func (f *Federation) identity(in External, userID string) Identity {
	return Identity{
		Issuer: in.Issuer, Subject: in.Subject, UserID: userID, Username: in.Username, Email: in.Email, CreatedAt: f.Accounts.now(),
	}
}

// applyGroups has the user's roles be what the groups give now.
func (f *Federation) applyGroups(ctx context.Context, user User, in External) error {
	want := make(map[int64]Role)
	names := make(map[int64]string)
	for name, role := range f.Roles.Of(in.Groups) {
		if name == "" {
			want[0] = role
			continue
		}
		organization, err := f.Accounts.store.OrganizationByName(ctx, name)
		if fault.Is(err, fault.NotFound) {
			continue // the rule waits for the organisation
		}
		if err != nil {
			return err
		}
		want[organization.ID], names[organization.ID] = role, organization.Name
	}
	defer f.Accounts.forget()
	return f.Accounts.store.ChangeRoles(ctx, user.ID, func(have []Standing) []RoleChange {
		known := make(map[int64]bool)
		for _, s := range have {
			known[s.OrganizationID] = true
		}
		for id := range want {
			if !known[id] {
				have = append(have, Standing{OrganizationID: id, Name: names[id]})
			}
		}
		return groupChanges(have, want, func(verb audit.Verb, s Standing) audit.Event {
			event := f.event(in.Remote, verb, user.ID, user.Username)
			event.OrganizationID, event.Details["by"] = s.OrganizationID, "groups"
			return event
		})
	})
}

// start makes the session.
func (f *Federation) start(ctx context.Context, user User, in External) (Session, secret.Text, error) {
	now := f.Accounts.now()
	session := Session{
		ID: uuid.NewString(), UserID: user.ID, Agent: cleanAgent(in.Agent), Remote: in.Remote,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(unaskedLife),
	}
	external := ExternalSession{SessionID: session.ID, UserID: user.ID, Issuer: in.Issuer, Subject: in.Subject, SID: in.SID}
	defer f.sealing.Begin()()
	if !in.RefreshToken.IsEmpty() {
		session.ExpiresAt = now.Add(SessionLife)
		external.Version, external.RefreshAt = 1, now.Add(refreshAfter())
		var err error
		if external.Sealed, err = f.Sealer.SealRefresh(in.RefreshToken, external.Place()); err != nil {
			return Session{}, secret.Text{}, err
		}
	}
	text := newTokenText(sessionTokenPrefix)
	event := f.Accounts.event(Actor{UserID: user.ID, Username: user.Username, Remote: in.Remote}, audit.SessionStart, 0, session.ID, "")
	event.Details = map[string]string{"issuer": in.Issuer}
	defer f.Accounts.forget() // an old session may have been ended for this one
	err := f.Accounts.store.CreateExternalSession(ctx, session, HashToken(text), now.Add(-SessionIdle), external, f.identity(in, user.ID), event)
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	return session, text, nil
}

// EndExternalSessions ends the sessions that the provider says are over, and
// returns how many there were: those of the provider's session sid, and of the
// subject all of which the provider's session is not known, or all where sid is "".
func (f *Federation) EndExternalSessions(ctx context.Context, issuer, subject, sid string) (int, error) {
	if subject == "" && sid == "" {
		return 0, nil
	}
	found, err := f.Accounts.store.ExternalSessions(ctx, issuer, subject, sid)
	if err != nil {
		return 0, err
	}
	if sid != "" {
		found = slices.DeleteFunc(found, func(s ExternalSession) bool { return s.SID != "" && s.SID != sid })
	}
	return f.endAll(ctx, found, "provider_logout")
}

// EndSessionsOfOthers ends the sessions of all providers but one, which nobody
// can be asked about any more, and returns how many there were. "" ends all.
func (f *Federation) EndSessionsOfOthers(ctx context.Context, issuer string) (int, error) {
	found, err := f.Accounts.store.ExternalSessionsOfOthers(ctx, issuer)
	if err != nil {
		return 0, err
	}
	return f.endAll(ctx, found, "provider_removed")
}

func (f *Federation) endAll(ctx context.Context, sessions []ExternalSession, reason string) (int, error) {
	ended := 0
	for _, session := range sessions {
		was, err := f.end(ctx, session, reason)
		if err != nil {
			return ended, err
		}
		if was {
			ended++
		}
	}
	return ended, nil
}

// end ends a session and says why; it reports whether it was there.
func (f *Federation) end(ctx context.Context, session ExternalSession, reason string) (bool, error) {
	event := f.event("", audit.SessionEnd, session.SessionID, session.Username)
	event.Details["reason"], event.Details["issuer"] = reason, session.Issuer
	defer f.Accounts.forget()
	err := f.Accounts.store.DeleteSession(ctx, session.UserID, session.SessionID, event)
	if fault.Is(err, fault.NotFound) { // it ended by itself meanwhile
		return false, nil
	}
	return err == nil, err
}

// event is one that nobody of here has caused.
func (f *Federation) event(remote string, verb audit.Verb, id, name string) audit.Event {
	event := f.Accounts.event(Actor{Username: "fairlead", Remote: remote}, verb, 0, id, name)
	event.Details = make(map[string]string)
	return event
}
