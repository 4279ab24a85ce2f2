package app

import (
	"context"
	"log/slog"

	"github.com/spf13/pflag"

	"fairlead.dev/fairlead/internal/telemetry"
)

func traceFlag(set *pflag.FlagSet, endpoint *string) {
	set.StringVar(endpoint, "trace-endpoint", "", "collector of OpenTelemetry to send traces to, by OTLP over HTTP: http://HOST:4318 (default what OTEL_EXPORTER_OTLP_ENDPOINT says, or none)")
}

// openTracer makes what traces a process; nil where it is not to be traced.
func openTracer(ctx context.Context, endpoint, service, version string, logger *slog.Logger) (*telemetry.Tracer, error) {
	return telemetry.NewTracer(ctx, telemetry.TraceConfig{Endpoint: endpoint, Service: service, Version: version, Logger: logger})
}
