package valohaiyaml_test

import (
	"bufio"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// expectation is what the format's own reader says of a file.
type expectation struct {
	File     string
	Errors   []string
	Warnings []string
	Counts   struct{ Steps, Tasks, Pipelines, Endpoints, Deployments int }
	Steps    []struct {
		Name            string
		Image           string
		DefaultCommand  []string `json:"default_command"`
		DefaultScript   string   `json:"default_script"`
		FlagsAllTrue    []string `json:"flags_all_true"`
		FlagsAllFalse   []string `json:"flags_all_false"`
		TimeLimit       *float64 `json:"time_limit_s"`
		NoOutputTimeout *float64 `json:"no_output_timeout_s"`
	}
}

func readFile(t testing.TB, name string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestEveryExampleIsReadAsTheFormatsOwnReaderReadsIt(t *testing.T) {
	var all []expectation
	if err := json.Unmarshal(readFile(t, "expected.json"), &all); err != nil {
		t.Fatal(err)
	}
	last := make(map[string]expectation) // an earlier result is of another file of that name
	for _, want := range all {
		last[want.File] = want
	}
	for _, want := range last {
		t.Run(want.File, func(t *testing.T) {
			file, findings := valohaiyaml.Parse(want.File, readFile(t, want.File))
			if got := findings.Count(valohaiyaml.Error); (got > 0) != (len(want.Errors) > 0) {
				t.Errorf("%d errors, want %d\n%v\n%v", got, len(want.Errors), findings, want.Errors)
			}
			if got := findings.Count(valohaiyaml.Warning); (got > 0) != (len(want.Warnings) > 0) {
				t.Errorf("%d warnings, want %d\n%v\n%v", got, len(want.Warnings), findings, want.Warnings)
			}
			for _, f := range findings {
				if f.Line < 1 || f.Column < 1 || f.File != want.File || f.Message == "" {
					t.Errorf("a finding without its place: %+v", f)
				}
			}
			if file == nil || len(want.Errors) > 0 {
				return
			}
			got := []int{len(file.Steps), len(file.Tasks), len(file.Pipelines), len(file.Endpoints), len(file.Deployments)}
			if diff := cmp.Diff([]int{want.Counts.Steps, want.Counts.Tasks, want.Counts.Pipelines, want.Counts.Endpoints, want.Counts.Deployments}, got); diff != "" {
				t.Errorf("counts (-want +got):\n%s", diff)
			}
			for _, step := range want.Steps {
				s, err := file.FindStep(step.Name)
				if err != nil {
					t.Fatal(err)
				}
				command(t, s, nil, step.DefaultCommand, step.DefaultScript)
				for _, set := range []bool{true, false} {
					values := make(map[string]valohaiyaml.Value)
					for _, p := range s.Parameters {
						if p.Type == valohaiyaml.FlagParameter {
							values[p.Name] = valohaiyaml.BoolValue(set)
						}
					}
					wantLines := step.FlagsAllFalse
					if set {
						wantLines = step.FlagsAllTrue
					}
					command(t, s, values, wantLines, "")
				}
				if (step.TimeLimit == nil) != (s.TimeLimit == nil) || s.TimeLimit != nil && s.TimeLimit.Seconds() != *step.TimeLimit {
					t.Errorf("time limit %v, want %v", s.TimeLimit, step.TimeLimit)
				}
			}
		})
	}
}

func command(t *testing.T, s *valohaiyaml.Step, values map[string]valohaiyaml.Value, lines []string, script string) {
	t.Helper()
	got, err := s.Command(values)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(lines, got.Lines); diff != "" {
		t.Errorf("command of %s (-want +got):\n%s", s.Name, diff)
	}
	if script != "" && got.Script != script {
		t.Errorf("script of %s\n got %q\nwant %q", s.Name, got.Script, script)
	}
}

func TestFilesWithErrorsSayWhereAndAllAtOnce(t *testing.T) {
	for file, want := range map[string][]string{
		"refused/step-missing-required-properties.yaml":                  {":2:5:", "needs the key `command`", "needs the key `name`"},
		"refused/invalid-YAML-indentation.yaml":                          {":3:", "this is not YAML"},
		"refused/invalid-indentation-with-valid-YAML.yaml":               {"`step` must be a map", "may not be indented"},
		"refused/endpoint-names-invalid.yaml":                            {"3-server-endpoint", "Server-endpoint", "server@endpoint", "wsgi_endpoint"},
		"refused/invalid-pipeline-with-override-example.yaml":            {`there is no input "training-labels-error"`, `there is no parameter "d"`, `there is no step "secon step". Did you mean "second step"?`},
		"refused/invalid-task-blueprint-reference.yaml":                  {`there is no task "my-non-existent-task"`},
		"refused/pipeline-with-preset-override-without-environment.yaml": {"without `environment`"},
		"refused/step-stop-condition.yaml":                               {"is no expression"},
		"refused/task-stop-condition.yaml":                               {"is no expression"},
		"warned/duplicate_step_names.yaml":                               {`another step "my step"`},
	} {
		_, findings := valohaiyaml.Parse(file, readFile(t, file))
		var all strings.Builder
		for _, f := range findings {
			all.WriteString(f.String() + "\n")
		}
		for _, words := range want {
			if !strings.Contains(all.String(), words) {
				t.Errorf("%s: nothing says %q:\n%s", file, words, all.String())
			}
		}
	}
}

func lines(t *testing.T, name string, each func(line []byte)) {
	t.Helper()
	scanner := bufio.NewScanner(strings.NewReader(string(readFile(t, name))))
	scanner.Buffer(nil, 1<<20)
	n := 0
	for scanner.Scan() {
		each(scanner.Bytes())
		n++
	}
	if n == 0 {
		t.Fatalf("%s is empty", name)
	}
}

func TestCommandLinesComeOutAsPythonsReaderMakesThem(t *testing.T) {
	lines(t, "commands.jsonl", func(line []byte) {
		var want struct {
			Step     json.RawMessage
			Values   map[string]valohaiyaml.Value
			Expected []string
			Script   string
		}
		if err := json.Unmarshal(line, &want); err != nil {
			t.Fatal(err)
		}
		file, findings := valohaiyaml.Parse("f", append(append([]byte(`[{"step": `), want.Step...), "}]"...))
		if err := findings.Err(); err != nil {
			t.Fatalf("%s: %v", want.Step, err)
		}
		command(t, file.Steps[0], want.Values, want.Expected, want.Script)
	})
}

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
		if (len(problems) > 0) != (len(want.Errors) > 0) {
			t.Errorf("%s: problems %q, want %q", line, problems, want.Errors)
		}
		if want.Ok != nil && len(problems) == 0 {
			text, err := json.Marshal(checked)
			if err != nil || string(text) != strings.ReplaceAll(string(*want.Ok), ", ", ",") {
				t.Errorf("%s: %s, want %s (%v)", line, text, *want.Ok, err)
			}
		}
	})
}

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

func TestAStepThatIsNotThereIsRefusedWithTheStepsThatAre(t *testing.T) {
	file, _ := valohaiyaml.Parse("valohai.yaml", []byte("- step: {name: train, image: a, command: b}\n- step: {name: infer, image: a, command: b}\n"))
	for name, hint := range map[string]string{"trian": `Did you mean "train"?`, "quite another": `"train", "infer"`} {
		_, err := file.FindStep(name)
		if !fault.Is(err, fault.Invalid) || !strings.Contains(fault.From(err).Sentence(), hint) {
			t.Errorf("%s: %v, want %s", name, err, hint)
		}
	}
}

func TestEveryImageOfAFileIsListedWithItsLine(t *testing.T) {
	file, findings := valohaiyaml.Parse("f", []byte(`- step:
    name: train
    image: acme.example/train:v1
    command: a
- endpoint:
    name: serve
    image: acme.example/serve:v1
    server-command: a
- pipeline:
    name: p
    nodes:
      - name: n
        type: execution
        step: train
        override:
          image: acme.example/other:v1
    edges: []
`))
	if len(findings) > 0 {
		t.Errorf("findings: %v", findings)
	}
	want := []valohaiyaml.Image{
		{Name: "acme.example/train:v1", Where: "step train", Line: 3, Column: 12},
		{Name: "acme.example/serve:v1", Where: "endpoint serve", Line: 7, Column: 12},
		{Name: "acme.example/other:v1", Where: "pipeline p, node n", Line: 16, Column: 18},
	}
	if diff := cmp.Diff(want, file.Images()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

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
	"a parameter twice":                   {"- step: {name: s, image: a, command: a, parameters: [{name: p}, {name: p}]}", "duplicate_parameter"},
	"a duration without a unit":           {"- step: {name: s, image: a, command: a, time-limit: '5'}", "time-limit"},
	"a mount without a target":            {"- step: {name: s, image: a, command: a, mounts: [/data]}", "/source:/destination"},
	"too many devices":                    {"- step: {name: s, image: a, command: a, resources: {devices: {gpu: 0}}}", "at least 1"},
	"a deployment without a target":       {"- deployment: {name: d}", "deployment_target"},
	"an endpoint with two commands":       {"- endpoint: {name: ee, image: a, server-command: a, wsgi: b}", "exactly one"},
	"an endpoint with a port of root's":   {"- endpoint: {name: ee, image: a, wsgi: b, port: 80}", "at least 1025"},
	"a task without parameters":           {"- task: {name: t, step: s}", "some_of"},
	"a task of a step that is not there":  {"- task: {name: t, step: s, parameters: []}", "unknown_step"},
	"parameter sets in a grid":            {"- step: {name: s, image: a, command: a}\n- task: {name: t, step: s, parameter-sets: []}", "manual_search"},
	"an engine outside of bayesian":       {"- step: {name: s, image: a, command: a}\n- task: {name: t, step: s, parameters: [], engine: e}", "bayesian_tpe"},
	"a node of no type":                   {"- pipeline: {name: p, nodes: [{name: n}], edges: []}", "needs the key `type`"},
	"a node of another type":              {"- pipeline: {name: p, nodes: [{name: n, type: exection}], edges: []}", "Did you mean `execution`?"},
	"two nodes of one name":               {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}, {name: n, type: execution, step: s}], edges: []}", "duplicate_node"},
	"an edge from nowhere":                {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[m.output.a, n.input.b]]}", "unknown_node"},
	"an edge to an input that is not":     {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.output.a, n.input.b]]}", "unknown_input"},
	"an edge in plural":                   {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.outputs.a, n.parameter.b]]}", "Did you mean `output`?"},
	"an edge with one end":                {"- pipeline: {name: p, nodes: [], edges: [[a.output.b]]}", "exactly 2 items"},
	"an edge that is no path":             {"- pipeline: {name: p, nodes: [], edges: [[a, b]]}", "edge_form"},
	"a parameter that leads nowhere":      {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x}]}", "no_target"},
	"a parameter with both targets":       {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x, target: a, targets: [b]}]}", "only one"},
	"a parameter of an input":             {"- pipeline: {name: p, nodes: [], edges: [], parameters: [{name: x, target: n.input.a}]}", "target_form"},
	"an action of its own":                {"- step: {name: s, image: a, command: a}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s, actions: [{when: now, then: noop}]}], edges: []}", "unknown_action"},
	"a bomb of aliases":                   {bomb(), "too_many_nodes"},
	"an alias of itself":                  {"- &a [*a]", "alias"},
	"two documents":                       {"- a\n---\n- b", "several_documents"},
	"a tag":                               {"- !!python/object:os.system x", "tag"},
	"bytes that are no text":              {"- \xff", "not_utf8"},
	"a control character":                 {"- step: {name: \"\x07\"}", "control_character"},
	"an octal number where text is asked": {"- step: {name: 010, image: a, command: a}", "must be a string"},
	"yes where text is asked":             {"- step: {name: yes, image: a, command: a}", "Put quotes around it"},
}

func bomb() string {
	text := "- &a0 [x, x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		next := string(rune('0' + i + 1))
		text += "- &a" + next + " [" + strings.Repeat("*a"+string(rune('0'+i))+", ", 10) + "]\n"
	}
	return text
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

func FuzzParse(f *testing.F) {
	for _, dir := range []string{"accepted", "refused", "warned"} {
		entries, err := os.ReadDir(filepath.Join("testdata", dir))
		if err != nil {
			f.Fatal(err)
		}
		for _, e := range entries {
			f.Add(readFile(f, filepath.Join(dir, e.Name())))
		}
	}
	for _, c := range lintCases {
		if len(c.file) < 1000 {
			f.Add([]byte(c.file))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, findings := valohaiyaml.Parse("f", data)
		last := strings.Count(string(data), "\n") + strings.Count(string(data), "\r") + 2
		for _, finding := range findings {
			if finding.Line < 1 || finding.Line > last || finding.Column < 1 {
				t.Errorf("%v is outside of a file of %d lines", finding, last)
			}
		}
		if file == nil {
			if findings.Err() == nil {
				t.Error("no file and no error")
			}
			return
		}
		file.Images()
		if _, err := json.Marshal(file.Data()); err != nil {
			t.Error(err)
		}
		for _, s := range file.Steps {
			if _, err := s.Command(nil); err != nil && !fault.Is(err, fault.Invalid) {
				t.Error(err)
			}
		}
	})
}

func FuzzAQuotedTextIsOneWordForTheShell(f *testing.F) {
	for _, text := range []string{"", "a b", "it's", "`id`", "$HOME", "\n", "ü", "a'b\"c"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		quoted := valohaiyaml.Quote(text)
		if got := unquote(quoted); got != text {
			t.Errorf("%q is quoted as %s, which a shell reads as %q", text, quoted, got)
		}
	})
}

// unquote reads one word as a POSIX shell does, as far as Quote writes.
func unquote(word string) string {
	var b strings.Builder
	for word != "" {
		switch word[0] {
		case '\'', '"':
			end := strings.IndexByte(word[1:], word[0]) + 1
			b.WriteString(word[1:end])
			word = word[end+1:]
		default:
			b.WriteByte(word[0])
			word = word[1:]
		}
	}
	return b.String()
}
