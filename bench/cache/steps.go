package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/internal/oci"
)

// How many there are of what.
const (
	coldClients     = 64
	layersAtOnce    = 4 // of one client, as clients have it
	hitClients      = 8
	manifestClients = 64
	manyClients     = 2000
)

// pull takes a manifest and all layers, as a client does, and drops them.
func (e endpoint) pull(ctx context.Context, tag string, layers []far.Layer, arrived *atomic.Int64) error {
	manifest, err := dial(ctx, e.Address)
	if err != nil {
		return err
	}
	defer manifest.Close()
	if _, err := manifest.get(e.request("manifests", tag), nil, nil); err != nil {
		return fmt.Errorf("the manifest: %w", err)
	}
	group, ctx := errgroup.WithContext(ctx)
	next := make(chan far.Layer)
	group.Go(func() error {
		defer close(next)
		for _, l := range layers {
			select {
			case next <- l:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	for range layersAtOnce {
		group.Go(func() error {
			c, err := dial(ctx, e.Address)
			if err != nil {
				return err
			}
			defer c.Close()
			for l := range next {
				n, err := c.get(e.request("blobs", l.Digest), nil, nil)
				arrived.Add(n)
				if err != nil {
					return fmt.Errorf("a layer of %d bytes, after %d: %w", l.Size, n, err)
				}
				if n != l.Size {
					return fmt.Errorf("a layer has %d bytes, not %d", n, l.Size)
				}
			}
			return nil
		})
	}
	return group.Wait()
}

// firstByte asks for a manifest and then, over the same connection, for a layer,
// and returns the seconds from the layer's request to the first of its bytes.
func (e endpoint) firstByte(ctx context.Context, tag string, l far.Layer) (float64, error) {
	c, err := dial(ctx, e.Address)
	if err != nil {
		return 0, err
	}
	defer c.Close()
	if _, err := c.get(e.request("manifests", tag), nil, nil); err != nil {
		return 0, fmt.Errorf("the manifest: %w", err)
	}
	var seconds float64
	begin := time.Now()
	_, err = c.get(e.request("blobs", l.Digest), func() { seconds = time.Since(begin).Seconds() }, nil)
	return seconds, err
}

// whole pulls every layer once and looks whether it is what its digest says.
func (e endpoint) whole(ctx context.Context, tag string, layers []far.Layer) error {
	c, err := dial(ctx, e.Address)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.get(e.request("manifests", tag), nil, nil); err != nil {
		return fmt.Errorf("the manifest: %w", err)
	}
	for _, l := range layers {
		sum := sha256.New()
		if _, err := c.get(e.request("blobs", l.Digest), nil, sum); err != nil {
			return fmt.Errorf("layer %s: %w", l.Digest, err)
		}
		if came := "sha256:" + hex.EncodeToString(sum.Sum(nil)); came != l.Digest {
			return fmt.Errorf("other bytes than %s came: %s", l.Digest, came)
		}
	}
	return nil
}

// cold is what clients have that all want an image which the cache has not.
type cold struct {
	FirstByte        float64 // seconds
	Slowest, Fastest float64 // seconds; the slowest is what was waited for, if not all ended
	Ended            int     // clients that had everything
	Arrived          int64   // bytes at all clients
	Said             string  `json:",omitempty"` // why one did not end
}

func measureCold(ctx context.Context, j job, e endpoint) (c cold, err error) {
	if c.FirstByte, err = e.firstByte(ctx, changedTag, j.Top); err != nil {
		return c, err
	}
	patient, cancel := context.WithTimeout(ctx, j.Patience)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	var arrived atomic.Int64
	begin := time.Now()
	for range coldClients {
		group.Go(func() {
			err := e.pull(patient, tag, j.Layers, &arrived)
			seconds := time.Since(begin).Seconds()
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				if patient.Err() == nil {
					c.Said = err.Error()
				}
				return
			}
			if c.Ended++; c.Ended == 1 {
				c.Fastest = seconds
			}
		})
	}
	group.Wait()
	c.Slowest, c.Arrived = time.Since(begin).Seconds(), arrived.Load()
	return c, ctx.Err()
}

// direct is one client that pulls from the registry itself: the limit of cold.
func measureDirect(ctx context.Context, j job) (c cold, err error) {
	to, err := far.Reach(j.Host, j.CA, far.User, far.Password)
	if err != nil {
		return c, err
	}
	authorization, err := to.Authorize(ctx)
	if err != nil {
		return c, err
	}
	if _, err := directly(ctx, to, "manifests/"+changedTag, authorization, nil); err != nil {
		return c, err
	}
	begin := time.Now()
	if _, err := directly(ctx, to, "blobs/"+j.Top.Digest, authorization, func() { c.FirstByte = time.Since(begin).Seconds() }); err != nil {
		return c, err
	}
	begin = time.Now()
	if authorization, err = to.Authorize(ctx); err != nil {
		return c, err
	}
	if _, err := directly(ctx, to, "manifests/"+tag, authorization, nil); err != nil {
		return c, err
	}
	group, pulling := errgroup.WithContext(ctx)
	group.SetLimit(layersAtOnce)
	var arrived atomic.Int64
	for _, l := range j.Layers {
		group.Go(func() error {
			n, err := directly(pulling, to, "blobs/"+l.Digest, authorization, nil)
			arrived.Add(n)
			if err == nil && n != l.Size {
				err = io.ErrUnexpectedEOF
			}
			return err
		})
	}
	err = group.Wait()
	c.Slowest, c.Arrived, c.Ended = time.Since(begin).Seconds(), arrived.Load(), 1
	c.Fastest = c.Slowest
	return c, err
}

// directly asks the registry, and drops what comes.
func directly(ctx context.Context, to *far.Client, what string, authorization oci.Authorization, first func()) (int64, error) {
	url := to.Route.URL("/v2/" + far.Repository + "/" + what).String()
	header := http.Header{"Accept-Encoding": {"identity"}, "Accept": {far.ManifestType}}
	response, err := to.Do(ctx, http.MethodGet, url, nil, header, authorization, http.StatusOK)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	var begun int64
	if first != nil {
		var one [1]byte
		n, err := io.ReadFull(response.Body, one[:])
		if err != nil {
			return 0, err
		}
		begun = int64(n)
		first()
	}
	n, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{response.Body}, make([]byte, 256<<10))
	return begun + n, err
}

// rate is what clients had that asked for what the cache has.
type rate struct {
	Seconds   float64
	Bytes     int64
	Requests  int64
	P50, P99  float64 // seconds that a request took
	LoadCPU   float64 // processor seconds of the clients
	ServerCPU float64 // and of whom they asked
}

// hits has clients pull all layers, over and over, for some time.
func (e endpoint) hits(ctx context.Context, j job) (r rate, err error) {
	requests := make([][]byte, len(j.Layers))
	for i, l := range j.Layers {
		requests[i] = e.request("blobs", l.Digest)
	}
	return e.load(ctx, j.Time, hitClients, requests)
}

// manifests has clients ask for one manifest by its tag, over and over.
func (e endpoint) manifests(ctx context.Context, j job) (rate, error) {
	return e.load(ctx, j.Time, manifestClients, [][]byte{e.request("manifests", tag)})
}

// load has clients send requests one after the other, each over its connection,
// until the time is over. What is on its way then counts with what came of it.
func (e endpoint) load(ctx context.Context, most time.Duration, clients int, requests [][]byte) (r rate, err error) {
	var over atomic.Bool
	took := make([][]time.Duration, clients)
	var arrived atomic.Int64
	conns := make([]*conn, clients)
	for i := range conns {
		if conns[i], err = dial(ctx, e.Address); err != nil {
			return r, err
		}
		defer conns[i].Close()
	}
	var group errgroup.Group
	begin := time.Now()
	timer := time.AfterFunc(most, func() { over.Store(true) })
	defer timer.Stop()
	for i, c := range conns {
		took[i] = make([]time.Duration, 0, 1<<16)
		group.Go(func() error {
			for n := i; !over.Load(); n++ { // not all want the same at the same time
				asked := time.Now()
				bytes, err := c.get(requests[n%len(requests)], nil, nil)
				if err != nil {
					return err
				}
				arrived.Add(bytes)
				took[i] = append(took[i], time.Since(asked))
			}
			return nil
		})
	}
	err = group.Wait()
	r.Seconds, r.Bytes = time.Since(begin).Seconds(), arrived.Load()
	all := slices.Sorted(slices.Values(slices.Concat(took...)))
	if r.Requests = int64(len(all)); r.Requests > 0 {
		r.P50, r.P99 = all[len(all)/2].Seconds(), all[len(all)*99/100].Seconds()
	}
	return r, err
}

// many is what a crowd had, each over a connection of its own, that all want the
// largest layer, which the cache has not.
type many struct {
	Served  int   // who had at least a byte
	Failed  int   // who had an error before the time was over
	Arrived int64 // bytes
	Seconds float64
	Said    string `json:",omitempty"`
}

func measureMany(ctx context.Context, j job, e endpoint) (m many, err error) {
	c, err := dial(ctx, e.Address)
	if err != nil {
		return m, err
	}
	if _, err := c.get(e.request("manifests", tag), nil, nil); err != nil {
		return m, errors.Join(err, c.Close())
	}
	if err := c.Close(); err != nil {
		return m, err
	}
	largest := slices.MaxFunc(j.Layers, func(a, b far.Layer) int { return int(a.Size - b.Size) })
	request := e.request("blobs", largest.Digest)
	crowd, cancel := context.WithTimeout(ctx, 2*j.Time)
	defer cancel()
	var mu sync.Mutex
	var group sync.WaitGroup
	begin := time.Now()
	for range manyClients {
		group.Go(func() {
			c, err := dial(crowd, e.Address)
			var n int64
			served := false
			for err == nil {
				var more int64
				more, err = c.get(request, func() { served = true }, nil)
				n += more
			}
			if c != nil {
				_ = c.Close() // it was cut, or broke
			}
			mu.Lock()
			defer mu.Unlock()
			m.Arrived += n
			if served {
				m.Served++
			}
			if crowd.Err() == nil {
				m.Failed++
				m.Said = err.Error()
			}
		})
	}
	group.Wait()
	m.Seconds = time.Since(begin).Seconds()
	return m, ctx.Err()
}
