package api_test

import (
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// site is the reference of a house, as a browser sees it.
type site struct {
	h     *house
	pages map[string]*html.Node // by path
}

// open reads a page once.
func (s *site) open(path string) *html.Node {
	s.h.t.Helper()
	if page, known := s.pages[path]; known {
		return page
	}
	response := s.h.page(path)
	defer func() { _ = response.Body.Close() }()
	if response.StatusCode != http.StatusOK {
		s.h.t.Errorf("%s is answered with %s", path, response.Status)
	}
	if !strings.HasPrefix(response.Header.Get("Content-Type"), "text/html") {
		_, err := io.Copy(io.Discard, response.Body)
		s.h.must(err)
		s.pages[path] = nil
		return nil
	}
	page, err := html.Parse(response.Body)
	s.h.must(err)
	s.pages[path] = page
	return page
}

// page asks for a page as a browser does. The body is the caller's to close.
func (h *house) page(path string) *http.Response {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), http.MethodGet, h.server.URL+path, nil)
	h.must(err)
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	return response
}

func attribute(n *html.Node, name string) (string, bool) {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val, true
		}
	}
	return "", false
}

// elements are those of a page, in order.
func elements(page *html.Node) (all []*html.Node) {
	for n := range page.Descendants() {
		if n.Type == html.ElementNode {
			all = append(all, n)
		}
	}
	return all
}

func textOf(n *html.Node) string {
	var b strings.Builder
	for inner := range n.Descendants() {
		if inner.Type == html.TextNode {
			b.WriteString(inner.Data)
		}
	}
	return b.String()
}

func TestEveryLinkOfTheReferenceLeadsSomewhere(t *testing.T) {
	s := &site{h: newHouse(t), pages: make(map[string]*html.Node)}
	waiting := []string{"/docs/api/"}
	for len(waiting) > 0 {
		path := waiting[0]
		waiting = waiting[1:]
		page := s.open(path)
		if page == nil {
			continue
		}
		checkPage(t, path, page)
		for _, n := range elements(page) {
			link, found := attribute(n, "href")
			if !found || strings.HasPrefix(link, "data:") {
				continue
			}
			to, err := url.Parse(link)
			s.h.must(err)
			if to.Path == "" {
				to.Path = path
			}
			target := s.open(to.Path)
			if to.Fragment != "" && !slices.ContainsFunc(elements(target), func(n *html.Node) bool { id, _ := attribute(n, "id"); return id == to.Fragment }) {
				t.Errorf("%s links to %s, where there is no such place", path, link)
			}
			if !slices.Contains(waiting, to.Path) && strings.HasPrefix(to.Path, "/docs/api/") && target != nil && !s.seen(target) {
				waiting = append(waiting, to.Path)
			}
		}
	}
	var d document
	s.h.call("", http.MethodGet, "openapi.json", nil, &d)
	for path, operations := range d.Paths {
		for method, op := range operations {
			page := s.pages["/docs/api/operations/"+op.OperationID+"/"]
			if page == nil {
				t.Errorf("no link leads to a page of %s %s", method, path)
				continue
			}
			if text := textOf(page); !strings.Contains(text, path) || !strings.Contains(text, op.Summary) || !strings.Contains(text, "curl -sS") {
				t.Errorf("the page of %s lacks its path, its summary or an example", op.OperationID)
			}
		}
	}
	for name := range d.Components.Schemas {
		if s.pages["/docs/api/schemas/"+name+"/"] == nil {
			t.Errorf("no link leads to a page of the schema %s", name)
		}
	}
}

// seen reports whether a page was looked at, and says that it now is.
func (s *site) seen(page *html.Node) bool {
	const mark = "seen"
	if slices.ContainsFunc(page.Attr, func(a html.Attribute) bool { return a.Key == mark }) {
		return true
	}
	page.Attr = append(page.Attr, html.Attribute{Key: mark})
	return false
}

var onEvent = regexp.MustCompile(`^on|^style$`)

// checkPage checks what a strict policy, a keyboard and a screen reader need.
func checkPage(t *testing.T, path string, page *html.Node) {
	t.Helper()
	count := make(map[string]int)
	ids := make(map[string]bool)
	level := 0
	for _, n := range elements(page) {
		count[n.Data]++
		for _, a := range n.Attr {
			if onEvent.MatchString(a.Key) {
				t.Errorf("%s: <%s> has %s", path, n.Data, a.Key)
			}
			if a.Key == "id" && ids[a.Val] {
				t.Errorf("%s: the id %s is there twice", path, a.Val)
			}
			ids[a.Val] = ids[a.Val] || a.Key == "id"
		}
		if len(n.Data) == 2 && n.Data[0] == 'h' && n.Data[1] >= '1' && n.Data[1] <= '6' {
			next := int(n.Data[1] - '0')
			if next > level+1 {
				t.Errorf("%s: <%s> %q comes after a heading of level %d", path, n.Data, textOf(n), level)
			}
			level = next
		}
	}
	if count["script"]+count["style"] > 0 {
		t.Errorf("%s has a script or a style in it", path)
	}
	for _, landmark := range []string{"main", "header", "footer", "h1", "title", "form"} {
		if count[landmark] != 1 {
			t.Errorf("%s has %d of <%s>", path, count[landmark], landmark)
		}
	}
	if !strings.Contains(textOf(page), "Skip to the content") || !ids["main"] {
		t.Errorf("%s: the content cannot be skipped to", path)
	}
}

func TestTheReferenceIsReadWithoutAToken(t *testing.T) {
	h := newHouse(t)
	response := h.page("/docs/api/")
	h.must(response.Body.Close())
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Security-Policy"), "default-src 'none';") {
		t.Errorf("it is answered with %s and the policy %q", response.Status, response.Header.Get("Content-Security-Policy"))
	}
}

func TestASearchOfTheReferenceFindsFieldsAndCodes(t *testing.T) {
	s := &site{h: newHouse(t), pages: make(map[string]*html.Node)}
	for query, want := range map[string]string{
		"lease_lost": "/docs/api/operations/post-leases-lease-renew/", "image_patterns": "/docs/api/schemas/Credential/", "stop EXECUTION": "/docs/api/operations/post-executions-execution-stop/",
	} {
		page := s.open("/docs/api/?q=" + url.QueryEscape(query))
		if !slices.ContainsFunc(elements(page), func(n *html.Node) bool { link, _ := attribute(n, "href"); return link == want }) {
			t.Errorf("a search for %q does not find %s", query, want)
		}
		checkPage(t, query, page)
	}
}
