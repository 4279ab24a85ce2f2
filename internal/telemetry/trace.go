package telemetry

import (
	"cmp"
	"context"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	"go.opentelemetry.io/otel/trace/noop"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// Variables of the OpenTelemetry specification that say whether traces are made, and
// where they go; the libraries read the others.
// https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/
const (
	disabledVariable  = "OTEL_SDK_DISABLED"
	exporterVariable  = "OTEL_TRACES_EXPORTER"
	endpointVariable  = "OTEL_EXPORTER_OTLP_ENDPOINT"
	endpointsVariable = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
)

// tracesPath is where a collector takes traces.
const tracesPath = "/v1/traces"

// lastSpans is how long the spans of a process that ends may take to be sent.
const lastSpans = 3 * time.Second

// Tracer makes spans of what a process does and sends them to a collector. Make it
// with NewTracer; nil makes none. Nothing is made global, and libraries cannot make
// spans of their own, so that none tells more than is told here, or tells a registry or
// a cloud of a trace.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	carrier  propagation.TraceContext
}

// TraceConfig says where traces go.
type TraceConfig struct {
	// Endpoint is a collector's address for OTLP over HTTP, such as
	// http://127.0.0.1:4318; "": what the variables of OpenTelemetry say.
	Endpoint string

	Service string // such as fairlead-server, if OTEL_SERVICE_NAME says nothing
	Version string
	Logger  *slog.Logger
}

// NewTracer is a tracer, or nil where nobody asked for one. It connects to nothing
// before there is a span to send. A wrong endpoint is an Invalid fault.
func NewTracer(ctx context.Context, config TraceConfig) (*Tracer, error) {
	off := strings.EqualFold(os.Getenv(disabledVariable), "true") || os.Getenv(exporterVariable) == "none"
	if off || config.Endpoint == "" && os.Getenv(endpointVariable) == "" && os.Getenv(endpointsVariable) == "" {
		return nil, nil
	}
	var options []otlptracehttp.Option
	if config.Endpoint != "" {
		address, err := endpointOf(config.Endpoint)
		if err != nil {
			return nil, err
		}
		options = append(options, otlptracehttp.WithEndpointURL(address))
	}
	exporter, err := otlptracehttp.New(ctx, options...)
	if err != nil {
		return nil, fault.New(fault.Invalid, "trace_settings", "the settings of traces cannot be used").
			WithHint("Look at --trace-endpoint and at the OTEL_ variables.").WithCause(err)
	}
	about, err := resource.New(ctx,
		resource.WithAttributes(attribute.String("service.name", config.Service), attribute.String("service.version", config.Version)),
		resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fault.New(fault.Invalid, "trace_settings", "what OTEL_RESOURCE_ATTRIBUTES says cannot be used").WithCause(err)
	}
	// The libraries have one handler for the whole process.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { config.Logger.Warn("sending traces", "error", err) }))
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(about))
	return &Tracer{provider: provider, tracer: provider.Tracer("fairlead.dev/fairlead", trace.WithInstrumentationVersion(config.Version))}, nil
}

// endpointOf is the whole address of a collector.
func endpointOf(text string) (string, error) {
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || address.User != nil || address.Scheme != "http" && address.Scheme != "https" || address.RawQuery != "" {
		return "", fault.InvalidField("trace-endpoint", "address", "is no address of a collector").
			WithHint("Write it as http://HOST:4318 or https://HOST; a login goes into OTEL_EXPORTER_OTLP_HEADERS.")
	}
	if strings.Trim(address.Path, "/") == "" {
		address.Path = tracesPath
	}
	return address.String(), nil
}

// Close sends what is left, for a few seconds at most.
func (t *Tracer) Close() {
	if t == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), lastSpans)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		otel.Handle(err)
	}
}

// start begins a span.
func (t *Tracer) start(ctx context.Context, name string, kind trace.SpanKind, attributes ...attribute.KeyValue) (context.Context, trace.Span) {
	ctx, span := t.tracer.Start(ctx, name, trace.WithSpanKind(kind), trace.WithAttributes(attributes...))
	return trace.ContextWithSpan(ctx, private{span}), span
}

// private is a span that libraries find in a context and can make none of their own
// with: theirs would have whole addresses, with their queries.
type private struct{ trace.Span }

// TracerProvider is one that makes no spans.
func (private) TracerProvider() trace.TracerProvider { return noop.NewTracerProvider() }

// failed notes an error by its fault's kind and code. Its text may speak of images,
// and stays in the log.
func failed(span trace.Span, err error) {
	if err == nil {
		return
	}
	f := fault.From(err)
	span.SetStatus(codes.Error, f.Code)
	span.SetAttributes(attribute.String("error.type", f.Code), attribute.String("fairlead.fault.kind", string(f.Kind)))
}

// serving begins the span of a request to a door; whoever called it may have begun
// the trace.
func (t *Tracer) serving(r *http.Request) (*http.Request, func(route string, status int)) {
	ctx := t.carrier.Extract(r.Context(), propagation.HeaderCarrier(r.Header))
	ctx, span := t.start(ctx, "HTTP "+methodOf(r.Method), trace.SpanKindServer,
		attribute.String("http.request.method", methodOf(r.Method)), attribute.String("fairlead.request_id", r.Header.Get(wire.RequestIDHeader)))
	return r.WithContext(ctx), func(route string, status int) {
		span.SetName(methodOf(r.Method) + " " + route)
		span.SetAttributes(attribute.String("http.route", route), attribute.Int("http.response.status_code", status))
		if status >= http.StatusInternalServerError {
			span.SetStatus(codes.Error, http.StatusText(status))
		}
		span.End()
	}
}

// requesting begins the span of a request to a registry, its token service or its
// cloud. The request stays as it is: nobody there learns of the trace. Of the address
// the host is told, and the path of the distribution API, which holds no secret; other
// paths and every query may.
func (t *Tracer) requesting(r *http.Request) func(*http.Response, error) {
	_, span := t.start(r.Context(), "registry "+methodOf(r.Method), trace.SpanKindClient,
		attribute.String("http.request.method", methodOf(r.Method)), attribute.String("server.address", r.URL.Hostname()))
	if port := r.URL.Port(); port != "" {
		span.SetAttributes(attribute.String("server.port", port))
	}
	if strings.HasPrefix(r.URL.Path, "/v2/") && r.URL.RawQuery == "" {
		span.SetAttributes(attribute.String("url.path", r.URL.Path))
	}
	return func(response *http.Response, err error) {
		if response != nil {
			span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
		}
		failed(span, err)
		span.End()
	}
}

// calls sends requests to a Fairlead server, each with the trace that it is part of.
type calls struct {
	tracer *Tracer
	next   http.RoundTripper
}

// Calls is a transport for requests to a Fairlead server, and to nobody else: it tells
// it of the trace. It is next itself for no tracer.
func (t *Tracer) Calls(next http.RoundTripper) http.RoundTripper {
	if t == nil {
		return next
	}
	return calls{tracer: t, next: next}
}

// RoundTrip sends one request.
func (c calls) RoundTrip(r *http.Request) (*http.Response, error) {
	ctx, span := c.tracer.start(r.Context(), "call "+methodOf(r.Method), trace.SpanKindClient,
		attribute.String("http.request.method", methodOf(r.Method)), attribute.String("server.address", r.URL.Hostname()),
		attribute.String("fairlead.request_id", r.Header.Get(wire.RequestIDHeader)))
	defer span.End()
	traced := r.Clone(ctx)
	c.tracer.carrier.Inject(ctx, propagation.HeaderCarrier(traced.Header))
	response, err := c.next.RoundTrip(traced)
	if err != nil {
		span.SetStatus(codes.Error, "unreachable")
		return nil, err
	}
	span.SetAttributes(attribute.Int("http.response.status_code", response.StatusCode))
	return response, nil
}

// CloseIdleConnections closes those of the transport below.
func (c calls) CloseIdleConnections() {
	if below, ok := c.next.(interface{ CloseIdleConnections() }); ok {
		below.CloseIdleConnections()
	}
}

// layersMost bounds the layers of a pull that have spans.
const layersMost = 128

// pulling begins the span of a pull on a worker; its phases are known when it is over.
func (t *Tracer) pulling(ctx context.Context, executionID string) (context.Context, func(time.Time, wire.PullReport, error)) {
	ctx, span := t.start(ctx, "pull", trace.SpanKindInternal, attribute.String("fairlead.execution", executionID))
	return ctx, func(begin time.Time, report wire.PullReport, err error) {
		for _, phase := range []struct {
			name  string
			spans []wire.PullSpan
		}{{"token", report.TokenSpans}, {"manifest", report.ManifestSpans}, {"other pulls", report.OtherPullsSpans}} {
			for _, s := range phase.spans {
				t.phase(ctx, "pull "+phase.name, begin, s.Begin, s.End)
			}
		}
		for _, layer := range report.Layers[:min(len(report.Layers), layersMost)] {
			if layer.RequestedAt == nil || layer.LastByteAt == nil {
				continue
			}
			t.phase(ctx, "pull layer transfer", begin, *layer.RequestedAt, *layer.LastByteAt, attribute.Int64("fairlead.bytes", layer.FetchedBytes), attribute.String("fairlead.from", layer.From))
			if layer.UnpackedAt != nil {
				t.phase(ctx, "pull layer unpack", begin, *cmp.Or(layer.FirstByteAt, layer.RequestedAt), *layer.UnpackedAt, attribute.Int64("fairlead.bytes", layer.UnpackedBytes))
			}
		}
		span.SetAttributes(attribute.Bool("fairlead.warm", report.Warm), attribute.Int64("fairlead.bytes", report.FetchedBytes), attribute.Int("fairlead.retries", report.Retries))
		failed(span, err)
		span.End()
	}
}

// phase is a span of what is over, in seconds since begin.
func (t *Tracer) phase(ctx context.Context, name string, begin time.Time, from, to float64, attributes ...attribute.KeyValue) {
	at := func(seconds float64) time.Time { return begin.Add(time.Duration(seconds * float64(time.Second))) }
	_, span := t.tracer.Start(ctx, name, trace.WithTimestamp(at(from)), trace.WithAttributes(attributes...))
	span.End(trace.WithTimestamp(at(to)))
}

// methodOf is a method that there is; a client may send any word.
func methodOf(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return method
	default:
		return other
	}
}
