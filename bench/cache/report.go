package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
)

// report is what is printed: medians, and their ratios to a limit of the same run.
type report struct {
	Size, Top   int64 // of the image's layers, and of the layer of the first byte
	Cores, Runs int
	Missing     []string `json:",omitempty"`
	CachesKept  bool     `json:",omitempty"` // they could not be emptied
	Hits        []hitRow
	Manifests   []manifestRow
	Cold        []coldRow
	Many        []manyRow
	Trials      map[string][]result // by step, link and name
}

// hitRow is layers out of a warm cache.
type hitRow struct {
	Name              string
	PerSecond         float64 // bytes
	ToLimit           float64 // the rate to that of net/http
	ServerCPU, Client float64 // processor seconds a GB
}

// manifestRow is a manifest out of a warm cache.
type manifestRow struct {
	Name              string
	PerSecond         float64 // requests
	ToLimit           float64
	P50, P99          float64 // seconds
	ServerCPU, Client float64 // processor seconds a second
}

// coldRow is an image that the cache has not, for many clients.
type coldRow struct {
	Link, Name        string
	Ended             int
	Slowest           float64 // seconds
	ToDirect          float64 // the slowest to one direct pull
	Upstream          float64 // bytes to those of all that was asked for
	FirstByte         float64 // seconds later than the registry's own
	ServerCPU, Client float64 // processor seconds
	Far               float64
	Memory            int64
}

// manyRow is a crowd at a cold cache.
type manyRow struct {
	Name           string
	Served, Failed int
	PerSecond      float64 // bytes
	Memory         int64   // bytes at the peak
}

func (r rate) perSecond() float64         { return float64(r.Bytes) / r.Seconds }
func (r rate) requestsPerSecond() float64 { return float64(r.Requests) / r.Seconds }

func (b *bench) report() report {
	r := report{
		Size: b.image.Size(), Top: b.image.Top.Size, Cores: runtime.NumCPU(), Runs: b.settings.runs,
		Missing: b.missing, CachesKept: b.stand.CachesKept, Trials: make(map[string][]result),
	}
	for k, runs := range b.runs {
		r.Trials[strings.TrimSpace(k.step+" "+k.link)+" "+k.name] = runs
	}
	hits := func(of func(rate) float64) func(result) float64 { return func(r result) float64 { return of(*r.Hits) } }
	manifests := func(of func(rate) float64) func(result) float64 {
		return func(r result) float64 { return of(*r.Manifests) }
	}
	limit := b.runs[trialKey{plain, stepWarm, ""}]
	for _, name := range b.kept {
		if runs := b.runs[trialKey{name, stepWarm, ""}]; len(runs) > 0 {
			h := hitRow{
				Name: name, PerSecond: medianOf(runs, hits(rate.perSecond)),
				ServerCPU: medianOf(runs, hits(func(r rate) float64 { return r.ServerCPU / giga(r.Bytes) })),
				Client:    medianOf(runs, hits(func(r rate) float64 { return r.LoadCPU / giga(r.Bytes) })),
			}
			h.ToLimit = h.PerSecond / medianOf(limit, hits(rate.perSecond))
			r.Hits = append(r.Hits, h)
			m := manifestRow{
				Name: name, PerSecond: medianOf(runs, manifests(rate.requestsPerSecond)),
				P50:       medianOf(runs, manifests(func(r rate) float64 { return r.P50 })),
				P99:       medianOf(runs, manifests(func(r rate) float64 { return r.P99 })),
				ServerCPU: medianOf(runs, manifests(func(r rate) float64 { return r.ServerCPU / r.Seconds })),
				Client:    medianOf(runs, manifests(func(r rate) float64 { return r.LoadCPU / r.Seconds })),
			}
			m.ToLimit = m.PerSecond / medianOf(limit, manifests(rate.requestsPerSecond))
			r.Manifests = append(r.Manifests, m)
		}
		if runs := b.runs[trialKey{name, stepMany, ""}]; len(runs) > 0 {
			r.Many = append(r.Many, manyRow{
				Name: name, Memory: int64(medianOf(runs, func(r result) float64 { return float64(r.Memory) })),
				Served:    int(medianOf(runs, func(r result) float64 { return float64(r.Many.Served) })),
				Failed:    int(medianOf(runs, func(r result) float64 { return float64(r.Many.Failed) })),
				PerSecond: medianOf(runs, func(r result) float64 { return float64(r.Many.Arrived) / r.Many.Seconds }),
			})
		}
	}
	for _, link := range b.links {
		r.Cold = append(r.Cold, b.reportCold(link)...)
	}
	return r
}

func (b *bench) reportCold(link string) (rows []coldRow) {
	limit := b.runs[trialKey{direct, stepCold, link}]
	slowest := func(r result) float64 { return r.Cold.Slowest }
	first := func(r result) float64 { return r.Cold.FirstByte }
	for _, name := range append(slices.Clone(b.kept), direct) {
		runs := b.runs[trialKey{name, stepCold, link}]
		if len(runs) == 0 {
			continue
		}
		c := coldRow{
			Link: link, Name: name, Slowest: medianOf(runs, slowest), FirstByte: medianOf(runs, first) - medianOf(limit, first),
			Ended:     int(medianOf(runs, func(r result) float64 { return float64(r.Cold.Ended) })),
			Upstream:  medianOf(runs, func(r result) float64 { return float64(r.Upstream) }) / float64(b.image.Size()+b.image.Top.Size),
			ServerCPU: medianOf(runs, func(r result) float64 { return r.CPU }), Client: medianOf(runs, func(r result) float64 { return r.LoadCPU }),
			Far:    medianOf(runs, func(r result) float64 { return r.Far }),
			Memory: int64(medianOf(runs, func(r result) float64 { return float64(r.Memory) })),
		}
		c.ToDirect = c.Slowest / medianOf(limit, slowest)
		rows = append(rows, c)
	}
	return rows
}

func (r report) print(w io.Writer) error {
	var s strings.Builder
	fmt.Fprintf(&s, "\nan image of %.0f MB; medians of %d on %d cores\n", mega(r.Size), r.Runs, r.Cores)
	if r.CachesKept {
		s.WriteString("The machine's caches could not be emptied between the trials.\n")
	}
	for _, sentence := range r.Missing {
		s.WriteString(sentence + "\n")
	}
	if len(r.Hits) > 0 {
		fmt.Fprintf(&s, "\n| layers that are there, %d clients | MB/s | to net/http | server's processor s a GB | clients' |\n| --- | --- | --- | --- | --- |\n", hitClients)
		for _, h := range r.Hits {
			fmt.Fprintf(&s, "| %s | %.0f | %.2f | %.3f | %.3f |\n", h.Name, h.PerSecond/1e6, h.ToLimit, h.ServerCPU, h.Client)
		}
		fmt.Fprintf(&s, "\n| a manifest that is there, %d clients | requests/s | to net/http | p50 ms | p99 ms | server's processors | clients' |\n| --- | --- | --- | --- | --- | --- | --- |\n", manifestClients)
		for _, m := range r.Manifests {
			fmt.Fprintf(&s, "| %s | %.0f | %.2f | %.1f | %.1f | %.2f | %.2f |\n", m.Name, m.PerSecond, m.ToLimit, m.P50*1e3, m.P99*1e3, m.ServerCPU, m.Client)
		}
	}
	link := ""
	for _, c := range r.Cold {
		if c.Link != link {
			link = c.Link
			fmt.Fprintf(&s, "\n| cold, %d clients, %s | all of them ended | slowest s | to one direct pull | upstream bytes to the image's | first byte later by ms | server's processor s | clients' | registry's and link's | peak memory MiB |\n| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n", coldClients, link)
		}
		fmt.Fprintf(&s, "| %s | %d | %.2f | %.2f | %.3f | %.1f | %.2f | %.2f | %.2f | %d |\n", c.Name, c.Ended, c.Slowest, c.ToDirect, c.Upstream,
			c.FirstByte*1e3, c.ServerCPU, c.Client, c.Far, c.Memory>>20)
	}
	if len(r.Many) > 0 {
		fmt.Fprintf(&s, "\n| cold, %d connections | had bytes | failed | MB/s | peak memory MiB |\n| --- | --- | --- | --- | --- |\n", manyClients)
		for _, m := range r.Many {
			fmt.Fprintf(&s, "| %s | %d | %d | %.0f | %d |\n", m.Name, m.Served, m.Failed, m.PerSecond/1e6, m.Memory>>20)
		}
	}
	_, err := io.WriteString(w, s.String())
	return err
}

func mega(bytes int64) float64 { return float64(bytes) / 1e6 }
func giga(bytes int64) float64 { return float64(bytes) / 1e9 }

func medianOf(runs []result, of func(result) float64) float64 {
	if len(runs) == 0 {
		return 0
	}
	values := make([]float64, len(runs))
	for i, r := range runs {
		values[i] = of(r)
	}
	slices.Sort(values)
	return values[len(values)/2]
}
