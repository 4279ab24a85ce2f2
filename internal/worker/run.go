package worker

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/wire"
)

// lastWords is how long the end of an execution may take to reach the server.
const lastWords = time.Minute

// run is one execution on this worker.
type run struct {
	worker  *Worker
	lease   wire.Lease
	job     wire.Job
	journal *journal

	// lost is closed when the lease is, and with it every right to run.
	lost <-chan struct{}
}

// execute runs an execution to its end and tells the server how it ended.
func (w *Worker) execute(running context.Context, lease wire.Lease) {
	logger := w.config.Logger.With("execution", lease.Execution.ID, "step", lease.Execution.Step)
	ctx, cancel := context.WithCancelCause(running)
	defer cancel(nil)

	// The lease is held until the end was told, also after the command was
	// stopped; only its loss ends everything.
	held, letGo := context.WithCancelCause(context.WithoutCancel(running))
	holding := make(chan struct{})
	keeper := hold{client: w.config.Client, lease: lease, logger: logger, cancel: func(cause error) {
		cancel(cause)
		if errors.Is(cause, errLeaseLost) {
			letGo(cause)
		}
	}}
	go func() {
		defer close(holding)
		keeper.run(held)
	}()
	defer func() {
		letGo(nil)
		<-holding
	}()

	r := &run{worker: w, lease: lease, job: lease.Execution, journal: newJournal(held, w.config.Client, lease.ID, newMask(lease.Execution.Secrets)), lost: held.Done()}
	exit, err := r.runLimited(ctx)
	result := r.result(exit, err, context.Cause(ctx))
	if result.Failure != nil {
		r.journal.status("Failed: " + result.Failure.Message)
	}
	if journalErr := r.journal.close(); journalErr != nil && held.Err() == nil {
		logger.Error("sending the log", "error", journalErr)
	}
	if held.Err() != nil {
		return // it is somebody else's now
	}
	last, cancelLast := context.WithTimeout(held, lastWords)
	defer cancelLast()
	tell := func() error { return w.config.Client.Finish(last, lease.ID, result) }
	if errors.Is(context.Cause(ctx), errShutdown) {
		tell = func() error { return w.config.Client.Release(last, lease.ID) }
	}
	if err := persistWhile(last, tell, maySucceedLater); err != nil {
		logger.Error("telling the end of an execution", "error", err)
	}
}

// runLimited is runAll within the step's time limit.
func (r *run) runLimited(ctx context.Context) (engine.Exit, error) {
	limit := time.Duration(r.job.TimeLimitSeconds * float64(time.Second))
	if limit <= 0 {
		return r.runAll(ctx)
	}
	limited, cancel := context.WithTimeoutCause(ctx, limit, errTimeLimit)
	defer cancel()
	exit, err := r.runAll(limited)
	if errors.Is(context.Cause(limited), errTimeLimit) && ctx.Err() == nil {
		err = fault.New(fault.Exhausted, "time_limit", "the time limit of %s was reached, so the command was stopped", limit).
			WithHint("Raise the step's time-limit if it needs longer.")
	}
	return exit, err
}

// runAll pulls the image while the code is fetched, and runs the command.
func (r *run) runAll(ctx context.Context) (exit engine.Exit, err error) {
	files := workspace{dir: r.worker.dirOf(r.lease.ID)}
	defer func() { r.cleaned("the workspace", os.RemoveAll(files.dir)) }()
	var pulled pull.Image
	group, both := errgroup.WithContext(ctx)
	group.Go(func() (err error) {
		pulled, err = r.pullImage(both)
		return err
	})
	group.Go(func() error {
		if err := r.fetchCode(both, files); err != nil {
			return err
		}
		return r.placeInputs(both, files)
	})
	err = group.Wait()
	defer r.worker.config.Images.Release(pulled)
	if err != nil {
		r.noteUnused(ctx, pulled)
		return engine.Exit{}, err
	}
	noted := make(chan error, 1)
	go func() { noted <- r.noteImage(ctx, pulled) }()
	exit, err = r.runContainer(ctx, files, pulled)
	if outputErr := r.keepOutputs(ctx, files); err == nil {
		err = outputErr
	}
	if noteErr := <-noted; err == nil && ctx.Err() == nil {
		err = noteErr
	}
	return exit, err
}

// noteUnused is noteImage for an execution that ends before its command begins.
// How it ends does not depend on it.
func (r *run) noteUnused(ctx context.Context, pulled pull.Image) {
	if cause := context.Cause(ctx); errors.Is(cause, errLeaseLost) || errors.Is(cause, errShutdown) {
		return // another attempt will tell
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastWords)
	defer cancel()
	if err := r.noteImage(ctx, pulled); err != nil {
		r.worker.config.Logger.Error("telling how an image was pulled", "execution", r.job.ID, "error", err)
	}
}

func (r *run) fetchCode(ctx context.Context, files workspace) error {
	return persist(ctx, func() error {
		body, err := r.worker.config.Client.Package(ctx, r.lease.ID)
		if err != nil {
			return err
		}
		defer func() { _ = body.Close() }() // only read
		return files.make(ctx, r.job, body)
	})
}

// runContainer mounts the image and runs the command in it.
func (r *run) runContainer(ctx context.Context, files workspace, pulled pull.Image) (exit engine.Exit, err error) {
	rootfs, err := r.worker.config.Images.Mount(ctx, pulled, r.lease.ID)
	if err != nil {
		return engine.Exit{}, err
	}
	defer func() {
		r.cleaned("the root filesystem", r.worker.config.Images.Unmount(context.WithoutCancel(ctx), r.lease.ID))
	}()
	mounts, err := r.mounts(files)
	if err != nil {
		return engine.Exit{}, err
	}
	ctx, watched := r.watchOutput(ctx)
	defer watched(&err)
	stdout := &lineWriter{journal: r.journal, stream: execution.Stdout}
	stderr := &lineWriter{journal: r.journal, stream: execution.Stderr}
	network := engine.HostNetwork
	if r.job.NoNetwork {
		network = engine.NoNetwork
	}
	exit, err = r.worker.config.Engine.Run(ctx, engine.Container{
		ID: r.lease.ID, Rootfs: rootfs,
		Args: engine.Command(pulled.Config.Config.Entrypoint, pulled.Config.Config.Cmd, files.args(r.job)),
		Env:  r.environment(pulled.Config.Config.Env), Dir: repositoryDir, User: pulled.Config.Config.User,
		Mounts:  mounts,
		Limits:  engine.Limits{Memory: r.job.MemoryBytes, CPU: r.job.CPUs, PIDs: pidsMost},
		Network: network, Devices: r.devices(), ShmSize: r.job.ShmBytes,
		Stdout: stdout, Stderr: stderr, Grace: r.worker.config.Grace, GraceOver: r.lost,
	})
	stdout.close()
	stderr.close()
	return exit, err
}

// shellFailure says what the exit codes mean by which every shell tells that it
// could not run a command; nil for all others.
// https://pubs.opengroup.org/onlinepubs/9799919799/utilities/V3_chap02.html#tag_19_08_02
func (r *run) shellFailure(code int) *wire.Failure {
	const notExecutable, notFound = 126, 127
	switch code {
	case notFound:
		return &wire.Failure{Code: "command_not_found", Message: fmt.Sprintf(
			"exit code 127: a command of the step is not in the image %s. Check its spelling, or use an image that has it.", r.job.Image)}
	case notExecutable:
		return &wire.Failure{Code: "command_not_executable", Message: fmt.Sprintf(
			"exit code 126: a command of the step is in the image %s but cannot be executed. Check its mode and the machine it is made for.", r.job.Image)}
	default:
		return nil
	}
}

// cleaned logs what could not be removed: it costs disk space, not the result.
func (r *run) cleaned(what string, err error) {
	if err != nil {
		r.worker.config.Logger.Error("removing "+what, "execution", r.job.ID, "error", err)
	}
}

// pidsMost keeps a fork bomb inside its container: as many as systemd gives a
// user's slice by default on a machine of common size.
const pidsMost = 32_768

// result says how the execution ended. cause is why its context did, if it did.
func (r *run) result(exit engine.Exit, err, cause error) wire.LeaseResult {
	switch {
	case errors.Is(cause, errStopped):
		return wire.LeaseResult{Status: string(execution.Stopped)}
	case cause != nil:
		return wire.LeaseResult{} // it goes back to the queue, or is lost to another worker
	case err != nil:
		f := fault.From(err)
		if f.Kind == fault.Internal {
			r.worker.config.Logger.Error("running an execution", "execution", r.job.ID, "error", err)
			f = fault.New(fault.Internal, cmp.Or(f.Code, "internal"), "something went wrong on the worker; its log has the details").
				WithHint("Run the step again, and tell the worker's operator if it stays so.")
		}
		failed := wire.LeaseResult{Status: string(execution.Error), Failure: &wire.Failure{Code: f.Code, Message: f.Sentence()}}
		if exit.Code != 0 {
			failed.ExitCode = &exit.Code
		}
		return failed
	case exit.OOMKilled:
		message := fmt.Sprintf("the command used more memory than it may (%d bytes), so the kernel ended it. Give it more, or let it use less.", r.job.MemoryBytes)
		return wire.LeaseResult{
			Status: string(execution.Error), ExitCode: &exit.Code,
			Failure: &wire.Failure{Code: "out_of_memory", Message: message},
		}
	case exit.Code != 0:
		return wire.LeaseResult{Status: string(execution.Error), ExitCode: &exit.Code, Failure: r.shellFailure(exit.Code)}
	default:
		return wire.LeaseResult{Status: string(execution.Complete), ExitCode: &exit.Code}
	}
}
