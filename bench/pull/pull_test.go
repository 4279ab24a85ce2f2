package main

import (
	"runtime"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/bench/far"
)

func TestTheLimitIsTheSlowestOfThree(t *testing.T) {
	b := &bench{image: &far.Model{Layers: []far.Layer{{Size: 2 * far.LinkRate}}}}
	b.limits.transfer, b.limits.write = []float64{0.1}, []float64{1, 1.5, 9}
	b.limits.decompress = []float64{float64(runtime.NumCPU())}
	want := map[string]limit{
		far.Unthrottled: {Transfer: 0.1, Decompress: 1, Write: 1.5, Seconds: 1.5, By: "writing"},
		far.Shaped:      {Transfer: 2, Decompress: 1, Write: 1.5, Seconds: 2, By: "transfer"},
	}
	for link, want := range want {
		if diff := cmp.Diff(want, b.limitOf(link)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", link, diff)
		}
	}
}
