package cache

import (
	"context"
	"io"
	"slices"
	"sync/atomic"
	"time"

	"fairlead.dev/fairlead/internal/blobs"
)

// counters are what a Cache has done since it was made.
type counters struct {
	manifests, manifestHits, stale atomic.Int64
	blobs, blobHits                atomic.Int64
	questions                      atomic.Int64
	fetched, sent                  atomic.Int64
}

// Stats are counts since a Cache was made, by this process.
type Stats struct {
	Since time.Time

	// Manifests were given; of them ManifestHits without a request to the registry,
	// and Stale though the registry could not be asked.
	Manifests, ManifestHits, Stale int64

	// Blobs were given; of them BlobHits were kept already. The others arrived
	// while they were read, some in one download for several readers.
	Blobs, BlobHits int64

	// Questions are requests to registries for manifests and blobs, token services
	// not counted.
	Questions int64

	// Fetched and Sent are bytes of blobs that came from registries, and bytes of
	// blobs and manifests that went to clients.
	Fetched, Sent int64

	// Downloads are under way now.
	Downloads int
}

// Stats tells what was done so far.
func (c *Cache) Stats() Stats {
	n := &c.counters
	return Stats{
		Since:     c.since,
		Manifests: n.manifests.Load(), ManifestHits: n.manifestHits.Load(), Stale: n.stale.Load(),
		Blobs: n.blobs.Load(), BlobHits: n.blobHits.Load(),
		Questions: n.questions.Load(), Fetched: n.fetched.Load(), Sent: n.sent.Load(),
		Downloads: c.config.Content.Downloads(),
	}
}

// Sent counts bytes that a door gave to a client.
func (c *Cache) Sent(bytes int64) { c.counters.sent.Add(bytes) }

// Status is what a cache tells of itself.
type Status struct {
	Stats

	// Place is where blobs are kept, and Limit how many bytes at most; 0 is no limit.
	Place string
	Limit int64

	// Usage is what is kept; of organisations, those that may be told.
	Usage  blobs.Usage
	Quotas []Quota

	// Pins are told to whoever runs the installation.
	Pins []Pin
}

// Status tells how the cache is. Whoever runs the installation is told of every
// organisation, and others of the one that they read for.
func (c *Cache) Status(ctx context.Context, reader Reader) (Status, error) {
	s := c.Everything()
	if reader.Actor.Operator {
		var err error
		if s.Pins, err = c.Pins(ctx); err != nil {
			return Status{}, err
		}
	}
	mayBeTold := func(organization string) bool {
		return reader.Actor.Operator || reader.Project.ID != "" && organization == reader.organization()
	}
	for organization := range s.Usage.Organizations {
		if !mayBeTold(organization) {
			delete(s.Usage.Organizations, organization) // the map is this caller's own
		}
	}
	s.Quotas = slices.DeleteFunc(s.Quotas, func(q Quota) bool { return q.Organization != "" && !mayBeTold(q.Organization) })
	return s, nil
}

// Everything is the Status that whoever runs the installation is told, but for pins.
func (c *Cache) Everything() Status {
	content := c.config.Content
	return Status{Stats: c.Stats(), Place: content.Place(), Limit: content.Limit(), Usage: content.Usage(), Quotas: c.Quotas()}
}

// counted counts what is read.
type counted struct {
	io.ReadCloser

	total *atomic.Int64
}

func (c counted) Read(p []byte) (int, error) {
	n, err := c.ReadCloser.Read(p)
	c.total.Add(int64(n))
	return n, err
}
