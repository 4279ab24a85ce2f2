package adapter

import (
	"context"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
)

// How long a project is remembered for who named it, as long as the accounts
// remember a token, and how many are.
const (
	projectLife  = 3 * time.Second
	projectsMost = 10_000
)

// projects remembers which project a reader means by a name: a pull is some dozen
// requests, and to look into the database for each is half of what they cost. The
// zero value is ready; it is safe for concurrent use.
//
// Only the meaning of the name is remembered, and never that the reader may see the
// project: the token is authenticated and its roles are compared with the project
// at each request. So who loses a token or a role is refused as soon as everywhere
// else, and a name that comes to mean another project does so here after projectLife,
// far within the minute for which a registry's word holds. A name that means none is
// looked for each time.
type projects struct {
	mu    sync.Mutex
	known map[meant]namedProject
}

// meant is what who calls it.
type meant struct{ actor, name string }

// namedProject is a project, and when it was found.
type namedProject struct {
	account.Project
	at time.Time
}

// find finds the project that an actor may see and means by a name.
func (p *projects) find(ctx context.Context, accounts *account.Service, actor account.Actor, name string) (account.Project, error) {
	key, now := meant{actor.ID(), name}, time.Now()
	p.mu.Lock()
	known, ok := p.known[key]
	p.mu.Unlock()
	if ok && now.Sub(known.at) < projectLife && actor.MaySee(known.Project) == nil {
		return known.Project, nil
	}
	found, err := accounts.Project(ctx, actor, name)
	if err != nil {
		return account.Project{}, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.known == nil || len(p.known) >= projectsMost {
		p.known = make(map[meant]namedProject)
	}
	p.known[key] = namedProject{found, now}
	return found, nil
}
