// Package reference shows the API to people: pages that are made of the server's
// own OpenAPI document, so that they say what this very server does. They need no
// script, no token and nothing from elsewhere.
//
// New is the beginning; view.go is what the pages show of the document.
package reference

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// Base is the path that the pages are below.
const Base = "/docs/api/"

// policy lets a page load its stylesheet and pictures from here, send its search
// here, and nothing else.
const policy = "default-src 'none'; style-src 'self'; img-src 'self' data:; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"

//go:embed pages
var files embed.FS

// queryMost is how many bytes of a search are looked at.
const queryMost = 200

// pages is the door.
type pages struct {
	document *document
	template *template.Template
	style    []byte
	mux      *http.ServeMux
}

// New returns the pages of an OpenAPI document, to be served at Base and below. It
// is an error if the document cannot be read, or has two operations of one id. The
// handler is safe for concurrent use and keeps nothing between requests.
func New(document []byte) (http.Handler, error) {
	d, err := read(document)
	if err != nil {
		return nil, err
	}
	p := &pages{document: d, mux: http.NewServeMux()}
	if p.template, err = template.New("").ParseFS(files, "pages/*.html"); err != nil {
		return nil, fmt.Errorf("reading the pages of the reference: %w", err)
	}
	if p.style, err = files.ReadFile("pages/style.css"); err != nil {
		return nil, fmt.Errorf("reading the pages of the reference: %w", err)
	}
	p.mux.HandleFunc("GET "+Base+"{$}", p.index)
	p.mux.HandleFunc("GET "+Base+"operations/{id}/{$}", p.operation)
	p.mux.HandleFunc("GET "+Base+"schemas/{$}", p.schemas)
	p.mux.HandleFunc("GET "+Base+"schemas/{name}/{$}", p.schema)
	p.mux.HandleFunc("GET "+Base+"style.css", func(w http.ResponseWriter, r *http.Request) {
		send(w, r, http.StatusOK, "text/css; charset=utf-8", p.style)
	})
	p.mux.HandleFunc("GET "+Base, p.missing)
	return p, nil
}

// ServeHTTP answers one request.
func (p *pages) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "same-origin")
	header.Set("Cache-Control", "no-cache") // it may be kept, and is asked for anew
	p.mux.ServeHTTP(w, r)
}

// page is what every page has.
type page struct {
	Title   string
	Heading string
	Server  string // name and version
	Here    string // "index", "schemas" or empty
	Query   string
	Body    any
}

// group is the operations of one tag.
type group struct {
	Tag        string
	Operations []*operation
}

// indexView is the first page.
type indexView struct {
	Says   []string
	Groups []group
	Found  *found // nil: nothing was searched for
}

func (p *pages) index(w http.ResponseWriter, r *http.Request) {
	query := r.URL.Query().Get("q")
	query = strings.ToValidUTF8(query[:min(queryMost, len(query))], "")
	if strings.TrimSpace(query) != "" {
		found := p.document.search(query)
		p.render(w, r, http.StatusOK, "search.html", page{Title: "Search", Heading: "Search of the API", Query: query, Body: indexView{Found: &found}})
		return
	}
	view := indexView{Says: paragraphs(p.document.Info.Description)}
	for _, op := range p.document.operations {
		if last := len(view.Groups) - 1; last < 0 || view.Groups[last].Tag != op.tag() {
			view.Groups = append(view.Groups, group{Tag: op.tag()})
		}
		last := &view.Groups[len(view.Groups)-1]
		last.Operations = append(last.Operations, op)
	}
	p.render(w, r, http.StatusOK, "index.html", page{Title: "API", Heading: "The API", Here: "index", Body: view})
}

func (p *pages) operation(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	for _, op := range p.document.operations {
		if op.ID == id {
			p.render(w, r, http.StatusOK, "operation.html", page{Title: op.Method + " " + op.Path, Heading: op.Summary, Body: p.document.view(op)})
			return
		}
	}
	p.missing(w, r)
}

// schemaView is a line of the list of schemas, or a schema's page.
type schemaView struct {
	Name string
	Row  row
	Uses []*operation
}

func (p *pages) schemas(w http.ResponseWriter, r *http.Request) {
	names := slices.Sorted(maps.Keys(p.document.Components.Schemas))
	p.render(w, r, http.StatusOK, "schemas.html", page{Title: "Schemas", Heading: "Schemas", Here: "schemas", Body: names})
}

func (p *pages) schema(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	s := p.document.Components.Schemas[name]
	if s == nil {
		p.missing(w, r)
		return
	}
	view := schemaView{Name: name, Row: p.document.row(name, s, false, []string{name}), Uses: p.document.uses(name)}
	view.Row.Fields = p.document.rows(&schema{Ref: schemas + name}, nil)
	p.render(w, r, http.StatusOK, "schema.html", page{Title: name, Heading: name, Body: view})
}

// uses are the operations whose bodies are of a schema, or lists of it.
func (d *document) uses(name string) (uses []*operation) {
	is := func(b *body) bool {
		if b == nil {
			return false
		}
		for _, media := range b.Content {
			if media.Schema == nil {
				continue
			}
			resolved, ref := d.resolve(media.Schema)
			if ref == name {
				return true
			}
			if results := resolved.Properties["results"]; results != nil && results.Items != nil {
				if _, ref := d.resolve(results.Items); ref == name {
					return true
				}
			}
		}
		return false
	}
	for _, op := range d.operations {
		used := is(op.RequestBody)
		for status, response := range op.Responses {
			used = used || status != "default" && is(&response)
		}
		if used {
			uses = append(uses, op)
		}
	}
	return uses
}

func (p *pages) missing(w http.ResponseWriter, r *http.Request) {
	p.render(w, r, http.StatusNotFound, "missing.html", page{Title: "Not found", Heading: "There is no such page"})
}

func (p *pages) render(w http.ResponseWriter, r *http.Request, status int, name string, view page) {
	view.Server = strings.TrimSpace(p.document.Info.Title + " " + p.document.Info.Version)
	var b bytes.Buffer
	if err := p.template.ExecuteTemplate(&b, name, view); err != nil {
		http.Error(w, "The page cannot be shown.", http.StatusInternalServerError)
		return
	}
	send(w, r, status, "text/html; charset=utf-8", b.Bytes())
}

// send sends a page, small where the client takes that, and only its tag to one
// that has it already.
func send(w http.ResponseWriter, r *http.Request, status int, contentType string, text []byte) {
	header := w.Header()
	header.Set("Content-Type", contentType)
	header.Set("Vary", "Accept-Encoding")
	sum := sha256.Sum256(text)
	tag := hex.EncodeToString(sum[:12])
	if takesGzip(r.Header.Values("Accept-Encoding")) {
		header.Set("Content-Encoding", "gzip")
		text, tag = compressed(text), tag+"-gzip"
	}
	if status != http.StatusOK {
		w.WriteHeader(status)
		_, _ = w.Write(text) // whoever asked may be gone
		return
	}
	header.Set("ETag", `"`+tag+`"`)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(text))
}

func takesGzip(headers []string) bool {
	for _, header := range headers {
		for coding := range strings.SplitSeq(header, ",") {
			name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
			if strings.EqualFold(strings.TrimSpace(name), "gzip") {
				weight = strings.ReplaceAll(weight, " ", "")
				return !(strings.HasPrefix(weight, "q=0") && strings.Trim(weight[3:], ".0") == "")
			}
		}
	}
	return false
}

func compressed(text []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(text) // into memory, where nothing fails
	_ = z.Close()
	return b.Bytes()
}
