package dispatch_test

import (
	"encoding/json"
	"log/slog"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
)

// heard writes down what dispatch tells.
type heard struct{ told []string }

func (h *heard) Asked(worker string)        { h.told = append(h.told, "asked "+worker) }
func (h *heard) Ended(status string)        { h.told = append(h.told, "ended "+status) }
func (h *heard) Lost()                      { h.told = append(h.told, "lost") }
func (h *heard) Pulled(doc json.RawMessage) { h.told = append(h.told, "pulled "+string(doc)) }

func TestWhoListensHearsWhatWorkersDo(t *testing.T) {
	y := newYard(t)
	h := new(heard)
	y.dispatch = dispatch.New(dispatch.Config{
		Store: y.store, Projects: y.store, Now: y.now, Changed: y.bell, Logger: slog.New(slog.DiscardHandler), Observer: h,
	})
	y.queue()
	e := y.take(first)
	y.must(y.dispatch.NoteImage(t.Context(), first, e.Lease.ID, "", json.RawMessage(`{"warm":true}`)))
	y.must(y.dispatch.Finish(t.Context(), first, e.Lease.ID, execution.Result{Status: execution.Complete}, nil))
	if err := y.dispatch.Finish(t.Context(), first, e.Lease.ID, execution.Result{Status: execution.Complete}, nil); err == nil {
		t.Error("it ends twice")
	}
	e = y.queue()
	y.take(second)
	_, err := y.store.RequestStop(t.Context(), e.ID, y.now(), nil, audit.Event{})
	y.must(err)
	y.must(y.dispatch.Release(t.Context(), second, y.state(e.ID).Lease.ID))
	want := []string{"asked 1", `pulled {"warm":true}`, "ended complete", "asked 2", "ended stopped"}
	if diff := cmp.Diff(want, h.told); diff != "" {
		t.Errorf("what was told (-want +got):\n%s", diff)
	}
}
