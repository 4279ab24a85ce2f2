package valohaiyaml_test

import (
	"encoding/json"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

func TestTheErrorOfAFileNamesTheFirstMistakeAndHasThemAll(t *testing.T) {
	_, findings := valohaiyaml.Parse("valohai.yaml", []byte("- step:\n    name: s\n    image: 3\n    comand: a\n"))
	f := fault.From(findings.Err())
	if f.Kind != fault.Invalid || len(f.Fields) != 3 {
		t.Fatalf("%v with %d fields, want 3", f, len(f.Fields))
	}
	want := "valohai.yaml, line 2, column 5: `step` needs the key `command` (and 2 more). Did you mean `command` with the key \"comand\" in line 4?"
	if got := f.Sentence(); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestWhatOnlyTheLinterObjectsToKeepsNoFileFromBeingRun(t *testing.T) {
	_, findings := valohaiyaml.Parse("f", []byte("- step: {name: s, image: a, command: b}\n- pipeline: {name: p, nodes: [{name: n, type: execution, step: s}], edges: [[n.outputs.a, n.inputs.b]]}\n"))
	if findings.Count(valohaiyaml.Error) != 2 || findings.Err() != nil {
		t.Errorf("%d errors (%v), want 2 of the linter alone", findings.Count(valohaiyaml.Error), findings.Err())
	}
}

func TestFindingsComeInTheOrderOfTheFile(t *testing.T) {
	_, findings := valohaiyaml.Parse("f", readFile(t, "refused/invalid-pipeline-with-override-example.yaml"))
	for i := 1; i < len(findings); i++ {
		if findings[i].Line < findings[i-1].Line {
			t.Errorf("line %d comes after line %d", findings[i].Line, findings[i-1].Line)
		}
	}
}

func TestAFindingAsJSONHasItsPlace(t *testing.T) {
	_, findings := valohaiyaml.Parse("f", []byte("- stpe: {}\n"))
	text, err := json.Marshal(findings)
	want := `[{"severity":"warning","layer":"lint","code":"unknown_item","file":"f","line":1,"column":3,"path":"0.stpe","message":"nothing is done with \"stpe\"","mend":"Did you mean ` + "`step`" + `?"}]`
	if err != nil || string(text) != want {
		t.Errorf("got  %s\nwant %s (%v)", text, want, err)
	}
}

func TestThousandsOfMistakesAreCutAndStillKeepTheFileFromBeingRun(t *testing.T) {
	hints := "- step: {name: s, image: a, command: b, parameters: [" + strings.Repeat("{name: p}, ", 2000) + "]}\n"
	_, findings := valohaiyaml.Parse("f", []byte(hints))
	if len(findings) != 1001 || findings.Err() != nil {
		t.Errorf("%d findings (%v), want 1001 that let the file run", len(findings), findings.Err())
	}
	_, findings = valohaiyaml.Parse("f", []byte(strings.Repeat("- x\n", 2000)))
	if len(findings) != 1001 || findings.Err() == nil || !strings.Contains(findings[1000].Message, "1000 further findings") {
		t.Errorf("%d findings (%v), want 1001 that keep the file from being run", len(findings), findings.Err())
	}
}

func TestTextFromAFileCannotActOnATerminal(t *testing.T) {
	_, findings := valohaiyaml.Parse("f\x1b[2J", []byte(`- {"a\e[2Jb": 1, step: {"k\e[2J": 1, name: s, image: "\e[2J", command: b, parameters: [{name: "p\e", type: integer, default: "\e[2J"}]}}`))
	if len(findings) < 3 {
		t.Errorf("only %d findings", len(findings))
	}
	for _, f := range findings {
		if strings.Contains(f.String()+f.Path, "\x1b") {
			t.Errorf("%q holds an escape", f.String())
		}
	}
}

func TestLongTextIsCutInMessages(t *testing.T) {
	long := strings.Repeat("k", 100_000)
	_, findings := valohaiyaml.Parse("f", []byte("- step: {"+long+": {}, name: s, image: "+long+", command: b, parameters: [{name: p, type: integer, default: "+long+"}], resources: {devices: {"+long+": 0}}}"))
	if len(findings) < 4 {
		t.Errorf("only %d findings", len(findings))
	}
	for _, f := range findings {
		if len(f.String())+len(f.Path) > 2000 {
			t.Errorf("%s is told in %d bytes", f.Code, len(f.String()))
		}
	}
}
