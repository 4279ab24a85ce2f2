package granttest

import (
	"crypto/rand"
	"path"
	"slices"
	"strings"
	"sync"
	"time"
)

// Right is what somebody may do in some repositories.
type Right struct {
	// Repositories is a name, or a glob of path.Match: acme/*.
	Repositories string

	Push   bool // besides to pull
	Delete bool
}

// Pull is the right to pull from the repositories that a glob names.
func Pull(repositories string) Right { return Right{Repositories: repositories} }

// PullPush is the right to pull from and push to them.
func PullPush(repositories string) Right { return Right{Repositories: repositories, Push: true} }

// PullPushDelete is every right to them.
func PullPushDelete(repositories string) Right {
	return Right{Repositories: repositories, Push: true, Delete: true}
}

// State is whether a user's secret still holds.
type State string

// The states of a secret. What is said of each is up to the kind of registry;
// Docker Hub says the same of a revoked secret as of a wrong one.
const (
	Valid   State = "valid"
	Expired State = "expired"
	Revoked State = "revoked"
)

// people are the users of a registry. The user with the empty name is
// everybody.
type people struct {
	mu            sync.Mutex
	users         map[string]user
	refreshTokens map[string]string // to the user's name
	tokens        map[string]token  // secrets besides the password
}

// token is a secret of a user's that may end by itself.
type token struct {
	user string
	ends time.Time // zero: never
}

type user struct {
	password string
	rights   []Right
	state    State
}

func newPeople() *people {
	return &people{users: make(map[string]user), refreshTokens: make(map[string]string), tokens: make(map[string]token)}
}

// AddUser adds a user, or replaces them.
func (r *Registry) AddUser(name, password string, rights ...Right) {
	r.people.set(name, func(u *user) { *u = user{password: password, rights: rights, state: Valid} })
}

// Public lets everybody pull from the repositories that the globs name,
// without a credential or with one that has no right of its own.
func (r *Registry) Public(repositories ...string) {
	r.people.set("", func(u *user) {
		for _, glob := range repositories {
			u.rights = append(u.rights, Pull(glob))
		}
	})
}

// SetPassword gives a user another password, which is valid.
func (r *Registry) SetPassword(name, password string) {
	r.people.set(name, func(u *user) { u.password, u.state = password, Valid })
}

// SetRights replaces all the rights of a user. Tokens that were given out keep
// theirs.
func (r *Registry) SetRights(name string, rights ...Right) {
	r.people.set(name, func(u *user) { u.rights = rights })
}

// SetState lets a user's password expire, revokes it, or makes it valid again.
func (r *Registry) SetState(name string, state State) {
	r.people.set(name, func(u *user) { u.state = state })
}

// RefreshToken makes a refresh token of a user, as OAuth 2.0's POST takes it.
// It holds as long as the user's password.
func (r *Registry) RefreshToken(name string) string {
	token := rand.Text()
	r.people.mu.Lock()
	defer r.people.mu.Unlock()
	r.people.refreshTokens[token] = name
	return token
}

func (p *people) set(name string, change func(*user)) {
	p.mu.Lock()
	defer p.mu.Unlock()
	u := p.users[name]
	change(&u)
	p.users[name] = u
}

// verdict is what a login is found to be.
type verdict string

const (
	accepted  verdict = "accepted"
	wrong     verdict = "wrong"
	wrongUser verdict = "wrong user"
	expired   verdict = "expired"
	revoked   verdict = "revoked"
)

// login checks a user name and a password; nobody is accepted with neither.
func (p *people) login(name, password string) verdict {
	p.mu.Lock()
	defer p.mu.Unlock()
	if name == "" && password == "" {
		return accepted
	}
	u, known := p.users[name]
	if t, found := p.tokens[password]; found {
		switch {
		case t.user != name:
			return wrongUser
		case !t.ends.IsZero() && !time.Now().Before(t.ends):
			return expired
		}
		password = u.password
	}
	switch {
	case name == "" || password == "" || !known || u.password != password:
		if name != "" && password != "" && p.isOthers(password) {
			return wrongUser
		}
		return wrong
	case u.state == Expired:
		return expired
	case u.state == Revoked:
		return revoked
	default:
		return accepted
	}
}

func (p *people) isOthers(password string) bool {
	for _, u := range p.users {
		if u.password == password {
			return true
		}
	}
	return false
}

// refresh finds whose a refresh token is.
func (p *people) refresh(token string) (name string, v verdict) {
	p.mu.Lock()
	name, known := p.refreshTokens[token]
	password := p.users[name].password
	p.mu.Unlock()
	if !known {
		return "", wrong
	}
	return name, p.login(name, password)
}

// allowed is which of the actions a user may do in a repository.
func (p *people) allowed(name, repository string, actions []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	rights := slices.Concat(p.users[name].rights, p.users[""].rights)
	var allowed []string
	for _, action := range actions {
		if slices.ContainsFunc(rights, func(right Right) bool { return right.gives(repository, action) }) {
			allowed = append(allowed, action)
		}
	}
	return allowed
}

func (r Right) gives(repository, action string) bool {
	matches, err := path.Match(r.Repositories, repository)
	return err == nil && matches && (action == "pull" || r.Push && action == "push" || r.Delete && action == "delete")
}

// addToken gives a user a secret besides the password.
func (p *people) addToken(secret string, t token) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.tokens[secret] = t
}

// parseScope reads `repository:NAME:ACTION,ACTION`.
func parseScope(scope string) (repository string, actions []string, ok bool) {
	rest, found := strings.CutPrefix(scope, "repository:")
	at := strings.LastIndexByte(rest, ':')
	if !found || at < 1 {
		return "", nil, false
	}
	return rest[:at], strings.Split(rest[at+1:], ","), true
}
