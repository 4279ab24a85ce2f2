package cli_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/cli"
)

func TestADryRunPrintsTheCommandLinesOfTheFormatsOwnReader(t *testing.T) {
	text, err := os.ReadFile("../valohaiyaml/testdata/commands.jsonl")
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	file, values := filepath.Join(dir, "steps.yaml"), filepath.Join(dir, "values.json")
	looked := 0
	for line := range strings.Lines(string(text)) {
		var want struct {
			Step     json.RawMessage
			Values   json.RawMessage
			Expected []string
			Script   string
		}
		if err := json.Unmarshal([]byte(line), &want); err != nil {
			t.Fatal(err)
		}
		for name, content := range map[string][]byte{file: slices.Concat([]byte(`[{"step": `), want.Step, []byte("}]")), values: want.Values} {
			if err := os.WriteFile(name, content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		var out, errors bytes.Buffer
		args := []string{"run", "s", "--dry-run", "--json", "--yaml", file, "--parameters-file", values}
		if code := cli.Run(t.Context(), args, "test", cli.IO{In: strings.NewReader(""), Out: &out, Err: &errors}); code != 0 {
			t.Errorf("%s%s", line, errors.String())
			continue
		}
		var got struct {
			Command []string
			Script  string
		}
		if err := json.Unmarshal(out.Bytes(), &got); err != nil || !slices.Equal(got.Command, want.Expected) || got.Script != want.Script {
			t.Errorf("%sgot %s, %v", line, out.String(), err)
		}
		looked++
	}
	if looked < 300 {
		t.Errorf("%d of the lines were right", looked)
	}
}
