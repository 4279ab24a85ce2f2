package wire_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/wire"
)

const aPullReport = `{"sentence":"Pulled 1.0 kB in 1.50 s","warm":false,"total_seconds":1.5,"token_seconds":0.1,"manifest_seconds":0.2,
	"wait_seconds":0.3,"transfer_seconds":0.4,"unpack_seconds":0.5,"token_spans":[{"begin_seconds":0,"end_seconds":0.1}],
	"bytes_per_second":2500,"fetched_bytes":1000,"unpacked_bytes":4000,"size_bytes":1200,"retries":2,"layers":[
	{"digest":"sha256:ab","size_bytes":1000,"from":"registry","existed":false,"fetched_bytes":1000,"unpacked_bytes":4000,"retries":2,
	"bytes_per_second":2500,"wait_seconds":0.3,"transfer_seconds":0.4,"unpack_seconds":0.5,"requested_at_seconds":0.3,"first_byte_at_seconds":0.4}]}`

func TestAPullReportIsReadAsFarAsItIsKnown(t *testing.T) {
	requested, first := 0.3, 0.4
	want := wire.PullReport{
		Sentence: "Pulled 1.0 kB in 1.50 s", TotalSeconds: 1.5, TokenSeconds: 0.1, ManifestSeconds: 0.2, WaitSeconds: 0.3, TransferSeconds: 0.4, UnpackSeconds: 0.5,
		TokenSpans: []wire.PullSpan{{Begin: 0, End: 0.1}}, BytesPerSecond: 2500, FetchedBytes: 1000, UnpackedBytes: 4000, SizeBytes: 1200, Retries: 2,
		Layers: []wire.PulledLayer{{
			Digest: "sha256:ab", SizeBytes: 1000, From: "registry", FetchedBytes: 1000, UnpackedBytes: 4000, Retries: 2, BytesPerSecond: 2500,
			WaitSeconds: 0.3, TransferSeconds: 0.4, UnpackSeconds: 0.5, RequestedAt: &requested, FirstByteAt: &first,
		}},
	}
	for _, document := range []string{aPullReport, strings.Replace(aPullReport, "{", `{"of a later version":[1],`, 1)} {
		got, err := wire.ParsePullReport(json.RawMessage(document))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v; report (-want +got):\n%s", err, diff)
		}
	}
}

func TestAPullReportThatNoPullWouldHaveIsRefused(t *testing.T) {
	for _, document := range []string{
		``, `[]`, `"x"`, `{"total_seconds":"1"}`, `{"total_seconds":-1}`, `{"total_seconds":1e300}`, `{"size_bytes":-1}`,
		`{"layers":[{"first_byte_at_seconds":-0.1}]}`, `{"layers":[{"fetched_bytes":-1}]}`, `{"token_spans":[{"end_seconds":1e20}]}`,
		`{"layers":[` + strings.Repeat(`{},`, 10_000) + `{}]}`,
	} {
		if got, err := wire.ParsePullReport(json.RawMessage(document)); err == nil {
			t.Errorf("%.40s is taken for %+v", document, got)
		}
	}
}
