package valohaiyaml_test

import (
	"encoding/json"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func TestValuesKeepTheirNumbersThroughJSON(t *testing.T) {
	for text, want := range map[string]string{
		`[3, 3.0, 1e3, -0, 123456789012345678901234567890]`: `[3,3.0,1000.0,0,123456789012345678901234567890]`,
		`{"b": [true, null, "x"], "a": {}}`:                 `{"a":{},"b":[true,null,"x"]}`,
		`1e-7`:                                              `1e-07`,
		`1e999`:                                             `"inf"`, // JSON has no such number
	} {
		var v valohaiyaml.Value
		if err := json.Unmarshal([]byte(text), &v); err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		got, err := json.Marshal(v)
		if err != nil || string(got) != want {
			t.Errorf("%s becomes %s (%v), want %s", text, got, err, want)
		}
	}
}

func TestANumberOfTooManyDigitsIsNoValue(t *testing.T) {
	var v valohaiyaml.Value
	for _, text := range []string{strings.Repeat("1", 5000), "[" + strings.Repeat("1", 5000) + "]", `{"a": ` + strings.Repeat("1", 5000) + "}"} {
		if err := json.Unmarshal([]byte(text), &v); err == nil {
			t.Errorf("a number of 5000 digits is taken")
		}
	}
}

func TestValuesAreEqualAsInPython(t *testing.T) {
	values := []string{`1`, `1.0`, `true`, `"1"`, `null`, `[1]`, `[1.0]`, `["1"]`, `{"a": 1}`, `{"a": true}`, `{"a": 2}`, `{"b": 1}`, `[]`, `{}`, `0`, `false`, `""`, `1.5`, `[[1], 2]`, `[1, [2]]`}
	same := [][]string{{`1`, `1.0`, `true`}, {`[1]`, `[1.0]`}, {`{"a": 1}`, `{"a": true}`}, {`0`, `false`}}
	class := func(text string) string {
		for _, texts := range same {
			for _, one := range texts {
				if one == text {
					return texts[0]
				}
			}
		}
		return text
	}
	for _, a := range values {
		for _, b := range values {
			var v, w valohaiyaml.Value
			if json.Unmarshal([]byte(a), &v) != nil || json.Unmarshal([]byte(b), &w) != nil {
				t.Fatal(a, b)
			}
			if want := class(a) == class(b); v.Equal(w) != want {
				t.Errorf("%s == %s is %t, want %t", a, b, !want, want)
			}
		}
	}
}

func TestTheFileAsDataHasAllThatItHas(t *testing.T) {
	file := parse(t, "- step: {name: s, image: a, command: [b], time-limit: 1:30}\n- other: {1: yes}\n")
	got, err := json.Marshal(file.Data())
	want := `[{"step":{"command":["b"],"image":"a","name":"s","time-limit":90}},{"other":{"1":true}}]`
	if err != nil || string(got) != want {
		t.Errorf("got  %s\nwant %s (%v)", got, want, err)
	}
}

func TestOnlyEmptyValuesAreNotTruthy(t *testing.T) {
	for text, want := range map[string]bool{
		"null": false, "false": false, "0": false, "0.0": false, `""`: false, "[]": false, "{}": false,
		"true": true, "-1": true, "0.1": true, `"0"`: true, "[null]": true, `{"a": null}`: true,
	} {
		var v valohaiyaml.Value
		if err := json.Unmarshal([]byte(text), &v); err != nil || v.Truthy() != want {
			t.Errorf("%s is %t (%v), want %t", text, v.Truthy(), err, want)
		}
	}
}
