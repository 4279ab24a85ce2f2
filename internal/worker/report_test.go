package worker

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
)

func TestAPullReportIsWrittenInBytesAndSecondsSinceThePullBegan(t *testing.T) {
	layer, begin := digest.FromString("a"), time.Unix(1_800_000_000, 0)
	at := func(milliseconds int) time.Time { return begin.Add(time.Duration(milliseconds) * time.Millisecond) }
	for want, report := range map[string]pull.Report{
		`{"sentence":"Pulled 1.0 kB in 12 s (1 of 2 layers were here already): token 0.10 s, manifest 0.20 s, waiting 10 s, transfer 0.40 s (2.5 kB/s), unpack 0.000 s, 2 retries. ` +
			`Most of it was the pauses before retries: connections broke, or the registry asked to be left alone. A pull-through cache near this worker would help",` +
			`"warm":false,"slow":"retries","total_seconds":12,"token_seconds":0.1,"manifest_seconds":0.2,"wait_seconds":10,"retry_wait_seconds":9,"other_pulls_seconds":0.5,` +
			`"transfer_seconds":0.4,"unpack_seconds":0.000001,"token_spans":[{"begin_seconds":0,"end_seconds":0.1}],"manifest_spans":[{"begin_seconds":0.1,"end_seconds":0.3}],` +
			`"bytes_per_second":2500,"fetched_bytes":1000,"unpacked_bytes":4000,"size_bytes":1200,"retries":2,"layers":[` +
			`{"digest":"` + layer.String() + `","size_bytes":1000,"from":"registry","existed":false,"fetched_bytes":1000,"unpacked_bytes":4000,"retries":2,` +
			`"bytes_per_second":2500,"wait_seconds":0.3,"transfer_seconds":0.4,"unpack_seconds":0.5,` +
			`"requested_at_seconds":0.3,"first_byte_at_seconds":0.6,"last_byte_at_seconds":10,"unpacked_at_seconds":10.5},` +
			`{"digest":"` + layer.String() + `","size_bytes":7,"from":"here already","existed":true,"fetched_bytes":0,"unpacked_bytes":0,"retries":0,` +
			`"bytes_per_second":0,"wait_seconds":0,"transfer_seconds":0,"unpack_seconds":0}],` +
			`"rate_limit":{"limit":200,"remaining":187,"window_seconds":21600,"source":"192.0.2.7"}}`: {
			Begin: begin, Total: 12 * time.Second, Token: 100 * time.Millisecond, Manifest: 200 * time.Millisecond,
			Wait: 10 * time.Second, Pause: 9 * time.Second, Others: 500 * time.Millisecond,
			Transfer: 400 * time.Millisecond, Unpack: 1400 * time.Nanosecond,
			TokenSpans: []pull.Span{{Begin: begin, End: at(100)}}, ManifestSpans: []pull.Span{{Begin: at(100), End: at(300)}},
			Rate: 2499.7, Fetched: 1000, Unpacked: 4000, Size: 1200,
			Layers: []pull.LayerReport{
				{
					Digest: layer, Size: 1000, From: pull.Registry, Fetched: 1000, Unpacked: 4000, Retries: 2,
					Wait: 300 * time.Millisecond, Transfer: 400 * time.Millisecond, Unpack: 500 * time.Millisecond,
					RequestedAt: at(300), FirstByteAt: at(600), LastByteAt: at(10_000), UnpackedAt: at(10_500),
				},
				{Digest: layer, Size: 7, From: pull.Here},
			},
			RateLimit: &oci.RateLimit{Limit: 200, Remaining: 187, Window: 6 * time.Hour, Source: "192.0.2.7"},
		},
		`{"sentence":"Pull not finished after 0.000 s: token 0.000 s, manifest 0.000 s, waiting 0.000 s, transfer 0.000 s, unpack 0.000 s",` +
			`"warm":false,"unfinished":true,"total_seconds":0,"token_seconds":0,"manifest_seconds":0,"wait_seconds":0,"transfer_seconds":0,"unpack_seconds":0,` +
			`"bytes_per_second":0,"fetched_bytes":0,"unpacked_bytes":0,"size_bytes":0,"retries":0,"layers":[]}`: {Unfinished: true},
	} {
		got, err := json.Marshal(reportOf(report))
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	}
}
