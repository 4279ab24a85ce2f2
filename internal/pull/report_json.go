package pull

import (
	"encoding/json"
	"math"
	"time"

	"github.com/opencontainers/go-digest"
)

// reportDocument is a Report as it is stored and shown: sizes are bytes, times
// are seconds to the microsecond.
type reportDocument struct {
	Warm            bool            `json:"warm"`
	TotalSeconds    float64         `json:"total_seconds"`
	TokenSeconds    float64         `json:"token_seconds"`
	ManifestSeconds float64         `json:"manifest_seconds"`
	WaitSeconds     float64         `json:"wait_seconds"`
	TransferSeconds float64         `json:"transfer_seconds"`
	UnpackSeconds   float64         `json:"unpack_seconds"`
	BytesPerSecond  int64           `json:"bytes_per_second"`
	FetchedBytes    int64           `json:"fetched_bytes"`
	UnpackedBytes   int64           `json:"unpacked_bytes"`
	SizeBytes       int64           `json:"size_bytes"`
	Retries         int             `json:"retries"`
	Layers          []layerDocument `json:"layers"`
	RateLimit       *limitDocument  `json:"rate_limit,omitempty"`
}

type limitDocument struct {
	Limit         int     `json:"limit"`
	Remaining     int     `json:"remaining"`
	WindowSeconds float64 `json:"window_seconds,omitempty"`
	Source        string  `json:"source,omitempty"`
}

type layerDocument struct {
	Digest          digest.Digest `json:"digest"`
	SizeBytes       int64         `json:"size_bytes"`
	Existed         bool          `json:"existed"`
	FetchedBytes    int64         `json:"fetched_bytes"`
	UnpackedBytes   int64         `json:"unpacked_bytes"`
	Retries         int           `json:"retries"`
	WaitSeconds     float64       `json:"wait_seconds"`
	TransferSeconds float64       `json:"transfer_seconds"`
	UnpackSeconds   float64       `json:"unpack_seconds"`
	BytesPerSecond  int64         `json:"bytes_per_second"`
}

// MarshalJSON writes the report with sizes in bytes and times in seconds, and
// says whether the pull was warm, how often a download was taken up again, and
// how much the registry still gives where it told.
// The names are part of the API: an execution shows them as its pull_report.
func (r Report) MarshalJSON() ([]byte, error) {
	document := reportDocument{
		Warm:            r.Warm(),
		TotalSeconds:    inSeconds(r.Total),
		TokenSeconds:    inSeconds(r.Token),
		ManifestSeconds: inSeconds(r.Manifest),
		WaitSeconds:     inSeconds(r.Wait),
		TransferSeconds: inSeconds(r.Transfer),
		UnpackSeconds:   inSeconds(r.Unpack),
		BytesPerSecond:  int64(math.Round(r.Rate)),
		FetchedBytes:    r.Fetched,
		UnpackedBytes:   r.Unpacked,
		SizeBytes:       r.Size,
		Retries:         r.Retries(),
		Layers:          make([]layerDocument, len(r.Layers)),
	}
	if l := r.RateLimit; l != nil {
		document.RateLimit = &limitDocument{Limit: l.Limit, Remaining: l.Remaining, WindowSeconds: inSeconds(l.Window), Source: l.Source}
	}
	for i, l := range r.Layers {
		document.Layers[i] = layerDocument{
			Digest:          l.Digest,
			SizeBytes:       l.Size,
			Existed:         l.From == Here,
			FetchedBytes:    l.Fetched,
			UnpackedBytes:   l.Unpacked,
			Retries:         l.Retries,
			WaitSeconds:     inSeconds(l.Wait),
			TransferSeconds: inSeconds(l.Transfer),
			UnpackSeconds:   inSeconds(l.Unpack),
			BytesPerSecond:  int64(math.Round(l.Rate())),
		}
	}
	return json.Marshal(document)
}

func inSeconds(d time.Duration) float64 {
	return d.Round(time.Microsecond).Seconds()
}
