package broker_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/grant/granttest"
)

// heard writes down what a broker tells.
type heard struct {
	mu   sync.Mutex
	told []string
}

func (h *heard) tell(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.told = append(h.told, fmt.Sprintf(format, args...))
}

func (h *heard) Granting(ctx context.Context) (context.Context, func(broker.Outcome)) {
	return ctx, func(o broker.Outcome) {
		h.tell("grant %q remembered=%v cache=%v %s", o.Kind, o.Remembered, o.ForCache, fault.KindOf(o.Err))
	}
}

func (h *heard) Exchanging(ctx context.Context, kind string) (context.Context, func(error)) {
	return ctx, func(err error) { h.tell("exchange %q %s", kind, fault.KindOf(err)) }
}

func TestWhoListensHearsOfEveryGrantAndEveryExchange(t *testing.T) {
	o := newOffice(t, granttest.Options{})
	h := new(heard)
	o.config.Observer = h
	o.open()
	o.register("robot", password, "registry.acme.example/ml/*")
	o.register("wrong", "not-the-password", "registry.acme.example/ml/bad")
	for range 2 {
		_, err := o.ask(o.project, train)
		o.must(err)
	}
	if _, err := o.ask(o.project, "registry.acme.example/ml/bad:v1"); err == nil {
		t.Error("a wrong password gets a grant")
	}
	if _, err := o.ask(o.project, "registry.acme.example/other/x:v1"); err == nil {
		t.Error("nobody gets a grant")
	}
	want := []string{
		`exchange "generic" `, `grant "generic" remembered=false cache=false `, `grant "generic" remembered=true cache=false `,
		`exchange "generic" unauthenticated`, `grant "generic" remembered=false cache=false unauthenticated`,
	}
	if diff := cmp.Diff(want, h.told[:min(len(want), len(h.told))]); diff != "" {
		t.Errorf("what was told (-want +got):\n%s", diff)
	}
	if !slices.ContainsFunc(h.told[len(want):], func(s string) bool { return s != "" && s[:8] == `grant ""` }) {
		t.Errorf("of the image that nothing covers was told %q", h.told[len(want):])
	}
}
