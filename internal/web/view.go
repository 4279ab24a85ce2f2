package web

import (
	"embed"
	"fmt"
	"html/template"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/dustin/go-humanize"
)

//go:embed templates
var templateFiles embed.FS

// shared are the templates that every page has at hand.
var shared = []string{"templates/layout.html", "templates/form.html", "templates/parts.html", "templates/registry_parts.html"}

// views are the templates, each parsed when it is first needed: an idle server need
// not hold them.
type views struct {
	site *site

	mu     sync.Mutex
	parsed map[string]*template.Template
}

func newViews(s *site) *views { return &views{site: s, parsed: make(map[string]*template.Template)} }

func (s *views) get(file string) (*template.Template, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if known := s.parsed[file]; known != nil {
		return known, nil
	}
	files := append(append([]string{}, shared...), "templates/"+file)
	parsed, err := template.New(file).Funcs(s.functions()).ParseFS(templateFiles, files...)
	if err != nil {
		return nil, err
	}
	s.parsed[file] = parsed
	return parsed, nil
}

// frame is what the layout knows.
type frame struct {
	Visit *visit
	Title string
	Said  string
	Nav   []navGroup
	Form  *form
	Data  any
}

func (s *views) page(to io.Writer, v *visit, p page) error {
	parsed, err := s.get(p.file)
	if err != nil {
		return err
	}
	form := p.form
	if form == nil {
		form = formOf(nil)
	}
	name := "layout"
	if p.inPlace && v.htmx {
		name = "content"
	}
	return parsed.ExecuteTemplate(to, name, frame{Visit: v, Title: p.title, Said: v.said(), Nav: v.nav(), Form: form, Data: p.data})
}

func (s *views) part(to io.Writer, v *visit, p part) error {
	parsed, err := s.get(p.file)
	if err != nil {
		return err
	}
	return parsed.ExecuteTemplate(to, p.name, p.data)
}

// functions are what templates may call.
func (s *views) functions() template.FuncMap {
	now := s.site.config.Now
	return template.FuncMap{
		"asset":    s.site.assets.link,
		"version":  func() string { return s.site.config.Version },
		"ago":      func(t time.Time) string { return ago(t, now()) },
		"stamp":    func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 UTC") },
		"iso":      func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"day":      func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
		"duration": formatDuration,
		"bytes":    func(n int64) string { return humanize.IBytes(uint64(max(n, 0))) },
		"count":    func(n int) string { return humanize.Comma(int64(n)) },
		"short":    short,
		"join":     strings.Join,
		"field":    newField,
		"hint":     func(hint string, f field) field { f.Help = hint; return f },
		"needed":   func(f field) field { f.Required = true; return f },
		"typed":    func(kind string, f field) field { f.Type = kind; return f },
		"complete": func(what string, f field) field { f.Autocomplete = what; return f },
		"like":     func(example string, f field) field { f.Placeholder = example; return f },
		"tall":     func(rows int, f field) field { f.Rows = rows; return f },
		"first":    func(f field) field { f.Autofocus = true; return f },
		"choices":  func(options []option, f field) field { f.Options = options; return f },
		"blamed":   func(form *form, f field) field { f.Problem = form.Problem(f.Name); return f },
		"ofKind":   newKindField,
		"initials": initials,
		"prose":    proseOf,
		"asked":    func(form *form, b boxes) boxes { b.Problem = form.Problem(b.Name); return b },
		"sentence": sentence,
		"pair":     func(a, b any) [2]any { return [2]any{a, b} },
	}
}

// field is a field of a form, as the templates input and box show it.
type field struct {
	Name, Label, Help   string
	Type                string // text if ""
	Value, Problem      string
	Autocomplete        string
	Placeholder         string
	Rows                int // more than 0: a text area
	Required, Autofocus bool
	Options             []option // a select, if there are any
}

// option is one choice of a select.
type option struct{ Value, Label string }

// newField is a field of a form. A secret's text never comes back: its type is
// password, or the template secret shows it.
func newField(f *form, name, label string) field {
	return field{Name: name, Label: label, Type: "text", Value: f.Value(name), Problem: f.Problem(name)}
}

// Described are the ids of what tells more of the field.
func (f field) Described() string {
	ids := f.Name + "-problem"
	if f.Help != "" {
		ids = f.Name + "-help " + ids
	}
	return ids
}

// ago is a time as a person says it; "never" for zero.
func ago(t, now time.Time) string {
	if t.IsZero() {
		return "never"
	}
	if distance := now.Sub(t); distance >= 0 && distance < 5*time.Second {
		return "just now"
	}
	return humanize.RelTime(t, now, "ago", "from now")
}

func formatDuration(d time.Duration) string {
	switch {
	case d < time.Second:
		return fmt.Sprintf("%d ms", d.Milliseconds())
	case d < time.Minute:
		return fmt.Sprintf("%.1f s", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%d min %d s", int(d.Minutes()), int(d.Seconds())%60)
	default:
		return fmt.Sprintf("%d h %d min", int(d.Hours()), int(d.Minutes())%60)
	}
}

// sentence is a message as a sentence of its own: with a capital, unless it begins with
// a name that may have none, such as a host's, and a full stop.
func sentence(message string) string {
	first, _, _ := strings.Cut(message, " ")
	if strings.Trim(first, "abcdefghijklmnopqrstuvwxyz,:'") == "" && first != "" {
		message = strings.ToUpper(message[:1]) + message[1:]
	}
	if message != "" && !strings.ContainsAny(message[len(message)-1:], ".!?:") {
		message += "."
	}
	return message
}

// short is the beginning of a digest, as people compare it.
func short(digest string) string {
	const most = len("sha256:") + 12
	if len(digest) <= most {
		return digest
	}
	return digest[:most]
}
