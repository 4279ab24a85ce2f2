package valohaiyaml_test

import (
	"testing"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// The wanted values are those of PyYAML 6.0.3.
func TestPlainScalarsAreThoseOfYAML11(t *testing.T) {
	for text, want := range map[string]struct {
		kind    valohaiyaml.Kind
		printed string
	}{
		"yes": {valohaiyaml.Boolean, "True"}, "Off": {valohaiyaml.Boolean, "False"}, "tRue": {valohaiyaml.Text, "tRue"},
		"y": {valohaiyaml.Text, "y"}, "N": {valohaiyaml.Text, "N"},
		"~": {valohaiyaml.Null, "None"}, "Null": {valohaiyaml.Null, "None"}, "nULL": {valohaiyaml.Text, "nULL"},
		"010": {valohaiyaml.Integer, "8"}, "0o17": {valohaiyaml.Text, "0o17"}, "08": {valohaiyaml.Text, "08"},
		"0x_1F": {valohaiyaml.Integer, "31"}, "-0b101": {valohaiyaml.Integer, "-5"}, "1_000": {valohaiyaml.Integer, "1000"},
		"+3": {valohaiyaml.Integer, "3"}, "-0": {valohaiyaml.Integer, "0"}, "123456789012345678901234567890": {valohaiyaml.Integer, "123456789012345678901234567890"},
		"1:30": {valohaiyaml.Integer, "90"}, "-1:30": {valohaiyaml.Integer, "-90"}, "1:60": {valohaiyaml.Text, "1:60"},
		"190:20:30.15": {valohaiyaml.Float, "685230.15"},
		"1e-3":         {valohaiyaml.Text, "1e-3"}, "1e+3": {valohaiyaml.Text, "1e+3"}, "1.0e-3": {valohaiyaml.Float, "0.001"}, "1.5e5": {valohaiyaml.Text, "1.5e5"},
		"1.": {valohaiyaml.Float, "1.0"}, ".5": {valohaiyaml.Float, "0.5"}, "-.5": {valohaiyaml.Text, "-.5"}, "-0.0": {valohaiyaml.Float, "-0.0"},
		"1.0e+16": {valohaiyaml.Float, "1e+16"}, "1.0e-5": {valohaiyaml.Float, "1e-05"}, "1.0e+15": {valohaiyaml.Float, "1000000000000000.0"},
		"-.inf": {valohaiyaml.Float, "-inf"}, ".NaN": {valohaiyaml.Float, "nan"}, "1.0e+999": {valohaiyaml.Float, "inf"},
		"2020-01-02":                  {valohaiyaml.Time, "2020-01-02"},
		"2001-12-14t21:59:43.10-5:30": {valohaiyaml.Time, "2001-12-14 21:59:43.100000-05:30"},
		"2001-12-14 21:59:43Z":        {valohaiyaml.Time, "2001-12-14 21:59:43+00:00"},
		"2020-1-2":                    {valohaiyaml.Text, "2020-1-2"},
		"'on'":                        {valohaiyaml.Text, "on"}, "!!str 010": {valohaiyaml.Text, "010"}, "!!float 3": {valohaiyaml.Float, "3.0"},
		"!!int '3'": {valohaiyaml.Integer, "3"}, "!!bool yes": {valohaiyaml.Boolean, "True"}, "!!null x": {valohaiyaml.Null, "None"},
		"[1, a, [1.0]]": {valohaiyaml.List, "[1, 'a', [1.0]]"}, `["it's", 'a"b''c', "\n\t\\\e\u2028\U0010ffff"]`: {valohaiyaml.List, `["it's", 'a"b\'c', '\n\t\\\x1b\u2028\U0010ffff']`},
		"{a: 1, 2: yes}": {valohaiyaml.Map, "{'a': 1, 2: True}"},
	} {
		file := parse(t, "- step: {name: s, image: a, command: b, parameters: [{name: p, default: "+text+"}]}")
		got := file.Steps[0].Parameters[0].Default
		if got.Kind() != want.kind || got.String() != want.printed {
			t.Errorf("%s is %s %s, want %s %s", text, got.Kind(), got, want.kind, want.printed)
		}
	}
}

func TestMergeKeysBringInWhatAMapHasNot(t *testing.T) {
	file := parse(t, `- {base: &base {name: s, image: base, command: b}, more: &more {image: more, category: c}}
- step: {<<: [*base, *more], image: own}
- step: {<<: *more, name: t, command: b}
- step: {<<: *base, <<: *more, name: u}
`)
	s, other, both := file.Steps[0], file.Steps[1], file.Steps[2]
	if s.Name != "s" || s.Image != "own" || s.Category != "c" || other.Image != "more" {
		t.Errorf("merged steps: %+v, %+v", s, other)
	}
	if both.Name != "u" || both.Image != "more" || both.Commands[0] != "b" {
		t.Errorf("of two merge keys the last counts: %+v", both)
	}
}
