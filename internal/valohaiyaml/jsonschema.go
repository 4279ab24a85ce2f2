package valohaiyaml

import (
	"encoding/json"
	"maps"
	"slices"
)

// JSONSchema is the format as a JSON Schema (draft 2020-12), for editing tools.
// It is made of the very rules that Parse checks, so that both take the same
// files; what one value says of another, such as the name of a step, only Parse
// tells.
func JSONSchema() json.RawMessage {
	items := make(map[string]any)
	for _, item := range []struct {
		key string
		of  *rule
	}{
		{"step", stepRule},
		{"task", taskRule},
		{"endpoint", endpointRule},
		{"pipeline", pipelineRule},
		{"blueprint", pipelineRule},
		{"deployment", deploymentRule},
	} {
		items[item.key] = item.of.jsonSchema()
	}
	text, err := json.Marshal(map[string]any{
		"$schema": "https://json-schema.org/draft/2020-12/schema",
		"title":   "valohai.yaml",
		"type":    "array",
		"items":   map[string]any{"type": "object", "properties": items}, // others are no error
	})
	if err != nil {
		panic(err) // texts and numbers alone
	}
	return text
}

// jsonTypes are what JSON Schema calls the kinds. Dates are texts in JSON.
var jsonTypes = map[Kind]string{
	Null: "null", Boolean: "boolean", Integer: "integer", Float: "number", Text: "string", Time: "string", List: "array", Map: "object",
}

// jsonSchema is the rule as a JSON Schema.
func (ru *rule) jsonSchema() map[string]any {
	schema := make(map[string]any)
	if ru.among != nil {
		schema["anyOf"] = schemasOf(ru.among)
	}
	var types []string
	for _, kind := range ru.kinds {
		types = append(types, jsonTypes[kind])
	}
	set(schema, "type", types)
	set(schema, "required", ru.needs)
	if ru.keys != nil {
		schema["properties"] = properties(ru.keys)
		schema["additionalProperties"] = ru.values != nil
	}
	if ru.values != nil {
		schema["additionalProperties"] = ru.values.jsonSchema()
	}
	if ru.items != nil {
		schema["items"] = ru.items.jsonSchema()
	}
	if ru.count > 0 {
		schema["minItems"], schema["maxItems"] = ru.count, ru.count
	}
	ru.jsonTexts(schema)
	if ru.min != nil {
		schema["minimum"] = *ru.min
	}
	if ru.max != nil {
		schema["maximum"] = *ru.max
	}
	switch {
	case ru.oneOf != nil:
		schema["oneOf"] = required(ru.oneOf)
	case ru.someOf != nil:
		schema["anyOf"] = required(ru.someOf)
	case ru.notBoth != nil:
		schema["not"] = map[string]any{"required": ru.notBoth}
	}
	return schema
}

// jsonTexts is what the rule says of strings. Words that are taken in any case
// are offered and not demanded.
func (ru *rule) jsonTexts(schema map[string]any) {
	switch {
	case ru.words != nil && ru.anyCase:
		schema["examples"] = ru.words
	case ru.words != nil && slices.Contains(ru.kinds, Boolean):
		schema["enum"] = append([]any{true, false}, anys(ru.words)...)
	case ru.words != nil:
		schema["enum"] = ru.words
	}
	if ru.pattern != nil {
		schema["pattern"] = ru.pattern.String()
	}
	if ru.most > 0 {
		schema["maxLength"] = ru.most
	}
}

func anys(words []string) []any {
	all := make([]any, len(words))
	for i, word := range words {
		all[i] = word
	}
	return all
}

func set(schema map[string]any, key string, texts []string) {
	if len(texts) > 0 {
		schema[key] = texts
	}
}

func schemasOf(rules []*rule) []any {
	var schemas []any
	for _, ru := range rules {
		schemas = append(schemas, ru.jsonSchema())
	}
	return schemas
}

func properties(keys map[string]*rule) map[string]any {
	all := make(map[string]any, len(keys))
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		all[key] = keys[key].jsonSchema()
	}
	return all
}

func required(keys []string) []any {
	var each []any
	for _, key := range keys {
		each = append(each, map[string]any{"required": []string{key}})
	}
	return each
}
