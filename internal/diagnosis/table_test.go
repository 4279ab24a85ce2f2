package diagnosis_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// answer is one of testdata/answers.json: what a service really says. Codes are
// given where an SDK reads the body, which has the service's own form.
type answer struct {
	Service diagnosis.Service `json:"service"`
	Status  int               `json:"status"`
	Headers map[string]string `json:"headers"`
	Body    string            `json:"body"`
	Codes   []string          `json:"codes"`
	Message string            `json:"message"`
	Code    string            `json:"want"`
	Says    []string          `json:"says"`
}

// error is the answer as the protocol's client, or an SDK's user, reads it.
func (a answer) error(t *testing.T) *oci.Error {
	t.Helper()
	if len(a.Codes) > 0 {
		return &oci.Error{Method: http.MethodPost, Host: "api.example", Status: a.Status, Codes: a.Codes, Message: oci.Clean(a.Message)}
	}
	header := make(http.Header)
	for name, value := range a.Headers {
		header.Set(name, value)
	}
	return oci.ReadError(&http.Response{
		StatusCode: a.Status, Header: header, Body: io.NopCloser(strings.NewReader(a.Body)),
		Request: &http.Request{Method: http.MethodGet, URL: &url.URL{Scheme: "https", Host: "registry.example", Path: "/v2/acme/train/manifests/v1"}},
	}, "acme/train")
}

func answers(t *testing.T) []answer {
	t.Helper()
	text, err := os.ReadFile("testdata/answers.json")
	if err != nil {
		t.Fatal(err)
	}
	var all []answer
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&all); err != nil {
		t.Fatal(err)
	}
	return all
}

var train = image.MustParseReference("registry.example/acme/train:v1")

func TestEveryRowOfTheTableIsMadeOfARealAnswer(t *testing.T) {
	rows := diagnosis.Rows()
	met := make([]bool, len(rows))
	for _, a := range answers(t) {
		e := a.error(t)
		f := diagnosis.Of(e, diagnosis.Subject{Service: a.Service, Image: train, User: "robot"})
		if f.Code != a.Code {
			t.Errorf("%s %d %s%s: %s (%s), want %s", a.Service, a.Status, a.Body, a.Message, f.Code, f.Message, a.Code)
			continue
		}
		for _, words := range a.Says {
			if !strings.Contains(f.Sentence(), words) {
				t.Errorf("%s does not say %q: %s", f.Code, words, f.Sentence())
			}
		}
		if f.Hint == "" || strings.ContainsAny(f.Message+f.Hint, "{}") || strings.Contains(f.Message, "\n") {
			t.Errorf("%s: %q with the hint %q", f.Code, f.Message, f.Hint)
		}
		met[diagnosis.RowOf(e, a.Service)] = true
	}
	for i, row := range rows {
		if !met[i] {
			t.Errorf("no answer in testdata/answers.json is for the row %d, %s of %v: %s", i, row.Code, row.Services, row.Sentence)
		}
	}
}

func TestACheckWithoutAnImageReadsWell(t *testing.T) {
	for _, a := range answers(t) {
		f := diagnosis.Of(a.error(t), diagnosis.Subject{Service: a.Service})
		if strings.Contains(f.Sentence(), "  ") || strings.Contains(f.Sentence(), "for ,") || strings.ContainsAny(f.Sentence(), "{}") {
			t.Errorf("%s: %s", f.Code, f.Sentence())
		}
	}
}

func FuzzAnyAnswerBecomesASentence(f *testing.F) {
	f.Add("ecr", 403, "DENIED", "User: x is not authorized to perform: ecr:BatchGetImage on resource: y")
	f.Add("entra", 401, "AADSTS7000215", "AADSTS7000215: Invalid client secret provided.")
	f.Fuzz(func(t *testing.T, service string, status int, code, message string) {
		e := &oci.Error{Host: "registry.example", Status: status, Codes: []string{code}, Message: oci.Clean(message)}
		got := diagnosis.Of(e, diagnosis.Subject{Service: diagnosis.Service(service), Image: train, User: "robot"})
		const most = 4000
		if got.Code == "" || got.Kind == fault.Internal || len(got.Sentence()) > most+len(code) {
			t.Errorf("%s", fmt.Sprint(got))
		}
	})
}
