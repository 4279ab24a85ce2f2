package account

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// How long an authenticated token is remembered before the store is asked
// again, and how exactly its last use is kept. A change made through this
// process is seen at once; one made through another after recallLife.
const (
	recallLife    = 3 * time.Second
	touchInterval = time.Minute
	recallMost    = 10_000
)

// recalled is a token or a session that was authenticated a moment ago.
type recalled struct {
	actor   Actor
	token   Token
	session Session
	loaded  time.Time
}

// Authenticate finds who a token's text stands for; remote is the address that
// it came from. A text that is no token, such as a session's, an expired and a
// deleted one are all Unauthenticated.
func (s *Service) Authenticate(ctx context.Context, text secret.Text, remote string) (Actor, error) {
	if text.IsEmpty() {
		return Actor{}, fault.New(fault.Unauthenticated, "token_missing", "this needs a token").
			WithHint("`fairlead login` gets one; send it as `Authorization: Bearer TOKEN`.")
	}
	if isSessionText(text) {
		return Actor{}, errTokenUnknown()
	}
	hash, now := HashToken(text), s.now()
	current, known := s.recall(hash, now)
	if !known {
		var err error
		if current, err = s.load(ctx, hash, now); err != nil {
			return Actor{}, err
		}
	}
	if current.token.IsExpired(now) {
		return Actor{}, fault.New(fault.Unauthenticated, "token_expired", "the token %q expired at %s",
			current.token.Name, current.token.ExpiresAt.Format(time.RFC3339)).WithHint("`fairlead login` gets a new one.")
	}
	actor := current.actor
	actor.Remote = remote
	return actor, nil
}

func errTokenUnknown() error {
	return fault.New(fault.Unauthenticated, "token_unknown", "this token is unknown or was deleted").
		WithHint("`fairlead login` gets a new one.")
}

// load asks the store for the token and whom it stands for.
func (s *Service) load(ctx context.Context, hash string, now time.Time) (recalled, error) {
	generation := s.currentGeneration()
	token, err := s.store.TokenByHash(ctx, hash)
	if fault.Is(err, fault.NotFound) {
		return recalled{}, errTokenUnknown()
	}
	if err != nil {
		return recalled{}, err
	}
	fresh := recalled{token: token, loaded: now}
	switch {
	case token.IsWorker():
		fresh.actor = Actor{WorkerID: token.ID, WorkerName: token.Name, EnvironmentID: token.EnvironmentID}
	case token.Cache:
		fresh.actor = Actor{CacheID: token.ID, CacheName: token.Name}
	default:
		if fresh.actor, err = s.userActor(ctx, token.UserID); err != nil {
			return recalled{}, err
		}
	}
	if now.Sub(token.LastUsedAt) >= touchInterval && !token.IsExpired(now) {
		if err := s.store.TouchToken(ctx, token.ID, now); err != nil {
			return recalled{}, err
		}
	}
	s.remember(hash, fresh, generation)
	return fresh, nil
}

// recall is what was authenticated a moment ago by the text of that hash.
func (s *Service) recall(hash string, now time.Time) (recalled, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	current, known := s.recent[hash]
	return current, known && now.Sub(current.loaded) < recallLife
}

// remember keeps what was read when the generation was that one.
func (s *Service) remember(hash string, fresh recalled, generation int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.recent) >= recallMost {
		clear(s.recent)
	}
	if generation == s.generation { // else what was read may be what was just changed
		s.recent[hash] = fresh
	}
}

func (s *Service) currentGeneration() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.generation
}

func (s *Service) userActor(ctx context.Context, userID string) (Actor, error) {
	user, err := s.store.UserByID(ctx, userID)
	if err != nil {
		return Actor{}, err
	}
	memberships, err := s.store.Memberships(ctx, userID)
	if err != nil {
		return Actor{}, err
	}
	actor := Actor{UserID: user.ID, Username: user.Username, Operator: user.Operator, Roles: make(map[int64]Role, len(memberships))}
	for _, membership := range memberships {
		actor.Roles[membership.Organization.ID] = membership.Role
	}
	return actor, nil
}

// forget drops everything that recall knows, after a change to who may do what.
func (s *Service) forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.generation++
	clear(s.recent)
}

// signInTokenLife is how long a token made by a sign-in lasts.
const signInTokenLife = 90 * 24 * time.Hour

// SignIn is SignInForToken for a user without a second factor.
func (s *Service) SignIn(ctx context.Context, username string, password secret.Text, name, remote string) (Token, secret.Text, error) {
	return s.SignInForToken(ctx, SignIn{Username: username, Password: password, Remote: remote}, name)
}

// SignInForToken trades a password, and the code of a second factor where there
// is one, for a token called name. It is refused as StartSession is.
func (s *Service) SignInForToken(ctx context.Context, in SignIn, name string) (Token, secret.Text, error) {
	now := s.now()
	draft := Token{Name: name, ExpiresAt: now.Add(signInTokenLife)}
	if err := validToken(draft, now); err != nil { // before a code is used up for it
		return Token{}, secret.Text{}, err
	}
	user, factor, err := s.prove(ctx, in)
	if err != nil {
		return Token{}, secret.Text{}, err
	}
	draft.UserID = user.ID
	event := withFactor(s.event(Actor{UserID: user.ID, Username: user.Username, Remote: in.Remote}, audit.UserSignIn, 0, "", ""), factor)
	return s.storeToken(ctx, userTokenPrefix, draft, event)
}

// CreateToken makes a token for actor; a zero expires makes one without end. The
// text is returned once and kept nowhere.
func (s *Service) CreateToken(ctx context.Context, actor Actor, name string, expires time.Time) (Token, secret.Text, error) {
	if actor.UserID == "" {
		return Token{}, secret.Text{}, fault.New(fault.Denied, "not_user", "only a user can make a token")
	}
	return s.newToken(ctx, actor, audit.TokenCreate, userTokenPrefix, Token{UserID: actor.UserID, Name: name, ExpiresAt: expires})
}

// CreateWorkerToken makes a token for a worker called name, which takes the
// executions of that environment ("": the default one); only an operator may.
func (s *Service) CreateWorkerToken(ctx context.Context, actor Actor, name, environment string, expires time.Time) (Token, secret.Text, error) {
	if err := actor.MayOperate(); err != nil {
		return Token{}, secret.Text{}, err
	}
	found, err := s.Environment(ctx, actor, cmp.Or(environment, DefaultEnvironmentID))
	if fault.Is(err, fault.NotFound) {
		err = fault.InvalidField("environment", "environment_unknown", "there is no environment %.80q", environment).
			WithHint("`fairlead environment list` shows them, and `fairlead environment create` makes one.")
	}
	if err != nil {
		return Token{}, secret.Text{}, err
	}
	return s.newToken(ctx, actor, audit.TokenCreate, workerTokenPrefix, Token{Name: name, EnvironmentID: found.ID, ExpiresAt: expires})
}

// CreateCacheToken makes a token for a pull-through cache called name; only an operator
// may.
func (s *Service) CreateCacheToken(ctx context.Context, actor Actor, name string, expires time.Time) (Token, secret.Text, error) {
	if err := actor.MayOperate(); err != nil {
		return Token{}, secret.Text{}, err
	}
	return s.newToken(ctx, actor, audit.TokenCreate, cacheTokenPrefix, Token{Name: name, Cache: true, ExpiresAt: expires})
}

// OwnWorkerToken makes the token of the worker inside the server; that worker
// ends it with EndOwnWorkerToken.
func (s *Service) OwnWorkerToken(ctx context.Context, name string) (Token, secret.Text, error) {
	return s.newToken(ctx, Actor{Username: "fairlead"}, audit.TokenCreate, workerTokenPrefix, Token{Name: name, EnvironmentID: DefaultEnvironmentID})
}

func (s *Service) newToken(ctx context.Context, actor Actor, verb audit.Verb, prefix string, token Token) (Token, secret.Text, error) {
	if err := validToken(token, s.now()); err != nil {
		return Token{}, secret.Text{}, err
	}
	return s.storeToken(ctx, prefix, token, s.event(actor, verb, 0, "", ""))
}

func validToken(token Token, now time.Time) error {
	return fault.Join(validName("name", token.Name), validExpiry(token.ExpiresAt, now))
}

// storeToken makes the token's text and stores it with the event, which becomes
// one about the token.
func (s *Service) storeToken(ctx context.Context, prefix string, token Token, event audit.Event) (Token, secret.Text, error) {
	token.ID, token.CreatedAt = uuid.NewString(), event.Time
	event.ObjectID, event.ObjectName = token.ID, token.Name
	text := newTokenText(prefix)
	err := s.store.CreateToken(ctx, token, HashToken(text), event)
	return token, text, err
}

// Tokens are actor's own, newest first.
func (s *Service) Tokens(ctx context.Context, actor Actor) ([]Token, error) {
	if actor.UserID == "" {
		return nil, nil
	}
	return s.store.Tokens(ctx, actor.UserID)
}

// WorkerTokens are all workers'; only an operator may see them.
func (s *Service) WorkerTokens(ctx context.Context, actor Actor) ([]Token, error) {
	return s.machineTokens(ctx, actor, Token.IsWorker)
}

// CacheTokens are all caches'; only an operator may see them.
func (s *Service) CacheTokens(ctx context.Context, actor Actor) ([]Token, error) {
	return s.machineTokens(ctx, actor, func(t Token) bool { return t.Cache })
}

func (s *Service) machineTokens(ctx context.Context, actor Actor, are func(Token) bool) ([]Token, error) {
	if err := actor.MayOperate(); err != nil {
		return nil, err
	}
	tokens, err := s.store.Tokens(ctx, "")
	return slices.DeleteFunc(tokens, func(t Token) bool { return !are(t) }), err
}

// DeleteToken ends one of actor's tokens, or as an operator a worker's or a cache's; it is
// refused from the next request on.
func (s *Service) DeleteToken(ctx context.Context, actor Actor, id string) error {
	owned, err := s.Tokens(ctx, actor)
	if err != nil {
		return err
	}
	if actor.Operator {
		machines, err := s.store.Tokens(ctx, "")
		if err != nil {
			return err
		}
		owned = append(owned, machines...)
	}
	for _, token := range owned {
		if token.ID == id {
			defer s.forget()
			return s.store.DeleteToken(ctx, id, s.event(actor, audit.TokenDelete, 0, token.ID, token.Name))
		}
	}
	return fault.New(fault.NotFound, "token_unknown", "there is no token %.80q of yours", id).
		WithHint("`fairlead token list` shows yours.")
}

// EndOwnWorkerToken deletes the token of the worker inside the server.
func (s *Service) EndOwnWorkerToken(ctx context.Context, token Token) error {
	defer s.forget()
	return s.store.DeleteToken(ctx, token.ID, s.event(Actor{Username: "fairlead"}, audit.TokenDelete, 0, token.ID, token.Name))
}
