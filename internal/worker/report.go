package worker

import (
	"math"
	"time"

	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/wire"
)

// reportOf is a pull's report as the API shows it.
func reportOf(r pull.Report) wire.PullReport {
	shown := wire.PullReport{
		Sentence: r.Sentence(), Warm: r.Warm(), Unfinished: r.Unfinished, Slow: string(r.Slow()),
		TotalSeconds: inSeconds(r.Total), TokenSeconds: inSeconds(r.Token), ManifestSeconds: inSeconds(r.Manifest),
		WaitSeconds: inSeconds(r.Wait), RetryWaitSeconds: inSeconds(r.Pause), OtherPullsSeconds: inSeconds(r.Others), CacheAwaySeconds: inSeconds(r.Detour),
		TransferSeconds: inSeconds(r.Transfer), UnpackSeconds: inSeconds(r.Unpack),
		TokenSpans: spansOf(r.TokenSpans, r.Begin), ManifestSpans: spansOf(r.ManifestSpans, r.Begin), OtherPullsSpans: spansOf(r.OthersSpans, r.Begin),
		BytesPerSecond: int64(math.Round(r.Rate)), FetchedBytes: r.Fetched, UnpackedBytes: r.Unpacked, SizeBytes: r.Size, Retries: r.Retries(),
		Cache: r.Cache, Layers: make([]wire.PulledLayer, len(r.Layers)),
	}
	if l := r.RateLimit; l != nil {
		shown.RateLimit = &wire.PullRateLimit{Limit: l.Limit, Remaining: l.Remaining, WindowSeconds: inSeconds(l.Window), Source: l.Source}
	}
	for i, l := range r.Layers {
		shown.Layers[i] = wire.PulledLayer{
			Digest: l.Digest.String(), SizeBytes: l.Size, From: string(l.From), Existed: l.From == pull.Here, Failed: l.Failed,
			FetchedBytes: l.Fetched, UnpackedBytes: l.Unpacked, Retries: l.Retries, BytesPerSecond: int64(math.Round(l.Rate())),
			WaitSeconds: inSeconds(l.Wait), TransferSeconds: inSeconds(l.Transfer), UnpackSeconds: inSeconds(l.Unpack),
			RequestedAt: momentOf(l.RequestedAt, r.Begin), FirstByteAt: momentOf(l.FirstByteAt, r.Begin),
			LastByteAt: momentOf(l.LastByteAt, r.Begin), UnpackedAt: momentOf(l.UnpackedAt, r.Begin),
		}
	}
	return shown
}

func spansOf(spans []pull.Span, begin time.Time) []wire.PullSpan {
	shown := make([]wire.PullSpan, len(spans))
	for i, span := range spans {
		shown[i] = wire.PullSpan{Begin: inSeconds(span.Begin.Sub(begin)), End: inSeconds(span.End.Sub(begin))}
	}
	return shown
}

// momentOf is a moment as seconds since begin; nil for none.
func momentOf(at, begin time.Time) *float64 {
	if at.IsZero() {
		return nil
	}
	seconds := inSeconds(at.Sub(begin))
	return &seconds
}

// inSeconds is the nearest decimal number.
func inSeconds(d time.Duration) float64 {
	return float64(d.Round(time.Microsecond).Microseconds()) / 1e6
}
