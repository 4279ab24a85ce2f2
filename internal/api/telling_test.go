package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// told is what of a document is for people.
type told struct {
	Paths map[string]map[string]struct {
		OperationID string `json:"operationId"`
		Description string `json:"description"`
		WhoMay      string `json:"x-who-may"`
		Errors      []struct {
			Status int    `json:"status"`
			Code   string `json:"code"`
		} `json:"x-errors"`
		Parameters  []struct{ Name, In, Description string } `json:"parameters"`
		RequestBody toldBody                                 `json:"requestBody"`
		Responses   map[string]toldBody                      `json:"responses"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]toldSchema `json:"schemas"`
	} `json:"components"`
}

type toldBody struct {
	Content map[string]struct{ Schema toldSchema } `json:"content"`
}

type toldSchema struct {
	Description string                `json:"description"`
	Properties  map[string]toldSchema `json:"properties"`
}

func TestEveryOperationAndFieldSaysWhatItIs(t *testing.T) {
	h := newHouse(t)
	var d told
	h.call("", http.MethodGet, "openapi.json", nil, &d)
	for path, methods := range d.Paths {
		for method, op := range methods {
			if op.Description == "" || op.WhoMay == "" {
				t.Errorf("%s %s says nothing of itself: add to tellings in internal/api/telling.go\n\t%q: {WHO, \"WHAT IT DOES.\", \"\"},", method, path, op.OperationID)
			}
			for _, p := range op.Parameters {
				if p.Description == "" {
					t.Errorf("%s %s: the %s parameter %s says nothing of itself: add doc:\"…\" to its field in internal/api, or its name to pathTexts in internal/api/telling.go", method, path, p.In, p.Name)
				}
			}
			bodies := slices.AppendSeq([]toldBody{op.RequestBody}, maps.Values(op.Responses))
			for _, body := range bodies {
				for _, media := range body.Content {
					checkTold(t, op.OperationID, media.Schema)
				}
			}
		}
	}
	for name, s := range d.Components.Schemas {
		checkTold(t, name, s)
	}
}

func checkTold(t *testing.T, name string, s toldSchema) {
	t.Helper()
	for field, inner := range s.Properties {
		if inner.Description == "" {
			t.Errorf("the field %s of %s says nothing of itself: add doc:\"…\" to its tag, for a type of the API in internal/wire", field, name)
		}
		checkTold(t, name+"."+field, inner)
	}
}

// TestEveryErrorThatTheDocumentNamesIsMade compares the codes and their statuses
// with the faults in the source.
func TestEveryErrorThatTheDocumentNamesIsMade(t *testing.T) {
	h := newHouse(t)
	statuses := map[string]int{"Invalid": 400, "Unauthenticated": 401, "Denied": 403, "NotFound": 404, "Conflict": 409, "Exhausted": 429, "Unavailable": 503}
	made := map[string]bool{"403 reader_unknown": true} // wire.CodeReaderUnknown
	for _, name := range []string{"user", "organization", "project", "environment"} {
		made["409 "+name+"_taken"] = true // of the nouns of internal/store/fault.go
	}
	for _, name := range []string{"user", "identity", "session"} {
		made["404 "+name+"_unknown"] = true // of the same nouns
	}
	files, err := filepath.Glob("../*/*.go")
	h.must(err)
	for _, file := range files {
		text, err := os.ReadFile(file)
		h.must(err)
		for _, found := range regexp.MustCompile(`fault\.New\(fault\.(\w+),\s+"(\w+)"`).FindAllStringSubmatch(string(text), -1) {
			status := statuses[found[1]]
			if found[1] == "Exhausted" && strings.HasSuffix(found[2], "_large") {
				status = http.StatusRequestEntityTooLarge
			}
			made[fmt.Sprint(status, " ", found[2])] = true
		}
	}
	var d told
	h.call("", http.MethodGet, "openapi.json", nil, &d)
	for path, methods := range d.Paths {
		for method, op := range methods {
			for _, named := range op.Errors {
				if !made[fmt.Sprint(named.Status, " ", named.Code)] {
					t.Errorf("%s %s is said to answer %d with %s, which nothing makes: see tellings and codeKinds in internal/api/telling.go", method, path, named.Status, named.Code)
				}
			}
		}
	}
}

func TestEveryCodeOfATellingHasAKind(t *testing.T) {
	h := newHouse(t)
	var d struct {
		Paths map[string]map[string]json.RawMessage `json:"paths"`
	}
	h.call("", http.MethodGet, "openapi.json", nil, &d)
	source, err := os.ReadFile("telling.go")
	h.must(err)
	written := make(map[string]bool)
	for _, methods := range d.Paths {
		for _, op := range methods {
			for _, found := range regexp.MustCompile(`"code":"(\w+)"`).FindAllSubmatch(op, -1) {
				written[string(found[1])] = true
			}
		}
	}
	for _, found := range regexp.MustCompile(`(?m)\{\w+, ".*", "([a-z_ ]*)"\},$`).FindAllSubmatch(source, -1) {
		for code := range strings.FieldsSeq(string(found[1])) {
			if !written[code] {
				t.Errorf("%s is in no list of codeKinds in internal/api/telling.go", code)
			}
		}
	}
}
