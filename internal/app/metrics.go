package app

import (
	"context"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"fairlead.dev/fairlead/internal/cache"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/telemetry"
)

// metrics serves what Prometheus reads of this process: a listener of its own, since
// who may pull through or call the API is not who may see these, and the other way
// round. It is nil where there is to be none, and then nothing is counted.
type metrics struct {
	listener net.Listener
	counts   *telemetry.Metrics
}

// openMetrics listens on an address; on none, if it is "".
func openMetrics(address, version string) (*metrics, error) {
	if address == "" {
		return nil, nil
	}
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fault.InvalidField("metrics-listen", "address", "%v", err).
			WithHint("Write it as HOST:PORT, such as 127.0.0.1:9464, that nothing else has.")
	}
	return &metrics{listener: listener, counts: telemetry.NewMetrics(version, time.Now)}, nil
}

// observer hears what is to be counted and traced, if anything is.
func (m *metrics) observer(tracer *telemetry.Tracer) *telemetry.Observer {
	if m == nil {
		return telemetry.New(nil, tracer)
	}
	return telemetry.New(m.counts, tracer)
}

// add adds what a pull-through cache tells.
func (m *metrics) add(kept *cache.Cache) {
	if m != nil && kept != nil {
		m.counts.Add(cacheMetrics{kept})
	}
}

// addRequests adds the requests that the door of a cache apart served.
func (m *metrics) addRequests() {
	if m != nil {
		m.counts.CountRequests()
	}
}

// addServer adds what a server tells.
func (m *metrics) addServer(kept *store.Store, logger *slog.Logger) {
	if m == nil {
		return
	}
	m.counts.CountServer(func(ctx context.Context) (telemetry.Figures, error) {
		f, err := kept.Figures(ctx)
		return figuresOf(f), err
	}, logger)
}

func figuresOf(f store.Figures) telemetry.Figures {
	shown := telemetry.Figures{Leases: f.Leases, AuditHead: f.AuditHead, Notices: f.Notices}
	for _, q := range f.Queues {
		shown.Queues = append(shown.Queues, telemetry.Queue(q))
	}
	for _, c := range f.Credentials {
		shown.Credentials = append(shown.Credentials, telemetry.Expiry(c))
	}
	return shown
}

// serve serves until ctx ends; with nothing to serve it waits for that.
func (m *metrics) serve(ctx context.Context, logger *slog.Logger) error {
	if m == nil {
		<-ctx.Done()
		return nil
	}
	mux := http.NewServeMux()
	mux.Handle("GET /metrics", m.counts.Handler(logger))
	return serveUntil(ctx, m.listener, mux, logger)
}

// Close stops listening; it is no error if serve has.
func (m *metrics) Close() {
	if m != nil {
		_ = m.listener.Close() // serve may have
	}
}

// cacheMetrics are a cache's counts: a prometheus.Collector.
type cacheMetrics struct{ cache *cache.Cache }

func describe(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc("fairlead_cache_"+name, help, labels, nil)
}

var (
	cacheManifests = describe("manifests_total", "Manifests given: hit without a request to the registry, asked with one, stale though it could not be asked.", "result")
	cacheBlobs     = describe("blobs_total", "Blobs given: hit from what is kept, fetched while they arrive.", "result")
	cacheQuestions = describe("registry_requests_total", "Requests to registries for manifests and blobs.")
	cacheFetched   = describe("fetched_bytes_total", "Bytes of blobs that came from registries.")
	cacheSent      = describe("sent_bytes_total", "Bytes that went to clients.")
	cacheDownloads = describe("downloads", "Blobs that are arriving.")
	cacheStored    = describe("stored_bytes", "Bytes of blobs that are kept.")
	cacheCount     = describe("stored_blobs", "Blobs that are kept.")
	cacheUsed      = describe("used_bytes", "Bytes of kept blobs that an organisation used; what several used counts for each.", "organization")
	cacheLeft      = describe("registry_limit_remaining", "Pulls that a registry still allows, as it said last.", "host", "organization", "credential")
	cacheLimit     = describe("registry_limit", "Pulls that a registry allows, as it said last.", "host", "organization", "credential")
)

// Describe implements prometheus.Collector.
func (cacheMetrics) Describe(to chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		cacheManifests, cacheBlobs, cacheQuestions, cacheFetched, cacheSent, cacheDownloads, cacheStored, cacheCount, cacheUsed, cacheLeft, cacheLimit,
	} {
		to <- d
	}
}

// Collect implements prometheus.Collector.
func (m cacheMetrics) Collect(to chan<- prometheus.Metric) {
	counter := func(d *prometheus.Desc, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(value), labels...)
	}
	gauge := func(d *prometheus.Desc, value int64, labels ...string) {
		to <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(value), labels...)
	}
	s := m.cache.Everything()
	counter(cacheManifests, s.ManifestHits, "hit")
	counter(cacheManifests, s.Stale, "stale")
	counter(cacheManifests, s.Manifests-s.ManifestHits-s.Stale, "asked")
	counter(cacheBlobs, s.BlobHits, "hit")
	counter(cacheBlobs, s.Blobs-s.BlobHits, "fetched")
	counter(cacheQuestions, s.Questions)
	counter(cacheFetched, s.Fetched)
	counter(cacheSent, s.Sent)
	gauge(cacheDownloads, int64(s.Downloads))
	gauge(cacheStored, s.Usage.Bytes)
	gauge(cacheCount, int64(s.Usage.Blobs))
	for organization, bytes := range s.Usage.Organizations {
		gauge(cacheUsed, bytes, organization)
	}
	for _, q := range s.Quotas {
		gauge(cacheLeft, int64(q.Limit.Remaining), q.Host, q.Organization, q.Credential)
		gauge(cacheLimit, int64(q.Limit.Limit), q.Host, q.Organization, q.Credential)
	}
}
