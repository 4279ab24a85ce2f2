// Package telemetry is what a running process tells of itself: counts for
// Prometheus. Whoever does the work says what happened through an interface of its
// own, which Observer is; so nothing else knows how it is counted.
//
// Labels are bounded: they are words of this program, environments, organisations
// and ids of credentials, and never the name of a user or an image. There is no
// global: every server has a registry of its own. Start with New.
package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"fairlead.dev/fairlead/internal/broker"
)

// Observer hears what the rooms of a process do. Make it with New; safe for
// concurrent use, and quick.
type Observer struct{ metrics *Metrics }

// New is an observer that counts in metrics; nil: nowhere.
func New(metrics *Metrics) *Observer { return &Observer{metrics: metrics} }

// Granting hears of a request for a pull grant.
func (o *Observer) Granting(ctx context.Context) (context.Context, func(broker.Outcome)) {
	if o.metrics == nil {
		return ctx, func(broker.Outcome) {}
	}
	return ctx, o.metrics.granted
}

// Exchanging hears of a credential that is traded with its registry.
func (o *Observer) Exchanging(ctx context.Context, kind string) (context.Context, func(error)) {
	if o.metrics == nil {
		return ctx, func(error) {}
	}
	began := time.Now()
	return ctx, func(err error) { o.metrics.exchanged(kind, time.Since(began), err) }
}

// Asked hears of a worker that asked for executions.
func (o *Observer) Asked(workerID string) {
	if o.metrics != nil {
		o.metrics.seen(workerID)
	}
}

// Ended hears of an execution that ended with that status.
func (o *Observer) Ended(status string) {
	if o.metrics != nil {
		o.metrics.executions.WithLabelValues(status).Inc()
	}
}

// Lost hears of a worker that was lost amid an execution.
func (o *Observer) Lost() {
	if o.metrics != nil {
		o.metrics.lost.Inc()
	}
}

// Pulled hears of a worker's report of a pull.
func (o *Observer) Pulled(report json.RawMessage) {
	if o.metrics != nil {
		o.metrics.pulled(report)
	}
}

// Serving hears of a request to one of the doors. What it returns is called with the
// route that the request took and the status of the answer.
func (o *Observer) Serving(r *http.Request) (*http.Request, func(route string, status int)) {
	if o.metrics == nil {
		return r, func(string, int) {}
	}
	began, method := time.Now(), r.Method
	return r, func(route string, status int) { o.metrics.served(route, method, status, time.Since(began)) }
}
