package account

import (
	"context"
	"strings"
	"time"
	"unicode"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Session is a browser that somebody signed in with. It acts as its user, like a
// token; its text is a kind of its own, which is no token of the API.
type Session struct {
	ID     string // UUID
	UserID string

	// Agent is what the browser said that it is, up to 256 bytes in one line.
	// It may say anything.
	Agent string

	// Remote is the address that it was last used from.
	Remote string

	CreatedAt  time.Time
	LastUsedAt time.Time // kept to five minutes, as Remote is
	ExpiresAt  time.Time // the end whatever its use: 30 days after the sign-in
}

// How long a session is good, and how exactly its last use is kept: a request
// does not write, but for one every few minutes.
const (
	SessionIdle          = 7 * 24 * time.Hour
	SessionLife          = 30 * 24 * time.Hour
	sessionTouchInterval = 5 * time.Minute
)

// SessionsMost is how many sessions a user has at once; the next one ends that
// which was used longest ago.
const SessionsMost = 50

// EndsAt is when the session ends if it is not used again.
func (s Session) EndsAt() time.Time {
	if idle := s.LastUsedAt.Add(SessionIdle); idle.Before(s.ExpiresAt) {
		return idle
	}
	return s.ExpiresAt
}

// IsOver reports whether the session has ended at now.
func (s Session) IsOver(now time.Time) bool { return !now.Before(s.EndsAt()) }

// isSessionText tells a session's text from a token's.
func isSessionText(text secret.Text) bool {
	return strings.HasPrefix(text.Reveal(), sessionTokenPrefix)
}

// StartSession signs a browser in and returns the session with its text, which
// is kept nowhere. A wrong password and an unknown user look the same, as the
// code sign_in_refused, and take the same time. The other codes are code_required
// (the password is right, and there is a second factor), code_refused, and
// sign_in_throttled, which tells how long to wait.
func (s *Service) StartSession(ctx context.Context, in SignIn) (Session, secret.Text, error) {
	user, factor, err := s.prove(ctx, in)
	if err != nil {
		return Session{}, secret.Text{}, err
	}
	return s.startSession(ctx, user, in.Agent, in.Remote, factor)
}

// startSession makes a session for a user who was proven to be there, with that
// second factor or without.
func (s *Service) startSession(ctx context.Context, user User, agent, remote, factor string) (Session, secret.Text, error) {
	now := s.now()
	session := Session{
		ID: uuid.NewString(), UserID: user.ID, Agent: cleanAgent(agent), Remote: remote,
		CreatedAt: now, LastUsedAt: now, ExpiresAt: now.Add(SessionLife),
	}
	text := newTokenText(sessionTokenPrefix)
	actor := Actor{UserID: user.ID, Username: user.Username, Remote: remote}
	defer s.forget() // an old session may have been ended for this one
	event := withFactor(s.event(actor, audit.SessionStart, 0, session.ID, ""), factor)
	err := s.store.CreateSession(ctx, session, HashToken(text), now.Add(-SessionIdle), event)
	return session, text, err
}

// AuthenticateSession finds who a session's text stands for; remote is the
// address that it came from. A text that is no session's, such as a token's, one
// that is over and one that was ended are all Unauthenticated.
func (s *Service) AuthenticateSession(ctx context.Context, text secret.Text, remote string) (Actor, Session, error) {
	if text.IsEmpty() {
		return Actor{}, Session{}, fault.New(fault.Unauthenticated, "session_missing", "nobody is signed in").WithHint("Sign in.")
	}
	if !isSessionText(text) {
		return Actor{}, Session{}, errSessionOver()
	}
	hash, now := HashToken(text), s.now()
	current, known := s.recall(hash, now)
	if !known {
		var err error
		if current, err = s.loadSession(ctx, hash, remote, now); err != nil {
			return Actor{}, Session{}, err
		}
	}
	if current.session.IsOver(now) {
		return Actor{}, Session{}, errSessionOver()
	}
	actor := current.actor
	actor.Remote = remote
	return actor, current.session, nil
}

func errSessionOver() error {
	return fault.New(fault.Unauthenticated, "session_over", "this session is over").WithHint("Sign in again.")
}

// loadSession asks the store for the session and whom it stands for.
func (s *Service) loadSession(ctx context.Context, hash, remote string, now time.Time) (recalled, error) {
	generation := s.currentGeneration()
	session, err := s.store.SessionByHash(ctx, hash)
	if fault.Is(err, fault.NotFound) || err == nil && session.IsOver(now) {
		return recalled{}, errSessionOver()
	}
	if err != nil {
		return recalled{}, err
	}
	actor, err := s.userActor(ctx, session.UserID)
	if err != nil {
		return recalled{}, err
	}
	actor.SessionID = session.ID
	if now.Sub(session.LastUsedAt) >= sessionTouchInterval {
		session.LastUsedAt, session.Remote = now, remote
		err := s.store.TouchSession(ctx, session.ID, now, remote)
		if fault.Is(err, fault.NotFound) { // it was ended in between
			return recalled{}, errSessionOver()
		}
		if err != nil {
			return recalled{}, err
		}
	}
	fresh := recalled{actor: actor, session: session, loaded: now}
	s.remember(hash, fresh, generation)
	return fresh, nil
}

// Sessions are actor's own that are not over, the last used first. The one whose
// id is actor.SessionID is the one that is asked from.
func (s *Service) Sessions(ctx context.Context, actor Actor) ([]Session, error) {
	if actor.UserID == "" {
		return nil, errNoSessions()
	}
	all, err := s.store.Sessions(ctx, actor.UserID)
	now := s.now()
	var current []Session
	for _, session := range all {
		if !session.IsOver(now) {
			current = append(current, session)
		}
	}
	return current, err
}

// EndSession ends one of actor's sessions, also the one that is asked from. It
// is refused from the next request on.
func (s *Service) EndSession(ctx context.Context, actor Actor, id string) error {
	if actor.UserID == "" {
		return errNoSessions()
	}
	defer s.forget()
	return s.store.DeleteSession(ctx, actor.UserID, id, s.event(actor, audit.SessionEnd, 0, id, ""))
}

// EndOtherSessions ends all of actor's sessions but the one that is asked from,
// and all of them where it is asked with a token.
func (s *Service) EndOtherSessions(ctx context.Context, actor Actor) error {
	if actor.UserID == "" {
		return errNoSessions()
	}
	event := s.event(actor, audit.SessionEnd, 0, "", "")
	event.Details = map[string]string{"which": "others"}
	defer s.forget()
	return s.store.DeleteOtherSessions(ctx, actor.UserID, actor.SessionID, event)
}

func errNoSessions() error {
	return fault.New(fault.Denied, "not_user", "only a user has sessions")
}

// cleanAgent is what a browser says that it is, as it can be shown.
func cleanAgent(agent string) string {
	const most = 256
	agent = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return -1
		}
		return r
	}, agent[:min(len(agent), 4*most)])
	if len(agent) <= most {
		return agent
	}
	return strings.ToValidUTF8(agent[:most], "")
}
