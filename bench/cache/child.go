package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/bench/trial"
	"fairlead.dev/fairlead/internal/oci"
)

// What a child measures.
const (
	stepCold = "cold"
	stepWarm = "warm"
	stepMany = "many"
)

// job is what a child measures of whom.
type job struct {
	Name, Step string
	Dir        string // fresh and empty

	Host, CA string // the registry's, and the file of its authority
	Layers   []far.Layer
	Top      far.Layer // the topmost layer of the changed image
	ImageDir string

	Time     time.Duration // of the steps that take as long as they are told
	Patience time.Duration // for the clients of a cold cache
}

// result is what it came to. Its trial.Result is the server's: the processor time
// of the clients is LoadCPU.
type result struct {
	trial.Result

	LoadCPU  float64 // processor seconds of the clients
	Upstream int64   // bytes that the registry sent meanwhile; the parent notes them

	Cold            *cold `json:",omitempty"`
	Hits, Manifests *rate `json:",omitempty"`
	Many            *many `json:",omitempty"`
}

func (r result) String() string {
	s := r.Result.String() + fmt.Sprintf(", of the clients %.2f s", r.LoadCPU)
	if c := r.Cold; c != nil {
		s += fmt.Sprintf("; %d ended, first after %.2f s, last %.2f s; first byte %.1f ms; %d MB from upstream %s",
			c.Ended, c.Fastest, c.Slowest, c.FirstByte*1e3, r.Upstream/1e6, c.Said)
	}
	if h := r.Hits; h != nil {
		s += fmt.Sprintf("; hits %.0f MB/s (server %.2f s, clients %.2f s a GB)", h.perSecond()/1e6, h.ServerCPU/giga(h.Bytes), h.LoadCPU/giga(h.Bytes))
	}
	if m := r.Manifests; m != nil {
		s += fmt.Sprintf("; manifests %.0f/s, p50 %.1f ms, p99 %.1f ms (server %.2f s, clients %.2f s of %.2f s)",
			m.requestsPerSecond(), m.P50*1e3, m.P99*1e3, m.ServerCPU, m.LoadCPU, m.Seconds)
	}
	if m := r.Many; m != nil {
		s += fmt.Sprintf("; %d served, %d failed, %.0f MB/s %s", m.Served, m.Failed, float64(m.Arrived)/m.Seconds/1e6, m.Said)
	}
	return s
}

// child does the job that input says.
func child(ctx context.Context, input io.Reader, output io.Writer) error {
	runtime.LockOSThread() // its children end with this thread
	var j job
	if err := json.NewDecoder(input).Decode(&j); err != nil {
		return err
	}
	m := &trial.Meter{}
	got, err := do(ctx, m, j)
	if err = errors.Join(err, m.Close()); err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(got)
}

func do(ctx context.Context, m *trial.Meter, j job) (r result, err error) {
	if j.Name == direct {
		c, err := measureDirect(ctx, j)
		return result{Cold: &c}, err
	}
	i := slices.IndexFunc(servers, func(s server) bool { return s.name == j.Name })
	if i < 0 {
		return r, fmt.Errorf("nobody is called %q", j.Name)
	}
	e, err := servers[i].start(ctx, m, j)
	if err != nil {
		return r, err
	}
	measured := func(step func() error) (server, load float64, err error) {
		before := own()
		if err := m.Start(); err != nil {
			return 0, 0, err
		}
		err = errors.Join(step(), m.Stop())
		r.Result = m.Result
		return m.CPU, own() - before, err
	}
	switch j.Step {
	case stepCold:
		r.Cold = &cold{}
		_, r.LoadCPU, err = measured(func() (err error) { *r.Cold, err = measureCold(ctx, j, e); return err })
	case stepMany:
		r.Many = &many{}
		_, r.LoadCPU, err = measured(func() (err error) { *r.Many, err = measureMany(ctx, j, e); return err })
	default:
		if err := e.whole(ctx, tag, j.Layers); err != nil {
			return r, err
		}
		r.Hits, r.Manifests = &rate{}, &rate{}
		server, load, err := measured(func() (err error) { *r.Hits, err = e.hits(ctx, j); return err })
		r.Hits.ServerCPU, r.Hits.LoadCPU = server, load
		if err != nil {
			return r, err
		}
		server, load, err = measured(func() (err error) { *r.Manifests, err = e.manifests(ctx, j); return err })
		r.Manifests.ServerCPU, r.Manifests.LoadCPU = server, load
		return r, err
	}
	return r, err
}

// own is the processor time in seconds of this process.
func own() float64 {
	var u unix.Rusage
	if err := unix.Getrusage(unix.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

func digestOf(text []byte) string {
	sum := sha256.Sum256(text)
	return "sha256:" + hex.EncodeToString(sum[:])
}

// saveManifest writes the registry's manifest into a file.
func saveManifest(ctx context.Context, from *far.Client, authorization oci.Authorization, path string) error {
	url := from.Route.URL("/v2/" + far.Repository + "/manifests/" + tag).String()
	response, err := from.Do(ctx, http.MethodGet, url, nil, http.Header{"Accept": {far.ManifestType}}, authorization, http.StatusOK)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.Create(to)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
