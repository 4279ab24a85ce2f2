// Package fill makes a database as an installation has it after years: so many
// executions, registry credentials and rows of the audit trail that a page which
// reads all of something shows it. It goes through the store, as the product does,
// many changes at a time.
package fill

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/store"
)

// How much of everything there is.
const (
	Executions    = 10_000
	Credentials   = 1000 // of one organisation
	Patterns      = 5000 // of them together, about
	AuditRows     = 100_000
	LogLines      = 100_000 // of one execution
	Metadata      = 10_000  // of the same
	Outputs       = 1000    // of the same
	busyGrants    = 10_000  // rows of the trail that one credential has
	projects      = 60
	commits       = 200 // of the first project
	organizations = 5
	users         = 100
	sessions      = 20
	tokens        = 50
	workers       = 30
	queued        = 20 // executions that wait
	running       = 30 // executions that a worker holds
	atOnce        = 64 // changes that are under way together
)

// Filled names what was made, for who wants to look at some of it.
type Filled struct {
	Organization int64
	Project      string // of the most commits
	Commit       string // of many steps
	Step         string
	Loud         string // the execution of the long log
	Failed       string // an execution that failed to pull
	Queued       string
	Busy         string // the credential of the most rows of the trail
	Wide         string // the credential of the most patterns
}

// filler fills one database.
type filler struct {
	store   *store.Store
	now     time.Time
	admin   account.User
	members []account.User

	organizations []account.Organization
	projects      []account.Project
	credentials   []string
	workers       [workers]string // ids
	filled        Filled
}

// Fill fills the database at a path, which a server has made before and no server
// uses now. admin is the user that signs in; all organisations become theirs.
func Fill(ctx context.Context, path, admin string) (filled Filled, err error) {
	s, err := store.Open(ctx, path)
	if err != nil {
		return Filled{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	f := &filler{store: s, now: time.Now()}
	if f.admin, _, err = s.UserByName(ctx, admin); err != nil {
		return Filled{}, err
	}
	for _, step := range []func(context.Context) error{f.people, f.work, f.registries, f.executions, f.loud, f.settle, f.trail} {
		if err := step(ctx); err != nil {
			return Filled{}, err
		}
	}
	return f.filled, nil
}

// each does something n times, many of them together.
func each(n int, do func(i int) error) error {
	var mu sync.Mutex
	var failed error
	var group sync.WaitGroup
	next := make(chan int)
	for range atOnce {
		group.Go(func() {
			for i := range next {
				if err := do(i); err != nil {
					mu.Lock()
					failed = errors.Join(failed, err)
					mu.Unlock()
				}
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	group.Wait()
	return failed
}

// event is a row of the trail, of the admin.
func (f *filler) event(verb audit.Verb, organization int64, id, name string) audit.Event {
	return audit.Event{
		Time: f.now, Actor: f.admin.Username, ActorID: f.admin.ID, Remote: "192.0.2.7", Verb: verb, Result: audit.ResultOK,
		OrganizationID: organization, ObjectID: id, ObjectName: name,
	}
}

// people makes the organisations, and users with their sessions and tokens.
func (f *filler) people(ctx context.Context) error {
	memberships, err := f.store.Memberships(ctx, f.admin.ID)
	if err != nil {
		return err
	}
	f.organizations = append(f.organizations, memberships[0].Organization)
	f.filled.Organization = memberships[0].Organization.ID
	for i := 1; i < organizations; i++ {
		name := fmt.Sprintf("team-%d", i)
		made, err := f.store.CreateOrganization(ctx, account.Organization{Name: name, CreatedAt: f.now}, f.admin.ID, f.event(audit.OrganizationCreate, 0, "", name))
		if err != nil {
			return err
		}
		f.organizations = append(f.organizations, made)
	}
	f.members = append(f.members, f.admin)
	for i := range users {
		user := account.User{ID: uuid.NewString(), Username: fmt.Sprintf("user-%d", i), Email: fmt.Sprintf("user-%d@acme.example", i), CreatedAt: f.now}
		f.members = append(f.members, user)
		if err := f.store.CreateUser(ctx, user, "", f.event(audit.UserCreate, 0, user.ID, user.Username)); err != nil {
			return err
		}
		home := f.organizations[0]
		if i%2 == 1 {
			home = f.organizations[i%organizations]
		}
		if err := f.store.SetMember(ctx, home.ID, user.ID, account.Member, f.event(audit.MemberSet, home.ID, user.ID, user.Username)); err != nil {
			return err
		}
	}
	return errors.Join(f.sessions(ctx), f.tokens(ctx))
}

func (f *filler) sessions(ctx context.Context) error {
	return each(sessions*len(f.members)/10, func(i int) error {
		session := account.Session{
			ID: uuid.NewString(), UserID: f.members[i/sessions].ID, Agent: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36", Remote: "192.0.2.7",
			CreatedAt: f.now, LastUsedAt: f.now, ExpiresAt: f.now.Add(24 * time.Hour),
		}
		return f.store.CreateSession(ctx, session, uuid.NewString(), f.now.Add(-24*time.Hour), f.event(audit.SessionStart, 0, session.ID, "browser"))
	})
}

func (f *filler) tokens(ctx context.Context) error {
	return each(tokens+workers, func(i int) error {
		token := account.Token{ID: uuid.NewString(), Name: fmt.Sprintf("token-%d", i), UserID: f.admin.ID, CreatedAt: f.now}
		if i >= tokens {
			n := i - tokens
			token.Name, token.UserID, token.EnvironmentID = fmt.Sprintf("worker-%d", n), "", account.DefaultEnvironmentID
			f.workers[n] = token.ID
		}
		return f.store.CreateToken(ctx, token, uuid.NewString(), f.event(audit.TokenCreate, 0, token.ID, token.Name))
	})
}
