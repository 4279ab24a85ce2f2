package valohaiyaml_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// everything has every key of the format.
const everything = `- step:
    name: train
    image: a
    command: [one, two]
    description: d
    icon: https://x.example/i.png
    category: c
    environment: gpu
    runtime-config-preset: p
    environment-variables: [{name: A, default: b, description: d, optional: false}]
    environment-variable-groups: [g]
    parameters:
      - {name: p, type: integer, default: 1, optional: true, description: d, category: c, choices: [1], min: 1, max: 2, widget: {type: t, settings: {}}}
      - {name: q, multiple: repeat, multiple-separator: ",", pass-as: "{v}", widget: sql}
      - {name: r, type: flag, pass-true-as: a, pass-false-as: b}
    inputs: [{name: i, default: [u], optional: true, description: d, filename: f, keep-directories: suffix, download: always}]
    outputs: [{name: o, description: d}]
    mounts: ["/a:/b", {source: a, destination: /b, readonly: true, type: nfs, options: {}}]
    cache-volumes: [v]
    resources: {cpu: {min: 1, max: 2}, memory: {min: 1, max: 2}, devices: {gpu: 1}}
    time-limit: 1h
    no-output-timeout: 90
    stop-condition: a > 1
    upload-store: s
    source-path: p
- task:
    name: sweep
    step: train
    description: d
    type: grid_search
    parameters:
      - name: p
        style: linear
        rules: {base: 1, count: 1, distribution: d, end: 1, integerify: true, items: [1], max: 1, min: 1, numberify: true, seed: 1, start: 1, step: 1, value: 1}
    parameter-sets: [{}]
    execution-count: 1
    execution-batch-size: 1
    maximum-queued-executions: 1
    optimization-target-metric: m
    optimization-target-value: 1
    engine: e
    on-child-error: stop-all-and-error
    stop-condition: a > 1
    reuse-children: true
- endpoint:
    name: serve
    image: a
    description: d
    port: 8000
    server-command: [c]
    files: [{name: f, path: p, description: d}]
    node-selector: a=b
    tolerations: []
    resources: {cpu: {min: 1, max: 2}, memory: {min: 1, max: 2}, devices: {gpu: 1}, ephemeral-storage: {min: 1, max: 2}}
- deployment:
    name: prod
    defaults: {target: t}
- pipeline:
    name: all
    reuse-executions: true
    parameters: [{name: p, targets: [n.parameter.p], default: 1, description: d, category: c}, {name: q, target: n.parameter.q}]
    nodes:
      - name: n
        type: execution
        step: train
        commit: ""
        edge-merge-mode: append
        on-error: retry
        actions: [{when: node-complete, if: a, then: [noop]}]
        override:
          image: a
          command: c
          environment: e
          runtime-config-preset: p
          environment-variables: []
          inputs: [{name: i}]
          mounts: []
          parameters: [{name: p}]
      - {name: t, type: task, task: sweep, on-error: continue}
      - {name: d, type: deployment, deployment: prod, endpoints: [serve], aliases: [a], on-error: stop-next, actions: []}
    edges: [[n.output.a, t.input.i], {source: n.output.m, target: d.file.serve.f, configuration: {}}]
`

// wrong are values that hardly any key takes all of.
var wrong = []any{nil, true, json.Number("3"), json.Number("-3"), json.Number("3.5"), "", "x", []any{}, []any{json.Number("3")}, []any{"x"}, map[string]any{}, map[string]any{"x": json.Number("1")}}

// eachPlace calls visit for every value below v, with what puts another in its
// place, and gives v back as it was.
func eachPlace(v any, path string, put func(any), visit func(path string, put func(any))) {
	visit(path, put)
	put(v)
	switch v := v.(type) {
	case []any:
		for i := range v {
			eachPlace(v[i], fmt.Sprintf("%s.%d", path, i), func(to any) { v[i] = to }, visit)
		}
	case map[string]any:
		for key := range v {
			eachPlace(v[key], path+"."+key, func(to any) { v[key] = to }, visit)
		}
	}
}

func TestAFileWithEveryKeyIsRight(t *testing.T) {
	_, findings := valohaiyaml.Parse("f", []byte(everything))
	for _, f := range findings {
		if f.Code != "task_type" { // a task that has what belongs to several types
			t.Errorf("%v", f)
		}
	}
}

func TestAWrongTypeAtAnyKeyIsRefusedByTheReaderAndTheSchemaAlike(t *testing.T) {
	schema := compiledSchema(t)
	file, _ := valohaiyaml.Parse("f", []byte(everything))
	text, err := json.Marshal(file.Data())
	if err != nil {
		t.Fatal(err)
	}
	root, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	looked := 0
	for _, item := range root.([]any) { // each by itself, for speed
		one := any([]any{item})
		eachPlace(one, "", func(to any) { one = to }, func(path string, put func(any)) {
			for _, value := range wrong {
				put(value)
				text, err := json.Marshal(one)
				if err != nil {
					t.Fatal(err)
				}
				_, findings := valohaiyaml.Parse("f", text)
				instance, err := jsonschema.UnmarshalJSON(bytes.NewReader(text))
				if err != nil {
					t.Fatal(err)
				}
				if got, want := schema.Validate(instance), findings.Err(); (got == nil) != (want == nil) && !onlyTheReaderKnows(path, value) {
					t.Errorf("%v at %s: the schema says %v, the reader %v", value, path, got, want)
				}
				looked++
			}
		})
	}
	if looked < 2000 {
		t.Errorf("%d files were looked at", looked)
	}
}

// onlyTheReaderKnows names the places where the schema takes more: words in any
// case, and durations.
func onlyTheReaderKnows(path string, value any) bool {
	_, text := value.(string)
	return text && (strings.HasSuffix(path, ".task.type") || strings.HasSuffix(path, ".on-child-error") || strings.HasSuffix(path, "-limit") || strings.HasSuffix(path, "-timeout"))
}
