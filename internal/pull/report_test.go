package pull

import (
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

func TestAReportIsOneLineThatNamesThePhases(t *testing.T) {
	layer := LayerReport{Digest: digest.FromString("a"), Size: 3e9, Fetched: 3e9, Transfer: time.Minute}
	fast := LayerReport{Digest: digest.FromString("b"), Size: 1000, Fetched: 1000, Transfer: time.Millisecond}
	here := LayerReport{Digest: digest.FromString("c"), Size: 1000, Existed: true}
	for want, report := range map[string]Report{
		"Image is on this worker already: 3.0 GB, checked with the registry in 0.08 s": {
			Size: 3e9, Total: 80 * time.Millisecond, Layers: []LayerReport{here},
		},
		"Pulled 1.0 kB in 1.50 s (1 of 2 layers were here already): token 0.10 s, manifest 0.20 s, waiting 0.30 s, transfer 0.40 s (2.5 kB/s), unpack 0.50 s": {
			Fetched: 1000, Total: 1500 * time.Millisecond, Token: 100 * time.Millisecond, Manifest: 200 * time.Millisecond,
			Wait: 300 * time.Millisecond, Transfer: 400 * time.Millisecond, Unpack: 500 * time.Millisecond, Rate: 2500,
			Layers: []LayerReport{here, fast},
		},
		"Pulled 3.0 GB in 70 s: token 0.000 s, manifest 0.000 s, waiting 0.000 s, transfer 60 s (10.0 MB/s), unpack 10 s, 2 retries" +
			". Most of it was the transfer; layer ca978112ca1b (3.0 GB) came at 50.0 MB/s. A pull-through cache near this worker would help": {
			Fetched: 3e9, Total: 70 * time.Second, Transfer: time.Minute, Unpack: 10 * time.Second, Rate: 10e6,
			Layers: []LayerReport{func() LayerReport { l := layer; l.Retries = 2; return l }(), fast},
		},
		"Pulled 3.0 GB in 20 s: token 12 s, manifest 0.000 s, waiting 0.000 s, transfer 8.00 s, unpack 0.000 s. Most of it was the token service's answer": {
			Fetched: 3e9, Total: 20 * time.Second, Token: 12 * time.Second, Transfer: 8 * time.Second, Layers: []LayerReport{layer},
		},
	} {
		if got := report.Sentence(); got != want {
			t.Errorf("sentence = %q\n     want %q", got, want)
		}
	}
}

func TestAReportIsWrittenInBytesAndSeconds(t *testing.T) {
	layer := digest.FromString("a")
	for want, report := range map[string]Report{
		`{"warm":false,"total_seconds":1.5,"token_seconds":0.1,"manifest_seconds":0.2,"wait_seconds":0.3,"transfer_seconds":0.4,"unpack_seconds":0.000001,` +
			`"bytes_per_second":2500,"fetched_bytes":1000,"unpacked_bytes":4000,"size_bytes":1200,"retries":2,"layers":[` +
			`{"digest":"` + layer.String() + `","size_bytes":1000,"existed":false,"fetched_bytes":1000,"unpacked_bytes":4000,"retries":2,` +
			`"wait_seconds":0.3,"transfer_seconds":0.4,"unpack_seconds":0.5,"bytes_per_second":2500}]}`: {
			Total: 1500 * time.Millisecond, Token: 100 * time.Millisecond, Manifest: 200 * time.Millisecond,
			Wait: 300 * time.Millisecond, Transfer: 400 * time.Millisecond, Unpack: 1400 * time.Nanosecond,
			Rate: 2499.7, Fetched: 1000, Unpacked: 4000, Size: 1200,
			Layers: []LayerReport{{
				Digest: layer, Size: 1000, Fetched: 1000, Unpacked: 4000, Retries: 2,
				Wait: 300 * time.Millisecond, Transfer: 400 * time.Millisecond, Unpack: 500 * time.Millisecond,
			}},
		},
		`{"warm":true,"total_seconds":0,"token_seconds":0,"manifest_seconds":0,"wait_seconds":0,"transfer_seconds":0,"unpack_seconds":0,` +
			`"bytes_per_second":0,"fetched_bytes":0,"unpacked_bytes":0,"size_bytes":0,"retries":0,"layers":[]}`: {},
	} {
		got, err := json.Marshal(report)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("report (-want +got):\n%s", diff)
		}
	}
}

func TestWhatIsLeftIsToldOfDockerHubByItsNameAndOfWhom(t *testing.T) {
	limit := oci.RateLimit{Limit: 200, Remaining: 187, Window: 6 * time.Hour}
	for source, want := range map[string]string{
		"":                                     "Docker Hub: 187 of 200 pulls left in 6h0m0s",
		"192.0.2.7":                            "Docker Hub: 187 of 200 pulls left in 6h0m0s (for address 192.0.2.7)",
		"2001:db8::7":                          "Docker Hub: 187 of 200 pulls left in 6h0m0s (for address 2001:db8::7)",
		"4d2c6ab9-0f6e-4f5e-8a1f-6a2b6d1f1f5b": "Docker Hub: 187 of 200 pulls left in 6h0m0s (for account 4d2c6ab9-0f6e-4f5e-8a1f-6a2b6d1f1f5b)",
	} {
		limit.Source = source
		report := Report{RateLimit: &limit, registry: registryTitle(image.MustParseReference("acme/train"))}
		if got := report.LimitSentence(); got != want {
			t.Errorf("sentence = %q, want %q", got, want)
		}
	}
	limit.Source = "192.0.2.7"
	got, err := json.Marshal(Report{RateLimit: &limit})
	if err != nil || !strings.Contains(string(got), `"rate_limit":{"limit":200,"remaining":187,"window_seconds":21600,"source":"192.0.2.7"}`) {
		t.Errorf("%s, %v", got, err)
	}
}

func TestTheRateIsOfTheTimeInWhichAnythingCame(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	layers := []LayerReport{
		{Fetched: 100, begin: at(0), end: at(10)},
		{Fetched: 100, begin: at(5), end: at(15)},
		{Fetched: 100, begin: at(25), end: at(30)},
		{Fetched: 0},
	}
	if got := rateOf(layers); got != 15 {
		t.Errorf("rate = %v, want 15 bytes in a second", got)
	}
	if got := rateOf(nil); got != 0 {
		t.Errorf("rate of nothing = %v", got)
	}
}

func TestTimeCountsOnceAndForWhatHoldsThePullUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		line := &timeline{now: time.Now}
		waited := line.enter(waiting)
		time.Sleep(time.Second)
		transferred := line.enter(transferring)
		time.Sleep(2 * time.Second)
		unpacked := line.enter(unpacking)
		time.Sleep(4 * time.Second)
		unpacked()
		time.Sleep(8 * time.Second)
		transferred()
		waited()
		time.Sleep(time.Minute) // nothing goes on
		line.enter(resolving)()
		got := map[activity]time.Duration{}
		for a := range activities {
			got[a] = line.of(a)
		}
		want := map[activity]time.Duration{
			unpacking: 4 * time.Second, transferring: 10 * time.Second, authorizing: 0, resolving: 0, waiting: time.Second,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("spent (-want +got):\n%s", diff)
		}
	})
}
