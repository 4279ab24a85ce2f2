package web

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/dustin/go-humanize"

	"fairlead.dev/fairlead/internal/wire"
)

func (s *site) cacheRoutes() { s.on("GET /cache/{$}", operator, s.showCache) }

// cacheData is what the page of the cache shows; nil: there is none.
type cacheData struct {
	wire.CacheStatus
	Over cacheLines
}

func (s *site) showCache(v *visit) (answer, error) {
	shown := page{file: "cache.html", title: "Cache"}
	if s.config.Cache == nil {
		return shown, nil
	}
	status, err := s.config.Cache.cache.StatusFor(v.ctx(), v.actor)
	if err != nil {
		return nil, err
	}
	shown.data = &cacheData{CacheStatus: status, Over: s.config.Cache.lines()}
	return shown, nil
}

// Began is since when it counts.
func (d *cacheData) Began() time.Time { return d.Since.Or() }

// Lines are those over time.
func (d *cacheData) Lines() []timeline {
	var lines []timeline
	for _, line := range []*timeline{d.Over.Rate, d.Over.Stored} {
		if line != nil {
			lines = append(lines, *line)
		}
	}
	return append(lines, d.Over.Quotas...)
}

// HitRate is the share of what was given without asking for it.
func (d *cacheData) HitRate() string {
	return share(d.ManifestHits+d.BlobHits, d.Manifests+d.Blobs)
}

// ManifestRate and BlobRate are those of each.
func (d *cacheData) ManifestRate() string { return share(d.ManifestHits, d.Manifests) }

// BlobRate is that of blobs.
func (d *cacheData) BlobRate() string { return share(d.BlobHits, d.Blobs) }

// Full is how much of its limit is kept; "": it has none.
func (d *cacheData) Full() string {
	if d.LimitBytes == 0 {
		return ""
	}
	return share(d.StoredBytes, d.LimitBytes)
}

func share(part, whole int64) string {
	if whole == 0 {
		return "–"
	}
	return formatPercent(100 * float64(part) / float64(whole))
}

// timeline is a number over time, as a line from 0 on.
type timeline struct {
	Name       string
	Since      time.Time
	Points     string // of an SVG polyline
	Most, Last string
	Least      string
}

// Said is the line in words.
func (t timeline) Said() string {
	return fmt.Sprintf("%s: from %s to %s, now %s", t.Name, t.Least, t.Most, t.Last)
}

// newTimeline draws values, of which there is one at least; most is the upper end of
// the scale, or 0 for the greatest of them.
func newTimeline(name string, since time.Time, values []float64, most float64, format func(float64) string) *timeline {
	greatest := slices.Max(values)
	return &timeline{
		Name: name, Since: since, Points: polyline(values, 0, max(most, greatest)),
		Least: format(slices.Min(values)), Most: format(greatest), Last: format(values[len(values)-1]),
	}
}

func formatPercent(share float64) string { return fmt.Sprintf("%.0f %%", math.Floor(share)) }

func formatBytes(bytes float64) string { return humanize.IBytes(uint64(max(bytes, 0))) }

// Window is the time for which a registry counts; "": it did not say.
func (*cacheData) Window(q wire.CacheQuota) string {
	if q.WindowSecs == 0 {
		return ""
	}
	return formatDuration(time.Duration(q.WindowSecs) * time.Second)
}

// Told is when a registry said so.
func (*cacheData) Told(q wire.CacheQuota) time.Time { return q.ToldAt.Or() }
