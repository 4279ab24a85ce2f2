package runc

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"syscall"
	"time"

	gorunc "github.com/containerd/go-runc"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

// Run is [engine.Engine]'s.
func (e *Engine) Run(ctx context.Context, c engine.Container) (engine.Exit, error) {
	notStarted := engine.Exit{Code: codeNotStarted}
	if err := check(c); err != nil {
		return notStarted, err
	}
	if ctx.Err() != nil {
		return notStarted, context.Cause(ctx)
	}
	b, err := e.newBundle(c.ID)
	if err != nil {
		return notStarted, err
	}
	exit, err := e.runBundle(ctx, c, b)
	// Whatever happened, nothing may be left; ctx may have ended long ago.
	return exit, errors.Join(err, e.clear(context.WithoutCancel(ctx), b))
}

// runBundle runs c in b, which the caller clears.
func (e *Engine) runBundle(ctx context.Context, c engine.Container, b bundle) (exit engine.Exit, err error) {
	exit.Code = codeNotStarted
	var memory *memoryWatch
	if c.Limits.Memory > 0 {
		if memory, err = e.cgroups.watch(c.ID, c.Limits.Memory); err != nil {
			return exit, err
		}
		defer memory.close()
	}
	spec, err := e.spec(c, b, memory != nil && memory.countsSwap())
	if err != nil {
		return exit, err
	}
	if err := b.write(spec); err != nil {
		return exit, err
	}
	ended, err := e.start(ctx, c, b)
	if err != nil {
		return exit, err
	}
	if ended.status < 0 {
		return exit, fault.New(fault.Unavailable, "runtime_killed", "the container's runtime was killed on the worker").
			WithHint("See the worker's kernel log; it may have run out of memory.")
	}
	said, err := b.failure()
	if err != nil {
		return exit, err
	}
	switch {
	case !ended.began && ctx.Err() != nil: // it was stopped while it was being made
		return exitOf(128 + int(syscall.SIGKILL)), nil
	case !ended.began && said != "":
		return refused(c.Args[0], said)
	case !ended.began, ended.status != 0 && saysExecFailed.MatchString(ended.stderr):
		return refused(c.Args[0], ended.stderr)
	case said != "":
		e.config.Logger.WarnContext(ctx, "the container's runtime complained", "container", c.ID, "message", said)
	}
	exit = exitOf(ended.status)
	if memory != nil && exit.Code != 0 {
		if exit.OOMKilled, err = memory.killed(); err != nil {
			return exit, err
		}
	}
	return exit, ended.output
}

// ending is how the runtime's process ended.
type ending struct {
	status int  // its exit code; below 0 if it was killed
	began  bool // the command ran

	stderr string // what came there, if it was brief
	output error  // of the container's writers
}

// start runs the runtime to its end, and ends it when ctx does.
func (e *Engine) start(ctx context.Context, c engine.Container, b bundle) (ending, error) {
	out, err := newOutput(c.Stdout, c.Stderr)
	if err != nil {
		return ending{}, err
	}
	defer out.Close() // read to their ends

	gone := make(chan struct{}) // the runtime's process has ended
	pidFile := b.path("pid")
	began := func() bool {
		_, err := os.Stat(pidFile)
		return err == nil
	}
	stderr := out.copy(began, gone)

	var helpers sync.WaitGroup
	started := make(chan int, 1)
	helpers.Go(func() {
		for range started {
			out.started()
		}
	})
	helpers.Go(func() { e.stopAtEnd(ctx, c, b, gone) })

	runtime := b.runtime(e.command)
	runtime.Log, runtime.LogFormat = b.path("log.json"), gorunc.JSON
	// A runtime whose worker dies tells the container to end and stays to see
	// it; it could not pass SIGKILL on.
	runtime.PdeathSignal = syscall.SIGTERM
	status, err := runtime.Run(context.WithoutCancel(ctx), b.id, b.dir, &gorunc.CreateOpts{
		IO: out, PidFile: pidFile, Started: started,
	})
	close(gone)
	helpers.Wait()
	if b.alive() { // the runtime was killed, and the container may hold its pipes
		err = errors.Join(err, e.destroy(context.WithoutCancel(ctx), b))
	}
	lost := out.wait()
	if _, ok := errors.AsType[*gorunc.ExitError](err); err != nil && !ok {
		return ending{}, fmt.Errorf("container %s: %w", c.ID, err)
	}
	return ending{status: status, began: began(), stderr: stderr(), output: lost}, nil
}

// stopAtEnd waits for ctx, and ends the container then: SIGTERM, and SIGKILL
// after its grace or when that is over. It returns when gone is closed.
func (e *Engine) stopAtEnd(ctx context.Context, c engine.Container, b bundle, gone <-chan struct{}) {
	select {
	case <-gone:
		return
	case <-ctx.Done():
	}
	e.config.Logger.InfoContext(ctx, "stopping a container", "container", c.ID, "grace", c.Grace)
	grace := time.NewTimer(c.Grace)
	defer grace.Stop()
	// The runtime may still be making the container, or be busy with it: try
	// until it takes the signal.
	again := time.NewTicker(50 * time.Millisecond)
	defer again.Stop()
	signal, taken := syscall.SIGTERM, false
	over := c.GraceOver
	for {
		if !taken || signal == syscall.SIGKILL {
			taken = b.runtime(e.command).Kill(context.WithoutCancel(ctx), b.id, int(signal), nil) == nil
		}
		select {
		case <-gone:
			return
		case <-grace.C:
			signal, taken = syscall.SIGKILL, false
		case <-over:
			signal, taken, over = syscall.SIGKILL, false, nil
		case <-again.C:
		}
	}
}

// destroy kills a container and all its processes, whatever its state, and has
// the runtime forget it. It returns when its first process is gone, and with it
// its PID namespace.
func (e *Engine) destroy(ctx context.Context, b bundle) error {
	runtime := b.runtime(b.command(e.command))
	first := -1
	if state, err := runtime.State(ctx, b.id); err == nil && state.Pid > 0 {
		if first, err = unix.PidfdOpen(state.Pid, 0); err == nil {
			defer unix.Close(first) // only watched
		}
	}
	err := runtime.Delete(ctx, b.id, &gorunc.DeleteOpts{Force: true})
	for first >= 0 {
		if ctx.Err() != nil {
			return context.Cause(ctx)
		}
		poll := []unix.PollFd{{Fd: int32(first), Events: unix.POLLIN}} // a descriptor is small
		if n, err := unix.Poll(poll, 100); n > 0 || (err != nil && !errors.Is(err, unix.EINTR)) {
			break
		}
	}
	if err != nil && b.alive() {
		return fmt.Errorf("container %s: %w", b.id, err)
	}
	return nil
}

// clear deletes all that is left of a container, running or not.
func (e *Engine) clear(ctx context.Context, b bundle) error {
	if b.alive() {
		if err := e.destroy(ctx, b); err != nil {
			// Its directory stays, so that it is reaped another time.
			return errors.Join(err, b.lock.Close())
		}
	}
	return errors.Join(e.cgroups.remove(b.id), b.remove())
}

// Reap is [engine.Engine]'s.
func (e *Engine) Reap(ctx context.Context) ([]string, error) {
	bundles, err := e.abandoned()
	errs := []error{err}
	var ids []string
	for _, b := range bundles {
		if ctx.Err() != nil {
			errs = append(errs, context.Cause(ctx), b.lock.Close())
			continue
		}
		if err := e.clear(ctx, b); err != nil {
			errs = append(errs, err)
			continue
		}
		e.config.Logger.InfoContext(ctx, "reaped a container that a killed process left", "container", b.id)
		ids = append(ids, b.id)
	}
	return ids, errors.Join(errs...)
}

// exitOf reads the exit code of a command as shells do.
func exitOf(code int) engine.Exit {
	exit := engine.Exit{Code: code}
	if code > 128 {
		exit.Signal = unix.SignalName(syscall.Signal(code - 128))
	}
	return exit
}
