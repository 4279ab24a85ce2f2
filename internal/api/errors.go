package api

import (
	"context"
	"encoding/json"
	"errors"
	"math"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// statuses is the one table from a fault's kind to HTTP.
var statuses = map[fault.Kind]int{
	fault.Invalid:         http.StatusBadRequest,
	fault.Unauthenticated: http.StatusUnauthorized,
	fault.Denied:          http.StatusForbidden,
	fault.NotFound:        http.StatusNotFound,
	fault.Conflict:        http.StatusConflict,
	fault.Unavailable:     http.StatusServiceUnavailable,
	fault.Exhausted:       http.StatusTooManyRequests,
	fault.Internal:        http.StatusInternalServerError,
}

// statusGone is what the log shows for a request whose client did not wait.
const statusGone = 499

// problem is a fault on its way out.
type problem struct {
	wire.Problem
	header http.Header
}

// newProblem gives a fault the shape of an answer. Its cause stays behind.
func newProblem(f *fault.Error) *problem {
	p := &problem{header: make(http.Header), Problem: wire.Problem{
		Type: "about:blank", Status: statuses[f.Kind], Kind: string(f.Kind), Code: f.Code,
		Detail: f.Sentence(), Message: f.Message, Hint: f.Hint,
	}}
	if f.Kind == fault.Exhausted && strings.HasSuffix(f.Code, "_large") {
		p.Status = http.StatusRequestEntityTooLarge
	}
	p.Title = http.StatusText(p.Status)
	if p.Status == http.StatusUnauthorized {
		p.header.Set("WWW-Authenticate", `Bearer realm="fairlead"`)
	}
	if f.RetryAfter > 0 {
		p.RetryAfterSeconds = int(math.Ceil(f.RetryAfter.Seconds()))
		p.header.Set("Retry-After", strconv.Itoa(p.RetryAfterSeconds))
	}
	for _, field := range f.Fields {
		p.Errors = append(p.Errors, wire.FieldProblem(field))
	}
	return p
}

// Error is the sentence.
func (p *problem) Error() string { return p.Detail }

// GetStatus, GetHeaders and ContentType tell huma how to answer.
func (p *problem) GetStatus() int { return p.Status }

// GetHeaders are the headers that belong to the problem.
func (p *problem) GetHeaders() http.Header { return p.header }

// ContentType is that of RFC 9457.
func (p *problem) ContentType(string) string { return "application/problem+json" }

// nonField is where existing clients look for what is wrong with no field.
const nonField = "non_field_errors"

// members are the names that a problem has already; a field of such a name is
// told of under non_field_errors.
var members = jsonNames(reflect.TypeFor[wire.Problem]())

// MarshalJSON writes the problem and, for invalid input, the fields at fault as
// members of their own, each a list of texts.
func (p *problem) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(p.Problem)
	if err != nil || p.Status != http.StatusBadRequest {
		return text, err
	}
	lists := make(map[string][]string)
	for _, field := range p.Errors {
		if _, taken := members[field.Name]; taken {
			lists[nonField] = append(lists[nonField], field.Name+": "+field.Message)
			continue
		}
		lists[field.Name] = append(lists[field.Name], field.Message)
	}
	if len(lists) == 0 {
		lists[nonField] = []string{p.Detail}
	}
	more, err := json.Marshal(lists)
	if err != nil {
		return nil, err
	}
	text[len(text)-1] = ','
	return append(text, more[1:]...), nil
}

// jsonNames are the names of a struct's members.
func jsonNames(t reflect.Type) map[string]struct{} {
	names := make(map[string]struct{}, t.NumField())
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		names[name] = struct{}{}
	}
	return names
}

// problem makes the answer of an error and notes it for the request's line in
// the log, which is the only place that shows its cause.
func (d *door) problem(ctx context.Context, v *visit, err error) *problem {
	if p, ok := errors.AsType[*problem](err); ok {
		return p
	}
	if errors.Is(err, context.Canceled) && ctx.Err() != nil {
		p := newProblem(fault.New(fault.Unavailable, "client_gone", "the client did not wait for the answer"))
		p.Status = statusGone
		return p
	}
	v.failure = fault.From(err)
	p := newProblem(v.failure)
	if p.Status != http.StatusBadRequest { // whose members existing clients show as names of fields
		p.RequestID = v.id
	}
	return p
}

// fail answers with an error.
func (d *door) fail(w http.ResponseWriter, r *http.Request, v *visit, err error) {
	p := d.problem(r.Context(), v, err)
	text, err := json.Marshal(p)
	if err != nil {
		text = []byte(`{}`) // texts and numbers always can be written
	}
	header := w.Header()
	for name, values := range p.header {
		header[name] = values
	}
	header.Set("Content-Type", p.ContentType(""))
	header.Set("Content-Length", strconv.Itoa(len(text)))
	w.WriteHeader(p.Status)
	_, _ = w.Write(text) // nobody is left to tell
}

// unknownPath answers what no route is laid for.
func (d *door) unknownPath(w http.ResponseWriter, r *http.Request) {
	v := visitOf(r.Context())
	var allowed []string
	for _, method := range []string{http.MethodGet, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete} {
		other := r.Clone(r.Context())
		other.Method = method
		if _, pattern := d.mux.Handler(other); pattern != "/" && pattern != "" {
			allowed = append(allowed, method)
		}
	}
	if part, found := notRun(r.URL.Path); found {
		d.fail(w, r, v, fault.New(fault.NotFound, "not_run_here", "Fairlead runs single steps, and no %s", part).
			WithHint("Run the steps one after the other, and give one what another left: an input takes datum://ID."))
		return
	}
	if len(allowed) == 0 {
		d.fail(w, r, v, fault.New(fault.NotFound, "path_unknown", "there is nothing at %.200q", r.URL.Path).
			WithHint("Every path of the API begins with %s and ends in a slash; %sopenapi.json lists them.", wire.Base, wire.Base))
		return
	}
	p := newProblem(fault.New(fault.Invalid, "method_unknown", "%.20q is nothing that can be done to %.200q", r.Method, r.URL.Path).
		WithHint("Use %s.", strings.Join(allowed, " or ")))
	p.Status, p.Title = http.StatusMethodNotAllowed, http.StatusText(http.StatusMethodNotAllowed)
	p.header.Set("Allow", strings.Join(allowed, ", "))
	d.fail(w, r, v, p)
}

// notRun finds the part of Valohai's API that a path is of and that Fairlead does
// not have.
func notRun(path string) (part string, found bool) {
	rest, below := strings.CutPrefix(path, wire.Base)
	first, _, _ := strings.Cut(rest, "/")
	parts := map[string]string{
		"pipelines": "pipelines", "tasks": "tasks", "deployments": "deployments", "deployment-versions": "deployments",
		"datum-aliases": "aliases of data", "datasets": "datasets", "notebooks": "notebooks",
	}
	part, found = parts[first]
	return part, below && found
}

// init gives huma our shape of errors. Huma keeps it in a variable of its own for
// the whole process; it must be set before any route is laid or served.
func init() {
	huma.NewError = func(status int, message string, errs ...error) huma.StatusError {
		if status >= http.StatusInternalServerError {
			return newProblem(fault.From(errors.Join(errs...)))
		}
		return newProblem(invalidRequest(message, errs))
	}
}

// invalidRequest is the fault of what huma's validation found, which never
// repeats the values: they may be secrets.
func invalidRequest(message string, errs []error) *fault.Error {
	f := fault.New(fault.Invalid, "invalid", "%s", message)
	var texts []string
	for _, err := range errs {
		detail, ok := errors.AsType[*huma.ErrorDetail](err)
		if !ok {
			continue
		}
		field := fieldOf(detail)
		if field.Name == "" {
			texts = append(texts, field.Message)
			continue
		}
		f.Fields = append(f.Fields, field)
		texts = append(texts, field.Name+": "+field.Message)
	}
	if len(texts) > 0 {
		f.Message = strings.Join(texts, "; ")
	}
	return f
}

// Huma's words for what is missing and for what should not be there.
const (
	requiredBefore = "expected required property "
	requiredAfter  = " to be present"
	unexpected     = "unexpected property"
)

// fieldOf names the field of a finding as the client wrote it: without the
// place, such as body or query, where huma found it.
func fieldOf(detail *huma.ErrorDetail) fault.Field {
	_, name, _ := strings.Cut(detail.Location, ".")
	field := fault.Field{Name: name, Code: "invalid", Message: detail.Message}
	if inner, ok := strings.CutPrefix(detail.Message, requiredBefore); ok {
		inner = strings.TrimSuffix(inner, requiredAfter)
		field.Name = strings.TrimPrefix(name+"."+inner, ".")
		field.Code, field.Message = "required", "is required"
	}
	if strings.HasPrefix(detail.Message, "required ") { // a query parameter
		field.Code, field.Message = "required", "is required"
	}
	if detail.Message == unexpected {
		field.Code, field.Message = "field_unknown", "is no field of this request"
	}
	return field
}

// renamed gives a finding's field the name that it has in a request.
func renamed(err error, from, to string) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Invalid {
		return err
	}
	other := *f
	other.Fields = nil
	for _, field := range f.Fields {
		if field.Name == from {
			field.Name = to
		}
		other.Fields = append(other.Fields, field)
	}
	other.Message = strings.TrimPrefix(f.Message, from+": ")
	if other.Message != f.Message {
		other.Message = to + ": " + other.Message
	}
	return &other
}

// seconds is a duration in whole seconds, at least one where there is any.
func seconds(d time.Duration) int {
	if d <= 0 {
		return 0
	}
	return max(1, int(d.Round(time.Second)/time.Second))
}
