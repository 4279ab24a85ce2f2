package valohaiyaml_test

import (
	"encoding/json"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func TestDurationsAreReadAsTheFormatReadsThem(t *testing.T) {
	var all []struct {
		In      valohaiyaml.Value
		Seconds *float64
		Error   string
	}
	if err := json.Unmarshal(readFile(t, "durations.json"), &all); err != nil {
		t.Fatal(err)
	}
	for _, want := range all {
		got, err := valohaiyaml.ParseDuration(want.In)
		switch {
		case want.Error != "":
			if !fault.Is(err, fault.Invalid) {
				t.Errorf("%s: %v, want an error", want.In, err)
			}
		case err != nil:
			t.Errorf("%s: %v", want.In, err)
		case (got == nil) != (want.Seconds == nil) || got != nil && got.Seconds() != *want.Seconds:
			t.Errorf("%s: %v, want %v", want.In, got, want.Seconds)
		}
	}
}

func TestADurationThatIsNoneSaysHowToWriteOne(t *testing.T) {
	for _, value := range []valohaiyaml.Value{
		valohaiyaml.TextValue("5"), valohaiyaml.TextValue("1M"), valohaiyaml.TextValue("3x"), valohaiyaml.TextValue("-"),
		valohaiyaml.TextValue("9999999999999w"), valohaiyaml.FloatValue(1.5), valohaiyaml.ListValue(),
	} {
		_, err := valohaiyaml.ParseDuration(value)
		if f := fault.From(err); err == nil || f.Kind != fault.Invalid || !strings.Contains(f.Hint, "1h 30m") {
			t.Errorf("%s: %v, want an error that says how to write it", value, err)
		}
	}
	if d, err := valohaiyaml.ParseDuration(valohaiyaml.Value{}); d != nil || err != nil {
		t.Errorf("null is %v (%v), want no duration", d, err)
	}
}
