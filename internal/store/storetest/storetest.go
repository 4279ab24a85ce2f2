// Package storetest says in tests what a store must do. Every implementation
// calls Exercise.
package storetest

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/registry"
)

// Store is everything that a store has to be.
type Store interface {
	account.Store
	registry.Store
	project.Store
	execution.Store
	audit.Store
	notice.Store
	Close() error
}

// Open opens the database that belongs to dir, which is made where it is not
// there. The same directory is the same database.
type Open func(t *testing.T, dir string) Store

// Exercise tests every promise of the interfaces, each on a database of its own.
func Exercise(t *testing.T, open Open) {
	for _, group := range []struct {
		name  string
		tests []sentence
	}{
		{"users", users},
		{"organisations", organizations},
		{"projects", projects},
		{"environments", environments},
		{"tokens", tokens},
		{"sessions", sessions},
		{"external identities", externals},
		{"second factors", secondFactors},
		{"invitations", invitations},
		{"machines that sign in", deviceLogins},
		{"credentials", credentials},
		{"commits", commits},
		{"executions", executions},
		{"queue", queue},
		{"leases", leases},
		{"logs", logs},
		{"data", data},
		{"settings", settings},
		{"audit", trail},
		{"notices", notices},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, s := range group.tests {
				t.Run(s.says, func(t *testing.T) { s.test(newHouse(t, open)) })
			}
		})
	}
}

// sentence is one promise and its test.
type sentence struct {
	says string
	test func(h *house)
}

// house is a store with a user ada, who is admin of the organisation acme, and
// acme's project vision.
type house struct {
	*testing.T
	Store
	ctx  context.Context
	dir  string
	open Open

	ada    account.User
	acme   account.Organization
	vision account.Project
}

// noon is when the tests take place; the microsecond is the finest time that is
// kept.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 123_456_000, time.UTC)

func newHouse(t *testing.T, open Open) *house {
	h := &house{T: t, ctx: t.Context(), dir: t.TempDir(), open: open}
	h.Store = open(t, h.dir)
	t.Cleanup(func() { h.check(h.Close()) })
	h.ada = h.user("ada")
	h.acme = h.organization("acme", h.ada)
	h.vision = h.project("vision", h.acme)
	return h
}

// restart closes the store and opens the same database again.
func (h *house) restart() {
	h.Helper()
	h.check(h.Close())
	h.Store = h.open(h.T, h.dir)
}

func (h *house) check(err error) {
	h.Helper()
	if err != nil {
		h.Fatal(err)
	}
}

// same compares, with empty lists and maps as good as none.
func (h *house) same(want, got any) {
	h.Helper()
	options := cmp.Options{
		cmpopts.EquateEmpty(),
		cmp.Comparer(func(a, b image.Pattern) bool { return a.String() == b.String() }),
	}
	if diff := cmp.Diff(want, got, options); diff != "" {
		h.Fatalf("(-want +got):\n%s", diff)
	}
}

// refused wants a fault of that kind with a sentence.
func (h *house) refused(kind fault.Kind, err error) {
	h.Helper()
	if !fault.Is(err, kind) {
		h.Fatalf("got %v, want %s", err, kind)
	}
	if f := fault.From(err); f.Code == "" || f.Message == "" || f.Hint == "" {
		h.Fatalf("the fault %#v lacks a code, a sentence or a hint", f)
	}
}

// together calls fn from n goroutines at once and returns when all are done.
func together(n int, fn func(i int)) {
	var all sync.WaitGroup
	for i := range n {
		all.Go(func() { fn(i) })
	}
	all.Wait()
}

// event is an event about name.
func event(verb audit.Verb, name string) audit.Event {
	return audit.Event{
		Time: noon, Actor: "ada", ActorID: "1", Remote: "192.0.2.1",
		Verb: verb, Result: audit.ResultOK, ObjectID: "id of " + name, ObjectName: name,
	}
}

// audited is how many events of the verb there are, for acme or for nobody.
func (h *house) audited(verb audit.Verb) int {
	h.Helper()
	_, count, err := h.Events(h.ctx, audit.Filter{OrganizationIDs: []int64{0, h.acme.ID}, Verb: verb, Limit: 1})
	h.check(err)
	return count
}

// audits wants change to leave that many more events of the verb.
func (h *house) audits(verb audit.Verb, more int, change func()) {
	h.Helper()
	before := h.audited(verb)
	change()
	if got := h.audited(verb) - before; got != more {
		h.Fatalf("%d events %s were written, want %d", got, verb, more)
	}
}

func (h *house) user(name string) account.User {
	h.Helper()
	user := account.User{ID: "user-" + name, Username: name, Email: name + "@example.com", CreatedAt: noon}
	h.check(h.CreateUser(h.ctx, user, "hash of "+name, event(audit.UserCreate, name)))
	return user
}

func (h *house) organization(name string, admin account.User) account.Organization {
	h.Helper()
	organization, err := h.CreateOrganization(h.ctx, account.Organization{Name: name, CreatedAt: noon}, admin.ID,
		event(audit.OrganizationCreate, name))
	h.check(err)
	return organization
}

func (h *house) project(name string, owner account.Organization) account.Project {
	h.Helper()
	project := account.Project{
		ID: "project-" + owner.Name + "-" + name, Name: name, Description: "about " + name, CreatedAt: noon,
		Owner: account.Owner{OrganizationID: owner.ID, Name: owner.Name},
	}
	h.check(h.CreateProject(h.ctx, project, event(audit.ProjectCreate, name)))
	return project
}
