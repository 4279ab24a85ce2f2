package reference

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// row is a line of a table of fields.
type row struct {
	Name     string
	Type     string
	Link     string // name of the schema that the type has a page for
	Required bool
	Says     []string // sentences: the description, then the bounds
	Fields   []row    // of a value that has fields itself
}

// depth is how many tables are in one another; what is below has a link.
const depth = 3

// rows are the fields of a schema; within are the schemas around it.
func (d *document) rows(s *schema, within []string) []row {
	resolved, name := d.resolve(s)
	if slices.Contains(within, name) || len(within) == depth {
		return nil
	}
	within = append(slices.Clone(within), name)
	var rows []row
	for _, field := range slices.Sorted(maps.Keys(resolved.Properties)) {
		rows = append(rows, d.row(field, resolved.Properties[field], slices.Contains(resolved.Required, field), within))
	}
	if resolved.Additional != nil && resolved.Additional.schema != nil {
		rows = append(rows, d.row("any other name", resolved.Additional.schema, false, within))
	}
	return rows
}

func (d *document) row(name string, s *schema, required bool, within []string) row {
	if s == nil {
		s = new(schema)
	}
	r := row{Name: name, Type: d.typeOf(s, 0), Required: required, Says: bounds(s)}
	inner := d.core(s)
	resolved, ref := d.resolve(inner)
	if _, known := d.Components.Schemas[ref]; known {
		r.Link = ref
	}
	description := s.Description
	if description == "" {
		description = resolved.Description
	}
	if description != "" {
		r.Says = append([]string{sentence(description)}, r.Says...)
	}
	r.Fields = d.rows(inner, within)
	return r
}

// core is the schema of what a list or a map holds in the end.
func (d *document) core(s *schema) *schema {
	for range depth {
		resolved, _ := d.resolve(s)
		switch {
		case resolved.Items != nil:
			s = resolved.Items
		case len(resolved.Properties) == 0 && resolved.Additional != nil && resolved.Additional.schema != nil:
			s = resolved.Additional.schema
		default:
			return s
		}
	}
	return s
}

// typeOf is a type in words.
func (d *document) typeOf(s *schema, deep int) string {
	resolved, name := d.resolve(s)
	if deep > depth {
		return "value"
	}
	types := slices.DeleteFunc(slices.Clone(resolved.Type), func(t string) bool { return t == "null" })
	null := ""
	if len(types) < len(resolved.Type) {
		null = " or null"
	}
	switch {
	case resolved.Items != nil:
		return "list of " + d.typeOf(resolved.Items, deep+1) + null
	case len(resolved.Properties) > 0 && name != "":
		return name + null
	case resolved.Additional != nil && resolved.Additional.schema != nil:
		return "map of " + d.typeOf(resolved.Additional.schema, deep+1) + null
	case len(types) == 0:
		return "any value"
	case resolved.Format == "date-time":
		return "time" + null
	case resolved.Format == "binary":
		return "bytes" + null
	default:
		return strings.Join(types, " or ") + null
	}
}

// bounds are what is said of a value beside its type.
func bounds(s *schema) (says []string) {
	if len(s.Enum) > 0 {
		words := make([]string, len(s.Enum))
		for i, value := range s.Enum {
			if words[i] = fmt.Sprint(value); words[i] == "" {
				words[i] = "empty"
			}
		}
		says = append(says, "One of: "+strings.Join(words, ", ")+".")
	}
	if s.Minimum != nil {
		says = append(says, "At least "+s.Minimum.String()+".")
	}
	if s.Maximum != nil {
		says = append(says, "At most "+s.Maximum.String()+".")
	}
	if s.MaxItems != nil {
		says = append(says, "At most "+s.MaxItems.String()+" of them.")
	}
	return says
}

// sentence ends a text with a full stop.
func sentence(text string) string {
	if text == "" || strings.ContainsRune(".!?", rune(text[len(text)-1])) {
		return text
	}
	return text + "."
}

// content is a body of one content type.
type content struct {
	Type   string
	Schema row
}

func (d *document) contents(b *body) (all []content) {
	if b == nil {
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(b.Content)) {
		all = append(all, content{Type: name, Schema: d.row("", b.Content[name].Schema, false, nil)})
	}
	return all
}

// answer is what an operation answers with one status.
type answer struct {
	Status      string
	Description string
	Contents    []content
}

// operationView is an operation's page.
type operationView struct {
	*operation
	Tag        string
	Says       []string // paragraphs
	PathFields []row
	Query      []row
	Requests   []content
	Answers    []answer
	Failures   []failure
	Example    string
}

// failure is an error with its status in words.
type failure struct {
	Status string
	Code   string
}

func (d *document) view(op *operation) operationView {
	v := operationView{operation: op, Tag: op.tag(), Says: op.says(), Requests: d.contents(op.RequestBody), Example: d.example(op)}
	for _, p := range op.Parameters {
		shown := d.row(p.Name, p.Schema, p.Required, nil)
		if p.Description != "" && (p.Schema == nil || p.Schema.Description != p.Description) {
			shown.Says = append([]string{sentence(p.Description)}, shown.Says...)
		}
		switch p.In {
		case "path":
			v.PathFields = append(v.PathFields, shown)
		default:
			v.Query = append(v.Query, shown)
		}
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		response := op.Responses[status]
		shown := answer{Status: status, Description: response.Description, Contents: d.contents(&response)}
		if status == "default" {
			shown.Status, shown.Description = "Any error", ""
		}
		v.Answers = append(v.Answers, shown)
	}
	for _, p := range op.Errors {
		v.Failures = append(v.Failures, failure{Status: strconv.Itoa(p.Status) + " " + http.StatusText(p.Status), Code: p.Code})
	}
	return v
}

// says are the paragraphs of an operation's description but for the one that the page
// has a place of its own for.
func (op *operation) says() []string {
	return slices.DeleteFunc(paragraphs(op.Description), func(text string) bool {
		return op.WhoMay != "" && strings.HasSuffix(text, op.WhoMay) && strings.HasPrefix(text, "Who may: ")
	})
}

func paragraphs(text string) (all []string) {
	for part := range strings.SplitSeq(text, "\n\n") {
		if part = strings.TrimSpace(part); part != "" {
			all = append(all, part)
		}
	}
	return all
}

// example is a command line that calls the operation.
func (d *document) example(op *operation) string {
	var b strings.Builder
	b.WriteString("curl -sS")
	if op.Method != http.MethodGet {
		b.WriteString(" -X " + op.Method)
	}
	address := strings.NewReplacer("{", "", "}", "").Replace(op.Path)
	for _, p := range op.Parameters {
		if p.In == "path" {
			address = strings.ReplaceAll(address, "/"+p.Name+"/", "/"+strings.ToUpper(p.Name)+"/")
		}
	}
	separator := "?"
	for _, p := range op.Parameters {
		if p.In == "query" && p.Required {
			address += separator + p.Name + "=" + strings.ToUpper(p.Name)
			separator = "&"
		}
	}
	b.WriteString(` "$FAIRLEAD_SERVER` + address + `"`)
	if len(op.Security) > 0 {
		b.WriteString(" \\\n  -H \"Authorization: Bearer $FAIRLEAD_TOKEN\"")
	}
	if op.RequestBody == nil {
		return b.String()
	}
	switch types := slices.Sorted(maps.Keys(op.RequestBody.Content)); {
	case slices.Contains(types, "application/json"):
		value := d.sample(op.RequestBody.Content["application/json"].Schema, 0)
		text, err := json.Marshal(value)
		if err != nil { // of maps, lists and texts it never comes
			text = []byte("{}")
		}
		b.WriteString(" \\\n  -H 'Content-Type: application/json' -d '" + strings.ReplaceAll(string(text), "'", `'\''`) + "'")
	case slices.Contains(types, "multipart/form-data"):
		b.WriteString(" \\\n  -F data=@FILE")
	default:
		b.WriteString(" \\\n  --data-binary @FILE")
	}
	return b.String()
}

// sample is a value of a schema's type: of its fields those that must be there, or
// the first three where none must.
func (d *document) sample(s *schema, deep int) any {
	if s == nil || deep > depth {
		return nil
	}
	resolved, _ := d.resolve(s)
	if len(resolved.Enum) > 0 {
		return resolved.Enum[0]
	}
	kind := ""
	for _, t := range resolved.Type {
		if t != "null" {
			kind = t
		}
	}
	switch kind {
	case "object":
		fields := slices.Sorted(slices.Values(resolved.Required))
		if len(fields) == 0 && deep == 0 {
			fields = slices.Sorted(maps.Keys(resolved.Properties))
			fields = fields[:min(3, len(fields))]
		}
		value := make(map[string]any, len(fields))
		for _, field := range fields {
			value[field] = d.sample(resolved.Properties[field], deep+1)
		}
		return value
	case "array":
		if value := d.sample(resolved.Items, deep+1); value != nil {
			return []any{value}
		}
		return []any{}
	case "integer", "number":
		return 1
	case "boolean":
		return true
	case "string":
		if resolved.Format == "date-time" {
			return "2030-01-31T12:00:00.000000Z"
		}
		return "…"
	default:
		return nil
	}
}
