package web

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/execution"
)

func told(bodies ...string) []execution.Metadatum {
	all := make([]execution.Metadatum, len(bodies))
	for i, body := range bodies {
		all[i] = execution.Metadatum{Body: []byte(body)}
	}
	return all
}

func TestWhatIsToldAgainAsANumberIsDrawnAndOfTheRestTheLatestIsShown(t *testing.T) {
	plots, latest := plotsOf(told(
		`{"loss": 2.5, "phase": "warm <b>up</b>", "once": 7, "shape": [1,  2]}`,
		`not an object`,
		`{"l\u006fss": 0.5, "phase": "train", "big": 12345678901234567890}`,
		`{"loss": 1.5, "loss": 1, "best": null, "broken": `,
		`[{"loss": 9}]`,
	))
	if len(plots) != 1 || plots[0].Said() != "loss: 4 values from 0.5 to 2.5, the last 1" {
		t.Errorf("drawn are %+v", plots)
	}
	want := []setting{{"best", "null"}, {"big", "12345678901234567890"}, {"once", "7"}, {"phase", "train"}, {"shape", "[1,2]"}}
	if diff := cmp.Diff(want, latest); diff != "" {
		t.Error(diff)
	}
}

func BenchmarkPlotsOfTenThousand(b *testing.B) {
	bodies := make([]string, 10_000)
	for n := range bodies {
		bodies[n] = fmt.Sprintf(`{"epoch":%d,"loss":%g,"accuracy":%g,"learning_rate":0.001,"phase":"train"}`, n, 1/float64(n+1), 1-1/float64(n+1))
	}
	all := told(bodies...)
	for b.Loop() {
		plotsOf(all)
	}
}
