// Package dispatch hands executions to workers, one at a time to one worker:
// lease, renew, log, finish. Whoever holds a lease may write the execution's
// log and end it; nobody else may, and a lease that lapsed is worth nothing.
//
// It knows no images and no secrets. Start with New, and run Sweep beside it.
package dispatch

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
)

// Store is what dispatch keeps; execution.Store is one.
type Store interface {
	execution.LeaseStore
	execution.MetadataStore
	AppendLog(ctx context.Context, leaseID string, batch int64, lines []execution.Line, metadata ...execution.Metadatum) error
}

// Projects finds the project of an execution without asking who may see it.
type Projects interface {
	ProjectByID(ctx context.Context, id string) (account.Project, error)
}

// Config is what a Service is made of.
type Config struct {
	Store    Store
	Projects Projects
	Now      func() time.Time
	Logger   *slog.Logger

	// Changed is rung as execution.Config says.
	Changed *execution.Bell

	// LeaseLife is execution.LeaseLife if 0.
	LeaseLife time.Duration

	Observer Observer // nobody hears if nil
}

// Observer hears what workers do, for those who count it. It is called
// concurrently, and workers wait for it.
type Observer interface {
	// Asked hears of a worker that asked for an execution, whether there was one or not.
	Asked(workerID string)

	// Ended hears of an execution's final status.
	Ended(status string)

	// Lost hears of a worker that was lost amid an execution.
	Lost()

	// Pulled hears of a pull as the worker reported it, unread; it may be empty.
	Pulled(report json.RawMessage)
}

// deaf hears nothing.
type deaf struct{}

func (deaf) Asked(string)           {}
func (deaf) Ended(string)           {}
func (deaf) Lost()                  {}
func (deaf) Pulled(json.RawMessage) {}

// Service is the queue as workers see it. Safe for concurrent use.
type Service struct {
	config   Config
	holdings holdings
	told     told
}

// New wires a service.
func New(config Config) *Service {
	if config.LeaseLife == 0 {
		config.LeaseLife = execution.LeaseLife
	}
	if config.Observer == nil {
		config.Observer = deaf{}
	}
	return &Service{config: config}
}

// WaitMost is the longest that Take waits.
const WaitMost = 30 * time.Second

// Take gives the next execution of the worker's environment to it. Where there is none it waits for
// one, at most wait; ok is false where none came.
func (s *Service) Take(ctx context.Context, actor account.Actor, wait time.Duration) (e execution.Execution, ok bool, err error) {
	if err := actor.MayWork(); err != nil {
		return e, false, err
	}
	s.config.Observer.Asked(actor.WorkerID)
	timeout := time.NewTimer(min(wait, WaitMost))
	defer timeout.Stop()
	for {
		queued := s.config.Changed.Wait(execution.QueueKey)
		now := s.config.Now()
		e, ok, err := s.config.Store.TakeLease(ctx, actor.EnvironmentID, execution.Lease{
			ID: uuid.NewString(), WorkerID: actor.WorkerID, WorkerName: actor.WorkerName, ExpiresAt: now.Add(s.config.LeaseLife),
		}, now)
		if err != nil {
			return execution.Execution{}, false, err
		}
		if ok {
			s.config.Changed.Ring(e.ID)
			return e, true, nil
		}
		again := time.NewTimer(lookAgain)
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-timeout.C:
			again.Stop()
			return execution.Execution{}, false, nil
		case <-queued:
		case <-again.C:
		}
		again.Stop()
		if err != nil {
			return execution.Execution{}, false, err
		}
	}
}

// lookAgain is how often the queue is looked at though nothing rang: another
// process may have put something there.
const lookAgain = time.Second

// Held is the execution that actor holds by that lease. Any other lease is
// NotFound: it lapsed, the execution has ended, or it is another worker's.
func (s *Service) Held(ctx context.Context, actor account.Actor, leaseID string) (execution.Execution, error) {
	if err := actor.MayWork(); err != nil {
		return execution.Execution{}, err
	}
	e, err := s.config.Store.ExecutionByLease(ctx, leaseID)
	if fault.Is(err, fault.NotFound) || err == nil && (e.Lease.WorkerID != actor.WorkerID || !s.config.Now().Before(e.Lease.ExpiresAt)) {
		return execution.Execution{}, noLease(leaseID)
	}
	return e, err
}

// Project is the project of an execution that a worker holds.
func (s *Service) Project(ctx context.Context, e execution.Execution) (account.Project, error) {
	return s.config.Projects.ProjectByID(ctx, e.ProjectID)
}

// Renew keeps the lease for a further life and tells how the execution is now:
// Stopping asks the worker to stop the command.
func (s *Service) Renew(ctx context.Context, actor account.Actor, leaseID string) (execution.Execution, error) {
	if _, err := s.Held(ctx, actor, leaseID); err != nil {
		return execution.Execution{}, err
	}
	return s.config.Store.RenewLease(ctx, leaseID, s.config.Now().Add(s.config.LeaseLife))
}

// StopAsked waits until somebody asked to stop the execution, or for at most
// wait, and tells whether they did.
func (s *Service) StopAsked(ctx context.Context, actor account.Actor, leaseID string, wait time.Duration) (bool, error) {
	timeout := time.NewTimer(min(wait, WaitMost))
	defer timeout.Stop()
	e, err := s.Held(ctx, actor, leaseID)
	if err != nil {
		return false, err
	}
	for {
		changed := s.config.Changed.Wait(e.ID)
		if e, err = s.Held(ctx, actor, leaseID); err != nil || e.Status == execution.Stopping {
			return err == nil, err
		}
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case <-timeout.C:
			return false, nil
		case <-changed:
		}
	}
}

// Append stores a batch of log lines. What it returned for without an error is
// never lost; a batch that comes twice is stored once.
func (s *Service) Append(ctx context.Context, actor account.Actor, leaseID string, batch int64, lines []execution.Line) error {
	e, err := s.Held(ctx, actor, leaseID)
	if err != nil {
		return err
	}
	if err := clean(lines); err != nil {
		return err
	}
	metadata := execution.MetadataOf(lines)
	if err := s.config.Store.AppendLog(ctx, leaseID, batch, lines, metadata...); err != nil {
		return lost(err, leaseID)
	}
	if err := s.stopEarly(ctx, e, metadata); err != nil {
		return lost(err, leaseID)
	}
	s.config.Changed.Ring(e.ID)
	return nil
}

// clean makes lines as the log holds them, and refuses too many and too long
// ones.
func clean(lines []execution.Line) error {
	if len(lines) > execution.BatchMost {
		return fault.InvalidField("events", "many", "%d lines; a batch has at most %d", len(lines), execution.BatchMost)
	}
	for i, line := range lines {
		if len(line.Text) > execution.LineMost {
			return fault.InvalidField("events", "long", "line %d has %d bytes; at most %d", i+1, len(line.Text), execution.LineMost)
		}
		lines[i].Text = execution.CleanText(line.Text)
	}
	return nil
}

// NoteImage keeps which image is run and, once there is one, the pull's report.
func (s *Service) NoteImage(ctx context.Context, actor account.Actor, leaseID, digest string, report json.RawMessage) error {
	e, err := s.Held(ctx, actor, leaseID)
	if err != nil {
		return err
	}
	if err := s.config.Store.NoteImage(ctx, leaseID, digest, report); err != nil {
		return lost(err, leaseID)
	}
	s.config.Observer.Pulled(report)
	s.config.Changed.Ring(e.ID)
	return nil
}

// Finish ends the execution with the worker's result.
func (s *Service) Finish(ctx context.Context, actor account.Actor, leaseID string, result execution.Result, lines []execution.Line) error {
	e, err := s.Held(ctx, actor, leaseID)
	if err != nil {
		return err
	}
	if !result.Status.IsFinal() {
		return fault.InvalidField("status", "not_final", "%.40q is no status that an execution ends with", result.Status)
	}
	if err := clean(lines); err != nil {
		return err
	}
	s.holdings.forget(leaseID)
	if err := s.config.Store.FinishLease(ctx, leaseID, s.config.Now(), result, lines); err != nil {
		return lost(err, leaseID)
	}
	s.config.Observer.Ended(string(result.Status))
	s.told.forget(leaseID)
	s.holdings.forget(leaseID) // also what was read while it was being ended
	s.config.Changed.Ring(e.ID)
	s.config.Changed.Ring(execution.QueueKey) // its environment may have room again
	return nil
}

// Release gives the execution back to the queue: the worker ends before it
// could begin or finish it.
func (s *Service) Release(ctx context.Context, actor account.Actor, leaseID string) error {
	e, err := s.Held(ctx, actor, leaseID)
	if err != nil {
		return err
	}
	return s.giveBack(ctx, e, fmt.Sprintf("Worker %s is shutting down: the execution goes back to the queue", e.Lease.WorkerName))
}

// giveBack puts an execution back into the queue, or ends it where that would
// be wrong: somebody had asked to stop it, or it has cost too many workers.
func (s *Service) giveBack(ctx context.Context, e execution.Execution, why string) error {
	now := s.config.Now()
	line := func(text string) []execution.Line {
		return []execution.Line{{Time: now, Stream: execution.StatusStream, Text: execution.CleanText(text)}}
	}
	end := func(result execution.Result, text string) error {
		err := s.config.Store.FinishLease(ctx, e.Lease.ID, now, result, line(text))
		if err == nil {
			s.config.Observer.Ended(string(result.Status))
		}
		return err
	}
	stop := func() error { return end(execution.Result{Status: execution.Stopped}, why) }
	var err error
	switch {
	case e.Status == execution.Stopping:
		err = stop()
	case e.Lease.Attempt >= execution.AttemptsMost:
		result := execution.Result{
			Status: execution.Crashed, Code: "worker_lost",
			Message: fmt.Sprintf("%d workers were lost while they ran it", e.Lease.Attempt),
		}
		err = end(result, why+". "+result.Message+": it is not tried again")
	default:
		err = s.config.Store.RequeueLease(ctx, e.Lease.ID, line(why))
		if fault.Is(err, fault.Conflict) { // somebody asked to stop it just now
			err = stop()
		}
	}
	s.told.forget(e.Lease.ID)
	s.holdings.forget(e.Lease.ID)
	s.config.Changed.Ring(e.ID)
	s.config.Changed.Ring(execution.QueueKey)
	if fault.Is(err, fault.NotFound) {
		return nil // somebody else did it, or the worker came to its end
	}
	return err
}

// lost makes the store's word about a lease that has gone the worker's.
func lost(err error, leaseID string) error {
	if fault.Is(err, fault.NotFound) {
		return noLease(leaseID)
	}
	return err
}

func noLease(id string) error {
	return fault.New(fault.NotFound, "lease_lost", "the lease %.80q is not yours, or no more", id).
		WithHint("Stop what you run for it: the execution may be another worker's now.")
}
