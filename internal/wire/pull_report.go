package wire

import (
	"encoding/json"
	"errors"
	"fmt"
)

// PullReport is what a worker tells of a pull. Sizes are bytes, times are seconds
// to the microsecond, and moments are seconds since the pull began.
type PullReport struct {
	Sentence   string `json:"sentence,omitempty" doc:"As the log has it. Of a pull of ten seconds or more it names what took the longest, and says when a cache would help"`
	Warm       bool   `json:"warm" doc:"All of the image was on the worker already"`
	Unfinished bool   `json:"unfinished,omitempty" doc:"The pull failed or was broken off, and this is what was done until then"`
	Slow       string `json:"slow,omitempty" enum:"token,manifest,waiting,retries,other_pulls,cache_away,transfer,unpack,store" doc:"What took the longest of a pull of ten seconds or more"`

	TotalSeconds      float64 `json:"total_seconds" doc:"From the first request until the image could be run"`
	TokenSeconds      float64 `json:"token_seconds" doc:"Of the total, as all of these: time in which nothing but this held the pull up"`
	ManifestSeconds   float64 `json:"manifest_seconds" doc:"For the image's manifest"`
	WaitSeconds       float64 `json:"wait_seconds" doc:"For the registry's first byte, and the two below"`
	RetryWaitSeconds  float64 `json:"retry_wait_seconds,omitempty" doc:"Pauses before retries"`
	OtherPullsSeconds float64 `json:"other_pulls_seconds,omitempty" doc:"For other pulls on the same worker, of what this one needs too"`
	CacheAwaySeconds  float64 `json:"cache_away_seconds,omitempty" doc:"Trying a pull-through cache that was not there, before the registry was asked"`
	TransferSeconds   float64 `json:"transfer_seconds" doc:"For bytes of layers"`
	UnpackSeconds     float64 `json:"unpack_seconds" doc:"For unpacking what had come"`

	TokenSpans      []PullSpan `json:"token_spans,omitempty" doc:"When the authorization was asked for"`
	ManifestSpans   []PullSpan `json:"manifest_spans,omitempty" doc:"When the manifest was"`
	OtherPullsSpans []PullSpan `json:"other_pulls_spans,omitempty" doc:"When other pulls were waited for"`

	BytesPerSecond int64 `json:"bytes_per_second" doc:"While any layer was coming; 0 if none did"`
	FetchedBytes   int64 `json:"fetched_bytes" doc:"What came over the network"`
	UnpackedBytes  int64 `json:"unpacked_bytes" doc:"What was written of it"`
	SizeBytes      int64 `json:"size_bytes" doc:"The whole image, as the registry has it; 0 where it did not say what the image is"`
	Retries        int   `json:"retries" doc:"How often a request was made again"`

	Cache string `json:"cache,omitempty" doc:"Host of the pull-through cache that was asked in the registry's place; absent where the registry was"`

	Layers    []PulledLayer  `json:"layers" doc:"From the bottom up; none where the registry did not say what the image is"`
	RateLimit *PullRateLimit `json:"rate_limit,omitempty" doc:"What the registry said of how much it still gives"`
}

// PullSpan is a stretch of a pull.
type PullSpan struct {
	Begin float64 `json:"begin_seconds" doc:"Its beginning"`
	End   float64 `json:"end_seconds" doc:"Its end"`
}

// PulledLayer is what a pull did with one layer. The moments are over all
// retries, and absent where they did not come.
type PulledLayer struct {
	Digest    string `json:"digest" doc:"The layer's digest"`
	SizeBytes int64  `json:"size_bytes" doc:"As the registry has it"`
	From      string `json:"from,omitempty" doc:"registry, cache for a pull-through cache in its place, or here already for what the worker had; absent where the pull did not come to this layer. There may be other places"`
	Existed   bool   `json:"existed" doc:"Nothing was fetched, since the worker had it"`
	Failed    bool   `json:"failed,omitempty" doc:"The pull failed by this layer"`

	FetchedBytes   int64 `json:"fetched_bytes" doc:"What came over the network"`
	UnpackedBytes  int64 `json:"unpacked_bytes" doc:"Of its files"`
	Retries        int   `json:"retries" doc:"How often a request was made again"`
	BytesPerSecond int64 `json:"bytes_per_second" doc:"While it was coming"`

	WaitSeconds     float64 `json:"wait_seconds" doc:"For the first byte, before retries, and for another pull of this layer"`
	TransferSeconds float64 `json:"transfer_seconds" doc:"Without waits for the unpacking to keep up"`
	UnpackSeconds   float64 `json:"unpack_seconds" doc:"Most of it beside the transfer"`

	RequestedAt *float64 `json:"requested_at_seconds,omitempty" doc:"The first request for it"`
	FirstByteAt *float64 `json:"first_byte_at_seconds,omitempty" doc:"The first byte that came"`
	LastByteAt  *float64 `json:"last_byte_at_seconds,omitempty" doc:"The last that came, also of a layer that did not come whole"`
	UnpackedAt  *float64 `json:"unpacked_at_seconds,omitempty" doc:"All of it was unpacked"`
}

// PullRateLimit is how much a registry still gives.
type PullRateLimit struct {
	Limit         int     `json:"limit" doc:"Pulls in the window"`
	Remaining     int     `json:"remaining" doc:"Pulls that are left"`
	WindowSeconds float64 `json:"window_seconds,omitempty" doc:"How long the window is; 0: not said"`
	Source        string  `json:"source,omitempty" doc:"Whom it is counted for, as the registry says"`
}

// ParsePullReport reads a report as an execution has it. It was a worker that
// wrote it: sizes and times below zero, or beyond a year, and more layers than any
// image has, are refused. Fields that are unknown, or not there, are passed over.
func ParsePullReport(document json.RawMessage) (r PullReport, err error) {
	if err := json.Unmarshal(document, &r); err != nil {
		return PullReport{}, fmt.Errorf("reading a pull report: %w", err)
	}
	if !r.isSane() {
		return PullReport{}, errors.New("reading a pull report: its figures are no pull's")
	}
	return r, nil
}

func (r PullReport) isSane() bool {
	const most = 10_000
	sane := len(r.Layers) <= most &&
		areCounts(r.BytesPerSecond, r.FetchedBytes, r.UnpackedBytes, r.SizeBytes, int64(r.Retries)) &&
		areSeconds(r.TotalSeconds, r.TokenSeconds, r.ManifestSeconds, r.WaitSeconds, r.RetryWaitSeconds, r.OtherPullsSeconds, r.CacheAwaySeconds, r.TransferSeconds, r.UnpackSeconds)
	for _, spans := range [][]PullSpan{r.TokenSpans, r.ManifestSpans, r.OtherPullsSpans} {
		sane = sane && len(spans) <= most
		for _, span := range spans {
			sane = sane && areSeconds(span.Begin, span.End)
		}
	}
	for _, layer := range r.Layers {
		sane = sane && areCounts(layer.SizeBytes, layer.FetchedBytes, layer.UnpackedBytes, layer.BytesPerSecond, int64(layer.Retries))
		for _, moment := range []*float64{layer.RequestedAt, layer.FirstByteAt, layer.LastByteAt, layer.UnpackedAt} {
			sane = sane && (moment == nil || areSeconds(*moment))
		}
	}
	return sane
}

func areCounts(counts ...int64) bool {
	for _, n := range counts {
		if n < 0 {
			return false
		}
	}
	return true
}

func areSeconds(seconds ...float64) bool {
	const year = 366 * 24 * 60 * 60
	for _, s := range seconds {
		if !(s >= 0 && s <= year) {
			return false
		}
	}
	return true
}
