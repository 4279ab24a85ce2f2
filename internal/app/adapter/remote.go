package adapter

import (
	"context"
	"crypto/sha256"
	"net/netip"
	"strings"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
	"fairlead.dev/fairlead/internal/worker"
)

// Control is the server as a cache apart from it calls it: client.Client is one.
type Control interface {
	CacheReader(ctx context.Context, login wire.CacheLogin) (wire.CacheReader, error)
	CacheGrant(ctx context.Context, request wire.CacheGrantRequest) (wire.CacheGrant, error)
}

// loginsMost bounds the logins that are remembered.
const loginsMost = 10_000

// RemoteReaders are those who may pull through a cache apart from the server, which
// knows them: a mirror.Authenticator. Safe for concurrent use.
type RemoteReaders struct {
	Control Control

	// Networks are read for as if their clients had logged in with NetworkToken.
	Networks     []Network
	NetworkToken secret.Text

	// Fresh is how long a login is believed in without asking: who loses it is
	// refused after that. Stale is how long more while the server is away.
	Fresh, Stale time.Duration

	mu     sync.Mutex
	logins map[[sha256.Size]byte]login
}

// login is one that the server knew.
type login struct {
	reader cache.Reader
	at     time.Time
}

// Authenticate asks the server who it is.
func (r *RemoteReaders) Authenticate(ctx context.Context, shown mirror.Shown) (mirror.Client, error) {
	if shown.IsAnonymous() {
		if network, found := smallest(r.Networks, shown.Remote); found {
			shown.User, shown.Password = network.Project, r.NetworkToken
		}
	}
	token, err := tokenOf(shown)
	if err != nil {
		return nil, err
	}
	if token.IsEmpty() {
		return nil, fault.New(fault.Unauthenticated, "token_missing", "this needs a login").
			WithHint("Log in with the project as the user name: docker login -u OWNER/PROJECT, with a token as the password.")
	}
	key := sha256.Sum256([]byte(shown.User + "\x00" + token.Reveal()))
	known, wasKnown := r.known(key)
	age := time.Since(known.at)
	if !wasKnown || age >= r.Fresh {
		told, err := r.Control.CacheReader(ctx, wire.CacheLogin{User: shown.User, Token: wire.OpenSecret{Text: token}, Remote: addressOf(shown.Remote)})
		switch {
		case err == nil:
			known = login{readerOfWire(told), time.Now()}
			r.keep(key, known)
		case fault.Is(err, fault.Unavailable) && wasKnown && age < r.Fresh+max(r.Stale, 0):
		default:
			return nil, asLogin(err)
		}
	}
	reader := known.reader
	reader.Actor.Remote = addressOf(shown.Remote)
	reader.Login = cache.Login{User: shown.User, Token: token, Remote: reader.Actor.Remote}
	return pulling{reader}, nil
}

func (r *RemoteReaders) known(key [sha256.Size]byte) (login, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known, found := r.logins[key]
	return known, found
}

func (r *RemoteReaders) keep(key [sha256.Size]byte, known login) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.logins == nil || len(r.logins) >= loginsMost {
		r.logins = make(map[[sha256.Size]byte]login)
	}
	r.logins[key] = known
}

func addressOf(remote netip.Addr) string {
	if !remote.IsValid() {
		return ""
	}
	return remote.String()
}

func readerOfWire(told wire.CacheReader) cache.Reader {
	return cache.Reader{
		Actor:       account.Actor{UserID: told.ID, Username: told.Name, Operator: told.Operator},
		Project:     account.Project{ID: told.Project.ID, Name: told.Project.Name, Owner: account.Owner{Name: told.Organization}},
		ExecutionID: told.ExecutionID,
	}
}

// asLogin invites a client to log in whose login the server does not know, and no one
// where it is the cache that the server does not know.
func asLogin(err error) error {
	f := *fault.From(err)
	switch {
	case f.Code == wire.CodeReaderUnknown:
		f.Kind = fault.Unauthenticated
	case isCacheUnknown(&f):
		return cacheUnknown(err)
	}
	return &f
}

// isCacheUnknown reports whether the server does not take the cache's own token.
func isCacheUnknown(f *fault.Error) bool {
	return f != nil && f.Kind == fault.Unauthenticated && strings.HasPrefix(f.Code, "token_")
}

// cacheUnknown is the fault of a cache whose own token is not good.
func cacheUnknown(cause error) error {
	return fault.New(fault.Denied, "cache_token", "the server does not know this cache").
		WithHint("Have the operator give it a token that is good: `fairlead cache token create NAME`.").WithCause(cause)
}

// RemoteUpstreams are the registries that a cache apart from the server reads, with
// grants that the server gives to whoever reads: a cache.Authority. Safe for concurrent
// use.
type RemoteUpstreams struct {
	Control Control
	Ways    *worker.Ways

	// Listed are hosts that everybody may read without a credential.
	Listed map[string]bool

	// Fresh is how old a grant may be, as in Upstreams.
	Fresh time.Duration
}

// Access asks the server for the way of a reader to a repository.
func (u *RemoteUpstreams) Access(ctx context.Context, reader cache.Reader, ref image.Reference, refused time.Time) (cache.Access, error) {
	request := wire.CacheGrantRequest{
		Login: wire.CacheLogin{User: reader.Login.User, Token: wire.OpenSecret{Text: reader.Login.Token}, Remote: reader.Login.Remote},
		Image: ref.String(), OnlyCovered: !u.Listed[ref.Host()], FreshMilliseconds: u.Fresh.Milliseconds(),
	}
	if !refused.IsZero() {
		request.Refused = wire.NewTime(refused)
	}
	given, err := u.Control.CacheGrant(ctx, request)
	switch {
	case isCacheUnknown(fault.From(err)):
		return cache.Access{}, cacheUnknown(err)
	case err != nil:
		return cache.Access{}, err
	case given.Through != nil:
		// Away and not refused: a worker goes on to the server's own cache.
		return cache.Access{}, fault.New(fault.Unavailable, "cache_basic_only", "%s takes only the password itself, which does not leave the server", ref.Host()).
			WithHint("Pull through the server's own cache.")
	case given.Role != nil:
		return cache.Access{}, roleOfWorker(given.Credential, ref)
	}
	route, err := u.Ways.To(given.Grant)
	if err != nil {
		return cache.Access{}, err
	}
	return cache.Access{
		Route: route, Authorization: authorizationOf(broker.Grant{Scheme: given.Scheme, User: given.User, Secret: given.Secret.Text}),
		IssuedAt: given.IssuedAt.Or(), ExpiresAt: given.ExpiresAt.Or(),
		Credential: given.CredentialID, Version: given.Version, Name: given.Credential,
	}, nil
}

// roleOfWorker is the fault of an image whose credential is a role that workers have.
func roleOfWorker(credential string, ref image.Reference) error {
	return fault.New(fault.Denied, "role_of_worker", "the credential %s is a role of the worker's own, which the cache does not have", credential).
		WithHint("Pull from the registry directly, or register a credential of another kind for %s.", ref.Name())
}
