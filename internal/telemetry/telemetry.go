// Package telemetry is what a running process tells of itself: counts for
// Prometheus and traces for OpenTelemetry. Whoever does the work says what happened
// through an interface of its own, which Observer is; so nothing else knows how it is
// counted and traced.
//
// Labels are bounded: they are words of this program, environments, organisations
// and ids of credentials, and never the name of a user or an image. A span has no
// secret, no query and no text of an error. There is no global: every server has a
// registry and a tracer of its own. Start with New.
package telemetry

import (
	"context"
	"encoding/json"
	"net/http"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/wire"
)

// Observer hears what the rooms of a process do. Make it with New; safe for
// concurrent use, and quick.
type Observer struct {
	metrics *Metrics
	tracer  *Tracer
}

// New is an observer that counts in metrics and has spans made by tracer; either may
// be nil, and does nothing then.
func New(metrics *Metrics, tracer *Tracer) *Observer {
	return &Observer{metrics: metrics, tracer: tracer}
}

// Granting hears of a request for a pull grant.
func (o *Observer) Granting(ctx context.Context) (context.Context, func(broker.Outcome)) {
	count := func(broker.Outcome) {}
	if o.metrics != nil {
		count = o.metrics.granted
	}
	if o.tracer == nil {
		return ctx, count
	}
	ctx, span := o.tracer.start(ctx, "broker grant", trace.SpanKindInternal)
	return ctx, func(outcome broker.Outcome) {
		count(outcome)
		span.SetAttributes(attribute.String("fairlead.kind", kindOf(outcome.Kind)), attribute.Bool("fairlead.cached", outcome.Remembered))
		failed(span, outcome.Err)
		span.End()
	}
}

// Exchanging hears of a credential that is traded with its registry.
func (o *Observer) Exchanging(ctx context.Context, kind string) (context.Context, func(error)) {
	if o.metrics == nil && o.tracer == nil {
		return ctx, func(error) {}
	}
	began, span := time.Now(), trace.Span(nil)
	if o.tracer != nil {
		ctx, span = o.tracer.start(ctx, "token exchange", trace.SpanKindInternal, attribute.String("fairlead.kind", kindOf(kind)))
	}
	return ctx, func(err error) {
		if o.metrics != nil {
			o.metrics.exchanged(kind, time.Since(began), err)
		}
		if span != nil {
			failed(span, err)
			span.End()
		}
	}
}

// Requesting hears of a request to a registry, its token service or its cloud; the
// function is called with the head of the answer.
func (o *Observer) Requesting(r *http.Request) func(*http.Response, error) {
	if o.tracer == nil {
		return func(*http.Response, error) {}
	}
	return o.tracer.requesting(r) //nolint:bodyclose // whoever asks has the answer, and closes it
}

// Pulling hears of a pull for an execution on a worker; the function is called with
// when it began and how it went.
func (o *Observer) Pulling(ctx context.Context, executionID string) (context.Context, func(begin time.Time, report wire.PullReport, err error)) {
	if o.tracer == nil {
		return ctx, func(time.Time, wire.PullReport, error) {}
	}
	return o.tracer.pulling(ctx, executionID)
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
	if o.metrics == nil && o.tracer == nil {
		return r, func(string, int) {}
	}
	began, method, traced := time.Now(), r.Method, func(string, int) {}
	if o.tracer != nil {
		r, traced = o.tracer.serving(r)
	}
	return r, func(route string, status int) {
		if o.metrics != nil {
			o.metrics.served(route, method, status, time.Since(began))
		}
		traced(route, status)
	}
}
