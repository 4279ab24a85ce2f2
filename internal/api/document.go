package api

import (
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/valohaiyaml"
	"fairlead.dev/fairlead/internal/wire"
)

// referenceBase is the path that the pages of the reference are below.
const referenceBase = "/docs/api/"

// tokenScheme is the name of the one security scheme.
const tokenScheme = "token"

// describe is the configuration of huma with the head of the OpenAPI document.
// It has no page of documentation, since that would load scripts from elsewhere,
// and no links to schemas in answers.
func describe(version string) huma.Config {
	registry := huma.NewMapRegistry("#/components/schemas/", huma.DefaultSchemaNamer)
	registry.RegisterTypeAlias(reflect.TypeFor[problem](), reflect.TypeFor[wire.Problem]())
	registry.RegisterTypeAlias(reflect.TypeFor[wire.Time](), reflect.TypeFor[*time.Time]())
	return huma.Config{
		OpenAPI: &huma.OpenAPI{
			OpenAPI: "3.1.0",
			Info: &huma.Info{
				Title: "Fairlead", Version: version,
				Description: "Private container images for every project of an organisation. " +
					"Bodies are JSON, or forms where they are flat. Every path ends in a slash.",
			},
			Components: &huma.Components{
				Schemas: registry,
				SecuritySchemes: map[string]*huma.SecurityScheme{tokenScheme: {
					Type: "http", Scheme: "bearer",
					Description: "A token of a user or of a worker. `Authorization: Token TOKEN` is taken too.",
				}},
			},
		},
		Formats: map[string]huma.Format{
			jsonType: {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal},
			"json":   {Marshal: huma.DefaultJSONFormat.Marshal, Unmarshal: unmarshal}, // for +json
		},
		DefaultFormat: jsonType,
	}
}

// writeDocument writes the OpenAPI document, once every route is laid.
func (d *door) writeDocument() (err error) {
	document := d.huma.OpenAPI()
	schemas := document.Components.Schemas
	schemas.Map()["Problem"].AdditionalProperties = &huma.Schema{
		Description: "On 400: a field at fault with what is wrong with it",
		Type:        huma.TypeArray, Items: &huma.Schema{Type: huma.TypeString},
	}
	tellAll(document)
	// What workers write is passed on as it came, so that it has no type there.
	schemas.Map()["Execution"].Properties["pull_report"] = &huma.Schema{
		Ref: schemas.Schema(reflect.TypeFor[wire.PullReport](), true, "").Ref, Description: "How the image was pulled",
	}
	for _, path := range document.Paths {
		for _, op := range []*huma.Operation{path.Get, path.Post, path.Put, path.Patch, path.Delete} {
			if op != nil && op.RequestBody != nil && op.RequestBody.Content[formType] != nil {
				op.RequestBody.Content[formType].Schema = op.RequestBody.Content[jsonType].Schema
			}
		}
	}
	if d.document, err = json.Marshal(document); err != nil {
		return fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	if d.yaml, err = document.YAML(); err != nil {
		return fmt.Errorf("writing the OpenAPI document: %w", err)
	}
	d.older, err = olderDocument(document)
	return err
}

// showReference lays the pages that are made of the document.
func (d *door) showReference() error {
	if d.config.Reference == nil {
		return nil
	}
	pages, err := d.config.Reference(d.document)
	if err != nil {
		return err
	}
	d.mux.Handle(referenceBase, pages)
	return nil
}

func (d *door) openAPI(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.1")
	_, _ = w.Write(d.document) // nobody is left to tell
}

func (d *door) openAPIYAML(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi;version=3.1")
	_, _ = w.Write(d.yaml) // nobody is left to tell
}

// What follows documents the routes that do not go through huma.

// takesJSON documents a body.
func takesJSON[T any](op *huma.Operation, registry huma.Registry, required bool) {
	op.RequestBody = &huma.RequestBody{Required: required, Content: map[string]*huma.MediaType{
		jsonType: {Schema: registry.Schema(reflect.TypeFor[T](), true, "")},
	}}
}

// answersJSON documents the answer.
func answersJSON[T any](op *huma.Operation, registry huma.Registry) {
	answers(op, jsonType, registry.Schema(reflect.TypeFor[T](), true, ""))
}

// answers documents one type of the answer.
func answers(op *huma.Operation, contentType string, schema *huma.Schema) {
	response := op.Responses[fmt.Sprint(op.DefaultStatus)]
	if response.Content == nil {
		response.Content = make(map[string]*huma.MediaType)
	}
	response.Content[contentType] = &huma.MediaType{Schema: schema}
}

// bytesOf is the schema of bytes that are no JSON.
func bytesOf(description string) *huma.Schema {
	return &huma.Schema{Type: huma.TypeString, Format: "binary", Description: description}
}

// queryParameter documents one.
func queryParameter(op *huma.Operation, name, kind, description string) {
	op.Parameters = append(op.Parameters, &huma.Param{Name: name, In: "query", Description: description, Schema: &huma.Schema{Type: kind}})
}

// valohaiSchema is the format of valohai.yaml for editing tools, which have no
// token.
func valohaiSchema(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/schema+json")
	w.Header().Set("Access-Control-Allow-Origin", "*") // editors in a browser
	_, _ = w.Write(valohaiyaml.JSONSchema())           // whoever asked may be gone
}
