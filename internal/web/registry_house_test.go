package web_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"golang.org/x/net/html"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
)

// harbour is a house whose organisation acme has the project vision and an image in
// the registry, and whose eve has a project of her own.
type harbour struct {
	*house
	ada    account.Actor
	vision account.Project
	acme   string // the path of acme's credentials
}

func newHarbour(t testing.TB) *harbour {
	t.Helper()
	return harbourOf(newHouse(t))
}

func harbourOf(at *house) *harbour {
	t, h := at.t, &harbour{house: at, acme: "/o/1/registries/"}
	t.Helper()
	_, err := h.registry.Push(t.Context(), "ml/train", "v1", empty.Image)
	h.must(err)
	h.ada = h.actors["ada"]
	h.vision, err = h.accounts.CreateProject(t.Context(), h.ada, account.NewProject{Name: "vision", Owner: "acme"})
	h.must(err)
	_, err = h.accounts.CreateProject(t.Context(), h.actors["eve"], account.NewProject{Name: "mine"})
	h.must(err)
	return h
}

// ran notes executions of vision with these images.
func (h *harbour) ran(images ...string) {
	h.t.Helper()
	for i, name := range images {
		_, err := h.store.CreateExecution(h.t.Context(), execution.Execution{
			ID: "e-" + name + string(rune('a'+i)), ProjectID: h.vision.ID, Work: execution.Work{Step: "train", Image: name}, Status: execution.Complete,
			CreatedAt: time.Now(),
		}, nil, audit.Event{Time: time.Now(), Verb: audit.ExecutionCreate})
		h.must(err)
	}
}

// add registers a credential of the registry that works.
func (h *harbour) add(name string, patterns ...string) registry.Credential {
	h.t.Helper()
	made, _, err := h.registries.Create(h.t.Context(), h.ada, registry.Draft{
		Organization: "acme", Name: name, Kind: "generic", Patterns: patterns, SkipCheck: true,
		Material: registry.Material{Config: map[string]string{"username": "robot"}, Secrets: map[string]secret.Text{"password": secret.New(registryPassword)}},
	})
	h.must(err)
	return made
}

// guest is somebody at the pages, with a browser's cookies.
type guest struct {
	*harbour
	client *http.Client
}

func (h *harbour) guest(name string) *guest {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	h.must(err)
	g := &guest{h, &http.Client{Jar: jar}}
	if got := g.post("/sign-in/", url.Values{"username": {name}, "password": {"password of " + name}}); got.status != http.StatusOK && got.status != http.StatusNotFound {
		h.t.Fatalf("%s cannot sign in: %d", name, got.status)
	}
	return g
}

// sheet is a page as it came.
type sheet struct {
	t      testing.TB
	status int
	path   string // after the redirects
	header http.Header
	text   string
	root   *html.Node
}

func (g *guest) get(path string) sheet { return g.send(http.MethodGet, path, nil, nil) }

func (g *guest) post(path string, form url.Values) sheet {
	return g.send(http.MethodPost, path, form, nil)
}

func (g *guest) send(method, path string, form url.Values, header http.Header) sheet {
	g.t.Helper()
	request, err := http.NewRequestWithContext(context.WithoutCancel(g.t.Context()), method, g.server.URL+path, strings.NewReader(form.Encode()))
	g.must(err)
	for name, values := range header {
		request.Header[name] = values
	}
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	response, err := g.client.Do(request)
	g.must(err)
	defer func() { _ = response.Body.Close() }() // only read
	text, err := io.ReadAll(response.Body)
	g.must(err)
	root, err := html.Parse(bytes.NewReader(text))
	g.must(err)
	page := sheet{t: g.t, status: response.StatusCode, path: response.Request.URL.RequestURI(), header: response.Header, text: string(text), root: root}
	if strings.Contains(page.text, registryPassword) || strings.Contains(g.logged.String(), registryPassword) {
		g.t.Errorf("%s %s shows the secret", method, path)
	}
	return page
}

// find is the first element of that id, or of that name where it begins with a dot.
func (p sheet) find(id string) *html.Node {
	key := "id"
	if rest, named := strings.CutPrefix(id, "."); named {
		key, id = "name", rest
	}
	for node := range p.root.Descendants() {
		for _, attribute := range node.Attr {
			if attribute.Key == key && attribute.Val == id {
				return node
			}
		}
	}
	return nil
}

// words are the text of an element, each run of white space as one space.
func (p sheet) words(id string) string {
	p.t.Helper()
	node := p.find(id)
	if node == nil {
		p.t.Errorf("%s has no element %s", p.path, id)
		return ""
	}
	return wordsOf(node)
}

func wordsOf(node *html.Node) string {
	var text strings.Builder
	for inner := range node.Descendants() {
		if inner.Type == html.TextNode && inner.Parent.Data != "script" {
			text.WriteString(inner.Data + " ")
		}
	}
	return strings.Join(strings.Fields(text.String()), " ")
}

// value is what a field holds.
func (p sheet) value(name string) string {
	p.t.Helper()
	node := p.find("." + name)
	if node == nil {
		p.t.Errorf("%s has no field %s", p.path, name)
		return ""
	}
	if node.Data == "textarea" {
		return strings.TrimSpace(wordsOf(node))
	}
	for _, attribute := range node.Attr {
		if attribute.Key == "value" {
			return attribute.Val
		}
	}
	return ""
}

// wants is the status and what the page says.
func (p sheet) wants(status int, texts ...string) sheet {
	p.t.Helper()
	if p.status != status {
		p.t.Errorf("%s: got %d, want %d: %s", p.path, p.status, status, wordsOf(p.root))
	}
	all := wordsOf(p.root)
	for _, text := range texts {
		if !strings.Contains(all, text) {
			p.t.Errorf("%s does not say %q but:\n%s", p.path, text, all)
		}
	}
	return p
}

// lacks is what the page does not say.
func (p sheet) lacks(texts ...string) sheet {
	p.t.Helper()
	for _, text := range texts {
		if strings.Contains(p.text, text) {
			p.t.Errorf("%s says %q", p.path, text)
		}
	}
	return p
}
