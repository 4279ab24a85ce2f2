package dispatch_test

import (
	"context"
	"fmt"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// yard is a queue over a real database, with a clock that can be moved on.
type yard struct {
	t        *testing.T
	store    *store.Store
	dispatch *dispatch.Service
	bell     *execution.Bell
	project  account.Project
	ahead    atomic.Int64
}

func (y *yard) now() time.Time       { return time.Now().UTC().Add(time.Duration(y.ahead.Load())) }
func (y *yard) wait(d time.Duration) { y.ahead.Add(int64(d)) }

func newYard(t *testing.T) *yard {
	t.Helper()
	y := &yard{t: t, bell: new(execution.Bell)}
	var err error
	y.store, err = store.Open(t.Context(), filepath.Join(t.TempDir(), "fairlead.db"))
	y.must(err)
	t.Cleanup(func() { y.must(y.store.Close()) })
	accounts := account.NewService(y.store, y.now)
	_, err = accounts.Bootstrap(t.Context(), "root", "acme")
	y.must(err)
	root, _, err := y.store.UserByName(t.Context(), "root")
	y.must(err)
	y.project = account.Project{ID: uuid.NewString(), Name: "notes", Owner: account.Owner{UserID: root.ID}, CreatedAt: y.now()}
	y.must(y.store.CreateProject(t.Context(), y.project, audit.Event{}))
	y.dispatch = dispatch.New(dispatch.Config{
		Store: y.store, Projects: y.store, Now: y.now, Changed: y.bell, Logger: slog.New(slog.DiscardHandler),
	})
	return y
}

func (y *yard) must(err error) {
	y.t.Helper()
	if err != nil {
		y.t.Fatal(err)
	}
}

// queue puts an execution into the queue.
func (y *yard) queue() execution.Execution {
	y.t.Helper()
	e, err := y.store.CreateExecution(y.t.Context(), execution.Execution{
		ID: uuid.NewString(), ProjectID: y.project.ID, Status: execution.Queued, CreatedAt: y.now(), Work: execution.Work{Step: "train"},
	}, nil, audit.Event{})
	y.must(err)
	y.bell.Ring(execution.QueueKey)
	return e
}

var (
	first  = account.Actor{WorkerID: "1", WorkerName: "gpu-1"}
	second = account.Actor{WorkerID: "2", WorkerName: "gpu-2"}
)

func (y *yard) take(actor account.Actor) execution.Execution {
	y.t.Helper()
	e, ok, err := y.dispatch.Take(y.t.Context(), actor, 0)
	y.must(err)
	if !ok {
		y.t.Fatal("there is nothing to take")
	}
	return e
}

func (y *yard) state(id string) execution.Execution {
	y.t.Helper()
	e, err := y.store.ExecutionByID(y.t.Context(), id)
	y.must(err)
	return e
}

func (y *yard) log(id string) string {
	y.t.Helper()
	lines, err := y.store.ReadLog(y.t.Context(), id, 0, 1000)
	y.must(err)
	var b strings.Builder
	for _, line := range lines {
		fmt.Fprintf(&b, "%s: %s\n", line.Stream, line.Text)
	}
	return b.String()
}

// sweep looks for lost workers once.
func (y *yard) sweep() {
	ctx, cancel := context.WithCancel(y.t.Context())
	var swept sync.WaitGroup
	swept.Go(func() { y.dispatch.Sweep(ctx) })
	probe := y.bell.Wait(execution.QueueKey)
	select {
	case <-probe:
	case <-time.After(10 * time.Second):
		y.t.Error("nothing was swept")
	}
	cancel()
	swept.Wait()
}

func TestAnExecutionIsHeldByOneWorkerOnly(t *testing.T) {
	y := newYard(t)
	queued := y.queue()
	taken := y.take(first)
	if taken.ID != queued.ID || taken.Status != execution.Started || taken.Lease.Attempt != 1 {
		t.Errorf("taken %+v", taken)
	}
	if _, ok, err := y.dispatch.Take(t.Context(), second, 0); ok || err != nil {
		t.Errorf("another worker got it too (%v)", err)
	}
	for name, err := range map[string]error{
		"append": y.dispatch.Append(t.Context(), second, taken.Lease.ID, 1, nil),
		"finish": y.dispatch.Finish(t.Context(), second, taken.Lease.ID, execution.Result{Status: execution.Complete}, nil),
		"image":  y.dispatch.NoteImage(t.Context(), second, taken.Lease.ID, "sha256:x", nil),
		"user":   y.dispatch.Append(t.Context(), account.Actor{UserID: "u"}, taken.Lease.ID, 1, nil),
	} {
		if !fault.Is(err, fault.NotFound) && !fault.Is(err, fault.Denied) {
			t.Errorf("%s by somebody else: %v", name, err)
		}
	}
}

func TestAWorkerThatWaitsIsWokenByWhatIsQueued(t *testing.T) {
	y := newYard(t)
	got := make(chan bool)
	go func() {
		_, ok, err := y.dispatch.Take(t.Context(), first, dispatch.WaitMost)
		got <- ok && err == nil
	}()
	y.queue()
	if !<-got {
		t.Error("the worker was not woken")
	}
}

func TestALapsedLeaseGivesTheExecutionToAnotherWorkerAndIsWorthNothing(t *testing.T) {
	y := newYard(t)
	queued := y.queue()
	lost := y.take(first)
	y.must(y.dispatch.Append(t.Context(), first, lost.Lease.ID, 1, []execution.Line{{Time: y.now(), Stream: execution.Stdout, Text: "before"}}))
	y.wait(execution.LeaseLife + time.Second)
	if err := y.dispatch.Append(t.Context(), first, lost.Lease.ID, 2, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("a lapsed lease could write the log: %v", err)
	}
	y.sweep()
	again := y.take(second)
	if again.ID != queued.ID || again.Lease.Attempt != 2 {
		t.Errorf("taken %+v, want the second attempt", again)
	}
	y.must(y.dispatch.Finish(t.Context(), second, again.Lease.ID, execution.Result{Status: execution.Complete}, nil))
	if err := y.dispatch.Finish(t.Context(), first, lost.Lease.ID, execution.Result{Status: execution.Error}, nil); !fault.Is(err, fault.NotFound) {
		t.Errorf("the lost worker could end it: %v", err)
	}
	if log := y.log(queued.ID); !strings.Contains(log, "stdout: before") || !strings.Contains(log, "status: Worker gpu-1 was lost") {
		t.Errorf("log:\n%s", log)
	}
	if got := y.state(queued.ID).Status; got != execution.Complete {
		t.Errorf("status %s", got)
	}
}

func TestARenewedLeaseDoesNotLapse(t *testing.T) {
	y := newYard(t)
	y.queue()
	held := y.take(first)
	for range 5 {
		y.wait(execution.LeaseLife * 2 / 3)
		_, err := y.dispatch.Renew(t.Context(), first, held.Lease.ID)
		y.must(err)
	}
	if _, err := y.dispatch.Held(t.Context(), first, held.Lease.ID); err != nil {
		t.Error(err)
	}
}

func TestAnExecutionThatCostsThreeWorkersCrashesWithTheReason(t *testing.T) {
	y := newYard(t)
	queued := y.queue()
	for range execution.AttemptsMost {
		y.take(first)
		y.wait(execution.LeaseLife + time.Second)
		y.sweep()
	}
	got := y.state(queued.ID)
	if got.Status != execution.Crashed || got.Result.Code != "worker_lost" || !strings.Contains(y.log(queued.ID), "not tried again") {
		t.Errorf("%s %+v\n%s", got.Status, got.Result, y.log(queued.ID))
	}
}

func TestAStopReachesTheWorkerAndALostWorkersStopIsCarriedOut(t *testing.T) {
	y := newYard(t)
	queued := y.queue()
	held := y.take(first)
	asked := make(chan bool)
	go func() {
		stop, err := y.dispatch.StopAsked(t.Context(), first, held.Lease.ID, dispatch.WaitMost)
		asked <- stop && err == nil
	}()
	_, err := y.store.RequestStop(t.Context(), queued.ID, y.now(), nil, audit.Event{})
	y.must(err)
	y.bell.Ring(queued.ID)
	if !<-asked {
		t.Error("the worker was not told")
	}
	y.wait(execution.LeaseLife + time.Second)
	y.sweep()
	if got := y.state(queued.ID).Status; got != execution.Stopped {
		t.Errorf("status %s, want stopped: nobody is to run it again", got)
	}
}

func TestAReleasedExecutionGoesBackToItsPlaceInTheQueue(t *testing.T) {
	y := newYard(t)
	older := y.queue()
	y.queue()
	held := y.take(first)
	y.must(y.dispatch.Release(t.Context(), first, held.Lease.ID))
	if next := y.take(second); next.ID != older.ID {
		t.Error("the released execution lost its place")
	}
}

func TestALogBatchIsBoundedAndMadeValid(t *testing.T) {
	y := newYard(t)
	queued := y.queue()
	held := y.take(first)
	long := []execution.Line{{Time: y.now(), Stream: execution.Stdout, Text: strings.Repeat("x", execution.LineMost+1)}}
	many := make([]execution.Line, execution.BatchMost+1)
	for name, lines := range map[string][]execution.Line{"a long line": long, "many lines": many} {
		if err := y.dispatch.Append(t.Context(), first, held.Lease.ID, 1, lines); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	y.must(y.dispatch.Append(t.Context(), first, held.Lease.ID, 1, []execution.Line{{Time: y.now(), Stream: execution.Stdout, Text: "a\nb\xff"}}))
	if log := y.log(queued.ID); log != "stdout: a b\uFFFD\n" {
		t.Errorf("log %q", log)
	}
}

func TestAHeldLeaseIsKnownForASecondAndAnEndedOneNotAtAll(t *testing.T) {
	y := newYard(t)
	y.queue()
	held := y.take(first)
	for range 3 {
		e, project, err := y.dispatch.Holding(t.Context(), first, held.Lease.ID)
		y.must(err)
		if e.ID != held.ID || project.Name != "notes" {
			t.Errorf("holding %s of %s", e.ID, project.Name)
		}
	}
	if _, _, err := y.dispatch.Holding(t.Context(), second, held.Lease.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("another worker got it: %v", err)
	}
	y.must(y.dispatch.Finish(t.Context(), first, held.Lease.ID, execution.Result{Status: execution.Complete}, nil))
	if _, _, err := y.dispatch.Holding(t.Context(), first, held.Lease.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("after its end: %v", err)
	}
	y.queue()
	lapsing := y.take(first)
	_, _, err := y.dispatch.Holding(t.Context(), first, lapsing.Lease.ID)
	y.must(err)
	y.wait(execution.LeaseLife)
	if _, _, err := y.dispatch.Holding(t.Context(), first, lapsing.Lease.ID); !fault.Is(err, fault.NotFound) {
		t.Errorf("after it lapsed: %v", err)
	}
}

func TestAStopConditionEndsAnExecutionWhenWhatItToldIsEnough(t *testing.T) {
	y := newYard(t)
	_, err := y.store.CreateExecution(t.Context(), execution.Execution{
		ID: uuid.NewString(), ProjectID: y.project.ID, Status: execution.Queued, CreatedAt: y.now(),
		Work: execution.Work{Step: "train", StopCondition: "loss < 0.3 and epoch > 1"},
	}, nil, audit.Event{})
	y.must(err)
	e := y.take(first)
	tell := func(service *dispatch.Service, batch int64, text string) execution.Status {
		lines := []execution.Line{{Time: y.now(), Stream: execution.Stdout, Text: text}}
		y.must(service.Append(t.Context(), first, e.Lease.ID, batch, lines))
		now, err := service.Held(t.Context(), first, e.Lease.ID)
		y.must(err)
		return now.Status
	}
	if got := tell(y.dispatch, 1, `{"epoch": 2}`); got != execution.Started {
		t.Fatalf("it is %s before there is a loss", got)
	}
	if got := tell(y.dispatch, 2, `{"loss": 0.5}`); got != execution.Started {
		t.Fatalf("it is %s though the loss is high", got)
	}
	// A server that began anew knows what was told before.
	anew := dispatch.New(dispatch.Config{Store: y.store, Projects: y.store, Now: y.now, Changed: y.bell, Logger: slog.New(slog.DiscardHandler)})
	if got := tell(anew, 3, `{"loss": 0.2}`); got != execution.Stopping {
		t.Errorf("it is %s though the loss is low", got)
	}
}
