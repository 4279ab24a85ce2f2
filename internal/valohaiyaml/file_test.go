package valohaiyaml_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// expectation is what the format's own reader says of a file.
type expectation struct {
	File     string
	Errors   []string
	Warnings []string
	Hints    []string
	Unparsed string `json:"parse_error"`
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
		Parameters      []expectedParameter
	}
}

type expectedParameter struct {
	Name, Type, Multiple string
	Optional             bool
	Default              valohaiyaml.Value
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
			if got := findings.Count(valohaiyaml.Error); got != len(want.Errors) {
				t.Errorf("%d errors, want %d\n%v\n%v", got, len(want.Errors), findings, want.Errors)
			}
			if got := findings.Count(valohaiyaml.Warning); got != len(want.Warnings) {
				t.Errorf("%d warnings, want %d\n%v\n%v", got, len(want.Warnings), findings, want.Warnings)
			}
			if len(want.Hints) > findings.Count(valohaiyaml.Hint) {
				t.Errorf("nothing hints at %v\n%v", want.Hints, findings)
			}
			for _, f := range findings {
				if f.Line < 1 || f.Column < 1 || f.File != want.File || f.Message == "" {
					t.Errorf("a finding without its place: %+v", f)
				}
			}
			if want.Unparsed != "" {
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
				if s.Image != step.Image {
					t.Errorf("image %s, want %s", s.Image, step.Image)
				}
				if diff := cmp.Diff([]*float64{step.TimeLimit, step.NoOutputTimeout}, []*float64{inSeconds(s.TimeLimit), inSeconds(s.NoOutputTimeout)}); diff != "" {
					t.Errorf("limits (-want +got):\n%s", diff)
				}
				parameters(t, s, step.Parameters)
			}
		})
	}
}

func inSeconds(d *time.Duration) *float64 {
	if d == nil {
		return nil
	}
	seconds := d.Seconds()
	return &seconds
}

// parameters are compared as they print: a date is no value of JSON.
func parameters(t *testing.T, s *valohaiyaml.Step, want []expectedParameter) {
	t.Helper()
	if len(s.Parameters) != len(want) {
		t.Errorf("%d parameters of %s, want %d", len(s.Parameters), s.Name, len(want))
		return
	}
	for i, p := range s.Parameters {
		got := expectedParameter{p.Name, string(p.Type), string(p.Multiple), p.Optional, p.Default}
		if fmt.Sprint(got) != fmt.Sprint(want[i]) {
			t.Errorf("parameter %v, want %v", got, want[i])
		}
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
		f.Add([]byte(c.file))
	}
	for _, file := range boundCases {
		if len(file) < 2000 { // longer ones leave no time for others
			f.Add([]byte(file))
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		file, findings := valohaiyaml.Parse("f", data)
		lines := regexp.MustCompile("\r\n|[\r\n\u0085\u2028\u2029]").Split(string(data), -1)
		for _, finding := range findings {
			if finding.Line < 1 || finding.Line > len(lines) || finding.Column < 1 || finding.Column > len(data)+1 {
				t.Errorf("%v is outside of a file of %d lines", finding, len(lines))
			}
			if strings.ContainsFunc(finding.String(), unicode.IsControl) {
				t.Errorf("%q has a character that a terminal may obey", finding.String())
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
