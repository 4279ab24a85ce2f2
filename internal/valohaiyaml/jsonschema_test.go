package valohaiyaml_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"fairlead.dev/fairlead/internal/valohaiyaml"
)

// compiledSchema is the format's JSON Schema, ready to be asked.
func compiledSchema(t *testing.T) *jsonschema.Schema {
	t.Helper()
	var document any
	if err := json.Unmarshal(valohaiyaml.JSONSchema(), &document); err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	if err := compiler.AddResource("valohai-yaml.json", document); err != nil {
		t.Fatal(err)
	}
	schema, err := compiler.Compile("valohai-yaml.json")
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func TestTheJSONSchemaTakesWhatTheReaderTakesAndNothingElse(t *testing.T) {
	schema := compiledSchema(t)
	looked := 0
	for _, sort := range []string{"accepted", "warned", "refused"} {
		files, err := filepath.Glob(filepath.Join("testdata", sort, "*.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range files {
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			file, findings := valohaiyaml.Parse(name, text)
			if file == nil {
				continue // no YAML
			}
			data, err := json.Marshal(file.Data())
			if err != nil {
				t.Fatal(err)
			}
			var instance any
			if err := json.Unmarshal(data, &instance); err != nil {
				t.Fatal(err)
			}
			if got, want := schema.Validate(instance), findings.Err(); (got == nil) != (want == nil) {
				t.Errorf("%s: the schema says %v, the reader %v", name, got, want)
			}
			looked++
		}
	}
	if looked < 20 {
		t.Errorf("%d files were looked at", looked)
	}
}

func TestEveryKeyOfTheFormatStandsInThePageForValohaisUsers(t *testing.T) {
	page, err := os.ReadFile("../../docs/from-valohai.md")
	if err != nil {
		t.Fatal(err)
	}
	var schema any
	if err := json.Unmarshal(valohaiyaml.JSONSchema(), &schema); err != nil {
		t.Fatal(err)
	}
	eachPlace(schema, "", func(any) {}, func(path string, _ func(any)) {
		parts := strings.Split(path, ".")
		if len(parts) < 3 || parts[len(parts)-2] != "properties" {
			return
		}
		key := parts[len(parts)-1]
		if !regexp.MustCompile("[`.]" + key + "`").Match(page) {
			t.Errorf("docs/from-valohai.md does not name the key %s", key)
		}
	})
}
