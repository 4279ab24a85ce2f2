package app

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/mirror"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/telemetry"
	"fairlead.dev/fairlead/internal/worker"
)

// RemoteCacheConfig is how a pull-through cache apart from the server is run.
type RemoteCacheConfig struct {
	Listen     string
	DataDir    string
	Cache      CacheConfig
	Registries RegistryConfig

	MetricsListen string // HOST:PORT; "": metrics are not served
	TraceEndpoint string // as Config has it

	// NetworkTokenFile holds the token that clients of Cache.Networks read with.
	NetworkTokenFile string
}

// cacheDataDir is where a cache apart from the server keeps its data.
const cacheDataDir = "/var/lib/fairlead-cache"

// Flags defines the flags of c on set.
func (c *RemoteCacheConfig) Flags(set *pflag.FlagSet) {
	set.StringVar(&c.Listen, "listen", "127.0.0.1:8081", "address to serve the cache on")
	set.StringVar(&c.DataDir, "data-dir", cacheDataDir, "directory of what is kept and of what arrives")
	c.Cache.flags(set)
	set.Lookup("cache").Usage = "where blobs are kept: file:///DIRECTORY, s3://BUCKET?region=REGION, gs://BUCKET or azblob://CONTAINER (default DATA-DIR/cache)"
	set.StringVar(&c.NetworkTokenFile, "cache-network-token-file", "", "file of the token that clients of a --cache-network read with: a user's who may see the project")
	c.Registries.flags(set)
	metricsFlag(set, &c.MetricsListen)
	traceFlag(set, &c.TraceEndpoint)
}

// settled checks c and fills in what depends on other settings.
func (c RemoteCacheConfig) settled() (RemoteCacheConfig, error) {
	var errs []error
	if _, _, err := net.SplitHostPort(c.Listen); err != nil {
		errs = append(errs, fault.InvalidField("listen", "address", "%q is no HOST:PORT", c.Listen))
	}
	dir, err := filepath.Abs(c.DataDir)
	if err != nil {
		errs = append(errs, fault.InvalidField("data-dir", "directory", "%v", err))
	}
	c.DataDir = dir
	if c.Cache.URL == "" {
		c.Cache.URL = "file://" + filepath.ToSlash(filepath.Join(dir, "cache"))
	}
	_, networksErr := c.Cache.networks()
	errs = append(errs, networksErr)
	if len(c.Cache.Networks) > 0 && c.NetworkTokenFile == "" {
		errs = append(errs, fault.InvalidField("cache-network-token-file", "blank", "clients of a network need a token to read with").
			WithHint("Make one as a user who may see the project, with `fairlead token create`, and name its file."))
	}
	return c, fault.Join(errs...)
}

// RunCache serves a cache of the server's until ctx ends; ready is told its address.
func RunCache(ctx context.Context, config RemoteCacheConfig, server, token, version string, logger *slog.Logger, ready func(url string)) (err error) {
	if config, err = config.settled(); err != nil {
		return err
	}
	reach, err := config.Registries.OCI()
	if err != nil {
		return err
	}
	tracer, err := openTracer(ctx, config.TraceEndpoint, "fairlead-cache", version, logger)
	if err != nil {
		return err
	}
	defer tracer.Close()
	readers := &adapter.RemoteReaders{Fresh: config.Cache.Fresh, Stale: config.Cache.Stale}
	if readers.Networks, err = config.Cache.networks(); err != nil {
		return err
	}
	if config.NetworkTokenFile != "" {
		text, err := os.ReadFile(filepath.Clean(config.NetworkTokenFile))
		if err != nil {
			return fault.InvalidField("cache-network-token-file", "file", "%v", err)
		}
		readers.NetworkToken = secret.New(strings.TrimSpace(string(text)))
	}
	if err := os.MkdirAll(config.DataDir, 0o700); err != nil {
		return fault.InvalidField("data-dir", "directory", "%v", err).
			WithHint("Name a directory that this user may write to.")
	}
	api, err := client.New(client.Config{Server: server, Token: secret.New(token), UserAgent: "fairlead-cache/" + version, Around: tracer.Calls})
	if err != nil {
		return err
	}
	defer api.Close()
	readers.Control = api
	content, err := openBlobs(ctx, config.Cache, config.DataDir, logger)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, content.Close()) }()
	measured, err := openMetrics(config.MetricsListen, version)
	if err != nil {
		return err
	}
	defer measured.Close()
	observe := measured.observer(tracer)
	reach.Observer = observe
	kept, door, err := config.Cache.door(content, &adapter.RemoteUpstreams{Control: api, Ways: worker.NewWays(reach), Listed: config.Cache.listed(), Fresh: config.Cache.Fresh}, readers, observe, logger)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", config.Listen)
	if err != nil {
		return fault.InvalidField("listen", "address_taken", "%v", err).
			WithHint("Another server may run there; choose another address with --listen.")
	}
	measured.add(kept)
	measured.addRequests()
	probes := &health{parts: []part{spoolPart(config.DataDir)}, logger: logger, now: time.Now}
	door = probes.before(door)
	ready(urlOf(listener))
	serving, stop := context.WithCancel(ctx)
	defer stop()
	var group errgroup.Group
	group.Go(func() error {
		defer stop()
		return measured.serve(serving, logger)
	})
	group.Go(func() error {
		defer stop()
		return serveUntil(serving, listener, door, logger)
	})
	return group.Wait()
}

// openBlobs opens the place where a cache keeps blobs.
func openBlobs(ctx context.Context, config CacheConfig, dir string, logger *slog.Logger) (*blobs.Store, error) {
	return blobs.Open(ctx, blobs.Config{URL: config.URL, Spool: filepath.Join(dir, "spool"), Limit: int64(config.Limit), Logger: logger})
}

// door is a cache's side of the distribution protocol.
func (c *CacheConfig) door(content *blobs.Store, authority cache.Authority, readers mirror.Authenticator, observe *telemetry.Observer, logger *slog.Logger) (*cache.Cache, http.Handler, error) {
	kept := cache.New(cache.Config{Authority: authority, Content: content, Fresh: c.Fresh, Stale: c.Stale, Logger: logger})
	door, err := mirror.New(mirror.Config{
		Backend: adapter.Mirror{Cache: kept}, Extension: adapter.Mirror{Cache: kept}, Authenticator: readers, Sent: kept.Sent,
		Unnamed: "docker.io", Logger: logger, Observer: observe,
	})
	return kept, door, err
}

// listed are the registries that everybody may read without a credential.
func (c *CacheConfig) listed() map[string]bool {
	listed := make(map[string]bool, len(c.Upstreams))
	for _, host := range c.Upstreams {
		listed[host] = true
	}
	return listed
}

// serveUntil serves until ctx ends, and lets requests end for a while.
func serveUntil(ctx context.Context, listener net.Listener, handler http.Handler, logger *slog.Logger) error {
	serving, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	server := newHTTPServer(serving, handler, logger)
	failed := make(chan error, 1)
	go func() { failed <- server.Serve(listener) }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), shutdownMost)
	defer cancel()
	if err := server.Shutdown(closing); !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	stop() // those that are still pulling
	return server.Close()
}
