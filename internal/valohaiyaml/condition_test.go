package valohaiyaml_test

import (
	"encoding/json"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func TestAConditionHoldsAsItWouldInPython(t *testing.T) {
	metadata := map[string]any{}
	if err := json.Unmarshal([]byte(`{
		"accuracy": 0.95, "epoch": 12, "done": true, "none": null, "name": "it's", "empty": "",
		"best": {"loss": 0.1, "of": {"run": "a"}}, "losses": [0.3, 0.2], "größe": 3
	}`), &metadata); err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]bool{
		"accuracy > 0.9":                         true,
		"accuracy>.9 and epoch>=12":              true,
		"accuracy > 0.9 and epoch < 12":          false,
		"accuracy < 0.5 or done":                 true,
		"not done":                               false,
		"not not done":                           true,
		"0 < accuracy < 1":                       true,
		"1 > accuracy > 0.99":                    false,
		"none is None":                           true,
		"none is not None":                       false,
		"done is True":                           true,
		"epoch is True":                          false,
		"done == 1":                              true,
		"none":                                   false,
		"empty":                                  false,
		"name == \"it's\"":                       true,
		`name == 'it\'s'`:                        true,
		"best.loss < 0.2 and best.of.run == 'a'": true,
		"best.gain > 0":                          false,
		"0.2 in losses":                          true,
		"0.7 not in losses":                      true,
		"'loss' in best":                         true,
		"'t' in name":                            true,
		"epoch % 5 == 2 and epoch // 5 == 2":     true,
		"-7 % 3 == 2":                            true,
		"2 ** 3 ** 2 == 512":                     true,
		"-2 ** 2 == -4":                          true,
		"--epoch == 12":                          true,
		"(epoch + 3) * 2 - 1 == 29":              true,
		"0x1F == 31 and 0b11 == 3 and 1_000 == 1e3 and 0o17 == 15": true,
		"'a' + 'b' == 'ab'":   true,
		"'a' < 'b'":           true,
		"größe == 3":          true,
		"unknown > 1":         false,
		"unknown > 1 or done": false, // an error in Python, before it gets to done
		"done or unknown > 1": true,
		"epoch > 'a'":         false,
		"epoch / 0 > 1":       false,
		"accuracy.x":          false,
		"1 == 1":              true,
		"(-8) ** 0.5 == 1":    false,
	} {
		condition, err := valohaiyaml.ParseCondition(text)
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if got := condition.Holds(metadata); got != want {
			t.Errorf("%s is %v, not %v", text, got, want)
		}
	}
}

func TestNoConditionNeverHoldsAndABrokenOneIsRefused(t *testing.T) {
	condition, err := valohaiyaml.ParseCondition("")
	if err != nil || condition.Holds(map[string]any{"a": true}) {
		t.Error(err)
	}
	if _, err := valohaiyaml.ParseCondition("a >"); err == nil || !strings.Contains(err.Error(), "ends too early") {
		t.Errorf("got %v", err)
	}
}

func FuzzCondition(f *testing.F) {
	for _, text := range []string{"a > 1", "not a.b in (c + 'd') ** -2", "0x_ == 1", "'\\'"} {
		f.Add(text, `{"a":1}`)
	}
	f.Fuzz(func(t *testing.T, text, metadata string) {
		condition, err := valohaiyaml.ParseCondition(text)
		if err != nil {
			return
		}
		var names map[string]any
		_ = json.Unmarshal([]byte(metadata), &names) // no object is no names
		condition.Holds(names)
	})
}
