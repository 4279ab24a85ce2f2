package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"net/url"
	"reflect"
	"strconv"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Bounds of a request's body.
const (
	// bodyMost is for all but the following, in bytes: an execution's
	// parameters and variables are the largest of them.
	bodyMost = 4 << 20

	// batchMost is for a batch of log lines as JSON: many times what a worker
	// collects for one.
	batchMost = 16 << 20

	// bodyWait is how long a body may take to arrive, uploads apart.
	bodyWait = time.Minute
)

// The types of body that are taken.
const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// readBody reads a whole body of at most most bytes.
func readBody(w http.ResponseWriter, r *http.Request, most int64) ([]byte, error) {
	control := http.NewResponseController(w)
	if control.SetReadDeadline(time.Now().Add(bodyWait)) == nil {
		defer func() { _ = control.SetReadDeadline(time.Time{}) }() // it was possible a moment ago
	}
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, most))
	if err != nil {
		return nil, unreadable(err)
	}
	return data, nil
}

// unreadable is the fault of a body that did not come whole.
func unreadable(err error) error {
	if tooLarge, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return fault.New(fault.Exhausted, "body_too_large", "the request has more than %d bytes, the most that are taken here", tooLarge.Limit)
	}
	return fault.New(fault.Invalid, "body_broken", "the request's body did not arrive whole").WithHint("Send it again.").WithCause(err)
}

// decode reads a body of JSON into target and refuses what target has no field
// for. An empty body is an empty object.
func decode(w http.ResponseWriter, r *http.Request, most int64, target any) error {
	data, err := readBody(w, r, most)
	if err != nil || len(data) == 0 {
		return err
	}
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.DisallowUnknownFields()
	err = decoder.Decode(target)
	if err == nil && decoder.More() {
		err = errors.New("there is more behind the JSON value")
	}
	return notJSON(err)
}

// notJSON is the fault of a body that cannot be read as what was asked for.
func notJSON(err error) error {
	const unknown = "json: unknown field "
	var mistyped *json.UnmarshalTypeError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &mistyped):
		return fault.InvalidField(mistyped.Field, "invalid", "a %s does not belong here", mistyped.Value)
	case strings.HasPrefix(err.Error(), unknown):
		name, _ := strconv.Unquote(strings.TrimPrefix(err.Error(), unknown))
		return fault.InvalidField(name, "field_unknown", "is no field of this request")
	default:
		return fault.New(fault.Invalid, "json", "the body cannot be read as JSON: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
}

// unmarshal reads JSON for huma. A member that is null counts as left out.
func unmarshal(data []byte, target any) error {
	if err := json.Unmarshal(data, target); err != nil {
		return errors.New(fault.From(notJSON(err)).Message)
	}
	if parsed, ok := target.(*any); ok {
		if object, ok := (*parsed).(map[string]any); ok {
			for name, value := range object {
				if value == nil {
					delete(object, name)
				}
			}
		}
	}
	return nil
}

// form knows how a body's members are written in a form.
type form map[string]reflect.Type

// newForm reads the members off the body of an input; nil where it has none.
func newForm(input reflect.Type) form {
	body, found := input.FieldByName("Body")
	if !found || body.Type.Kind() != reflect.Struct {
		return nil
	}
	members := make(form)
	for i := range body.Type.NumField() {
		field := body.Type.Field(i)
		name, _, _ := strings.Cut(field.Tag.Get("json"), ",")
		if name == "" || name == "-" {
			continue
		}
		kind := field.Type
		if kind.Kind() == reflect.Pointer {
			kind = kind.Elem()
		}
		members[name] = kind
	}
	return members
}

// normalise makes the body one of JSON, read whole, whichever type it came as.
func (f form) normalise(w http.ResponseWriter, r *http.Request) error {
	data, err := readBody(w, r, bodyMost)
	if err != nil {
		return err
	}
	switch kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type")); {
	case kind == formType:
		if data, err = f.toJSON(data); err != nil {
			return err
		}
	case kind == "" || kind == jsonType || strings.HasSuffix(kind, "+json"):
		if len(bytes.TrimSpace(data)) == 0 {
			data = []byte("{}") // so that the missing fields are named
		}
	default:
		return fault.New(fault.Invalid, "content_type", "a body of type %.100q is not taken", kind).
			WithHint("Send %s or %s.", jsonType, formType)
	}
	r.Header.Set("Content-Type", jsonType)
	r.Body = io.NopCloser(bytes.NewReader(data))
	return nil
}

// toJSON reads a form. What a member's type cannot take stays a text, for the
// validation to tell.
func (f form) toJSON(data []byte) ([]byte, error) {
	values, err := url.ParseQuery(string(data))
	if err != nil {
		return nil, fault.New(fault.Invalid, "form", "the body cannot be read as a form")
	}
	object := make(map[string]any, len(values))
	for name, texts := range values {
		object[name] = formValue(f[name], texts)
	}
	text, err := json.Marshal(object)
	if err != nil {
		return nil, fmt.Errorf("reading a form: %w", err)
	}
	return text, nil
}

func formValue(kind reflect.Type, texts []string) any {
	text := texts[0]
	if kind == nil {
		return text
	}
	switch kind.Kind() {
	case reflect.Bool:
		if truth, err := strconv.ParseBool(text); err == nil {
			return truth
		}
	case reflect.Int, reflect.Int64:
		if number, err := strconv.ParseInt(text, 10, 64); err == nil {
			return number
		}
	case reflect.Float64:
		if number, err := strconv.ParseFloat(text, 64); err == nil && number == number && number-number == 0 {
			return number
		}
	case reflect.Slice:
		return texts
	}
	return text
}
