package api

import (
	"encoding/json"
	"fmt"

	"go.yaml.in/yaml/v4"

	"fairlead.dev/fairlead/internal/execution"
)

// configData is a commit's valohai.yaml as JSON: what clients build their own
// commands of. It could be run when it was uploaded, so it can be read.
func configData(commit execution.Commit) (json.RawMessage, error) {
	var parsed any
	if err := yaml.Unmarshal([]byte(commit.Config), &parsed); err != nil {
		return nil, fmt.Errorf("reading the %s of %s: %w", commit.ConfigPath, commit.Identifier, err)
	}
	text, err := json.Marshal(withTextKeys(parsed))
	if err != nil {
		return nil, fmt.Errorf("showing the %s of %s: %w", commit.ConfigPath, commit.Identifier, err)
	}
	return text, nil
}

// withTextKeys makes every key a text, as JSON wants it.
func withTextKeys(value any) any {
	switch value := value.(type) {
	case map[string]any:
		for key, item := range value {
			value[key] = withTextKeys(item)
		}
	case map[any]any:
		object := make(map[string]any, len(value))
		for key, item := range value {
			object[fmt.Sprint(key)] = withTextKeys(item)
		}
		return object
	case []any:
		for i, item := range value {
			value[i] = withTextKeys(item)
		}
	}
	return value
}
