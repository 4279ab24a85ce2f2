package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/net/html"

	"fairlead.dev/fairlead/bench/fill"
)

const (
	pageTimes    = 21 // requests of a page in each round
	pageLimit    = 50 * time.Millisecond
	loadLimit    = 150 << 10
	pagesOfAKind = 2 // that are measured of those that links lead to
)

// pages fills the house's database, walks from the first page to every page that
// links lead to, and measures each of them and some that no link leads to.
func pages(ctx context.Context, h *house) error {
	if err := h.stop(); err != nil {
		return err
	}
	began := time.Now()
	filled, err := fill.Fill(ctx, filepath.Join(h.dir, "data", "fairlead.db"), "admin")
	if err != nil {
		return err
	}
	fmt.Printf("  filled in %v\n", time.Since(began).Round(time.Second))
	if _, err := h.serve(); err != nil {
		return err
	}
	b, err := newBrowser(h.address)
	if err != nil {
		return err
	}
	first, err := b.load(ctx, "/sign-in/")
	if err != nil {
		return err
	}
	if _, err := b.post(ctx, "/sign-in/", url.Values{"username": {"admin"}, "password": {h.password}}); err != nil {
		return err
	}
	second, err := b.load(ctx, "/executions/")
	if err != nil {
		return err
	}
	found, err := b.walk(ctx, specialPages(filled))
	if err != nil {
		return err
	}
	if err := rest(ctx); err != nil { // the worker and what is done after a start
		return err
	}
	for range rounds {
		for _, p := range found {
			before, err := processorTime(h.server.Process.Pid)
			if err != nil {
				return err
			}
			if err := b.measure(ctx, p); err != nil {
				return err
			}
			after, err := processorTime(h.server.Process.Pid)
			if err != nil {
				return err
			}
			p.work += after - before
		}
	}
	tellPages(found)
	fmt.Printf("  a first visit, with nothing in the browser's cache: /sign-in/ %.1f kB, /executions/ %.1f kB (limit %d kB)\n",
		float64(first)/1000, float64(second)/1000, loadLimit/1024)
	return nil
}

// specialPages are what no link leads to as it is: filters, last pages, the largest
// of everything, and what forms ask for while they are filled in.
func specialPages(f fill.Filled) []*measured {
	registries := fmt.Sprintf("/o/%d/registries/", f.Organization)
	audit := fmt.Sprintf("/o/%d/audit/", f.Organization)
	loud := "/executions/" + f.Loud + "/"
	draft := url.Values{"image_patterns": {"registry.acme.example/*\nregistry.acme.example/team-7/*\nghcr.io/acme/*"}, "name": {"draft"}}
	special := []*measured{
		{path: registries + "add/docker-hub/preview/", form: draft},
		{path: registries + f.Wide + "/change/preview/", form: draft},
	}
	for _, path := range []string{
		"/executions/?offset=5000", "/executions/?offset=9950", "/executions/?mine=yes", "/executions/?mine=yes&offset=1000",
		"/executions/?status=complete", "/executions/?status=complete&offset=6000", "/executions/?status=error", "/executions/?status=crashed", "/executions/?status=queued",
		"/executions/?project=" + f.Project, "/executions/?project=" + f.Project + "&status=complete&mine=yes",
		loud, loud + "results/", loud + "log/", loud + "log/?after=99990", loud + "log.txt", "/executions/" + f.Failed + "/", "/executions/" + f.Queued + "/",
		"/projects/" + f.Project + "/", "/projects/" + f.Project + "/run/?commit=" + f.Commit, "/projects/" + f.Project + "/run/?commit=" + f.Commit + "&step=" + f.Step,
		registries + "?page=20", registries + "?q=team-7", registries + "?q=part-3/", registries + "?q=nothing-like-it", registries + "?state=bad", registries + "?state=good&page=12",
		registries + "?state=unused", registries + "?state=unchecked&q=team", registries + f.Busy + "/", registries + f.Wide + "/", registries + f.Wide + "/change/", registries + f.Busy + "/rotate/",
		"/explain/?project=" + f.Project + "&image=registry.acme.example/team-7/part-3/train:v1", "/explain/?project=" + f.Project + "&image=registry.acme.exmple/team-7/train:v1",
		audit, audit + "?before=50000", audit + "?verb=credential", audit + "?verb=grant.issue&result=failed", audit + "?object=" + f.Busy, audit + "?verb=credential&object=" + f.Busy,
		audit + "?actor=worker+worker-7", audit + "?actor=nobody", audit + "?since=2026-01-01&until=2026-01-02", "/audit/?organization=0", "/audit/?verb=session&before=90000",
		"/audit/?result=secret_refused&actor=worker+worker-7",
	} {
		special = append(special, &measured{path: path})
	}
	return special
}

// measured is a page and what was measured of it. A file to be saved is measured until
// it begins to come.
type measured struct {
	path string
	form url.Values // what is posted; nil: it is read

	kind    string
	medians []time.Duration // of each round
	all     []time.Duration
	work    time.Duration // that the server's processors had, in all rounds
	bytes   int           // as sent
}

// browser is somebody who is signed in.
type browser struct {
	address string
	client  *http.Client
}

func newBrowser(address string) (*browser, error) {
	jar, err := cookiejar.New(nil)
	return &browser{address: address, client: &http.Client{
		Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}, err
}

// isFile reports whether a page is a file to be saved.
func (p *measured) isFile() bool {
	return strings.HasSuffix(p.path, ".txt") || strings.Contains(p.path, "/export/")
}

// answered is an answer as it was sent.
type answered struct {
	status int
	to     string // where it sends the browser on
	packed bool
	body   []byte
}

func (b *browser) do(ctx context.Context, method, path string, form url.Values) (answered, error) {
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(ctx, method, b.address+path, body)
	if err != nil {
		return answered{}, err
	}
	request.Header.Set("Accept-Encoding", "gzip") // so that the body comes as it was sent
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	response, err := b.client.Do(request)
	if err != nil {
		return answered{}, err
	}
	defer func() { _ = response.Body.Close() }() // read to its end
	text, err := io.ReadAll(response.Body)
	a := answered{status: response.StatusCode, to: response.Header.Get("Location"), packed: response.Header.Get("Content-Encoding") == "gzip", body: text}
	if err == nil && a.status >= http.StatusBadRequest && a.status != http.StatusNotFound {
		err = fmt.Errorf("%s %s: %s", method, path, response.Status)
	}
	return a, err
}

// begin asks for a file and reads its first byte.
func (b *browser) begin(ctx context.Context, path string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, b.address+path, http.NoBody)
	if err != nil {
		return err
	}
	response, err := b.client.Do(request)
	if err != nil {
		return err
	}
	_, err = io.ReadFull(response.Body, make([]byte, 1))
	return errors.Join(err, response.Body.Close())
}

func (b *browser) get(ctx context.Context, path string) (answered, error) {
	return b.do(ctx, http.MethodGet, path, nil)
}

func (b *browser) post(ctx context.Context, path string, form url.Values) (answered, error) {
	return b.do(ctx, http.MethodPost, path, form)
}

// links are the addresses that a page's tags of a name have in an attribute.
func (a answered) links(name, attribute string) ([]string, error) {
	text := io.Reader(bytes.NewReader(a.body))
	if a.packed {
		unpacked, err := gzip.NewReader(text)
		if err != nil {
			return nil, err
		}
		text = unpacked
	}
	root, err := html.Parse(text)
	if err != nil {
		return nil, err
	}
	var links []string
	for node := range root.Descendants() {
		if node.Type != html.ElementNode || node.Data != name {
			continue
		}
		for _, a := range node.Attr {
			if a.Key == attribute && a.Val != "" {
				links = append(links, a.Val)
			}
		}
	}
	return links, nil
}

// load is how many bytes come for a page and what it is made of.
func (b *browser) load(ctx context.Context, path string) (size int, err error) {
	page, err := b.get(ctx, path)
	if err != nil {
		return 0, err
	}
	sheets, err := page.links("link", "href")
	if err != nil {
		return 0, err
	}
	scripts, err := page.links("script", "src")
	if err != nil {
		return 0, err
	}
	size = len(page.body)
	for _, asset := range append(sheets, scripts...) {
		a, err := b.get(ctx, asset)
		if err != nil {
			return 0, err
		}
		size += len(a.body)
	}
	return size, nil
}

// notPages begin what links lead to and no page is.
var notPages = []string{"/static/", "/docs/", "/data/"}

// walk follows links from the first page and from the special ones, and gives the
// special ones and some of each kind of page that was found. A page that is not there
// (yet) is none.
func (b *browser) walk(ctx context.Context, special []*measured) (found []*measured, err error) {
	kinds, seen := make(map[string]int), make(map[string]bool)
	waiting := append(slices.Clone(special), &measured{path: "/executions/"})
	for len(waiting) > 0 {
		p := waiting[0]
		waiting = waiting[1:]
		p.kind = kindOf(p.path)
		if seen[p.path] || !slices.Contains(special, p) && kinds[p.kind] >= pagesOfAKind {
			continue
		}
		seen[p.path] = true
		a, err := b.do(ctx, p.method(), p.path, p.form)
		if err != nil {
			return nil, err
		}
		if a.status != http.StatusOK {
			if a.to != "" {
				waiting = append(waiting, &measured{path: a.to})
			}
			continue
		}
		kinds[p.kind]++
		p.bytes = len(a.body)
		found = append(found, p)
		if p.form != nil || p.isFile() || strings.Contains(p.path, "/log/") {
			continue
		}
		links, err := a.links("a", "href")
		if err != nil {
			return nil, err
		}
		for _, link := range links {
			at, err := url.Parse(link)
			if err != nil || at.Host != "" || slices.ContainsFunc(notPages, func(begin string) bool { return strings.HasPrefix(at.Path, begin) }) {
				continue
			}
			from, err := url.Parse(p.path)
			if err != nil {
				return nil, err
			}
			to := from.ResolveReference(at)
			to.Fragment = ""
			waiting = append(waiting, &measured{path: to.RequestURI()})
		}
	}
	slices.SortStableFunc(found, func(a, b *measured) int { return cmp.Compare(a.kind, b.kind) })
	return found, nil
}

func (p *measured) method() string {
	if p.form != nil {
		return http.MethodPost
	}
	return http.MethodGet
}

// particular are what tells pages of a kind apart: ids, numbers, names with numbers.
var particular = regexp.MustCompile(`/[^/?]*[0-9][^/?]*`)

// kindOf is a page's address without what is one thing's own.
func kindOf(path string) string {
	address, query, _ := strings.Cut(path, "?")
	values, _ := url.ParseQuery(query) // what it cannot read is of no kind
	var names []string
	for name, value := range values {
		if value[0] != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	kind := particular.ReplaceAllString(address, "/…")
	if len(names) > 0 {
		kind += "?" + strings.Join(names, "&")
	}
	return kind
}

// measure asks for a page as often as a round does.
func (b *browser) measure(ctx context.Context, p *measured) error {
	took := make([]time.Duration, pageTimes)
	for i := range took {
		begin := time.Now()
		if p.isFile() {
			if err := b.begin(ctx, p.path); err != nil {
				return err
			}
		} else if _, err := b.do(ctx, p.method(), p.path, p.form); err != nil {
			return err
		}
		took[i] = time.Since(begin)
	}
	p.medians = append(p.medians, median(took))
	p.all = append(p.all, took...)
	return nil
}

// tellPages prints a line for each page, the slowest first.
func tellPages(found []*measured) {
	slices.SortStableFunc(found, func(a, b *measured) int { return cmp.Compare(median(b.medians), median(a.medians)) })
	milliseconds := func(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }
	slow := 0
	fmt.Printf("  %9s %9s %9s %9s %9s page\n", "median ms", "worst ms", "95th ms", "cpu ms", "kB sent")
	for _, p := range found {
		mark := ""
		if median(p.medians) > pageLimit {
			slow++
			mark = " ABOVE"
		}
		sorted := slices.Sorted(slices.Values(p.all))
		fmt.Printf("  %9.1f %9.1f %9.1f %9.1f %9.1f %s %s%s\n", milliseconds(median(p.medians)), milliseconds(slices.Max(p.medians)),
			milliseconds(sorted[len(sorted)*95/100]), milliseconds(p.work)/float64(len(p.all)), float64(p.bytes)/1000, p.method(), p.path, mark)
	}
	fmt.Printf("  %d pages, of which %d take more than %v\n", len(found), slow, pageLimit)
}

// processorTime is what a process has had of the processors. It is counted in
// hundredths of a second, which many requests together make exact enough.
func processorTime(pid int) (time.Duration, error) {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	const user, system = 11, 12 // behind the name, which ends with the last parenthesis
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	var ticks int
	for _, field := range []int{user, system} {
		n, err := strconv.Atoi(fields[field])
		if err != nil {
			return 0, err
		}
		ticks += n
	}
	return time.Duration(ticks) * time.Second / 100, nil
}
