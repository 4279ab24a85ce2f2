package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// oneType are fields that take values of several types and therefore have no type of
// their own, for which generators leave out all around them: what they are told.
var oneType = map[string]map[string]any{
	"CredentialChange.owner": {"type": "integer", "format": "int64", "description": "The organisation's number"},
	"Owner.id": {
		"oneOf":       []any{map[string]any{"type": "string"}, map[string]any{"type": "integer", "format": "int64"}},
		"description": "An organisation's number or a user's UUID",
	},
	"NewNoticeChannel.owner": {"type": "integer", "format": "int64", "description": "The organisation's number; absent: the only one that I administer"},
}

// olderDocument is the document as OpenAPI 3.0.3, for generators that read no
// other, such as Terraform's.
func olderDocument(document *huma.OpenAPI) ([]byte, error) {
	text, err := document.Downgrade()
	if err != nil {
		return nil, fmt.Errorf("writing the document as OpenAPI 3.0: %w", err)
	}
	var tree map[string]any
	if err := json.Unmarshal(text, &tree); err != nil {
		return nil, fmt.Errorf("writing the document as OpenAPI 3.0: %w", err)
	}
	for name, schema := range oneType {
		of, field, _ := strings.Cut(name, ".")
		properties, known := inside(tree, "components", "schemas", of, "properties").(map[string]any)
		if !known || properties[field] == nil {
			return nil, fmt.Errorf("writing the document as OpenAPI 3.0: there is no field %s", name)
		}
		properties[field] = schema
	}
	makeOlder(tree)
	return json.Marshal(tree)
}

// inside is a member of a member, or nil.
func inside(value any, names ...string) any {
	for _, name := range names {
		members, _ := value.(map[string]any)
		value = members[name]
	}
	return value
}

// makeOlder takes away what OpenAPI 3.0 does not know: anything beside a reference,
// and the types of contents.
func makeOlder(value any) {
	switch value := value.(type) {
	case map[string]any:
		if _, refers := value["$ref"].(string); refers {
			maps.DeleteFunc(value, func(key string, _ any) bool { return key != "$ref" })
			return
		}
		if _, isText := value["contentMediaType"].(string); isText {
			delete(value, "contentMediaType")
		}
		for _, inner := range value {
			makeOlder(inner)
		}
	case []any:
		for _, inner := range value {
			makeOlder(inner)
		}
	}
}

func (d *door) openAPI30(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/vnd.oai.openapi+json;version=3.0")
	_, _ = w.Write(d.older) // nobody is left to tell
}
