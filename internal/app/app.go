// Package app is the plan of the house: it reads the settings and builds the
// floors from the bottom up into one running server. Everything is wired here,
// top to bottom in order of dependency, and nowhere else.
package app

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/api"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/depot"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/outbox"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/reference"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/relay"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/signon"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/telemetry"
	"fairlead.dev/fairlead/internal/vault"
	"fairlead.dev/fairlead/internal/web"
	"fairlead.dev/fairlead/internal/wire"
)

// Server is a whole Fairlead: the API and, where it is on, the worker inside.
// Make it with Open, call Run, and Close it.
type Server struct {
	config    Config
	logger    *slog.Logger
	transport *oci.Config

	store      *store.Store
	sealing    *vault.Vault
	accounts   *account.Service
	federation *account.Federation
	signOn     *signon.SignOn // nil: there is no provider
	channels   *notice.Service
	mailer     *courier.Mailer
	outbox     *outbox.Outbox
	registries *registry.Service
	dispatch   *dispatch.Service
	broker     *broker.Broker
	handler    http.Handler
	listener   net.Listener

	reach   *oci.Transport
	depot   *depot.Depot
	blobs   *blobs.Store // of the pull-through cache; nil: there is none
	metrics *metrics
	tracer  *telemetry.Tracer
	observe *telemetry.Observer
	watch   *web.CacheWatch // nil, as blobs
	git     *gitfetch.Fetcher
	relays  []*relay.Relay
	machine machine // of the worker inside

	first FirstUser
}

// FirstUser is the user that was made on an empty database.
type FirstUser struct {
	Username     string
	Password     secret.Text // empty: there was a user already
	Organization string
}

// Open builds a server and listens; it serves nothing before Run. What it needs
// and does not have (root, runc, the key file) is told in one sentence.
func Open(ctx context.Context, config Config, version string, logger *slog.Logger) (_ *Server, err error) {
	if config, err = config.settled(); err != nil {
		return nil, err
	}
	s := &Server{config: config, logger: logger}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return nil, fault.InvalidField("data-dir", "directory", "%v", err).
			WithHint("Name a directory that this user may write to.")
	}
	// The machine first: what is missing there is told before anything is made.
	if config.Worker.Enabled {
		if s.machine, err = openMachine(config.DataDir, config.Worker, logger); err != nil {
			return nil, err
		}
	}
	reach, err := config.Registries.OCI()
	if err != nil {
		return nil, err
	}
	if s.tracer, err = openTracer(ctx, config.TraceEndpoint, "fairlead-server", version, logger); err != nil {
		return nil, err
	}
	if s.metrics, err = openMetrics(config.MetricsListen, version); err != nil {
		return nil, err
	}
	s.observe = s.metrics.observer(s.tracer)
	reach.Observer = s.observe
	s.transport = &reach
	if s.reach, err = oci.NewTransport(reach); err != nil {
		return nil, err
	}
	if s.store, err = store.Open(ctx, config.Database); err != nil {
		return nil, err
	}
	if err := s.wire(ctx, version); err != nil {
		return nil, err
	}
	if s.listener, err = net.Listen("tcp", config.Listen); err != nil {
		return nil, fault.InvalidField("listen", "address_taken", "%v", err).
			WithHint("Another server may run there; choose another address with --listen.")
	}
	return s, nil
}

// wire builds the floors.
func (s *Server) wire(ctx context.Context, version string) error {
	now := func() time.Time { return time.Now().UTC() }
	sealing, err := vault.Open(s.config.KeyFile)
	if err != nil {
		return err
	}
	s.sealing = sealing
	if err := requireKeys(ctx, s.store, sealing); err != nil {
		return err
	}
	packages, err := store.OpenPackages(filepath.Join(s.config.DataDir, "packages"))
	if err != nil {
		return err
	}
	if s.depot, err = depot.Open(ctx, s.config.Outputs); err != nil {
		return err
	}
	if s.git, err = s.openGit(); err != nil {
		return err
	}
	catalogue, err := s.kinds(now)
	if err != nil {
		return err
	}
	changed := new(execution.Bell)

	s.accounts = account.NewService(s.store, now).WithSealer(adapter.Sealer{Vault: sealing})
	s.registries = registry.NewService(s.store, s.accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: sealing}, now)
	selector := registry.NewSelector(s.store)
	projects := project.NewService(s.store, s.accounts, adapter.Sealer{Vault: sealing}, adapter.Hosts{}, now)
	executions := execution.NewService(execution.Config{
		Store: s.store, Packages: packages, Depot: s.depot, Projects: s.accounts, Settings: projects,
		Repositories: adapter.Repositories{Fetcher: s.git, Projects: projects}, Now: now, Changed: changed,
		Ended: s.observe.Ended,
	})
	s.dispatch = dispatch.New(dispatch.Config{Store: s.store, Projects: s.store, Now: now, Logger: s.logger, Changed: changed, Observer: s.observe})
	s.broker = broker.New(broker.Config{
		Selector: selector, Opener: s.registries, Issuer: adapter.Issuer{Catalogue: catalogue}, Recorder: s.store, Now: now,
		Cached: s.config.Cache.URL != "", Observer: s.observe,
	})
	s.metrics.addServer(s.store, s.logger)
	if err := s.openNotices(sealing, now); err != nil {
		return err
	}
	if err := s.openRelays(); err != nil {
		return err
	}
	if err := s.openSignOn(ctx, sealing, now); err != nil {
		return err
	}
	readers := &adapter.Readers{Accounts: s.accounts, Dispatch: s.dispatch}
	s.handler, err = api.New(api.Config{
		Accounts: s.accounts, Federation: s.federation, Projects: projects, Registries: s.registries, Selector: selector, Executions: executions,
		Dispatch: s.dispatch, Broker: s.broker, Audit: s.store, Packages: packages,
		Readers:  readers,
		Channels: s.channels, Outbox: s.outbox,
		Keys:  keys{vault: sealing, accounts: s.accounts, federation: s.federation, registries: s.registries, projects: projects, channels: s.channels, audit: s.store, now: now},
		Route: s.routeTo, Origin: s.config.PublicURL, Reference: reference.New, Version: version, Logger: s.logger,
		Now: now, Observer: s.observe, Doctor: s,
	})
	if err != nil {
		return err
	}
	mirror, err := s.openMirror(ctx, readers)
	if err != nil {
		return err
	}
	pages, err := web.New(web.Config{
		Accounts: s.accounts, Projects: projects, Registries: s.registries, Selector: selector, Executions: executions,
		Dispatch: s.dispatch, Broker: s.broker, Audit: s.store, Channels: s.channels, Outbox: s.outbox, Cache: s.watch,
		SignOn: s.signOn, Origin: s.config.PublicURL, Version: version, Logger: s.logger, Now: now, Observer: s.observe,
	})
	if err != nil {
		return err
	}
	proxies, err := trustedProxies(s.config.TrustedProxies)
	if err != nil {
		return err
	}
	s.handler = doors(behind(proxies, s.handler), mirror, behind(proxies, pages))
	ready := &health{parts: storeParts(s.store, sealing), logger: s.logger, now: now}
	s.handler = ready.before(s.handler)
	s.first = FirstUser{Username: s.config.Admin, Organization: s.config.Organization}
	s.first.Password, err = s.accounts.Bootstrap(ctx, s.config.Admin, s.config.Organization)
	return err
}

// doors sends programs to the API, who pulls to the mirror, if it is not nil, and
// people to the pages.
func doors(api, mirror, pages http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for _, prefix := range []string{"/api/", "/schema/", "/docs/"} {
			if strings.HasPrefix(r.URL.Path, prefix) {
				api.ServeHTTP(w, r)
				return
			}
		}
		if mirror != nil && (r.URL.Path == "/v2" || strings.HasPrefix(r.URL.Path, "/v2/")) {
			mirror.ServeHTTP(w, r)
			return
		}
		pages.ServeHTTP(w, r)
	})
}

// kinds are the kinds of registry credential, as this server trades them.
func (s *Server) kinds(now func() time.Time) (*grant.Catalogue, error) {
	config := grant.Config{Transport: s.reach, Now: now, Logger: s.logger, Cached: s.config.Cache.URL != ""}
	own, err := newIdentity(s.config.IdentityTokens)
	if err != nil {
		return nil, err
	}
	if own != nil {
		config.IdentityToken = own.token
	}
	return grant.NewCatalogue(config), nil
}

// routeTo is how the server was told to reach a registry; nil: in no way of its
// own.
func (s *Server) routeTo(host string) *wire.RegistryRoute {
	for _, rule := range s.transport.Hosts {
		if rule.Host == host {
			return &wire.RegistryRoute{Address: rule.Address, CA: string(rule.CA), PlainHTTP: rule.PlainHTTP}
		}
	}
	return nil
}

// First is the user that Open made, with the password, which is known nowhere
// else.
func (s *Server) First() FirstUser { return s.first }

// URL is the address that the server listens on.
func (s *Server) URL() string { return urlOf(s.listener) }

func urlOf(listener net.Listener) string {
	host, port, err := net.SplitHostPort(listener.Addr().String())
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return "http://" + net.JoinHostPort(host, port)
}

// Times of a shutdown.
const (
	shutdownMost  = 10 * time.Second
	readHeaderMax = 10 * time.Second
)

// newHTTPServer is a server whose requests end with serving.
func newHTTPServer(serving context.Context, handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler, ReadHeaderTimeout: readHeaderMax,
		BaseContext: func(net.Listener) context.Context { return serving },
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelDebug),
	}
}

// Run serves until ctx ends, and then ends in order: the worker first, since it
// still has to tell what became of its executions.
func (s *Server) Run(ctx context.Context) error {
	serving, stopServing := context.WithCancel(context.WithoutCancel(ctx))
	defer stopServing()
	server := newHTTPServer(serving, s.handler, s.logger)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(s.listener) }()
	measured := make(chan error, 1)
	go func() { measured <- s.metrics.serve(serving, s.logger) }()
	letGoOfStart()

	var chores sync.WaitGroup
	chores.Go(func() { s.dispatch.Sweep(serving) })
	chores.Go(func() { s.tendCredentials(serving) })
	chores.Go(func() { s.outbox.Run(serving) })
	chores.Go(func() { s.tendTrail(serving) })
	chores.Go(func() { s.relayTrail(serving) })
	chores.Go(func() { s.tendSessions(serving) })
	chores.Go(func() { s.watchCache(serving) })
	working, stopWorking := context.WithCancel(ctx)
	defer stopWorking()
	worked := make(chan error, 1)
	go func() {
		if s.config.Worker.Enabled {
			worked <- s.work(working)
			return
		}
		<-working.Done()
		worked <- nil
	}()
	var serveErr, workErr error
	select {
	case serveErr = <-failed:
		stopWorking()
		workErr = <-worked
	case workErr = <-worked:
	}
	// Whoever follows a log is let go, so that Shutdown need not wait for them.
	stopServing()
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownMost)
	defer cancel()
	err := server.Shutdown(closing)
	chores.Wait()
	return errors.Join(serveErr, workErr, err, <-measured)
}

// ownWorkerPrefix begins the name of a worker inside a server, so that it is not
// taken for one on another machine.
const ownWorkerPrefix = "server-"

// work runs the worker inside, over the API as any other.
func (s *Server) work(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "localhost"
	}
	name := ownWorkerPrefix + host
	if err := s.endOldTokens(ctx, name); err != nil {
		return err
	}
	token, text, err := s.accounts.OwnWorkerToken(ctx, name)
	if err != nil {
		return err
	}
	own, err := client.New(client.Config{Server: s.URL(), Token: text, UserAgent: "fairlead-worker", Around: s.tracer.Calls})
	if err != nil {
		return err
	}
	defer own.Close()
	inside := s.machine.worker(own, text, s.config.DataDir, s.config.Worker, *s.transport, s.reach, s.observe, s.logger)
	err = inside.Run(ctx)
	return errors.Join(err, s.accounts.EndOwnWorkerToken(context.WithoutCancel(ctx), token))
}

// endOldTokens deletes the tokens of this machine's worker that a killed
// process left: the image store's lock says that it is no more.
func (s *Server) endOldTokens(ctx context.Context, name string) error {
	self := account.Actor{Username: "fairlead", Operator: true}
	tokens, err := s.accounts.WorkerTokens(ctx, self)
	if err != nil {
		return err
	}
	for _, token := range tokens {
		if token.Name == name && token.ExpiresAt.IsZero() {
			if err := s.accounts.DeleteToken(ctx, self, token.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// Close frees everything that Open took. It must come after Run has returned.
func (s *Server) Close() error {
	var errs []error
	if s.listener != nil {
		if err := s.listener.Close(); !errors.Is(err, net.ErrClosed) {
			errs = append(errs, err)
		}
	}
	s.metrics.Close()
	s.tracer.Close()
	if s.broker != nil {
		s.broker.Close()
	}
	if s.machine.images != nil {
		errs = append(errs, s.machine.images.Close())
	}
	if s.depot != nil {
		errs = append(errs, s.depot.Close())
	}
	if s.blobs != nil {
		errs = append(errs, s.blobs.Close())
	}
	if s.store != nil {
		errs = append(errs, s.store.Close())
	}
	if s.git != nil {
		s.git.Close()
	}
	if s.reach != nil {
		s.reach.CloseIdleConnections()
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("closing: %w", err)
	}
	return nil
}
