// Package worker runs executions on this machine: it takes a lease, gets a pull
// grant, pulls the image, runs the step's commands and sends the log, until it
// is told to end. It speaks only the API and holds no key: what it gets for one
// execution is good for that one alone.
//
// Make a Worker with New and call Run.
package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/inputs"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// Config is what a Worker is made of. Client, Images, Engine and Dir are
// required.
type Config struct {
	Client *client.Client
	Images *pull.Store
	Engine engine.Engine

	// Dir holds the code and outputs of executions that are under way; an
	// absolute path.
	Dir string

	// Slots is how many executions run at the same time; the number of
	// processors if 0.
	Slots int

	// Registries is how this machine reaches registries. Its host rules go
	// before those that come with a grant.
	Registries oci.Config

	// Cache is how this machine uses pull-through caches.
	Cache Cache

	// Roles gets authorizations with this machine's own role; nil: it has none.
	Roles Roles

	// Inputs keeps the files that steps get. Required.
	Inputs *inputs.Cache

	// Mounts are the directories that steps may mount, with what is below them.
	Mounts []string

	// Devices are CDI names that every container gets, such as
	// nvidia.com/gpu=all.
	Devices []string

	// Grace is how long a command has between SIGTERM and SIGKILL; 10 s if 0.
	Grace time.Duration

	// Drain is how long running executions may go on when the worker is told to
	// end; then they are stopped and given back to the queue.
	Drain time.Duration

	Logger *slog.Logger

	Observer Observer // nobody hears if nil
}

// Observer hears of pulls, for who traces them.
type Observer interface {
	// Pulling is called when a pull begins. The worker goes on with the context, and
	// calls the function once, with when the report's moments begin.
	Pulling(ctx context.Context, executionID string) (context.Context, func(begin time.Time, report wire.PullReport, err error))
}

// Cache is how a worker uses pull-through caches. It shows them its own token, with the
// lease of the execution as the user name.
type Cache struct {
	// Token is the worker's own, as its Client has it.
	Token secret.Text

	// Always has every image pulled through a cache that a cache can give, and not only
	// those whose grant says so.
	Always bool

	// URL is the cache's address, http or https; "" is the server's own. It must take the
	// same login.
	URL string
}

// Why an execution's context ended.
var (
	errLeaseLost = errors.New("the lease was lost")
	errStopped   = errors.New("somebody stopped the execution")
	errTimeLimit = errors.New("the time limit was reached")
	errSilent    = errors.New("the command printed nothing for too long")
	errShutdown  = errors.New("the worker is shutting down")
)

// Times of the loop.
const (
	takeWait   = 25 * time.Second
	retryFirst = 200 * time.Millisecond
	retryMost  = 5 * time.Second
)

// Worker runs executions. Make it with New.
type Worker struct {
	config Config
	routes routes
}

// New wires a worker and touches nothing.
func New(config Config) *Worker {
	config.Slots = cmp.Or(config.Slots, runtime.NumCPU())
	config.Grace = cmp.Or(config.Grace, 10*time.Second)
	return &Worker{config: config, routes: routes{base: config.Registries}}
}

// Run ends what a killed worker left on this machine, and then takes
// executions until ctx ends. It returns when the last one has ended or was
// given back.
func (w *Worker) Run(ctx context.Context) error {
	if err := w.clear(ctx); err != nil {
		return err
	}
	// What runs outlives ctx by the time that it is given.
	running, stop := context.WithCancelCause(context.WithoutCancel(ctx))
	defer stop(nil)
	var slots sync.WaitGroup
	for range w.config.Slots {
		slots.Go(func() { w.serve(ctx, running) })
	}
	<-ctx.Done()
	drain := time.AfterFunc(w.config.Drain, func() { stop(errShutdown) })
	defer drain.Stop()
	slots.Wait()
	return nil
}

// clear removes containers, root filesystems and code of an earlier process.
func (w *Worker) clear(ctx context.Context) error {
	left, err := w.config.Engine.Reap(ctx)
	if err != nil {
		return fmt.Errorf("ending containers of an earlier worker: %w", err)
	}
	for _, id := range left {
		w.config.Logger.Warn("ended a container that an earlier worker left", "container", id)
	}
	if err := w.config.Images.Reap(ctx, func(string) bool { return false }); err != nil {
		return fmt.Errorf("removing root filesystems of an earlier worker: %w", err)
	}
	if err := os.RemoveAll(w.config.Dir); err != nil {
		return fmt.Errorf("removing the code of an earlier worker: %w", err)
	}
	if err := os.MkdirAll(w.config.Dir, 0o711); err != nil {
		return fmt.Errorf("making the worker's directory: %w", err)
	}
	return nil
}

// serve takes one execution after the other until ctx ends.
func (w *Worker) serve(ctx, running context.Context) {
	retry := retryFirst
	for ctx.Err() == nil {
		lease, ok, err := w.config.Client.TakeLease(ctx, takeWait)
		switch {
		case err == nil && ok:
			w.execute(running, lease)
			retry = retryFirst
		case err == nil:
			retry = retryFirst
		case ctx.Err() == nil:
			w.config.Logger.Warn("asking for something to run", "error", err, "again_in", retry)
			pause(ctx, retry)
			retry = min(2*retry, retryMost)
		}
	}
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

// persist calls f until it succeeds, fails for good, or ctx ends.
func persist(ctx context.Context, f func() error) error {
	return persistWhile(ctx, f, func(err error) bool { return fault.Is(err, fault.Unavailable) })
}

// persistWhile is persist for errors that passing says may pass.
func persistWhile(ctx context.Context, f func() error, passing func(error) bool) error {
	for retry := retryFirst; ; retry = min(2*retry, retryMost) {
		err := f()
		if err == nil || !passing(err) || ctx.Err() != nil {
			return err
		}
		pause(ctx, retry)
	}
}

// dirOf is where an execution's files are; one attempt never sees another's.
func (w *Worker) dirOf(leaseID string) string { return filepath.Join(w.config.Dir, leaseID) }
