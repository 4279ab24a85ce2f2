package pull

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Report is what a pull did and what its time went on.
type Report struct {
	// Total is the time from the first request to the root filesystem being
	// ready to mount. The phases are the parts of it that nothing else was
	// done in, so they add up to it but for the store's own bookkeeping:
	// downloads that ran beside an unpacking cost no time of their own.
	Total    time.Duration
	Token    time.Duration // asking for the authorization
	Manifest time.Duration // asking what the image is
	Wait     time.Duration // for the registry's first byte, another pull, or a pause before a retry
	Transfer time.Duration // layers
	Unpack   time.Duration

	// Rate is the bytes that came in a second while any layer was coming; 0
	// if none did.
	Rate float64

	// Fetched and Unpacked are bytes of this pull; Size is the whole image's.
	Fetched  int64
	Unpacked int64
	Size     int64

	Layers []LayerReport // from the bottom up

	// RateLimit is what the registry said in its last answer of how much it
	// still gives; nil where it spoke of no limit.
	RateLimit *oci.RateLimit

	registry string // for people: Docker Hub, or a host
}

// LayerReport is what a pull did with one layer.
type LayerReport struct {
	Digest  digest.Digest
	Size    int64 // bytes as the registry has them
	Existed bool  // nothing was fetched

	Fetched  int64
	Unpacked int64 // bytes of its files, of this pull
	Retries  int
	Wait     time.Duration
	Transfer time.Duration
	Unpack   time.Duration

	begin, end time.Time // of the transfer
}

// Rate is the layer's bytes in a second; 0 if it was not fetched.
func (l LayerReport) Rate() float64 { return rate(l.Fetched, l.Transfer) }

// Warm reports whether everything was on the worker already.
func (r Report) Warm() bool {
	return !slices.ContainsFunc(r.Layers, func(l LayerReport) bool { return !l.Existed })
}

// Retries is how often a download was taken up again.
func (r Report) Retries() int {
	n := 0
	for _, layer := range r.Layers {
		n += layer.Retries
	}
	return n
}

// When a pull's slowest phase is worth a word, and when a cache would have
// helped: a transfer that is slower than a local network by far.
const (
	slowPull     = 10 * time.Second
	slowTransfer = 30 << 20 // bytes in a second
)

// Sentence is the report in one line: size, time and what the time went on. A
// slow pull names its phase, and says when a cache would help.
func (r Report) Sentence() string {
	if r.Warm() {
		return fmt.Sprintf("Image is on this worker already: %s, checked with the registry in %s", size(r.Size), seconds(r.Total))
	}
	existed := 0
	for _, layer := range r.Layers {
		if layer.Existed {
			existed++
		}
	}
	var b strings.Builder
	fmt.Fprintf(&b, "Pulled %s in %s", size(r.Fetched), seconds(r.Total))
	if existed > 0 {
		fmt.Fprintf(&b, " (%d of %d layers were here already)", existed, len(r.Layers))
	}
	fmt.Fprintf(&b, ": token %s, manifest %s, waiting %s, transfer %s", seconds(r.Token), seconds(r.Manifest), seconds(r.Wait), seconds(r.Transfer))
	if r.Rate > 0 {
		fmt.Fprintf(&b, " (%s/s)", size(int64(r.Rate)))
	}
	fmt.Fprintf(&b, ", unpack %s", seconds(r.Unpack))
	if n := r.Retries(); n > 0 {
		fmt.Fprintf(&b, ", %d retries", n)
	}
	b.WriteString(r.slowPhase())
	return b.String()
}

// LimitSentence is how much the registry still gives, and to whom; "" where it
// did not say.
func (r Report) LimitSentence() string {
	if r.RateLimit == nil {
		return ""
	}
	return r.registry + ": " + r.RateLimit.String() + r.RateLimit.For()
}

// registryTitle is a registry's name for people.
func registryTitle(ref image.Reference) string {
	if ref.Host() == image.Hub {
		return "Docker Hub"
	}
	return ref.Host()
}

// slowPhase names the phase that took the most of a slow pull.
func (r Report) slowPhase() string {
	if r.Total < slowPull {
		return ""
	}
	switch max(r.Token, r.Manifest, r.Wait, r.Transfer, r.Unpack) {
	case r.Transfer:
		slowest := slices.MaxFunc(r.Layers, func(a, b LayerReport) int { return int(a.Transfer - b.Transfer) })
		s := fmt.Sprintf(". Most of it was the transfer; layer %s (%s) came at %s/s", short(slowest.Digest), size(slowest.Size), size(int64(slowest.Rate())))
		if r.Rate < slowTransfer {
			s += ". A pull-through cache near this worker would help"
		}
		return s
	case r.Wait:
		return ". Most of it was waiting for the registry to send. A pull-through cache near this worker would help"
	case r.Unpack:
		return ". Most of it was unpacking: the worker's disk and processor, not the network"
	case r.Manifest:
		return ". Most of it was the registry's answer to what the image is"
	default:
		return ". Most of it was the token service's answer"
	}
}

// rateOf is the bytes in a second while any layer was coming.
func rateOf(layers []LayerReport) float64 {
	var busy time.Duration
	var bytes int64
	var until time.Time
	fetched := slices.DeleteFunc(slices.Clone(layers), func(l LayerReport) bool { return l.Fetched == 0 })
	slices.SortFunc(fetched, func(a, b LayerReport) int { return a.begin.Compare(b.begin) })
	for _, layer := range fetched {
		bytes += layer.Fetched
		begin := layer.begin
		if begin.Before(until) {
			begin = until
		}
		if layer.end.After(begin) {
			busy += layer.end.Sub(begin)
			until = layer.end
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

// seconds is a duration for people.
func seconds(d time.Duration) string {
	switch {
	case d < 10*time.Millisecond:
		return fmt.Sprintf("%.3f s", d.Seconds())
	case d < 10*time.Second:
		return fmt.Sprintf("%.2f s", d.Seconds())
	case d < 10*time.Minute:
		return fmt.Sprintf("%.0f s", d.Seconds())
	default:
		return d.Round(time.Second).String()
	}
}

// size is a number of bytes for people, in powers of ten as Docker shows
// them.
func size(bytes int64) string {
	const unit = 1000
	if bytes < unit {
		return fmt.Sprintf("%d bytes", bytes)
	}
	value, prefix := float64(bytes)/unit, 0
	for value >= unit-0.05 && prefix < 4 {
		value /= unit
		prefix++
	}
	return fmt.Sprintf("%.1f %cB", value, "kMGTP"[prefix])
}
