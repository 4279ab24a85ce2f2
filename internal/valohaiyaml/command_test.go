package valohaiyaml_test

import (
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

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

// parse is a file that has to be free of errors that keep it from being run.
func parse(t testing.TB, text string) *valohaiyaml.File {
	t.Helper()
	file, findings := valohaiyaml.Parse("valohai.yaml", []byte(text))
	if err := findings.Err(); err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return file
}

func TestATemplateThatCannotBeFilledIsRefusedWithWhatCan(t *testing.T) {
	for template, reason := range map[string]string{
		"{valeu}":     `"{valeu}" has no meaning`,
		"{value:.2f}": `"{value:.2f}" has no meaning`,
		"{value":      "without `}`",
		"value}":      "without `{`",
	} {
		file := parse(t, "- step: {name: s, image: a, command: '{parameters}', parameters: [{name: p, default: x, pass-as: '"+template+"'}]}")
		_, err := file.Steps[0].Command(nil)
		sentence := fault.From(err).Sentence()
		if !fault.Is(err, fault.Invalid) || !strings.Contains(sentence, reason) || !strings.Contains(sentence, "{value}") {
			t.Errorf("%s: %q, want %q and what may be used", template, sentence, reason)
		}
	}
}

// The wanted lines are what Python's str.format, str.split and shlex.quote make.
func TestHardValuesComeOutOfACommandAsPythonMakesThem(t *testing.T) {
	for _, c := range []struct{ step, values, want string }{
		{`command: "{parameters}", parameters: [{name: p}]`, `{"p": "two words"}`, `'--p=two words'`},
		{`command: "{parameters}", parameters: [{name: p}]`, `{"p": "it's"}`, `'--p=it'"'"'s'`},
		{`command: "{parameters}", parameters: [{name: p}]`, `{"p": "a\nb"}`, "'--p=a\nb'"},
		{`command: "{parameters}", parameters: [{name: p}]`, `{"p": "größe"}`, `'--p=größe'`},
		{`command: "{parameters}", parameters: [{name: p}]`, `{"p": ""}`, `--p=`},
		{`command: "{parameters}", parameters: [{name: "größe"}]`, `{"größe": 1}`, `'--größe=1'`},
		{`command: "{parameters}", parameters: [{name: p, pass-as: "-p {value}"}]`, `{"p": "a b"}`, `-p 'a b'`},
		{`command: "{parameters}", parameters: [{name: p, pass-as: "-p {value}"}]`, `{"p": ""}`, `-p ''`},
		{`command: "{parameters}", parameters: [{name: p, pass-as: "-p\t \n{v} \u00a0"}]`, `{"p": "a"}`, `-p a`},
		{`command: "{parameters}", parameters: [{name: p, pass-as: '"{value}"'}]`, `{"p": "a b"}`, `'"a b"'`},
		{`command: "{parameters}", parameters: [{name: p, pass-as: "{{{name}}}={value}{v}"}]`, `{"p": "{name}"}`, `'{p}={name}{name}'`},
		{`command: "{parameters}", parameters: [{name: p, pass-as: "  "}]`, `{"p": "a"}`, ``},
		{`command: "{parameters}", parameters: [{name: p, pass-as: "only"}]`, `{"p": "a"}`, `only`},
		{`command: "run '{parameters}'", parameters: [{name: p}]`, `{"p": "a b"}`, `run ''--p=a b''`},
		{`command: "a {parameter:p} b", parameters: [{name: p, optional: true}]`, `{}`, `a  b`},
		{`command: "a {parameter:p} b", parameters: [{name: p, default: 0}]`, `{}`, `a --p=0 b`},
		{`command: "a {parameter:p} b", parameters: [{name: p, default: ''}]`, `{}`, `a --p= b`},
		{`command: "a {parameter:q} {parameter-value:q} b", parameters: [{name: p}]`, `{}`, `a {parameter:q} {parameter-value:q} b`},
		{`command: "{parameter-value:p}", parameters: [{name: p, type: float}]`, `{"p": 1e-5}`, `1e-05`},
		{`command: "{parameter-value:p}", parameters: [{name: p, multiple: repeat, default: [a, 1]}]`, `{}`, `'['"'"'a'"'"', 1]'`},
		{`command: "{parameter-value:p}", parameters: [{name: p}]`, `{"p": null}`, `None`},
		{`command: "{parameter-value:a:b} {parameter:a:b}", parameters: [{name: "a:b"}]`, `{"a:b": 1}`, `1 --a:b=1`},
		{`command: "{{parameters}} {parameters}} { parameters} ${parameters}", parameters: [{name: p}]`, `{"p": 1}`, `{{parameters}} --p=1} { parameters} $--p=1`},
		{`command: "{parameters}", parameters: [{name: p, multiple: repeat}]`, `{"p": ["a b", "", 1.0]}`, `'--p=a b' --p= --p=1.0`},
		{`command: "{parameters}", parameters: [{name: p, multiple: repeat, pass-as: "-p {v}"}]`, `{"p": ["a", true]}`, `-p a -p True`},
		{`command: "{parameters}", parameters: [{name: p, multiple: repeat, default: a}]`, `{"p": []}`, ``},
		{`command: "{parameters}", parameters: [{name: p, multiple: separate, multiple-separator: " ; "}]`, `{"p": ["a", "b"]}`, `'--p=a ; b'`},
		{`command: "{parameters}", parameters: [{name: p, multiple: separate, multiple-separator: ""}]`, `{"p": ["a", 3.0]}`, `--p=a,3.0`},
		{`command: "{parameters}", parameters: [{name: p, multiple: separate, default: one}]`, `{}`, `--p=one`},
		{`command: "{parameters}", parameters: [{name: p, type: flag, default: true}]`, `{}`, ``},
		{`command: "{parameters}", parameters: [{name: p, type: flag, pass-as: "-v -v"}]`, `{"p": true}`, `-v -v`},
		{`command: "{parameters}", parameters: [{name: p, type: flag, pass-as: "--{name}={value}"}]`, `{"p": true}`, `--p=True`},
		{`command: "{parameters}", parameters: [{name: p, type: flag, pass-true-as: "--on", pass-false-as: "--no-{name} {v}"}]`, `{"p": false}`, `--no-p False`},
		{`command: "{parameters}", parameters: [{name: p, type: flag, pass-false-as: "--off", pass-as: "--on"}]`, `{"p": true}`, ``},
		{`command: "{parameters}", parameters: [{name: p, pass-true-as: a, pass-false-as: b}]`, `{"p": "x"}`, `--p=x`},
		{`command: "{parameters}", parameters: [{name: p, default: 1}, {name: q}, {name: p, default: 2}]`, `{"q": 3}`, `--p=2 --q=3`},
		{`command: "run {source-path}"`, `{}`, `run {source-path}`},
		{`command: "run {source-path}", source-path: ""`, `{}`, `run ''`},
		{`command: "run {source-path}", source-path: "a b.py"`, `{}`, `run 'a b.py'`},
	} {
		var values map[string]valohaiyaml.Value
		if err := json.Unmarshal([]byte(c.values), &values); err != nil {
			t.Fatal(err)
		}
		command, err := parse(t, "- step: {name: s, image: a, "+c.step+"}").Steps[0].Command(values)
		if err != nil || command.Lines[0] != c.want {
			t.Errorf("%s with %s\n got %s (%v)\nwant %s", c.step, c.values, command.Lines, err, c.want)
		}
	}
}

func TestAListForASingleValueIsRefused(t *testing.T) {
	file := parse(t, "- step: {name: s, image: a, command: '{parameters}', parameters: [{name: p}]}")
	_, err := file.Steps[0].Command(map[string]valohaiyaml.Value{"p": valohaiyaml.ListValue(valohaiyaml.IntValue(1))})
	if sentence := fault.From(err).Sentence(); !strings.Contains(sentence, "multiple: repeat") {
		t.Errorf("%q does not say how to take several", sentence)
	}
}

func TestACommandThatMultipliesItsTextIsRefused(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	for name, step := range map[string]string{
		"tokens":     "command: '" + strings.Repeat("{params}", 1000) + "', parameters: [{name: p, default: " + long + "}]",
		"templates":  "command: '{params}', parameters: [{name: p, default: " + long + ", pass-as: '" + strings.Repeat("{v}", 1000) + "'}]",
		"separators": "command: '{params}', parameters: [{name: p, multiple: separate, multiple-separator: " + long + ", default: [" + strings.Repeat("a, ", 1000) + "]}]",
		"lines":      "command: [" + strings.Repeat(long+", ", 12) + "]",
	} {
		_, err := parse(t, "- step: {name: s, image: a, "+step+"}").Steps[0].Command(nil)
		if f := fault.From(err); err == nil || f.Code != "command_length" {
			t.Errorf("%s: %v, want that the command is too long", name, err)
		}
	}
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

func FuzzAValueNeverBecomesMoreThanOneWordOfTheCommand(f *testing.F) {
	for _, value := range []string{"", "a b", "it's", "`id`", "$(id)", "\n", "{value}", "{parameter:p}", "\";id;\""} {
		f.Add(value)
	}
	file := parse(f, "- step: {name: s, image: a, command: '{parameter-value:p}', parameters: [{name: p, default: x}]}")
	f.Fuzz(func(t *testing.T, value string) {
		command, err := file.Steps[0].Command(map[string]valohaiyaml.Value{"p": valohaiyaml.TextValue(value)})
		if err != nil && fault.From(err).Code == "command_length" {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if got := unquote(command.Lines[0]); got != value {
			t.Errorf("%q is passed as %s, which a shell reads as %q", value, command.Lines[0], got)
		}
	})
}

func TestAShellReadsQuotedTextsAsTheyWere(t *testing.T) {
	shell, err := exec.LookPath("sh")
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{"", "a b", "it's", "`id`", "$HOME", "two\nlines", "ü", `a'b"c\`, "*", "~", "#x", "a;b", "!x"} {
		out, err := exec.Command(shell, "-c", "printf %s "+valohaiyaml.Quote(text)).Output()
		if err != nil || string(out) != text {
			t.Errorf("%q comes out of the shell as %q (%v)", text, out, err)
		}
	}
}
