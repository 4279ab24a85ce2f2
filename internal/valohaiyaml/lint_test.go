package valohaiyaml_test

import (
	"fmt"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// lintCase is a file and what the linter has to say of it.
var lintCases = map[string]struct{ file, want string }{
	"an image that Docker refuses":        {"- step: {name: s, image: 'Acme/X', command: a}", "image_name"},
	"an empty image":                      {"- step: {name: s, image: '', command: a}", "image_name"},
	"an unknown key with its slip":        {"- step: {name: s, image: a, comand: a}", "Did you mean `command`"},
	"an item of no kind":                  {"- stpe: {}", "Did you mean `step`?"},
	"two kinds in one item":               {"- {step: {name: s, image: a, command: a}, task: {}}", "ignored_key"},
	"an item that is no map":              {"- step", "must be a map"},
	"a file that is no list":              {"step: {}", "must be a list"},
	"an empty file":                       {"", "must be a list"},
	"a key twice":                         {"- step: {name: s, name: t, image: a, command: a}", "given twice"},
	"a preset without an environment":     {"- step: {name: s, image: a, command: a, runtime-config-preset: p}", "preset_environment"},
	"a flag with several values":          {"- step: {name: s, image: a, command: a, parameters: [{name: p, type: flag, multiple: repeat}]}", "flag_multiple"},
	"an optional flag":                    {"- step: {name: s, image: a, command: a, parameters: [{name: p, type: flag, optional: true}]}", "flag_optional"},
	"both ways to pass a flag":            {"- step: {name: s, image: a, command: a, parameters: [{name: p, type: flag, pass-as: a, pass-true-as: b}]}", "flag_pass_as"},
	"pass-true-as without a flag":         {"- step: {name: s, image: a, command: a, parameters: [{name: p, pass-true-as: b}]}", "not_a_flag"},
	"a template that cannot be filled":    {"- step: {name: s, image: a, command: a, parameters: [{name: p, pass-as: '{valeu}'}]}", "template"},
	"a default of another type":           {"- step: {name: s, image: a, command: a, parameters: [{name: p, default: 3}]}", "not a string"},
	"a default that is too large":         {"- step: {name: s, image: a, command: a, parameters: [{name: p, type: integer, max: 2, default: 3}]}", "default"},
	"a default in a list of others":       {"- step: {name: s, image: a, command: a, parameters: [{name: p, multiple: repeat, default: [a, 2]}]}", `the default "2" is an integer, not a string`},
	"a list as a single default":          {"- step: {name: s, image: a, command: a, parameters: [{name: p, default: [a]}]}", "Say with `multiple`"},
	"a flag's default that is no boolean": {"- step: {name: s, image: a, command: a, parameters: [{name: p, type: flag, default: 'on'}]}", "default"},
	"a parameter twice":                   {"- step: {name: s, image: a, command: a, parameters: [{name: p}, {name: p}]}", "duplicate_parameter"},
	"a duration without a unit":           {"- step: {name: s, image: a, command: a, time-limit: '5'}", "time-limit"},
	"a mount without a target":            {"- step: {name: s, image: a, command: a, mounts: [/data]}", "/source:/destination"},
	"too many devices":                    {"- step: {name: s, image: a, command: a, resources: {devices: {gpu: 0}}}", "at least 1"},
	"a deployment without a target":       {"- deployment: {name: d}", "deployment_target"},
	"an endpoint with two commands":       {"- endpoint: {name: ee, image: a, server-command: a, wsgi: b}", "exactly one"},
	"an endpoint with a port of root's":   {"- endpoint: {name: ee, image: a, wsgi: b, port: 80}", "at least 1025"},
	"a task without parameters":           {"- task: {name: t, step: s}", "some_of"},
	"a task of a step that is not there":  {"- task: {name: t, step: s, parameters: []}", "unknown_step"},
	"parameter sets in a grid":            {"- step: {name: s, image: a, command: a}\n- task: {name: t, step: s, parameter-sets: [{a: 1}]}", "manual_search"},
	"an engine outside of bayesian":       {"- step: {name: s, image: a, command: a}\n- task: {name: t, step: s, parameters: [], engine: e}", "bayesian_tpe"},
	"a node of no type":                   {"- pipeline: {name: p, nodes: [{name: n}], edges: []}", "needs the key `type`"},
	"a node of another type":              {"- pipeline: {name: p, nodes: [{name: n, type: exection}], edges: []}", "Did you mean `execution`?"},
	"two nodes of one name":               {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}, {name: n, type: execution, step: s}], edges: []}", "duplicate_node"},
	"an edge from nowhere":                {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[m.output.a, n.input.b]]}", "unknown_node"},
	"an edge to an input that is not":     {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.output.a, n.input.b]]}", "unknown_input"},
	"an edge in plural":                   {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.outputs.a, n.parameter.b]]}", "Did you mean `output`?"},
	"an edge with one end":                {"- pipeline: {name: p, nodes: [], edges: [[a.output.b]]}", "exactly 2 items"},
	"an edge that is no path":             {"- pipeline: {name: p, nodes: [], edges: [[a, b]]}", "edge_form"},
	"an edge that ends at an input":       {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.output.a, n.input]]}", "edge_form"},
	"a parameter of a node that is not":   {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x, target: n.parameter.a}]}", "a parameter of the pipeline \"p\": there is no node"},
	"a parameter that its step has not":   {"- step: {name: s, image: a, command: a, parameters: [{name: rate}]}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [], parameters: [{name: x, targets: [n.parameters.rat]}]}", "error: step \"s\": there is no parameter \"rat\". Did you mean \"rate\"?"},
	"a node whose task has no step":       {"- task: {name: t, step: s, parameters: []}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: task, task: t}]}", "error: node \"n\" with the task \"t\": there is no step \"s\""},
	"an override of a task's step":        {"- step: {name: s, image: a, command: a, inputs: [{name: data}]}\n- task: {name: t, step: s, parameters: []}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: task, task: t, override: {inputs: [{name: dat}]}}]}", "Did you mean \"data\"?"},
	"a commit that is none":               {"- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, commit: ''}]}", "unknown_step"},
	"an override of an unknown key":       {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, override: {imagee: a}}]}", "Did you mean `image`?"},
	"an override of a step's name":        {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, override: {name: t}}]}", "unknown_key"},
	"a preset in an empty environment":    {"- step: {name: s, image: a, command: a, environment: '', runtime-config-preset: p}", "preset_environment"},
	"a parameter that leads nowhere":      {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x}]}", "no_target"},
	"a parameter with both targets":       {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x, target: a, targets: [b]}]}", "only one"},
	"a parameter of an input":             {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x, target: n.input.a}]}", "target_form"},
	"an action of its own":                {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s, actions: [{when: now, then: noop}]}], edges: []}", "unknown_action"},
	"an integer where text is asked":      {"- step: {name: s, image: a, command: 8}", "`command` must be a string or a list, not an integer. Put quotes around it"},
	"a date where text is asked":          {"- step: {name: 2020-01-02, image: a, command: a}", "a date (2020-01-02)"},
	"null where a map is asked":           {"- step:", "Indent what belongs to it below it"},
	"null where text is asked":            {"- step: {name: , image: a, command: a}", "Give it a value, or leave the key out"},
	"text where a list is asked":          {"- step: {name: s, image: a, command: a, cache-volumes: v}", "Write it as a list"},
	"a map where text is asked":           {"- step: {name: s, image: a, command: [{}]}", "item 1 of `command` must be a string, not a map"},
	"a date that is none":                 {"- step: {name: s, image: a, command: a, parameters: [{name: p, default: 2020-13-45}]}", "Put quotes around it if it is meant as a string"},
	"a list as a key":                     {"- step: {[a]: b}", "cannot be a key"},
	"a merge of no map":                   {"- step: {<<: 3}", "`<<` takes a map"},
	"a name that is too long":             {"- step: {name: s, image: a, command: a, inputs: [{name: " + strings.Repeat("i", 65) + "}]}", "at most 64 characters"},
	"a word of a closed set":              {"- step: {name: s, image: a, command: a, inputs: [{name: i, download: alway}]}", "Did you mean `always`?"},
	"a condition that is none":            {"- step: {name: s, image: a, command: a, stop-condition: 'a >'}", "expression"},
	"a preset of an override":             {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, override: {runtime-config-preset: p}}]}", "preset_environment"},
	"an image of an override":             {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, override: {image: 'A:b:c'}}]}", "image_name"},
	"an image of an endpoint":             {"- endpoint: {name: ee, image: 'a b', wsgi: a}", "endpoint ee"},
	"an override of no input":             {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, override: {inputs: [{name: i}]}}]}", "unknown_input"},
	"an override of no parameter":         {"- step: {name: s, image: a, command: a, parameters: [{name: rate}]}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, override: {parameters: [{name: rat}]}}]}", "Did you mean \"rate\"?"},
	"a node of no step":                   {"- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s}]}", "unknown_step"},
	"a node of no task":                   {"- pipeline: {name: p, edges: [], nodes: [{name: n, type: task, task: t}]}", "unknown_task"},
	"a node of a step and a task":         {"- pipeline: {name: p, edges: [], nodes: [{name: n, type: task, task: t, step: s}]}", "exactly one"},
	"a node of no deployment":             {"- deployment: {name: prod, defaults: {target: t}}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: deployment, deployment: prd}]}", "Did you mean \"prod\"?"},
	"a deployment that retries":           {"- pipeline: {name: p, edges: [], nodes: [{name: n, type: deployment, deployment: d, on-error: retry}]}", "unknown_word"},
	"an edge of another type":             {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.something-else.a, n.dependency.b]]}", "Use `dependency`"},
	"an edge to a parameter that is not":  {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.metadata.a, n.parameter.b]]}", "unknown_parameter"},
	"a target in one text":                {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x, targets: n.parameter.a}]}", "unknown_node"},
	"two steps of one name":               {"- step: {name: s, image: a, command: a}\n- step: {name: s, image: a, command: a}", "duplicate_name"},
	"two deployments of one name":         {"- deployment: {name: d, defaults: {target: t}}\n- deployment: {name: d, defaults: {target: t}}", "another deployment"},
	"an empty map as an item":             {"- {}", "empty map"},
	"a number with a tag of another":      {"- step: {name: s, image: a, command: a, parameters: [{name: p, default: !!int x}]}", "is not what the tag"},
	"a mapping in a value":                {"- step: a: b", "needs quotes"},
	"a tab as indentation":                {"- step:\n\tname: a", "spaces, not tabs"},
	"a list that is not closed":           {"- [a", "Check the indentation"},
	"two documents":                       {"- a\n---\n- b", "several_documents"},
	"a tag":                               {"- !!python/object:os.system x", "tag"},
	"bytes that are no text":              {"- \xff", "not_utf8"},
	"a control character":                 {"- step: {name: \"\x07\"}", "control_character"},
	"an octal number where text is asked": {"- step: {name: 010, image: a, command: a}", "must be a string"},
	"yes where text is asked":             {"- step: {name: yes, image: a, command: a}", "Put quotes around it"},
}

func TestTheLinterSaysWhatIsWrong(t *testing.T) {
	for name, c := range lintCases {
		t.Run(name, func(t *testing.T) {
			_, findings := valohaiyaml.Parse("f.yaml", []byte(c.file))
			for _, f := range findings {
				if f.Code == c.want || strings.Contains(f.String(), c.want) {
					return
				}
			}
			t.Errorf("nothing says %q of\n%s\n%v", c.want, c.file, findings)
		})
	}
}

// accepted is what the linter has nothing to say about.
var accepted = map[string]string{
	"no items":                               "[]",
	"an empty command":                       "- step: {name: s, image: a, command: []}",
	"every time limit":                       "- step: {name: s, image: a, command: a, time-limit: 0, no-output-timeout: ''}",
	"a node of another commit":               "- pipeline: {name: p, edges: [[n.output.a, n.input.b]], nodes: [{name: n, type: execution, step: s, commit: main, override: {inputs: [{name: i}]}}]}",
	"a task type in another spelling":        "- step: {name: s, image: a, command: a}\n- task: {name: t, step: s, type: Manual-Search, parameter-sets: [{a: 1}]}",
	"an edge with a configuration":           "- step: {name: s, image: a, command: a, inputs: [{name: a.b}]}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [{source: n.output.*.txt, target: n.input.a.b, configuration: {x: {}}}]}",
	"approval":                               "- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, actions: [{when: [node-starting], then: require-approval, if: a}]}]}",
	"the old name of a pipeline":             "- blueprint: {name: p, nodes: [], edges: [], reuse-executions: true}",
	"a default that is false":                "- step: {name: s, image: a, command: a, parameters: [{name: p, default: 0}, {name: q, type: flag, default: true}]}",
	"an endpoint with all it has":            "- endpoint: {name: ee, image: a, server-command: [c, d], port: 8000.0, files: [{name: f, path: p}], node-selector: a=b, tolerations: [{key: k}], resources: {ephemeral-storage: {min: 1}}, description: d}",
	"a flag that is said not to be optional": "- step: {name: s, image: a, command: a, parameters: [{name: p, type: flag, optional: false, pass-as: '', pass-true-as: a}]}",
	"empty ways to pass what is no flag":     "- step: {name: s, image: a, command: a, parameters: [{name: p, pass-true-as: '', pass-false-as: ''}]}",
	"edges from several things":              "- step: {name: s, image: a, command: a, inputs: [{name: labels}]}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [['n.input.lab*', n.input.labels]]}",
	"a parameter's targets in plural":        "- step: {name: s, image: a, command: a, parameters: [{name: a}]}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [], parameters: [{name: x, targets: [n.parameters.a]}]}",
	"a parameter of another commit":          "- pipeline: {name: p, nodes: [{name: n, type: execution, step: s, commit: main}], edges: [], parameters: [{name: x, targets: [n.parameters.a]}]}",
	"no preset":                              "- step: {name: s, image: a, command: a, runtime-config-preset: ''}",
	"no parameter sets":                      "- step: {name: s, image: a, command: a}\n- task: {name: t, step: s, parameter-sets: [{}]}",
	"an action in capitals":                  "- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: execution, step: s, actions: [{when: Node-Complete, then: noop}]}]}",
	"several defaults":                       "- step: {name: s, image: a, command: a, parameters: [{name: p, multiple: repeat, default: [a, b]}, {name: q, type: float, min: 0.5, multiple: separate, default: [0.5, 2]}]}",
	"a byte order mark":                      "\ufeff- step: {name: s, image: a, command: a}",
}

func TestTheLinterIsSilentAboutWhatIsRight(t *testing.T) {
	for name, file := range accepted {
		if _, findings := valohaiyaml.Parse("f.yaml", []byte(file)); len(findings) > 0 {
			t.Errorf("%s: %v", name, findings)
		}
	}
}

// What the format's own linter lets pass, and is a mistake all the same, must
// not make a file fail here, not even with strict warnings.
func TestWhatTheFormatsOwnLinterLetsPassIsAHintAlone(t *testing.T) {
	for name, file := range map[string]string{
		"a task's step":                   "- task: {name: t, step: s, parameters: []}",
		"an edge's input":                 "- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.output.a, n.input.b]]}",
		"an edge's parameter":             "- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.metadata.a, n.parameter.b]]}",
		"a node's deployment":             "- deployment: {name: prod, defaults: {target: t}}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: deployment, deployment: prd}]}",
		"a parameter of a task node":      "- step: {name: s, image: a, command: a}\n- pipeline: {name: p, edges: [], nodes: [{name: n, type: task, step: s}], parameters: [{name: x, target: n.parameter.a}]}",
		"a parameter that is there twice": "- step: {name: s, image: a, command: a, parameters: [{name: p}, {name: p}]}",
	} {
		_, findings := valohaiyaml.Parse("f.yaml", []byte(file))
		if len(findings) != 1 || findings[0].Severity != valohaiyaml.Hint {
			t.Errorf("%s: %v, want one hint", name, findings)
		}
	}
}

// boundCases are files that make more of themselves than they have, by what is
// told of them.
var boundCases = map[string]string{
	"too_large":      "# " + strings.Repeat("x", valohaiyaml.MaxSize),
	"too_many_nodes": bomb(),
	"too_much_text":  "- &a " + strings.Repeat("x", 1<<20) + "\n- [" + strings.Repeat("*a, ", 10) + "]",
	"alias_circle":   "- &a [*a]",
	"yaml_syntax":    strings.Repeat("[", 100),
}

// bomb is ten to the power of ten values.
func bomb() string {
	text := "- &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		text += fmt.Sprintf("- &a%d [%s]\n", i+1, strings.Repeat(fmt.Sprintf("*a%d, ", i), 10))
	}
	return text
}

func TestAFileThatMakesTooMuchOfItselfIsRefused(t *testing.T) {
	for code, text := range boundCases {
		file, findings := valohaiyaml.Parse("f.yaml", []byte(text))
		if file != nil || len(findings) != 1 || findings[0].Code != code || findings.Err() == nil {
			t.Errorf("%s: %v", code, findings)
		}
	}
}

// manySteps is a file of that many steps, with some of what steps have.
func manySteps(count int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, `- step:
    name: step-%d
    image: registry.example/train:v1
    command: ["prepare --seed {parameter-value:seed}", "train {parameters}"]
    parameters:
      - {name: seed, type: integer, default: 1, min: 0}
      - {name: rate, type: float, default: 0.5, pass-as: "--lr={v}"}
      - {name: kind, type: string, default: a, choices: [a, b]}
      - {name: quick, type: flag}
      - {name: layers, type: integer, multiple: repeat, default: [1, 2]}
    inputs: [{name: data, default: "s3://bucket/data"}]
    environment-variables: [{name: RUN, default: "1"}]
`, i)
	}
	return b.String()
}

func TestAFileOfAThousandStepsIsRead(t *testing.T) {
	file, findings := valohaiyaml.Parse("f.yaml", []byte(manySteps(1000)))
	if len(findings) > 0 || len(file.Steps) != 1000 {
		t.Fatalf("%v", findings)
	}
	last, err := file.FindStep("step-999")
	if err != nil || len(last.Parameters) != 5 {
		t.Errorf("%+v, %v", last, err)
	}
}

// What is wrong at the end of a long file is told with its own line, though the
// file is read in pieces.
func TestAMistakeInALongFileIsToldWithItsLine(t *testing.T) {
	text := manySteps(1000)
	_, findings := valohaiyaml.Parse("f.yaml", []byte(text+"- stepp: {}\n"))
	if want := strings.Count(text, "\n") + 1; len(findings) != 1 || findings[0].Line != want || findings[0].Path != "1000.stepp" {
		t.Errorf("%v, want one in line %d", findings, want)
	}
}

// A file may have as many mistakes as it has keys: the work for each must not
// grow with them.
func TestAFileOfMistakesAloneIsReadToItsEnd(t *testing.T) {
	var b strings.Builder
	b.WriteString("- step:\n    name: a\n    image: b\n    command: c\n    timelimit: 1\n")
	for i := range 45_000 {
		fmt.Fprintf(&b, "    k%d: 1\n", i)
	}
	_, findings := valohaiyaml.Parse("f.yaml", []byte(b.String()))
	if len(findings) != 1001 || findings[1000].Code != "too_many_findings" || findings[0].Mend != "Did you mean `time-limit`?" {
		t.Errorf("%d findings, the first %v", len(findings), findings[0])
	}
}

func TestYAMLThatIsNoneIsToldWithLineAndColumn(t *testing.T) {
	for text, want := range map[string]string{
		"- step:\n  name: x\n    image: y\n": "f:3:10: error: this is not YAML",
		"- a\n- \"open\n":                    "f:2:3: error: this is not YAML",
		"- ä: [\n":                           "f:2:1: error: this is not YAML",
		"- step:\n    name: \xff":            "f:2:11: error: the byte 0xff is not UTF-8",
		"- step:\n    näme: \x00":            "f:2:11: error: the control character U+0000",
	} {
		_, findings := valohaiyaml.Parse("f", []byte(text))
		if len(findings) == 0 || !strings.HasPrefix(findings[0].String(), want) {
			t.Errorf("%q: %v, want %s", text, findings, want)
		}
	}
}
