package telemetry

import (
	"encoding/json"
	"log/slog"
	"net/http"
	"runtime"
	"strconv"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

const namespace = "fairlead"

// codesMost bounds the codes of faults that are told apart; others are "other".
const codesMost = 100

// Metrics counts what a process does, in a registry of its own. Make it with
// NewMetrics; safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	grants    *prometheus.CounterVec
	exchanges *prometheus.HistogramVec
	requests  *prometheus.HistogramVec

	pulls       *prometheus.CounterVec
	pullBytes   *prometheus.CounterVec
	pullSeconds *prometheus.CounterVec
	pullTotal   prometheus.Histogram

	executions *prometheus.CounterVec
	lost       prometheus.Counter

	codes words

	mu      sync.Mutex
	workers map[string]time.Time // when each was last heard of
	now     func() time.Time
}

// NewMetrics counts for a process of that version.
func NewMetrics(version string, now func() time.Time) *Metrics {
	counters := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: namespace, Name: name, Help: help}, labels)
	}
	histograms := func(name, help string, buckets []float64, labels ...string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{Namespace: namespace, Name: name, Help: help, Buckets: buckets}, labels)
	}
	m := &Metrics{
		registry: prometheus.NewRegistry(), workers: make(map[string]time.Time), now: now,
		grants: counters("grants_total", "Pull grants that were asked for, by the credential's kind (none: without one): issued by the registry, cached, denied, or failed with the fault's code; cache: for the pull-through cache.",
			"kind", "result", "code", "cache"),
		exchanges: histograms("exchange_seconds", "Trades of a credential for a grant with its registry.", []float64{.01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30}, "kind", "result"),
		requests:  histograms("http_request_seconds", "Requests, by route; those that wait for something take as long as they wait.", []float64{.001, .005, .025, .1, .5, 2.5, 10, 30}, "route", "method", "status"),

		pulls:       counters("pulls_total", "Pulls that workers reported: warm with all of the image there, done, or unfinished.", "result"),
		pullBytes:   counters("pull_bytes_total", "Bytes of images that workers fetched and unpacked.", "phase"),
		pullSeconds: counters("pull_phase_seconds_total", "Time in which nothing but this held a pull up.", "phase"),
		pullTotal: prometheus.NewHistogram(prometheus.HistogramOpts{
			Namespace: namespace, Name: "pull_seconds", Help: "Pulls of images that were not warm, from the question for a grant to the root filesystem.",
			Buckets: []float64{.25, .5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1800},
		}),
		executions: counters("executions_ended_total", "Executions that ended since the server began, by status.", "status"),
		lost:       prometheus.NewCounter(prometheus.CounterOpts{Namespace: namespace, Name: "workers_lost_total", Help: "Leases that lapsed since their worker was not heard of."}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{
		Namespace: namespace, Name: "build_info", Help: "Always 1, for what its labels say.",
		ConstLabels: prometheus.Labels{"version": version, "go_version": runtime.Version()},
	})
	build.Set(1)
	m.registry.MustRegister(
		collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
	)
	return m
}

// CountServer adds what a server alone has to tell; figures are read when they are
// asked for.
func (m *Metrics) CountServer(figures Source, logger *slog.Logger) {
	// That there was none is told, too.
	for _, status := range []string{"complete", "error", "stopped", "crashed"} {
		m.executions.WithLabelValues(status)
	}
	m.grants.WithLabelValues(kindOf(""), resultIssued, "", "false")
	m.exchanges.WithLabelValues(kindOf(""), resultIssued)
	for _, result := range []string{pullDone, pullWarm, pullUnfinished} {
		m.pulls.WithLabelValues(result)
	}
	m.count(wire.PullReport{})
	m.registry.MustRegister(
		m.grants, m.exchanges, m.pulls, m.pullBytes, m.pullSeconds, m.pullTotal, m.executions, m.lost,
		&watcher{metrics: m, source: figures, logger: logger},
	)
	m.CountRequests()
}

// CountRequests adds the requests that a door served.
func (m *Metrics) CountRequests() { m.registry.MustRegister(m.requests) }

// Add adds what somebody else counts.
func (m *Metrics) Add(c prometheus.Collector) { m.registry.MustRegister(c) }

// Handler serves all of it.
func (m *Metrics) Handler(logger *slog.Logger) http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{ErrorLog: slog.NewLogLogger(logger.Handler(), slog.LevelWarn)})
}

// Results of a grant and of an exchange.
const (
	resultIssued = "issued"
	resultCached = "cached"
	resultDenied = "denied"
	resultFailed = "failed"
)

// resultOf is what came of it, with the fault's code.
func (m *Metrics) resultOf(err error, fine string) (result, code string) {
	if err == nil {
		return fine, ""
	}
	f := fault.From(err)
	code = m.codes.one(f.Code)
	switch f.Kind {
	case fault.Denied, fault.Unauthenticated, fault.NotFound:
		return resultDenied, code
	default:
		return resultFailed, code
	}
}

func (m *Metrics) granted(o broker.Outcome) {
	fine := resultIssued
	if o.Remembered {
		fine = resultCached
	}
	result, code := m.resultOf(o.Err, fine)
	m.grants.WithLabelValues(kindOf(o.Kind), result, code, strconv.FormatBool(o.ForCache)).Inc()
}

func (m *Metrics) exchanged(kind string, took time.Duration, err error) {
	result, _ := m.resultOf(err, resultIssued)
	m.exchanges.WithLabelValues(kindOf(kind), result).Observe(took.Seconds())
}

// kindOf is a credential's kind, of which there is a fixed set.
func kindOf(kind string) string {
	if kind == "" {
		return "none"
	}
	return kind
}

func (m *Metrics) served(route, method string, status int, took time.Duration) {
	m.requests.WithLabelValues(route, methodOf(method), class(status)).Observe(took.Seconds())
}

// class is the class of a status: 2xx. Nothing was answered where the client had gone.
func class(status int) string {
	if status < 100 || status > 599 {
		return "none"
	}
	return strconv.Itoa(status/100) + "xx"
}

// Results of a pull.
const (
	pullDone       = "done"
	pullWarm       = "warm"
	pullUnfinished = "unfinished"
)

// pulled counts a pull; a report that cannot be read is none.
func (m *Metrics) pulled(report json.RawMessage) {
	if len(report) == 0 {
		return
	}
	r, err := wire.ParsePullReport(report)
	if err != nil {
		return
	}
	result := pullDone
	switch {
	case r.Unfinished:
		result = pullUnfinished
	case r.Warm:
		result = pullWarm
	}
	m.pulls.WithLabelValues(result).Inc()
	m.count(r)
	if result == pullDone {
		m.pullTotal.Observe(r.TotalSeconds)
	}
}

// count adds what a pull took, by phase.
func (m *Metrics) count(r wire.PullReport) {
	m.pullBytes.WithLabelValues("fetched").Add(float64(r.FetchedBytes))
	m.pullBytes.WithLabelValues("unpacked").Add(float64(r.UnpackedBytes))
	for phase, seconds := range map[string]float64{
		"token": r.TokenSeconds, "manifest": r.ManifestSeconds, "waiting": r.WaitSeconds, "retries": r.RetryWaitSeconds,
		"other_pulls": r.OtherPullsSeconds, "cache_away": r.CacheAwaySeconds, "transfer": r.TransferSeconds, "unpack": r.UnpackSeconds,
	} {
		m.pullSeconds.WithLabelValues(phase).Add(seconds)
	}
}

// other stands for all that is not told apart.
const other = "other"

// words is a set of words that does not grow without end. The zero value is ready;
// safe for concurrent use.
type words struct {
	mu    sync.RWMutex
	known map[string]bool
}

// one is the word, or other if there are too many.
func (w *words) one(word string) string {
	w.mu.RLock()
	known := w.known[word]
	w.mu.RUnlock()
	if known {
		return word
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.known) >= codesMost && !w.known[word] {
		return other
	}
	if w.known == nil {
		w.known = make(map[string]bool)
	}
	w.known[word] = true
	return word
}
