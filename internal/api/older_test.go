package api_test

import (
	"io"
	"maps"
	"net/http"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"go.yaml.in/yaml/v4"
)

// olderDocument is the house's document as OpenAPI 3.0, read by a parser that
// checks it.
func olderDocument(h *house) *openapi3.T {
	h.t.Helper()
	response, err := http.DefaultClient.Do(h.request("", http.MethodGet, "openapi-3.0.json", nil))
	h.must(err)
	text, err := io.ReadAll(response.Body)
	h.must(err)
	h.must(response.Body.Close())
	d, err := openapi3.NewLoader().LoadFromData(text)
	h.must(err)
	return d
}

func TestTheDocumentForGeneratorsIsOpenAPI30(t *testing.T) {
	h := newHouse(t)
	d := olderDocument(h)
	if d.OpenAPI != "3.0.3" {
		t.Errorf("it is of %s", d.OpenAPI)
	}
	if err := d.Validate(t.Context()); err != nil {
		t.Error(err)
	}
	var newer document
	h.call("", http.MethodGet, "openapi.json", nil, &newer)
	if d.Paths.Len() != len(newer.Paths) || len(d.Components.Schemas) != len(newer.Components.Schemas) {
		t.Errorf("it has %d paths and %d schemas, the newer one %d and %d", d.Paths.Len(), len(d.Components.Schemas), len(newer.Paths), len(newer.Components.Schemas))
	}
}

// generatorConfig is what of Terraform's generator's configuration names operations.
type generatorConfig struct {
	Resources   map[string]generated `yaml:"resources"`
	DataSources map[string]generated `yaml:"data_sources"`
}

type generated struct {
	Create, Read, Update, Delete *struct{ Path, Method string }

	Schema struct {
		Ignores    []string `yaml:"ignores"`
		Attributes struct {
			Aliases map[string]string `yaml:"aliases"`
		} `yaml:"attributes"`
	} `yaml:"schema"`
}

// TestTheGeneratorOfTerraformFindsAllThatItsConfigurationNames also finds fields
// without a type, for which the generator would leave out what they are in.
func TestTheGeneratorOfTerraformFindsAllThatItsConfigurationNames(t *testing.T) {
	h := newHouse(t)
	d := olderDocument(h)
	text, err := os.ReadFile("../../deploy/terraform/generator_config.yml")
	h.must(err)
	var config generatorConfig
	h.must(yaml.Unmarshal(text, &config))
	for _, name := range []string{"registry_credential", "project", "environment", "organization_member", "notice_channel"} {
		if r := config.Resources[name]; r.Create == nil || r.Read == nil {
			t.Errorf("the resource %s cannot be made or read", name)
		}
	}
	all := maps.Clone(config.Resources)
	maps.Copy(all, config.DataSources)
	for name, what := range all {
		known := make(map[string]bool)
		for _, named := range []*struct{ Path, Method string }{what.Create, what.Read, what.Update, what.Delete} {
			if named == nil {
				continue
			}
			var op *openapi3.Operation
			if path := d.Paths.Value(named.Path); path != nil {
				op = path.GetOperation(named.Method)
			}
			if op == nil {
				t.Errorf("%s: the API has no %s %s", name, named.Method, named.Path)
				continue
			}
			for _, p := range op.Parameters {
				known[p.Value.Name] = true
			}
			for _, schema := range bodiesOf(op) {
				for field := range schema.Value.Properties {
					known[field] = true
				}
				checkTyped(t, name+" ("+op.OperationID+")", schema, nil)
			}
		}
		for _, field := range slices.AppendSeq(what.Schema.Ignores, maps.Keys(what.Schema.Attributes.Aliases)) {
			if !known[field] {
				t.Errorf("%s: nothing of it has the field %s", name, field)
			}
		}
	}
}

// bodiesOf are the schemas of the request and of what it answers when all is well.
func bodiesOf(op *openapi3.Operation) (bodies []*openapi3.SchemaRef) {
	if op.RequestBody != nil {
		if media := op.RequestBody.Value.Content.Get("application/json"); media != nil {
			bodies = append(bodies, media.Schema)
		}
	}
	for status, response := range op.Responses.Map() {
		if media := response.Value.Content.Get("application/json"); media != nil && strings.HasPrefix(status, "2") {
			bodies = append(bodies, media.Schema)
		}
	}
	return bodies
}

func checkTyped(t *testing.T, name string, schema *openapi3.SchemaRef, within []*openapi3.Schema) {
	t.Helper()
	s := schema.Value
	if slices.Contains(within, s) {
		return
	}
	within = append(within, s)
	if s.Type == nil && len(s.OneOf)+len(s.AllOf) == 0 {
		t.Errorf("%s has no type: give it one in oneType of internal/api/older.go", name)
	}
	for field, inner := range s.Properties {
		checkTyped(t, name+"."+field, inner, within)
	}
	if s.Items != nil {
		checkTyped(t, name+"[]", s.Items, within)
	}
}
