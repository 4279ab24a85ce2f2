package pull

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/opencontainers/go-digest"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

func TestAReportIsOneLineThatNamesThePhases(t *testing.T) {
	layer := LayerReport{Digest: digest.FromString("a"), Size: 3e9, Fetched: 3e9, Transfer: time.Minute}
	fast := LayerReport{Digest: digest.FromString("b"), Size: 1000, Fetched: 1000, Transfer: time.Millisecond}
	here := LayerReport{Digest: digest.FromString("c"), Size: 1000, From: Here}
	for want, report := range map[string]Report{
		"Image is on this worker already: 3.0 GB, checked with the registry in 0.08 s": {
			Size: 3e9, Total: 80 * time.Millisecond, Layers: []LayerReport{here},
		},
		"Image is on this worker already: 3.0 GB, checked through the cache in 0.08 s": {
			Cache: "cache.example", Size: 3e9, Total: 80 * time.Millisecond, Layers: []LayerReport{here},
		},
		"Pulled 1.0 kB through the cache in 1.00 s: token 0.000 s, manifest 0.000 s, waiting 0.000 s, transfer 1.00 s, unpack 0.000 s": {
			Cache: "cache.example", Fetched: 1000, Total: time.Second, Transfer: time.Second, Layers: []LayerReport{fast},
		},
		"Pull not finished: 1.0 kB of 2.0 kB came through the cache in 1.00 s: token 0.000 s, manifest 0.000 s, waiting 0.000 s, transfer 1.00 s, unpack 0.000 s": {
			Cache: "cache.example", Unfinished: true, Size: 2000, Fetched: 1000, Total: time.Second, Transfer: time.Second, Layers: []LayerReport{fast},
		},
		"Pulled 1.0 kB in 1.50 s (1 of 2 layers were here already): token 0.10 s, manifest 0.20 s, waiting 0.30 s, transfer 0.40 s (2.5 kB/s), unpack 0.50 s, 1 retry": {
			Fetched: 1000, Total: 1500 * time.Millisecond, Token: 100 * time.Millisecond, Manifest: 200 * time.Millisecond,
			Wait: 300 * time.Millisecond, Transfer: 400 * time.Millisecond, Unpack: 500 * time.Millisecond, Rate: 2500,
			Layers: []LayerReport{here, retried(fast, 1)},
		},
		"Pulled 3.0 GB in 70 s: token 0.000 s, manifest 0.000 s, waiting 0.000 s, transfer 60 s (10.0 MB/s), unpack 10 s, 2 retries" +
			". Most of it was the transfer; layer ca978112ca1b (3.0 GB) came at 50.0 MB/s. A pull-through cache near this worker would help": {
			Fetched: 3e9, Total: 70 * time.Second, Transfer: time.Minute, Unpack: 10 * time.Second, Rate: 10e6,
			Layers: []LayerReport{retried(layer, 2), fast},
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

func retried(l LayerReport, times int) LayerReport {
	l.Retries = times
	return l
}

func TestASlowPullNamesItsPhaseAndSaysWhenACacheWouldHelp(t *testing.T) {
	slow := func(change func(*Report)) Report {
		r := Report{
			Total: time.Minute, Fetched: 2e9, Unpacked: 6e9, Size: 2e9, Rate: 100e6,
			Layers: []LayerReport{
				{Digest: digest.FromString("a"), Size: 15e8, Fetched: 15e8, Transfer: 30 * time.Second},
				{Digest: digest.FromString("b"), Size: 4e8, Fetched: 4e8, Transfer: 20 * time.Second},
				{Digest: digest.FromString("c"), Size: 1e8, Fetched: 1e8, Transfer: time.Second},
				{Digest: digest.FromString("d"), Size: 1e9, From: Here},
			},
		}
		change(&r)
		return r
	}
	for _, c := range []struct {
		slow   Slow
		report Report
		want   string
	}{
		{
			SlowTransfer, slow(func(r *Report) { r.Transfer = 40 * time.Second }),
			"Most of it was the transfer; layer ca978112ca1b (1.5 GB) came at 50.0 MB/s, layer 3e23e8160039 (400.0 MB) came at 20.0 MB/s",
		},
		{
			SlowTransfer, slow(func(r *Report) { r.Transfer, r.Rate, r.Layers = 40*time.Second, 20e6, r.Layers[:1] }),
			"Most of it was the transfer; layer ca978112ca1b (1.5 GB) came at 50.0 MB/s. A pull-through cache near this worker would help",
		},
		{
			SlowWaiting, slow(func(r *Report) { r.Wait, r.Pause, r.Others = 45*time.Second, time.Second, time.Second }),
			"Most of it was waiting for the registry to send. A pull-through cache near this worker would help",
		},
		{
			SlowRetries, slow(func(r *Report) { r.Wait, r.Pause = 45*time.Second, 40*time.Second }),
			"Most of it was the pauses before retries: connections broke, or the registry asked to be left alone. A pull-through cache near this worker would help",
		},
		{
			SlowOtherPulls, slow(func(r *Report) { r.Wait, r.Others = 45*time.Second, 45*time.Second }),
			"Most of it was waiting for another pull on this worker, of what this one needs too",
		},
		{
			SlowUnpack, slow(func(r *Report) { r.Unpack, r.Transfer = 25*time.Second, 20*time.Second }),
			"The longest part of it was unpacking (240.0 MB/s): the worker's disk and processor, not the network",
		},
		{
			SlowTransfer, slow(func(r *Report) {
				r.Cache, r.Transfer, r.Rate, r.Layers = "cache.example", 40*time.Second, 20e6, r.Layers[:1]
			}),
			"Most of it was the transfer; layer ca978112ca1b (1.5 GB) came at 50.0 MB/s",
		},
		{
			SlowWaiting, slow(func(r *Report) { r.Cache, r.Wait = "cache.example", 45*time.Second }),
			"Most of it was waiting for the cache to send",
		},
		{
			SlowRetries, slow(func(r *Report) { r.Cache, r.Wait, r.Pause = "cache.example", 45*time.Second, 40*time.Second }),
			"Most of it was the pauses before retries: connections broke, or the cache asked to be left alone",
		},
		{
			SlowDetour, slow(func(r *Report) { r.CameAfter(r.Begin.Add(-time.Hour)) }),
			"Most of it was trying a pull-through cache that was not there",
		},
		{SlowManifest, slow(func(r *Report) { r.Manifest = 50 * time.Second }), "Most of it was the registry's answer to what the image is"},
		{SlowToken, slow(func(r *Report) { r.Token = 50 * time.Second }), "Most of it was the token service's answer"},
		{SlowStore, slow(func(r *Report) { r.Token = time.Second }), "Most of it was the bookkeeping of the worker's image store: its disk may be slow"},
		{"", slow(func(r *Report) { r.Total, r.Transfer = 9*time.Second, 9*time.Second }), ""},
	} {
		if got := c.report.Slow(); got != c.slow {
			t.Errorf("slow in %q, want %q", got, c.slow)
		}
		got := c.report.Sentence()
		if want := ". " + c.want; c.want != "" && !strings.HasSuffix(got, want) || c.want == "" && strings.Contains(got, ". ") {
			t.Errorf("sentence = %q\n    want …%q", got, want)
		}
	}
}

func TestAWarmPullThatWaitedForAnotherSaysSo(t *testing.T) {
	report := Report{
		Size: 3e9, Total: 70 * time.Second, Wait: 69 * time.Second, Others: 69 * time.Second,
		Layers: []LayerReport{{Digest: digest.FromString("a"), Size: 3e9, From: Here}},
	}
	const want = "Image is on this worker already: 3.0 GB, checked with the registry in 70 s" +
		". Most of it was waiting for another pull on this worker, of what this one needs too"
	if got := report.Sentence(); got != want {
		t.Errorf("sentence = %q\n     want %q", got, want)
	}
}

func TestAPullThatWasNotFinishedSaysHowFarItCame(t *testing.T) {
	for want, report := range map[string]Report{
		"Pull not finished: 1.0 kB of 3.0 kB came in 2.00 s (1 of 2 layers were here already): token 0.000 s, manifest 0.000 s, waiting 1.00 s, transfer 1.00 s (1.0 kB/s), unpack 0.000 s": {
			Unfinished: true, Fetched: 1000, Size: 3000, Total: 2 * time.Second, Wait: time.Second, Transfer: time.Second, Rate: 1000,
			Layers: []LayerReport{{From: Here}, {From: Registry, Fetched: 1000}},
		},
		"Pull not finished after 30 s: token 30 s, manifest 0.000 s, waiting 0.000 s, transfer 0.000 s, unpack 0.000 s. Most of it was the token service's answer": {
			Unfinished: true, Total: 30 * time.Second, Token: 30 * time.Second,
		},
	} {
		if got := report.Sentence(); got != want {
			t.Errorf("sentence = %q\n     want %q", got, want)
		}
	}
}

func TestWhatWentBeforeAPullCountsAsItsToken(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	report := Report{Begin: at(5), Total: 10 * time.Second, Token: time.Second, TokenSpans: []Span{{at(7), at(8)}}}
	report.BeganWith(Span{at(1), at(4)})
	want := Report{Begin: at(1), Total: 14 * time.Second, Token: 4 * time.Second, TokenSpans: []Span{{at(1), at(4)}, {at(7), at(8)}}}
	if diff := cmp.Diff(want, report, cmpopts.IgnoreUnexported(Report{})); diff != "" {
		t.Errorf("report (-want +got):\n%s", diff)
	}
	none := Report{Unfinished: true}
	none.BeganWith(Span{at(1), at(4)})
	want = Report{Unfinished: true, Begin: at(1), Total: 3 * time.Second, Token: 3 * time.Second, TokenSpans: []Span{{at(1), at(4)}}}
	if diff := cmp.Diff(want, none, cmpopts.IgnoreUnexported(Report{})); diff != "" {
		t.Errorf("report of no pull (-want +got):\n%s", diff)
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
}

func TestTheRateIsOfTheTimeInWhichAnythingCame(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	layers := []LayerReport{
		{Fetched: 100, FirstByteAt: at(0), LastByteAt: at(10)},
		{Fetched: 100, FirstByteAt: at(5), LastByteAt: at(15)},
		{Fetched: 100, FirstByteAt: at(25), LastByteAt: at(30)},
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
			unpacking: 4 * time.Second, transferring: 10 * time.Second, authorizing: 0, resolving: 0,
			waiting: time.Second, pausing: 0, queueing: 0,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("spent (-want +got):\n%s", diff)
		}
	})
}

func TestOfEachPhaseItIsRememberedWhenItWas(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		line := &timeline{now: time.Now}
		line.enter(authorizing)() // the first one, however short
		time.Sleep(time.Second)
		line.enter(authorizing)() // too short to be of interest
		leave, again := line.enter(authorizing), line.enter(authorizing)
		time.Sleep(time.Second)
		leave()
		time.Sleep(time.Second)
		again()
		leave = line.enter(authorizing) // at once again
		time.Sleep(time.Second)
		leave()
		at := func(s int) time.Time { return begin.Add(time.Duration(s) * time.Second) }
		if diff := cmp.Diff([]Span{{begin, begin}, {at(1), at(4)}}, line.when(authorizing)); diff != "" {
			t.Errorf("spans (-want +got):\n%s", diff)
		}
		for range 2 * spansMost {
			leave := line.enter(authorizing)
			time.Sleep(time.Second)
			leave()
			time.Sleep(time.Second)
		}
		if got := len(line.when(authorizing)); got != spansMost {
			t.Errorf("%d spans are remembered, want %d", got, spansMost)
		}
	})
}
