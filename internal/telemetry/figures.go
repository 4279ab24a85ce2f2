package telemetry

import (
	"context"
	"log/slog"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Figures are what is looked up whenever Prometheus asks.
type Figures struct {
	Queues      []Queue
	Leases      int
	AuditHead   int64
	Notices     int
	Credentials []Expiry
}

// Queue is what waits in an environment.
type Queue struct {
	Environment string
	Length      int
	Oldest      time.Time // zero: nothing waits
}

// Expiry is when a credential ends.
type Expiry struct {
	Organization string
	Credential   string
	ExpiresAt    time.Time
}

// Source looks figures up.
type Source func(ctx context.Context) (Figures, error)

// lookMost is how long that may take.
const lookMost = 5 * time.Second

// workerSeenFor is how long a worker counts as one that is there: one that is idle
// asks at the latest after half a minute, and one whose slots are full holds leases.
const workerSeenFor = time.Minute

// seen notes that a worker asked for executions.
func (m *Metrics) seen(workerID string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.workers[workerID] = m.now()
}

// there is how many workers asked a short while ago; others are forgotten.
func (m *Metrics) there() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	for id, at := range m.workers {
		if now.Sub(at) > workerSeenFor {
			delete(m.workers, id)
		}
	}
	return len(m.workers)
}

// watcher tells the figures: a prometheus.Collector.
type watcher struct {
	metrics *Metrics
	source  Source
	logger  *slog.Logger
}

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(namespace+"_"+name, help, labels, nil)
}

var (
	queueLength    = describe("queue_executions", "Executions that wait for a worker of the environment.", "environment")
	queueAge       = describe("queue_oldest_seconds", "How long the oldest of them has waited since it was created; 0 where nothing waits.", "environment")
	leasesHeld     = describe("leases", "Executions that workers hold.")
	workersSeen    = describe("workers", "Workers that asked for executions within the last minute; one that has no slot free does not ask.")
	auditHeight    = describe("audit_chain_height", "Number of the newest row of the audit trail.")
	noticeBacklog  = describe("notice_backlog", "Notices that are to be sent.")
	credentialDays = describe("credential_days_left", "Days until a registry credential ends that says when; below zero since it did.", "organization", "credential")
	figuresUp      = describe("figures_up", "1 where the database told the figures, 0 where it did not.")
)

// Describe implements prometheus.Collector.
func (*watcher) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{queueLength, queueAge, leasesHeld, workersSeen, auditHeight, noticeBacklog, credentialDays, figuresUp} {
		to <- d
	}
}

// Collect implements prometheus.Collector. What cannot be looked up is left out.
func (w *watcher) Collect(to chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, value float64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, value, labels...)
	}
	gauge(workersSeen, float64(w.metrics.there()))
	ctx, cancel := context.WithTimeout(context.Background(), lookMost)
	defer cancel()
	f, err := w.source(ctx)
	if err != nil {
		w.logger.Warn("the figures for Prometheus cannot be read", "error", err)
		gauge(figuresUp, 0)
		return
	}
	gauge(figuresUp, 1)
	now := w.metrics.now()
	for _, q := range f.Queues {
		gauge(queueLength, float64(q.Length), q.Environment)
		age := 0.0
		if !q.Oldest.IsZero() {
			age = max(0, now.Sub(q.Oldest).Seconds())
		}
		gauge(queueAge, age, q.Environment)
	}
	gauge(leasesHeld, float64(f.Leases))
	gauge(auditHeight, float64(f.AuditHead))
	gauge(noticeBacklog, float64(f.Notices))
	for _, c := range f.Credentials {
		gauge(credentialDays, c.ExpiresAt.Sub(now).Hours()/24, c.Organization, c.Credential)
	}
}
