package web

import (
	"net/http"
	"net/url"
	"slices"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// formMost is how many bytes a form may have: the longest secrets are a few KiB.
const formMost = 1 << 20

// form is what somebody typed, and what is wrong with it. The zero form is empty.
type form struct {
	values   url.Values
	problems map[string]string

	// General is what is wrong with no field that the page has.
	General *fault.Error
}

// readForm reads what was posted.
func (v *visit) readForm() (*form, error) {
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, formMost)
	if err := v.r.ParseForm(); err != nil {
		return nil, fault.New(fault.Invalid, "form_unreadable", "the form cannot be read, or has more than 1 MiB").WithCause(err)
	}
	return &form{values: v.r.PostForm}, nil //nolint:forbidigo // what was posted, and not the function that posts
}

// formOf is a form that is filled already.
func formOf(values map[string]string) *form {
	f := &form{values: make(url.Values, len(values))}
	for name, value := range values {
		f.values.Set(name, value)
	}
	return f
}

// get is a field's text, without spaces around it.
func (f *form) get(name string) string { return strings.TrimSpace(f.values.Get(name)) }

// has reports whether a box is ticked.
func (f *form) has(name string) bool { return f.values.Get(name) != "" }

// secret is a field's text as it was typed.
func (f *form) secret(name string) secret.Text { return secret.New(f.values.Get(name)) }

// all are the values of a field that has several, such as boxes of one name.
func (f *form) all(name string) []string { return f.values[name] }

// forget takes what may be a secret out of the form, before a page shows it again.
func (f *form) forget(name string) { f.values.Del(name) }

// lines are the lines of a field that are not empty.
func (f *form) lines(name string) []string {
	var lines []string
	for line := range strings.Lines(f.values.Get(name)) {
		if line = strings.TrimSpace(line); line != "" {
			lines = append(lines, line)
		}
	}
	return lines
}

// Value is what a page shows in a field.
func (f *form) Value(name string) string {
	if f == nil {
		return ""
	}
	return f.values.Get(name)
}

// Problem is what is wrong with a field.
func (f *form) Problem(name string) string {
	if f == nil {
		return ""
	}
	return f.problems[name]
}

// blame sorts what is wrong to the fields. names are those of the page; what concerns
// none of them is general.
func (f *form) blame(err *fault.Error, names []string) {
	f.problems = make(map[string]string)
	var rest []string
	for _, field := range err.Fields {
		at := slices.IndexFunc(names, func(name string) bool { return name == field.Name || strings.HasSuffix(field.Name, "."+name) })
		switch {
		case at < 0:
			rest = append(rest, field.Name+": "+field.Message)
		case f.problems[names[at]] == "":
			f.problems[names[at]] = field.Message
		default:
			f.problems[names[at]] += "; " + field.Message
		}
	}
	switch {
	case len(err.Fields) == 0:
		f.General = err
	case len(rest) > 0:
		f.General = &fault.Error{Kind: err.Kind, Code: err.Code, Message: strings.Join(rest, "; "), Hint: err.Hint}
	default:
		f.General = &fault.Error{Kind: err.Kind, Code: err.Code, Message: "Nothing was saved yet: see the marked fields.", Hint: err.Hint}
	}
}

// refuse answers a form that cannot be taken as it is: with the messages for the page
// that the browser has, where nothing that was typed is lost, or, without JavaScript,
// with the page anew, but for secrets, which never come back. What a form cannot mend
// stays an error.
func (v *visit) refuse(f *form, err error, again page, names ...string) (answer, error) {
	refused := fault.From(err)
	switch refused.Kind {
	case fault.Invalid, fault.Conflict, fault.Unavailable, fault.Exhausted:
	case fault.Unauthenticated:
		if refused.Code != "sign_in_refused" && refused.Code != "code_required" && refused.Code != "code_refused" {
			return nil, err
		}
	default:
		return nil, err
	}
	v.failure = refused
	if len(names) == 0 {
		for name := range f.values {
			names = append(names, name)
		}
		slices.Sort(names)
	}
	f.blame(refused, names)
	status := http.StatusUnprocessableEntity
	if v.htmx {
		v.w.Header().Set("HX-Reswap", "none") // whatever the form asked for: the messages find their places
		return part{file: "form.html", name: "problems", data: problems{f, names}, status: status}, nil
	}
	again.form, again.status = f, status
	return again, nil
}

// problems are the messages of a form, for every field that it has: what was mended
// is wiped away.
type problems struct {
	Form  *form
	Names []string
}
