package enginetest

import (
	"bytes"
	"context"
	"errors"
	"io"
	"testing"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

// outcome is what Run returned.
type outcome struct {
	exit engine.Exit
	err  error
}

// begin runs c, which writes a line when it is ready, and returns once it did.
func (s suite) begin(t *testing.T, c engine.Container) (stop context.CancelFunc, ended <-chan outcome) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	reader, writer := io.Pipe()
	c.Stdout = writer
	done := make(chan outcome, 1)
	go func() {
		exit, err := s.engine.Run(ctx, c)
		writer.CloseWithError(err) // it is always nil
		done <- outcome{exit, err}
	}()
	line := make([]byte, len("ready\n"))
	if _, err := io.ReadFull(reader, line); err != nil {
		t.Fatal("the container did not get ready:", err)
	}
	go io.Copy(io.Discard, reader) //nolint:errcheck // ends with the container
	return cancel, done
}

func (s suite) stop(t *testing.T) {
	stop, ended := s.begin(t, s.container("trap 'exit 7' TERM; echo ready; sleep infinity"))
	stop()
	if got := <-ended; got.err != nil || got.exit.Code != 7 {
		t.Errorf("%+v; want exit code 7, the trap's", got)
	}
	stop, ended = s.begin(t, s.container("echo ready; sleep infinity"))
	stop()
	if got := <-ended; got.err != nil || got.exit != (engine.Exit{Code: 143, Signal: "SIGTERM"}) {
		t.Errorf("%+v; want 143", got)
	}
}

func (s suite) stopByForce(t *testing.T) {
	c := s.container("trap '' TERM; echo ready; /bin/sleep infinity & sleep infinity")
	c.Grace = 1 // as short as can be
	stop, ended := s.begin(t, c)
	stop()
	if got := <-ended; got.err != nil || got.exit != (engine.Exit{Code: 137, Signal: "SIGKILL"}) {
		t.Errorf("%+v; want 137", got)
	}
}

func (s suite) stopInHaste(t *testing.T) {
	over := make(chan struct{})
	c := s.container("trap '' TERM; echo ready; sleep infinity")
	c.GraceOver = over
	stop, ended := s.begin(t, c)
	stop()
	close(over)
	if got := <-ended; got.err != nil || got.exit != (engine.Exit{Code: 137, Signal: "SIGKILL"}) {
		t.Errorf("%+v; want 137 long before the grace of a minute", got)
	}
}

func (s suite) stopEarly(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	reason := errors.New("never mind")
	cancel(reason)
	if _, err := s.engine.Run(ctx, s.container("true")); !errors.Is(err, reason) {
		t.Errorf("error %v, want the cause", err)
	}
	// While it is being made: however far it got, it ends.
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan outcome, 1)
	c := s.container("sleep infinity")
	c.Grace = 1
	go func() {
		exit, err := s.engine.Run(ctx, c)
		ended <- outcome{exit, err}
	}()
	stop()
	if got := <-ended; got.exit.Code == 0 || (got.err != nil && !errors.Is(got.err, context.Canceled)) {
		t.Errorf("%+v; want it stopped", got)
	}
}

func (s suite) identity(t *testing.T) {
	c := s.container("echo ready; sleep infinity")
	stop, ended := s.begin(t, c)
	if _, err := s.engine.Run(t.Context(), c); !fault.Is(err, fault.Conflict) {
		t.Errorf("a second container of that ID: %v, want a conflict", err)
	}
	stop()
	if got := <-ended; got.err != nil {
		t.Error(got.err)
	}
	again := s.container("echo again")
	again.ID = c.ID
	s.expect(t, again, "again\n")
}

func (s suite) reapNothing(t *testing.T) {
	var stderr bytes.Buffer
	c := s.container("echo ready; sleep infinity; echo end >&2")
	c.Stderr = &stderr
	stop, ended := s.begin(t, c)
	ids, err := s.engine.Reap(t.Context())
	if err != nil || len(ids) != 0 {
		t.Errorf("reaped %q, %v; want nothing", ids, err)
	}
	stop()
	if got := <-ended; got.err != nil || got.exit.Code != 143 {
		t.Errorf("%+v; want 143, by the stop", got)
	}
}
