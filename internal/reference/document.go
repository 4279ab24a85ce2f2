package reference

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// document is what of an OpenAPI document the pages show.
type document struct {
	Info struct {
		Title       string `json:"title"`
		Version     string `json:"version"`
		Description string `json:"description"`
	} `json:"info"`
	Paths      map[string]map[string]json.RawMessage `json:"paths"`
	Components struct {
		Schemas map[string]*schema `json:"schemas"`
	} `json:"components"`

	operations []*operation
}

// operation is one method of one path.
type operation struct {
	ID          string                `json:"operationId"`
	Summary     string                `json:"summary"`
	Description string                `json:"description"`
	Tags        []string              `json:"tags"`
	Security    []map[string][]string `json:"security"`
	Parameters  []parameter           `json:"parameters"`
	RequestBody *body                 `json:"requestBody"`
	Responses   map[string]body       `json:"responses"`
	WhoMay      string                `json:"x-who-may"`
	Errors      []problem             `json:"x-errors"`

	Method string `json:"-"`
	Path   string `json:"-"`
}

type parameter struct {
	Name        string  `json:"name"`
	In          string  `json:"in"`
	Description string  `json:"description"`
	Required    bool    `json:"required"`
	Schema      *schema `json:"schema"`
}

// body is a request's or an answer's, by its content types.
type body struct {
	Description string               `json:"description"`
	Required    bool                 `json:"required"`
	Content     map[string]mediaType `json:"content"`
}

type mediaType struct {
	Schema *schema `json:"schema"`
}

// problem is an error that an operation is known to answer with.
type problem struct {
	Status int    `json:"status"`
	Code   string `json:"code"`
}

// schema is the shape of a value.
type schema struct {
	Ref         string             `json:"$ref"`
	Type        names              `json:"type"`
	Format      string             `json:"format"`
	Description string             `json:"description"`
	Enum        []any              `json:"enum"`
	Minimum     *json.Number       `json:"minimum"`
	Maximum     *json.Number       `json:"maximum"`
	MaxItems    *json.Number       `json:"maxItems"`
	Properties  map[string]*schema `json:"properties"`
	Required    []string           `json:"required"`
	Items       *schema            `json:"items"`
	Additional  *additional        `json:"additionalProperties"`
}

// names are one name or several.
type names []string

func (n *names) UnmarshalJSON(text []byte) error {
	if len(text) > 0 && text[0] == '[' {
		return json.Unmarshal(text, (*[]string)(n))
	}
	var name string
	err := json.Unmarshal(text, &name)
	*n = names{name}
	return err
}

// additional is the schema of members that have no name in it, or whether there
// may be any.
type additional struct{ schema *schema }

func (a *additional) UnmarshalJSON(text []byte) error {
	var may bool
	if json.Unmarshal(text, &may) == nil {
		return nil
	}
	return json.Unmarshal(text, &a.schema)
}

// schemas is where a reference to a schema begins.
const schemas = "#/components/schemas/"

// methods are those of operations, in the order of the pages.
var methods = []string{"get", "post", "put", "patch", "delete"}

// read reads a document. What its operations and schemas are called must do as a
// part of a path.
func read(text []byte) (*document, error) {
	d := new(document)
	if err := json.Unmarshal(text, d); err != nil {
		return nil, fmt.Errorf("reading the OpenAPI document: %w", err)
	}
	if len(d.Paths) == 0 {
		return nil, errors.New("reading the OpenAPI document: it has no paths")
	}
	ids := make(map[string]bool)
	for path, methodsOf := range d.Paths {
		for _, method := range methods {
			text, found := methodsOf[method]
			if !found {
				continue
			}
			op := &operation{Method: strings.ToUpper(method), Path: path}
			if err := json.Unmarshal(text, op); err != nil {
				return nil, fmt.Errorf("reading the OpenAPI document: %s of %s: %w", method, path, err)
			}
			if !isName(op.ID) || ids[op.ID] {
				return nil, fmt.Errorf("reading the OpenAPI document: %s of %s has no id of its own", method, path)
			}
			ids[op.ID] = true
			d.operations = append(d.operations, op)
		}
	}
	d.Paths = nil // it is in the operations now
	for name, s := range d.Components.Schemas {
		if !isName(name) || s == nil {
			return nil, fmt.Errorf("reading the OpenAPI document: %.40q is no schema", name)
		}
	}
	slices.SortFunc(d.operations, func(a, b *operation) int {
		if byPath := strings.Compare(a.Path, b.Path); byPath != 0 {
			return byPath
		}
		return slices.Index(methods, strings.ToLower(a.Method)) - slices.Index(methods, strings.ToLower(b.Method))
	})
	return d, nil
}

// isName reports whether a text is letters, digits, dashes and the like.
func isName(text string) bool {
	return text != "" && strings.Trim(text, ".") != "" && strings.IndexFunc(text, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
}

// tag is the first tag of an operation.
func (op *operation) tag() string {
	if len(op.Tags) == 0 {
		return "other"
	}
	return op.Tags[0]
}

// resolve follows a reference; name is what it refers to, or empty.
func (d *document) resolve(s *schema) (resolved *schema, name string) {
	for range 8 { // a document may refer in a circle
		target, refers := strings.CutPrefix(s.Ref, schemas)
		if !refers || d.Components.Schemas[target] == nil {
			return s, name
		}
		s, name = d.Components.Schemas[target], target
	}
	return s, name
}
