package granttest

import (
	"maps"
	"slices"
	"sync"
)

// Exchange is one request to the token service.
type Exchange struct {
	Method string // GET or POST
	User   string // whose secret was shown; "" for nobody
	Scope  string // as it was asked for: repository:acme/train:pull
}

// ledger counts what was asked.
type ledger struct {
	mu        sync.Mutex
	requests  int
	exchanges []Exchange
	manifests map[string]int // by repository
	blobs     map[string]int
	pushed    map[string]struct{} // repositories
}

func newLedger() *ledger {
	return &ledger{manifests: make(map[string]int), blobs: make(map[string]int), pushed: make(map[string]struct{})}
}

// Requests is how many requests all the hosts got, pushes left out.
func (r *Registry) Requests() int {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return r.ledger.requests
}

// Exchanges is how many requests the token service got, refused ones included.
func (r *Registry) Exchanges() int { return len(r.ExchangeLog()) }

// ExchangesOf is how many of them were a user's for the right to pull one
// repository.
func (r *Registry) ExchangesOf(user, repository string) int {
	n := 0
	for _, e := range r.ExchangeLog() {
		if e.User == user && e.Scope == "repository:"+repository+":pull" {
			n++
		}
	}
	return n
}

// ExchangeLog is every request that the token service got, in order.
func (r *Registry) ExchangeLog() []Exchange {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return slices.Clone(r.ledger.exchanges)
}

// ManifestRequests is how many requests for a repository's manifests the
// registry answered or refused, HEAD requests included.
func (r *Registry) ManifestRequests(repository string) int {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return r.ledger.manifests[repository]
}

// BlobRequests is how many requests for a repository's blobs it got.
func (r *Registry) BlobRequests(repository string) int {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return r.ledger.blobs[repository]
}

func (l *ledger) request() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests++
}

func (l *ledger) exchange(e Exchange) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.exchanges = append(l.exchanges, e)
}

func (l *ledger) asked(what map[string]int, repository string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	what[repository]++
}

func (l *ledger) push(repository string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pushed[repository] = struct{}{}
}

// repositories are those that something was pushed to, sorted.
func (r *Registry) repositories() []string {
	r.ledger.mu.Lock()
	defer r.ledger.mu.Unlock()
	return slices.Sorted(maps.Keys(r.ledger.pushed))
}

func (r *Registry) hasRepository(name string) bool {
	return slices.Contains(r.repositories(), name)
}
