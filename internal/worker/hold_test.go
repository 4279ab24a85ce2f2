package worker

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/wire"
)

// inProcess carries requests to a handler.
type inProcess struct{ handler http.Handler }

func (p inProcess) RoundTrip(r *http.Request) (*http.Response, error) {
	recorder := httptest.NewRecorder()
	p.handler.ServeHTTP(recorder, r)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	return recorder.Result(), nil
}

// landlord is the far side of a lease: it renews as long as it is up.
type landlord struct {
	status  func() int   // of an answer; 0 does not answer at all
	expires atomic.Int64 // the lease's end as the server knows it, in nanoseconds
	stop    chan struct{}
}

func (l *landlord) renew() { l.expires.Store(time.Now().Add(execution.LeaseLife).UnixNano()) }

// left is how long the lease has still to go.
func (l *landlord) left() time.Duration { return time.Until(time.Unix(0, l.expires.Load())) }

func (l *landlord) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.URL.Path, "/stop/") {
		stopped := false
		select {
		case <-l.stop:
			stopped = true
		case <-r.Context().Done():
		case <-time.After(takeWait):
		}
		answer(w, wire.LeaseState{Stop: stopped})
		return
	}
	switch status := l.status(); status {
	case 0:
		<-r.Context().Done()
	case http.StatusOK:
		l.renew()
		answer(w, wire.LeaseState{LifeSeconds: int(execution.LeaseLife / time.Second)})
	default:
		w.WriteHeader(status)
	}
}

func answer(w http.ResponseWriter, value any) {
	w.Header().Set("Content-Type", "application/json")
	if err := json.NewEncoder(w).Encode(value); err != nil {
		panic(err)
	}
}

// keep holds a lease until its execution's context ends, and tells why.
func keep(t *testing.T, l *landlord) (ctx context.Context, letGo func()) {
	t.Helper()
	l.renew()
	if l.stop == nil {
		l.stop = make(chan struct{})
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	held, end := context.WithCancel(t.Context())
	done := make(chan struct{})
	h := hold{
		client: clientOf(t, l), cancel: cancel, logger: slog.New(slog.DiscardHandler),
		lease: wire.Lease{ID: "lease", LifeSeconds: int(execution.LeaseLife / time.Second)},
	}
	go func() {
		defer close(done)
		h.run(held)
	}()
	return ctx, func() {
		end()
		<-done
	}
}

func TestALeaseIsHeldForAsLongAsTheExecutionRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &landlord{status: func() int { return http.StatusOK }}
		ctx, letGo := keep(t, l)
		for range 1000 {
			time.Sleep(time.Second) // of the bubble's own clock
			if ctx.Err() != nil || l.left() <= 0 {
				t.Fatalf("the lease was not held: %v", context.Cause(ctx))
			}
		}
		letGo()
	})
}

func TestAServerThatIsBrieflyAwayCostsNoLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		l := &landlord{status: func() int {
			if time.Since(begin)%time.Minute < 8*time.Second {
				return http.StatusServiceUnavailable
			}
			return http.StatusOK
		}}
		ctx, letGo := keep(t, l)
		for range 600 {
			time.Sleep(time.Second) // of the bubble's own clock
			if ctx.Err() != nil || l.left() <= 0 {
				t.Fatalf("the lease was lost: %v", context.Cause(ctx))
			}
		}
		letGo()
	})
}

// Nobody else may run the execution while its container is still here: it is
// given up well before the server does.
func TestALeaseThatCannotBeRenewedIsGivenUpBeforeItEnds(t *testing.T) {
	for name, status := range map[string]int{"the server is down": http.StatusBadGateway, "the server hangs": 0} {
		t.Run(name, func(t *testing.T) {
			// At whatever moment of the lease's life it happens.
			for after := range 20 {
				synctest.Test(t, func(t *testing.T) {
					begin := time.Now()
					l := &landlord{status: func() int {
						if time.Since(begin) >= time.Duration(after)*time.Second {
							return status
						}
						return http.StatusOK
					}}
					ctx, letGo := keep(t, l)
					<-ctx.Done()
					if cause := context.Cause(ctx); !errors.Is(cause, errLeaseLost) {
						t.Errorf("ended by %v", cause)
					}
					if left := l.left(); left < execution.LeaseLife/4 {
						t.Errorf("given up %v before the lease's end, too late to kill a container", left)
					}
					letGo()
				})
			}
		})
	}
}

func TestALeaseThatIsSomebodyElsesIsGivenUpAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		ctx, letGo := keep(t, &landlord{status: func() int { return http.StatusNotFound }})
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, errLeaseLost) || time.Since(begin) > 0 {
			t.Errorf("ended by %v after %v", cause, time.Since(begin))
		}
		letGo()
	})
}

func TestAStopEndsTheExecutionAndKeepsTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := &landlord{status: func() int { return http.StatusOK }, stop: make(chan struct{})}
		ctx, letGo := keep(t, l)
		time.Sleep(time.Minute) // of the bubble's own clock
		close(l.stop)
		<-ctx.Done()
		if cause := context.Cause(ctx); !errors.Is(cause, errStopped) {
			t.Errorf("ended by %v", cause)
		}
		time.Sleep(time.Minute) // while the command ends
		if l.left() <= 0 {
			t.Error("the lease was lost while the command ended")
		}
		letGo()
	})
}
