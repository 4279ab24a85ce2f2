package pull

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/image"
)

// When a pull's slowest phase is worth a word, and when a cache would have
// helped: a transfer that is slower than a local network by far.
const (
	slowPull     = 10 * time.Second
	slowTransfer = 30 << 20 // bytes in a second
)

const cacheHelps = ". A pull-through cache near this worker would help"

// Sentence is the report in one line: size, time and what the time went on. A
// slow pull names its phase, and says when a cache would help.
func (r Report) Sentence() string {
	if r.Warm() {
		with := "with the registry"
		if r.Cache != "" {
			with = "through the cache"
		}
		return fmt.Sprintf("Image is on this worker already: %s, checked %s in %s", size(r.Size), with, seconds(r.Total)) + r.slowSentence()
	}
	var b strings.Builder
	through := ""
	if r.Cache != "" {
		through = " through the cache"
	}
	switch {
	case !r.Unfinished:
		fmt.Fprintf(&b, "Pulled %s%s in %s", size(r.Fetched), through, seconds(r.Total))
	case r.Size > 0:
		fmt.Fprintf(&b, "Pull not finished: %s of %s came%s in %s", size(r.Fetched), size(r.Size), through, seconds(r.Total))
	default:
		fmt.Fprintf(&b, "Pull not finished after %s", seconds(r.Total))
	}
	here := 0
	for _, layer := range r.Layers {
		if layer.From == Here {
			here++
		}
	}
	if here > 0 {
		fmt.Fprintf(&b, " (%d of %d layers were here already)", here, len(r.Layers))
	}
	fmt.Fprintf(&b, ": token %s, manifest %s, waiting %s, transfer %s", seconds(r.Token), seconds(r.Manifest), seconds(r.Wait), seconds(r.Transfer))
	if r.Rate > 0 {
		fmt.Fprintf(&b, " (%s/s)", size(int64(r.Rate)))
	}
	fmt.Fprintf(&b, ", unpack %s", seconds(r.Unpack))
	switch n := r.Retries(); n {
	case 0:
	case 1:
		b.WriteString(", 1 retry")
	default:
		fmt.Fprintf(&b, ", %d retries", n)
	}
	b.WriteString(r.slowSentence())
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

// Slow is what a pull was slow in.
type Slow string

// What a pull can be slow in.
const (
	SlowToken      Slow = "token"
	SlowManifest   Slow = "manifest"
	SlowWaiting    Slow = "waiting" // for the registry to send
	SlowRetries    Slow = "retries" // the pauses before them
	SlowOtherPulls Slow = "other_pulls"
	SlowDetour     Slow = "cache_away" // caches that were not there
	SlowTransfer   Slow = "transfer"
	SlowUnpack     Slow = "unpack"
	SlowStore      Slow = "store" // the store's own bookkeeping
)

// Slow is the phase that took the longest; "" if the pull was not slow.
func (r Report) Slow() Slow {
	if r.Total < slowPull {
		return ""
	}
	slow, _ := r.longest()
	return slow
}

func (r Report) longest() (Slow, time.Duration) {
	type phase struct {
		slow Slow
		took time.Duration
	}
	longest := slices.MaxFunc([]phase{ // of equal ones the first
		{SlowTransfer, r.Transfer},
		{SlowWaiting, r.Wait - r.Pause - r.Others},
		{SlowRetries, r.Pause},
		{SlowOtherPulls, r.Others},
		{SlowDetour, r.Detour},
		{SlowUnpack, r.Unpack},
		{SlowManifest, r.Manifest},
		{SlowToken, r.Token},
		{SlowStore, r.Total - r.Token - r.Manifest - r.Wait - r.Detour - r.Transfer - r.Unpack},
	}, func(a, b phase) int { return cmp.Compare(a.took, b.took) })
	return longest.slow, longest.took
}

// slowSentence names what took the most of a slow pull, as what follows a
// sentence.
func (r Report) slowSentence() string {
	if r.Total < slowPull {
		return ""
	}
	slow, took := r.longest()
	from, help := "the registry", cacheHelps
	if r.Cache != "" {
		from, help = "the cache", ""
	}
	most := ". Most of it was "
	if took <= r.Total/2 {
		most = ". The longest part of it was "
	}
	switch slow {
	case SlowTransfer:
		s := most + "the transfer" + r.slowLayers()
		if r.Rate < slowTransfer {
			s += help
		}
		return s
	case SlowWaiting:
		return most + "waiting for " + from + " to send" + help
	case SlowRetries:
		return most + "the pauses before retries: connections broke, or " + from + " asked to be left alone" + help
	case SlowDetour:
		return most + "trying a pull-through cache that was not there"
	case SlowOtherPulls:
		return most + "waiting for another pull on this worker, of what this one needs too"
	case SlowUnpack:
		s := most + "unpacking"
		if speed := rate(r.Unpacked, r.Unpack); speed > 0 {
			s += " (" + size(int64(speed)) + "/s)"
		}
		return s + ": the worker's disk and processor, not the network"
	case SlowManifest:
		return most + from + "'s answer to what the image is"
	case SlowToken:
		return most + "the token service's answer"
	default:
		return most + "the bookkeeping of the worker's image store: its disk may be slow"
	}
}

// slowLayers are the rates of the layers that took the longest to come.
func (r Report) slowLayers() string {
	const most = 3
	layers := slices.SortedStableFunc(slices.Values(r.Layers), func(a, b LayerReport) int { return cmp.Compare(b.Transfer, a.Transfer) })
	s := ""
	for i, layer := range layers {
		if layer.Fetched == 0 || i == most || layer.Transfer < layers[0].Transfer/4 {
			break
		}
		if i == 0 {
			s = "; layer "
		} else {
			s += ", layer "
		}
		s += fmt.Sprintf("%s (%s) came at %s/s", short(layer.Digest), size(layer.Size), size(int64(layer.Rate())))
	}
	return s
}

// short is the digest as people are shown it: twelve characters.
func short(d digest.Digest) string {
	const length = 12
	encoded := d.Encoded()
	return encoded[:min(length, len(encoded))]
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
