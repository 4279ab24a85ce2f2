package adapter

import (
	"context"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Upstreams are the registries that the pull-through cache reads, with the
// credentials of whoever reads: a broker as a cache.Authority.
type Upstreams struct {
	Broker    *broker.Broker
	Transport *oci.Transport

	// Listed are hosts that an admin lets everybody read without a credential. Of
	// other hosts only what a credential covers is read: the cache is no open proxy.
	Listed map[string]bool

	// Fresh is how old a grant may be that itself says what it is good for, while its
	// token service can be asked; 0: as old as it says.
	Fresh time.Duration

	mu     sync.Mutex
	routes map[broker.Reach]*oci.Transport
}

// Access gives the way of a reader to a repository.
func (u *Upstreams) Access(ctx context.Context, reader cache.Reader, ref image.Reference, refused time.Time) (cache.Access, error) {
	request := broker.Request{
		Actor: reader.Actor, Project: reader.Project, ExecutionID: reader.ExecutionID, Image: ref, Refused: refused, Kept: true,
		OnlyCovered: !u.Listed[ref.Host()],
	}
	if u.Fresh > 0 {
		request.Since = time.Now().Add(-u.Fresh)
	}
	answer, err := u.Broker.Grant(ctx, request)
	if err != nil {
		return cache.Access{}, err
	}
	given := answer.Grant
	if given.Role != nil {
		return cache.Access{}, roleOfWorker(answer.Credential.Name, ref)
	}
	transport, err := u.transport(given.Reach)
	if err != nil {
		return cache.Access{}, err
	}
	access := cache.Access{Authorization: authorizationOf(given), IssuedAt: given.IssuedAt, ExpiresAt: given.ExpiresAt}
	if answer.Credential == nil {
		access.Route = transport.ForStranger(ref.Host())
		return access, nil
	}
	access.Route = transport.For(ref.Host())
	access.Credential, access.Version, access.Name = answer.Credential.ID, answer.Credential.Version, answer.Credential.Name
	return access, nil
}

// transport is the way that a credential says; each has connections of its own.
func (u *Upstreams) transport(reach broker.Reach) (*oci.Transport, error) {
	if reach == (broker.Reach{}) {
		return u.Transport, nil
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if known := u.routes[reach]; known != nil {
		return known, nil
	}
	way, err := oci.ParseReach(reach.Proxy, reach.CA, reach.Addresses)
	if err != nil {
		return nil, err
	}
	made, err := u.Transport.With(way)
	if err != nil {
		return nil, err
	}
	if u.routes == nil {
		u.routes = make(map[broker.Reach]*oci.Transport)
	}
	u.routes[reach] = made
	return made, nil
}
