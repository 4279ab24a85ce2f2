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
