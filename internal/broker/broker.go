// Package broker answers the one question: for this execution and this image,
// which pull grant? It selects the credential, opens it, has it traded with the
// registry, remembers the grant until shortly before it ends, and writes down
// who got it.
//
// It is the only place where a stored secret is opened for use. It talks to no
// registry itself and keeps nothing on disk.
package broker

import (
	"context"
	"errors"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
)

// Selector finds the credentials that cover an image; registry.Selector is one.
type Selector interface {
	Select(ctx context.Context, project account.Project, ref image.Reference) (registry.Selection, error)
	Near(ctx context.Context, project account.Project, ref image.Reference) ([]image.NearMiss[registry.Credential], error)
}

// Opener opens sealed credentials and notes their use; registry.Service is one.
type Opener interface {
	Open(credential registry.Credential) (registry.Material, error)
	Touch(ctx context.Context, credential registry.Credential, until time.Time) error

	// OpenHeld is the material that the present one took the place of, where
	// it is held still.
	OpenHeld(ctx context.Context, credential registry.Credential) (material registry.Material, version int, found bool, err error)
}

// Recorder writes audit rows; audit.Store is one.
type Recorder interface {
	Record(ctx context.Context, events ...audit.Event) error
}

// Config is what a Broker is made of. All of it but Cached and Observer is required.
type Config struct {
	Selector Selector
	Opener   Opener
	Issuer   Issuer
	Recorder Recorder
	Now      func() time.Time

	// Cached says that the server has a pull-through cache, which reads with the secret
	// itself what a worker must not have it for.
	Cached bool

	Observer Observer // nobody hears if nil
}

// Broker gives out pull grants. Make it with New; safe for concurrent use.
type Broker struct {
	config Config
	cache  *cache
}

// New wires a broker.
func New(config Config) *Broker {
	if config.Observer == nil {
		config.Observer = deaf{}
	}
	return &Broker{config: config, cache: &cache{now: config.Now, entries: make(map[key]*entry)}}
}

// Close waits for exchanges that are under way.
func (b *Broker) Close() { b.cache.wait() }

// Grant gives the grant for the request's image. Any number of requests for
// the same repository cause one exchange. Every grant and every refusal leaves
// an audit row before it is answered. The error is a fault whose sentence says
// whether there is a credential, which, and what it lacks.
func (b *Broker) Grant(ctx context.Context, request Request) (Answer, error) {
	answer, err := b.open(ctx, request)
	if answer.Grant.Through {
		answer.Grant = answer.Grant.withoutSecret()
	}
	return answer, err
}

// basicOnly is the issuer's code for a registry that takes only the secret itself.
const basicOnly = "basic_only"

// withoutSecret is a grant that says nothing but where to pull from.
func (g Grant) withoutSecret() Grant {
	return Grant{
		Host: g.Host, Repository: g.Repository, Scheme: anonymous,
		IssuedAt: g.IssuedAt, ExpiresAt: g.ExpiresAt, RefreshAt: g.RefreshAt,
		Reach: g.Reach, HeldVersion: g.HeldVersion, Through: g.Through,
	}
}

// anonymous is the scheme of a grant that shows nothing.
const anonymous = "anonymous"

// open is Grant, with the secret of a grant to pull through the cache, which was seen
// to be good.
func (b *Broker) open(ctx context.Context, request Request) (answer Answer, err error) {
	ctx, done := b.config.Observer.Granting(ctx)
	defer func() { done(outcome(request, answer, err)) }()
	selection, err := b.config.Selector.Select(ctx, request.Project, request.Image)
	if err != nil {
		return Answer{}, err
	}
	answer, err = b.grant(ctx, request, selection)
	if !request.Since.IsZero() && (fault.Is(err, fault.Unavailable) || fault.Is(err, fault.Exhausted)) {
		older := request
		older.Since = time.Time{}
		if held, heldErr := b.grant(ctx, older, selection); heldErr == nil {
			answer, err = held, nil
		}
	}
	if err != nil && b.config.Cached && !request.Kept && fault.From(err).Code == basicOnly {
		kept := request
		kept.Kept = true
		answer, err = b.grant(ctx, kept, selection)
		answer.Grant.Through = err == nil
	}
	if ctx.Err() != nil {
		return Answer{}, ctx.Err() // nobody is there to get it
	}
	if err != nil {
		err = b.diagnose(ctx, request, selection, err)
	}
	if auditErr := b.config.Recorder.Record(ctx, b.event(request, answer, err)); auditErr != nil {
		return Answer{}, auditErr
	}
	return answer, err
}

func (b *Broker) grant(ctx context.Context, request Request, selection registry.Selection) (answer Answer, err error) {
	k := key{host: request.Image.Host(), repository: request.Image.Repository(), kept: request.Kept}
	winner, covered := selection.Winner()
	if !covered {
		if request.OnlyCovered {
			return answer, notCovered(request)
		}
		answer.Grant, answer.remembered, err = b.cache.get(ctx, k, request.Refused, request.Since, func(ctx context.Context) (grant Grant, err error) {
			ctx, done := b.config.Observer.Exchanging(ctx, "")
			defer func() { done(err) }()
			return b.config.Issuer.Anonymous(ctx, request.Image)
		})
		return answer, err
	}
	answer.Credential, answer.Pattern = &winner, selection.Matches[0].Pattern
	answer.Others = otherNames(selection)
	k.credential, k.version = winner.ID, winner.Version
	answer.Grant, answer.remembered, err = b.cache.get(ctx, k, request.Refused, request.Since, func(ctx context.Context) (_ Grant, err error) {
		ctx, done := b.config.Observer.Exchanging(ctx, winner.Kind)
		defer func() { done(err) }()
		material, err := b.config.Opener.Open(winner)
		if err != nil {
			return Grant{}, err
		}
		grant, err := b.config.Issuer.Issue(ctx, winner.Kind, request.Image, material, request.Kept)
		if fault.Is(err, fault.Unauthenticated) {
			grant, err = b.issueHeld(ctx, winner, request, err)
		}
		if err != nil {
			return Grant{}, err
		}
		return grant, b.config.Opener.Touch(ctx, winner, grant.ExpiresAt)
	})
	return answer, err
}

// issueHeld trades the secret that was replaced, while it is held: a new one may
// take a while to be known everywhere at the registry. refused is what the
// registry said of the new one, and what is answered if the old one does no
// better.
func (b *Broker) issueHeld(ctx context.Context, winner registry.Credential, request Request, refused error) (Grant, error) {
	material, version, held, err := b.config.Opener.OpenHeld(ctx, winner)
	switch {
	case err != nil:
		return Grant{}, errors.Join(refused, err)
	case !held:
		return Grant{}, refused
	}
	grant, err := b.config.Issuer.Issue(ctx, winner.Kind, request.Image, material, request.Kept)
	if err != nil {
		return Grant{}, refused
	}
	grant.HeldVersion = version
	return grant, nil
}

// otherNames are the credentials behind the winner, each once.
func otherNames(selection registry.Selection) []string {
	var names []string
	seen := map[string]bool{selection.Matches[0].Value.ID: true}
	for _, match := range selection.Matches[1:] {
		if !seen[match.Value.ID] {
			seen[match.Value.ID] = true
			names = append(names, match.Value.Name)
		}
	}
	return names
}

func (b *Broker) event(request Request, answer Answer, err error) audit.Event {
	event := audit.Event{
		Time: b.config.Now(), Actor: request.Actor.Name(), ActorID: request.Actor.ID(), Remote: request.Actor.Remote,
		Verb: audit.GrantIssue, Result: audit.ResultOK,
		OrganizationID: request.Project.Owner.OrganizationID, ExecutionID: request.ExecutionID,
		Details: map[string]string{"image": request.Image.String(), "project": request.Project.Name},
	}
	if answer.Credential != nil {
		event.ObjectID, event.ObjectName = answer.Credential.ID, answer.Credential.Name
		event.Details["pattern"] = answer.Pattern.String()
	}
	if err != nil {
		event.Result = fault.From(err).Code
		return event
	}
	if answer.Grant.HeldVersion != 0 {
		event.Details["held_version"] = strconv.Itoa(answer.Grant.HeldVersion)
	}
	if answer.Grant.Through {
		event.Details["through"] = "cache"
	}
	event.Details["narrow"] = strconv.FormatBool(answer.Grant.Narrow)
	event.Details["expires"] = answer.Grant.ExpiresAt.UTC().Format(time.RFC3339)
	return event
}
