package valohaiyaml_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func TestValuesAreCheckedAsPythonsReaderChecksThem(t *testing.T) {
	lines(t, "values.jsonl", func(line []byte) {
		var want struct {
			Value  valohaiyaml.Value
			Ok     *json.RawMessage
			Errors []string
		}
		var keys map[string]json.RawMessage
		if json.Unmarshal(line, &want) != nil || json.Unmarshal(line, &keys) != nil {
			t.Fatalf("unreadable: %s", line)
		}
		for _, key := range []string{"value", "ok", "errors"} {
			delete(keys, key)
		}
		keys["name"] = json.RawMessage(`"p"`)
		parameter, err := json.Marshal(keys)
		if err != nil {
			t.Fatal(err)
		}
		file, findings := valohaiyaml.Parse("f", []byte(`[{"step": {"name": "s", "image": "a", "command": "", "parameters": [`+string(parameter)+`]}}]`))
		if err := findings.Err(); err != nil {
			t.Fatalf("%s: %v", parameter, err)
		}
		checked, problems := file.Steps[0].Parameters[0].Check(want.Value)
		if diff := cmp.Diff(want.Errors, problems, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", line, diff)
		}
		if want.Ok != nil && len(problems) == 0 {
			text, err := json.Marshal(checked)
			if err != nil || string(text) != strings.ReplaceAll(string(*want.Ok), ", ", ",") {
				t.Errorf("%s: %s, want %s (%v)", line, text, *want.Ok, err)
			}
		}
	})
}

const trainer = `- step:
    name: train
    image: a
    command: run {parameters}
    parameters:
      - {name: epochs, type: integer, min: 1, max: 10}
      - {name: rate, type: float, default: 0.5}
      - {name: model, choices: [small, large], default: small}
      - {name: layers, type: integer, multiple: separate, optional: true}
      - {name: verbose, type: flag}
    environment-variables:
      - {name: MODE, default: fast}
      - {name: TOKEN, optional: false}
      - {name: SPARE}
`

func TestPairsBecomeValuesByTheTypesOfTheParameters(t *testing.T) {
	step := parse(t, trainer).Steps[0]
	for _, c := range []struct {
		pairs []string
		want  string
	}{
		{nil, "run --rate=0.5 --model=small"},
		{[]string{"epochs=3", "rate=3"}, "run --epochs=3 --rate=3.0 --model=small"},
		{[]string{"layers=10", "layers=20", "layers=30"}, "run --rate=0.5 --model=small --layers=10,20,30"},
		{[]string{"layers=10"}, "run --rate=0.5 --model=small --layers=10"},
		{[]string{"verbose"}, "run --rate=0.5 --model=small --verbose"},
		{[]string{"verbose=true"}, "run --rate=0.5 --model=small --verbose"},
		{[]string{"verbose=false"}, "run --rate=0.5 --model=small"},
		{[]string{"model=large"}, "run --rate=0.5 --model=large"},
	} {
		values, err := step.ParseValues(c.pairs)
		if err != nil {
			t.Errorf("%q: %v", c.pairs, err)
			continue
		}
		command, err := step.Command(values)
		if err != nil || command.Script != c.want {
			t.Errorf("%q make %q (%v), want %q", c.pairs, command.Script, err, c.want)
		}
	}
}

func TestEveryWrongPairIsNamedWithWhatTheParameterTakes(t *testing.T) {
	step := parse(t, trainer).Steps[0]
	for pair, want := range map[string]string{
		"epoch=3":      `no parameter "epoch". Did you mean "epochs"?`,
		"something=3":  "It has epochs, rate, model, layers, verbose.",
		"epochs":       "Write epochs=VALUE.",
		"epochs=many":  "many is not an integer. It takes a whole number, at least 1, at most 10.",
		"epochs=11":    "11 is greater than the maximum allowed (10)",
		"epochs=0":     "0 is less than the minimum allowed (1)",
		"rate=":        "No value supplied. It takes a number.",
		"model=medium": "It takes one of ['small', 'large'].",
		"layers=x":     "It takes a whole number, several times if wanted.",
		"verbose=2":    "It takes true or false.",
	} {
		_, err := step.ParseValues([]string{pair})
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.From(err).Sentence(), want) {
			t.Errorf("%s: %v, want %q", pair, err, want)
		}
	}
	_, err := step.ParseValues([]string{"epoch=3", "rate=x", "model=medium"})
	if f := fault.From(err); len(f.Fields) != 3 {
		t.Errorf("three wrong pairs give %d findings: %v", len(f.Fields), f.Fields)
	}
}

func TestAStepWithoutParametersSaysSo(t *testing.T) {
	_, err := parse(t, "- step: {name: s, image: a, command: b}").Steps[0].ParseValues([]string{"p=1"})
	if sentence := fault.From(err).Sentence(); !strings.Contains(sentence, "no parameters at all") {
		t.Error(sentence)
	}
}

func TestAParameterWithoutValueAndDefaultIsAskedFor(t *testing.T) {
	step := parse(t, trainer).Steps[0]
	_, err := step.CheckValues(nil)
	if sentence := fault.From(err).Sentence(); !strings.Contains(sentence, "Set it with -p epochs=VALUE.") {
		t.Errorf("%q does not ask for epochs", sentence)
	}
	_, err = step.CheckValues(map[string]valohaiyaml.Value{"epochs": {}})
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("null for a parameter that needs a value: %v", err)
	}
	values, err := step.CheckValues(map[string]valohaiyaml.Value{"epochs": valohaiyaml.TextValue(" 7 "), "layers": {}})
	if err != nil {
		t.Fatal(err)
	}
	if got := values["epochs"]; got.Kind() != valohaiyaml.Integer || got.String() != "7" {
		t.Errorf("the text ` 7 ` becomes %s (%s), want the integer 7", got, got.Kind())
	}
	if got, given := values["layers"]; !given || !got.IsNull() {
		t.Errorf("null does not stay: %s", got)
	}
}

func TestAWidgetMayHaveKeysOfItsOwn(t *testing.T) {
	file := parse(t, "- step: {name: s, image: a, command: b, parameters: [{name: p, widget: {type: SQL, settings: {rows: 3}, more: 1}}, {name: q, widget: Datumalias}]}")
	if got := file.Steps[0].Parameters[0].Widget; got.Type != "sql" || got.Settings.String() != "{'rows': 3}" {
		t.Errorf("widget %+v", got)
	}
	if got := file.Steps[0].Parameters[1].Widget; got.Type != "datumalias" {
		t.Errorf("widget %+v", got)
	}
}

func TestChoicesAreComparedAsPythonCompares(t *testing.T) {
	for _, c := range []struct {
		choices, value string
		allowed        bool
	}{
		{"[1, 2]", "1.0", true},
		{"[1.0]", "1", true},
		{"[true]", "1", true},
		{"['1']", "1", false},
		{"[.nan]", ".nan", false},
		{"[.inf]", ".inf", true},
		{"[1e400, 10000000000000000000000]", "10000000000000000000000", true},
		{"[2020-01-01]", "'2020-01-01'", false},
	} {
		file := parse(t, "- step: {name: s, image: a, command: b, parameters: [{name: p, choices: "+c.choices+"}, {name: v, default: "+c.value+"}]}")
		p, v := file.Steps[0].Parameters[0], file.Steps[0].Parameters[1]
		if _, problems := p.Check(v.Default); (len(problems) == 0) != c.allowed {
			t.Errorf("%s among %s: %q", c.value, c.choices, problems)
		}
	}
}

func TestOfManyWrongValuesOnlySomeAreTold(t *testing.T) {
	p := parse(t, "- step: {name: s, image: a, command: b, parameters: [{name: p, type: integer, multiple: repeat}]}").Steps[0].Parameters[0]
	many := make([]valohaiyaml.Value, 1000)
	for i := range many {
		many[i] = valohaiyaml.TextValue("x")
	}
	if _, problems := p.Check(valohaiyaml.ListValue(many...)); len(problems) != 20 {
		t.Errorf("%d problems are told, want 20", len(problems))
	}
}

func TestAValueIsHeldAgainstTypeBoundsAndChoicesAtOnce(t *testing.T) {
	for _, c := range []struct {
		parameter, value string
		problems         []string
	}{
		{"type: integer, choices: [1, 5]", `""`, []string{"No value supplied", " is not among the choices allowed ([1, 5])"}},
		{"type: integer, max: 2", "5.3", []string{"5.3 is not an integer", "5.3 is greater than the maximum allowed (2)"}},
		{"type: integer, min: 0.5", "0", []string{"0 is less than the minimum allowed (0.5)"}},
		{"type: integer, max: 2.0", "3", []string{"3 is greater than the maximum allowed (2.0)"}},
		{"type: integer, min: 4, max: 2", "3", []string{"3 is less than the minimum allowed (4)", "3 is greater than the maximum allowed (2)"}},
		{"type: float, max: 10", `"1e1"`, nil},
		{"type: float, min: 0, max: 1", ".nan", nil},
		{"type: string, max: 10", "15", []string{"15 is greater than the maximum allowed (10)"}},
		{"type: string, max: 10", `"15"`, nil},
		{"type: string, max: many", "15", nil},
		{"type: integer, choices: [1]", "", []string{"No value supplied"}},
		{"type: integer, multiple: repeat", "[1, ~]", []string{"None is not an integer"}},
		{"multiple: repeat", "[a, ~]", nil},
		{"type: flag", `"on"`, []string{"on is not among the choices allowed ([True, False])"}},
	} {
		file, _ := valohaiyaml.Parse("f", []byte("- step: {name: s, image: a, command: b, parameters: [{name: p, "+c.parameter+"}, {name: v, default: "+c.value+"}]}"))
		p, v := file.Steps[0].Parameters[0], file.Steps[0].Parameters[1]
		_, problems := p.Check(v.Default)
		if diff := cmp.Diff(c.problems, problems, cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s for %s (-want +got):\n%s", c.value, c.parameter, diff)
		}
	}
}
