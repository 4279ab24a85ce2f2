package telemetry_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/telemetry"
)

// gauged is what a server counts, with a clock that is moved on.
type gauged struct {
	*telemetry.Observer
	t       testing.TB
	metrics *telemetry.Metrics
	now     time.Time
	figures telemetry.Figures
	broken  error
}

func newGauged(t testing.TB) *gauged {
	t.Helper()
	g := &gauged{t: t, now: time.Date(2026, 11, 26, 12, 0, 0, 0, time.UTC)}
	g.metrics = telemetry.NewMetrics("1.2.3", func() time.Time { return g.now })
	g.metrics.CountServer(func(context.Context) (telemetry.Figures, error) { return g.figures, g.broken }, slog.New(slog.DiscardHandler))
	g.Observer = telemetry.New(g.metrics, nil)
	return g
}

// text is what Prometheus reads.
func (g *gauged) text() string {
	g.t.Helper()
	answer := httptest.NewRecorder()
	g.metrics.Handler(slog.New(slog.DiscardHandler)).ServeHTTP(answer, httptest.NewRequestWithContext(g.t.Context(), http.MethodGet, "/metrics", http.NoBody))
	if answer.Code != http.StatusOK {
		g.t.Fatalf("%d: %s", answer.Code, answer.Body)
	}
	return answer.Body.String()
}

func (g *gauged) want(lines ...string) {
	g.t.Helper()
	text := g.text()
	for _, line := range lines {
		if !strings.Contains(text, line+"\n") {
			g.t.Errorf("there is no %q in it:\n%s", line, text)
		}
	}
}

func (g *gauged) grant(o broker.Outcome) {
	_, done := g.Granting(g.t.Context())
	done(o)
}

func TestGrantsAreCountedByKindResultAndWhatTheyAreFor(t *testing.T) {
	g := newGauged(t)
	g.grant(broker.Outcome{Kind: "aws-ecr"})
	g.grant(broker.Outcome{Kind: "aws-ecr", Remembered: true})
	g.grant(broker.Outcome{Kind: "aws-ecr", Remembered: true, ForCache: true})
	g.grant(broker.Outcome{Kind: "docker-hub", Err: fault.New(fault.Denied, "pattern_only", "no")})
	g.grant(broker.Outcome{Err: errors.New("the disk is on fire")})
	g.want(
		`fairlead_grants_total{cache="false",code="",kind="aws-ecr",result="issued"} 1`,
		`fairlead_grants_total{cache="false",code="",kind="aws-ecr",result="cached"} 1`,
		`fairlead_grants_total{cache="true",code="",kind="aws-ecr",result="cached"} 1`,
		`fairlead_grants_total{cache="false",code="pattern_only",kind="docker-hub",result="denied"} 1`,
		`fairlead_grants_total{cache="false",code="internal",kind="none",result="failed"} 1`,
	)
}

func TestCodesDoNotGrowWithoutEnd(t *testing.T) {
	g := newGauged(t)
	for i := range 1000 {
		g.grant(broker.Outcome{Kind: "generic", Err: fault.New(fault.Unavailable, fmt.Sprintf("code_%d", i), "away")})
	}
	g.want(`fairlead_grants_total{cache="false",code="code_7",kind="generic",result="failed"} 1`,
		`fairlead_grants_total{cache="false",code="other",kind="generic",result="failed"} 900`)
}

func TestExchangesAreMeasured(t *testing.T) {
	g := newGauged(t)
	_, done := g.Exchanging(t.Context(), "jfrog")
	done(nil)
	g.want(`fairlead_exchange_seconds_count{kind="jfrog",result="issued"} 1`)
}

func TestWhatWorkersReportOfPullsIsAddedUp(t *testing.T) {
	g := newGauged(t)
	g.Pulled([]byte(`{"total_seconds": 3, "transfer_seconds": 2, "token_seconds": 0.5, "fetched_bytes": 1000, "unpacked_bytes": 3000}`))
	g.Pulled([]byte(`{"total_seconds": 1, "transfer_seconds": 1, "fetched_bytes": 24, "unfinished": true}`))
	g.Pulled([]byte(`{"total_seconds": 0.1, "warm": true}`))
	for _, none := range []string{"", "[]", `{"fetched_bytes": -5}`, `{"total_seconds": 1e300}`} {
		g.Pulled([]byte(none))
	}
	g.want(
		`fairlead_pulls_total{result="done"} 1`, `fairlead_pulls_total{result="unfinished"} 1`, `fairlead_pulls_total{result="warm"} 1`,
		`fairlead_pull_bytes_total{phase="fetched"} 1024`, `fairlead_pull_bytes_total{phase="unpacked"} 3000`,
		`fairlead_pull_phase_seconds_total{phase="transfer"} 3`, `fairlead_pull_phase_seconds_total{phase="token"} 0.5`,
		`fairlead_pull_seconds_count 1`, `fairlead_pull_seconds_sum 3`,
	)
}

func TestRequestsAreCountedByTheirRouteAndNotByTheirPath(t *testing.T) {
	g := newGauged(t)
	for _, method := range []string{"GET", "BREW"} {
		r, served := g.Serving(httptest.NewRequestWithContext(t.Context(), method, "/api/v0/projects/secret-project/?token=hunter2", http.NoBody))
		if r.Method != method {
			t.Errorf("another request goes on: %+v", r)
		}
		served("/api/v0/projects/{project}/", 404)
	}
	_, served := g.Serving(httptest.NewRequestWithContext(t.Context(), "GET", "/api/v0/events/", http.NoBody))
	served("/api/v0/events/", 0)
	g.want(
		`fairlead_http_request_seconds_count{method="GET",route="/api/v0/projects/{project}/",status="4xx"} 1`,
		`fairlead_http_request_seconds_count{method="other",route="/api/v0/projects/{project}/",status="4xx"} 1`,
		`fairlead_http_request_seconds_count{method="GET",route="/api/v0/events/",status="none"} 1`,
	)
	if text := g.text(); strings.Contains(text, "secret-project") || strings.Contains(text, "hunter2") {
		t.Errorf("a path is told:\n%s", text)
	}
}

func TestFiguresAreLookedUpWhenTheyAreAskedFor(t *testing.T) {
	g := newGauged(t)
	g.figures = telemetry.Figures{
		Queues: []telemetry.Queue{{Environment: "default"}, {Environment: "gpu", Length: 3, Oldest: g.now.Add(-90 * time.Second)}},
		Leases: 2, AuditHead: 77, Notices: 1,
		Credentials: []telemetry.Expiry{{Organization: "acme", Credential: "c-1", ExpiresAt: g.now.Add(36 * time.Hour)}},
	}
	g.Asked("w-1")
	g.Asked("w-1")
	g.Asked("w-2")
	g.want(
		`fairlead_queue_executions{environment="gpu"} 3`, `fairlead_queue_oldest_seconds{environment="gpu"} 90`, `fairlead_queue_oldest_seconds{environment="default"} 0`,
		"fairlead_leases 2", "fairlead_workers 2", "fairlead_audit_chain_height 77", "fairlead_notice_backlog 1", "fairlead_figures_up 1",
		`fairlead_credential_days_left{credential="c-1",organization="acme"} 1.5`,
		`fairlead_executions_ended_total{status="crashed"} 0`,
	)
	g.now = g.now.Add(50 * time.Second)
	g.Asked("w-2")
	g.now = g.now.Add(50 * time.Second)
	g.Ended("complete")
	g.Lost()
	g.broken = errors.New("the database is away")
	g.want("fairlead_workers 1", "fairlead_figures_up 0", `fairlead_executions_ended_total{status="complete"} 1`, "fairlead_workers_lost_total 1")
	if strings.Contains(g.text(), "fairlead_leases ") {
		t.Error("what could not be read is told")
	}
}

func TestNothingIsCountedWhereNobodyReads(t *testing.T) {
	o := telemetry.New(nil, nil)
	_, granted := o.Granting(t.Context())
	granted(broker.Outcome{})
	_, exchanged := o.Exchanging(t.Context(), "")
	exchanged(nil)
	o.Asked("w")
	o.Ended("error")
	o.Lost()
	o.Pulled(nil)
	_, served := o.Serving(httptest.NewRequestWithContext(t.Context(), "GET", "/", http.NoBody))
	served("/", 200)
}

func BenchmarkAGrantIsCounted(b *testing.B) {
	g := newGauged(b)
	b.ReportAllocs()
	for b.Loop() {
		_, done := g.Granting(b.Context())
		done(broker.Outcome{Kind: "aws-ecr", Remembered: true})
	}
}
