package cli

import (
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// dryCommand is what a run would do, as JSON.
type dryCommand struct {
	Command []string `json:"command"`
	Script  string   `json:"script"`
}

// dryRun prints the command lines that a run would have, and asks no server.
// Values of a file are taken as they are, so that also those can be looked at
// that a run refuses: why it would is told on standard error.
func dryRun(c *cobra.Command, step *valohaiyaml.Step, values map[string]valohaiyaml.Value, asJSON bool) error {
	if _, err := step.CheckValues(values); err != nil {
		say(c.ErrOrStderr(), "A run refuses this: %s\n", harmless(fault.From(err).Sentence()))
	}
	command, err := step.Command(values)
	if err != nil {
		return err
	}
	if asJSON {
		return printJSON(c.OutOrStdout(), dryCommand{Command: command.Lines, Script: command.Script})
	}
	for _, command := range command.Lines {
		for line := range strings.SplitSeq(command, "\n") {
			say(c.OutOrStdout(), "%s\n", harmless(line))
		}
	}
	return nil
}

// parametersFileMost bounds a file of values; a command has 1 MiB at most.
const parametersFileMost = 16 << 20

// readValues are the values of a JSON file, an object by parameters' names. 3
// and 3.0 stay two things in it.
func readValues(name string) (map[string]valohaiyaml.Value, error) {
	if name == "" {
		return map[string]valohaiyaml.Value{}, nil
	}
	file, err := os.Open(filepath.Clean(name))
	if err != nil {
		return nil, fault.InvalidField("parameters-file", "file", "%v", err)
	}
	defer func() { _ = file.Close() }() // only read
	text, err := io.ReadAll(io.LimitReader(file, parametersFileMost))
	if err != nil {
		return nil, fault.InvalidField("parameters-file", "file", "%v", err)
	}
	var values map[string]valohaiyaml.Value
	if err := json.Unmarshal(text, &values); err != nil || values == nil {
		return nil, fault.InvalidField("parameters-file", "json", "%s is no JSON object of values", name).
			WithHint(`Write it as {"epochs": 5, "rates": [0.1, 0.01]}.`)
	}
	return values, nil
}
