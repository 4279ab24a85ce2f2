// Package outbox tells what happened to those who want to know: it makes notices
// of what was written down in the transactions of what they tell of, finds the
// channels and the people that want them, and has them carried out of the house,
// again and again for a day if need be. A message has the same id at every
// attempt, so that who got it twice can tell.
package outbox

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/registry"
)

// Store keeps the outbox, and tells of what things are when a notice is made of
// them.
type Store interface {
	notice.Store
	audit.Store
	ExecutionByID(ctx context.Context, id string) (execution.Execution, error)
	ProjectByID(ctx context.Context, id string) (account.Project, error)
	OrganizationByID(ctx context.Context, id int64) (account.Organization, error)
	UserByID(ctx context.Context, id string) (account.User, error)
	Memberships(ctx context.Context, userID string) ([]account.Membership, error)
	CredentialByID(ctx context.Context, id string) (registry.Credential, error)
	Credentials(ctx context.Context, organizationID int64) ([]registry.Credential, error)
}

// Config is what an Outbox is made of.
type Config struct {
	Store    Store
	Channels *notice.Service
	Mailer   *courier.Mailer
	Hooks    *courier.Hooks
	Now      func() time.Time
	Logger   *slog.Logger

	// PublicURL is in front of links; "": there are none.
	PublicURL string
}

// Outbox is the trade. Make it with New; safe for concurrent use.
type Outbox struct {
	config Config
	slots  chan struct{}

	mu       sync.Mutex
	underWay map[string]bool // targets
	sending  sync.WaitGroup
}

// How often what happened and what is due is looked for, and how many targets
// are sent to at once.
const (
	lookEvery   = 2 * time.Second
	expireEvery = 10 * time.Minute
	pruneEvery  = time.Hour
	targetsMost = 8
	batch       = 100
)

// What was done with is kept so long: messages for who looks at a channel's
// deliveries, and what was told so that it is not told again.
const (
	messagesKept = 30 * 24 * time.Hour
	toldKept     = 400 * 24 * time.Hour
)

// New wires an outbox.
func New(config Config) *Outbox {
	return &Outbox{config: config, slots: make(chan struct{}, targetsMost), underWay: make(map[string]bool)}
}

// Run sees to the outbox until ctx ends, and returns when nothing is under way.
// Several processes may work on the same store.
func (o *Outbox) Run(ctx context.Context) {
	defer o.sending.Wait()
	ticker := time.NewTicker(lookEvery)
	defer ticker.Stop()
	chores := []struct {
		what  string
		every time.Duration
		do    func(context.Context) error
		next  time.Time
	}{
		{"seeing to what happened", 0, o.Settle, time.Time{}},
		{"looking for credentials that end", expireEvery, o.Expire, time.Time{}},
		{"forgetting old notices", pruneEvery, o.prune, time.Time{}},
		{"looking for notices that are due", 0, o.begin, time.Time{}},
	}
	for {
		for i := range chores {
			chore := &chores[i]
			if now := o.config.Now(); !now.Before(chore.next) {
				chore.next = now.Add(chore.every)
				if err := chore.do(ctx); err != nil && ctx.Err() == nil {
					o.config.Logger.LogAttrs(ctx, slog.LevelError, chore.what, slog.String("error", err.Error()))
				}
			}
		}
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
	}
}

func (o *Outbox) prune(ctx context.Context) error {
	now := o.config.Now()
	return o.config.Store.Prune(ctx, now.Add(-messagesKept), now.Add(-toldKept))
}

// Times of attempts.
const (
	firstWait  = 10 * time.Second
	waitGrows  = 3
	waitMost   = time.Hour
	jitterPart = 5 // of a wait, more or less
	tryMost    = 24 * time.Hour

	// silence is after which an attempt that nothing was heard of is made again:
	// the server was killed.
	silence = 30 * time.Second
)

// waitAfter is how long to wait after so many attempts.
func waitAfter(attempts int) time.Duration {
	wait := firstWait
	for range attempts - 1 {
		if wait *= waitGrows; wait >= waitMost {
			wait = waitMost
			break
		}
	}
	spread := wait / jitterPart
	return wait - spread + rand.N(2*spread) //nolint:gosec // chance that spreads attempts is no secret
}

// link is the address of a page; "" where none is known.
func (o *Outbox) link(path string) string {
	if o.config.PublicURL == "" || path == "" {
		return ""
	}
	return strings.TrimSuffix(o.config.PublicURL, "/") + path
}
