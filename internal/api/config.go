package api

import (
	"encoding/json"
	"fmt"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// configData is a commit's valohai.yaml as JSON: what clients build their own
// commands of.
func configData(commit execution.Commit) (json.RawMessage, error) {
	file, findings := valohaiyaml.Parse(commit.ConfigPath, []byte(commit.Config))
	if err := findings.Err(); err != nil { // our fault: it could be run when it was uploaded
		return nil, fmt.Errorf("reading the %s of %s: %v", commit.ConfigPath, commit.Identifier, err)
	}
	text, err := json.Marshal(file.Data())
	if err != nil {
		return nil, fmt.Errorf("showing the %s of %s: %w", commit.ConfigPath, commit.Identifier, err)
	}
	return text, nil
}
