package pull

import (
	"slices"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/oci"
)

// Report is what a pull did and what its time went on.
type Report struct {
	// Begin is when the first thing was asked for.
	Begin time.Time

	// Total is the time from Begin to the root filesystem being ready to mount.
	// The phases are the parts of it that nothing else was done in, so they add
	// up to it but for the store's own bookkeeping: downloads that ran beside an
	// unpacking cost no time of their own.
	Total    time.Duration
	Token    time.Duration // asking for the authorization
	Manifest time.Duration // asking what the image is
	Wait     time.Duration // for the registry's first byte, and the two below
	Pause    time.Duration // of Wait: before a retry
	Others   time.Duration // of Wait: for other pulls on this worker
	Detour   time.Duration // trying caches that were not there
	Transfer time.Duration // layers
	Unpack   time.Duration

	// When some of the phases were. Others may have gone on at the same time.
	TokenSpans    []Span
	ManifestSpans []Span
	OthersSpans   []Span

	// Rate is the bytes that came in a second while any layer was coming; 0
	// if none did.
	Rate float64

	// Fetched and Unpacked are bytes of this pull; Size is the whole image's, and
	// 0 where the registry did not come to say what the image is.
	Fetched  int64
	Unpacked int64
	Size     int64

	// Unfinished is a pull that failed or was broken off.
	Unfinished bool

	Layers []LayerReport // from the bottom up

	// Cache is the host of the pull-through cache that was asked; "" where the registry
	// was.
	Cache string

	// RateLimit is what the registry said in its last answer of how much it
	// still gives; nil where it spoke of no limit.
	RateLimit *oci.RateLimit

	registry string // for people: Docker Hub, or a host
}

// Source is where a layer came from. There may be more of them than are named
// here.
type Source string

// Where a layer comes from; it is "" for one that a pull did not come to.
const (
	Registry Source = "registry"
	Cached   Source = "cache"        // a pull-through cache
	Here     Source = "here already" // nothing was fetched
)

// sourceOf is where a pull has its layers from.
func sourceOf(request Request) Source {
	if request.Route.Cache() != "" {
		return Cached
	}
	return Registry
}

// LayerReport is what a pull did with one layer.
type LayerReport struct {
	Digest digest.Digest
	Size   int64 // bytes as the registry has them
	From   Source

	Fetched  int64
	Unpacked int64 // bytes of its files, of this pull
	Retries  int
	Wait     time.Duration
	Transfer time.Duration
	Unpack   time.Duration

	// When each began or ended, over all retries; zero where it did not happen.
	RequestedAt time.Time // the first request for it
	FirstByteAt time.Time
	LastByteAt  time.Time
	UnpackedAt  time.Time // what came of it

	// Failed is a layer that the whole pull failed by.
	Failed bool
}

// Rate is the layer's bytes in a second; 0 if it was not fetched.
func (l LayerReport) Rate() float64 { return rate(l.Fetched, l.Transfer) }

// Warm reports whether everything was on the worker already.
func (r Report) Warm() bool {
	return !r.Unfinished && !slices.ContainsFunc(r.Layers, func(l LayerReport) bool { return l.From != Here })
}

// Retries is how often a download was taken up again.
func (r Report) Retries() int {
	n := 0
	for _, layer := range r.Layers {
		n += layer.Retries
	}
	return n
}

// BeganWith adds what went before the pull itself: from begin on, until it was
// told what it may show to the registry. The report of a pull that did not come
// any further is the zero Report, and Unfinished.
func (r *Report) BeganWith(token Span) {
	if r.Begin.IsZero() {
		r.Begin = token.End
	}
	r.Total += r.Begin.Sub(token.Begin)
	r.Begin = token.Begin
	r.Token += token.End.Sub(token.Begin)
	r.TokenSpans = slices.Insert(r.TokenSpans, 0, token)
}

// CameAfter adds the time that went by since begin, with caches that were not there,
// before this pull.
func (r *Report) CameAfter(begin time.Time) {
	r.Detour = r.Begin.Sub(begin)
	r.Total += r.Detour
	r.Begin = begin
}

// report is what was done and took time until now.
func (p *puller) report() Report {
	r := Report{
		Begin:         p.begin,
		Total:         p.store.config.Now().Sub(p.begin),
		Token:         p.timeline.of(authorizing),
		Manifest:      p.timeline.of(resolving),
		Pause:         p.timeline.of(pausing),
		Others:        p.timeline.of(queueing),
		Transfer:      p.timeline.of(transferring),
		Unpack:        p.timeline.of(unpacking),
		TokenSpans:    p.timeline.when(authorizing),
		ManifestSpans: p.timeline.when(resolving),
		OthersSpans:   p.timeline.when(queueing),
		Layers:        p.board.layers(),
		Cache:         p.request.Route.Cache(),
		registry:      registryTitle(p.request.Image),
	}
	r.Wait = p.timeline.of(waiting) + r.Pause + r.Others
	if len(p.documents.manifests) > 0 {
		r.Size = p.documents.size()
	}
	if limit, told := p.registry.client.LastLimit(); told {
		r.RateLimit = &limit
	}
	r.Rate = rateOf(r.Layers)
	for _, layer := range r.Layers {
		r.Fetched += layer.Fetched
		r.Unpacked += layer.Unpacked
	}
	return r
}

// rateOf is the bytes in a second while any layer was coming.
func rateOf(layers []LayerReport) float64 {
	var busy time.Duration
	var bytes int64
	var until time.Time
	fetched := slices.DeleteFunc(slices.Clone(layers), func(l LayerReport) bool { return l.Fetched == 0 })
	slices.SortFunc(fetched, func(a, b LayerReport) int { return a.FirstByteAt.Compare(b.FirstByteAt) })
	for _, layer := range fetched {
		bytes += layer.Fetched
		begin := layer.FirstByteAt
		if begin.Before(until) {
			begin = until
		}
		if layer.LastByteAt.After(begin) {
			busy += layer.LastByteAt.Sub(begin)
			until = layer.LastByteAt
		}
	}
	return rate(bytes, busy)
}

func rate(bytes int64, d time.Duration) float64 {
	if d <= 0 {
		return 0
	}
	return float64(bytes) / d.Seconds()
}
