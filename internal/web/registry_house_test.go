package web_test

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/v1/empty"
	"golang.org/x/net/html"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/depot"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/outbox"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
	"fairlead.dev/fairlead/internal/web"
)

// registryPassword is what must never stand in a page.
const registryPassword = "correct-horse-battery-staple-7"

// harbour is the pages over a real database and a real registry: ada administers the
// organisation acme, ben is a member of it, and eve administers another one. acme has
// the project vision, and eve a personal one.
type harbour struct {
	t          testing.TB
	server     *httptest.Server
	registry   *granttest.Registry
	store      *store.Store
	registries *registry.Service
	ada        account.Actor
	vision     account.Project
	log        *bytes.Buffer
	acme       string // the path of acme's credentials
}

func newHarbour(t testing.TB) *harbour {
	t.Helper()
	h := &harbour{t: t, log: new(bytes.Buffer), registry: granttest.New(t, granttest.Options{})}
	h.registry.AddUser("robot", registryPassword, granttest.Pull("ml/*"))
	_, err := h.registry.Push(t.Context(), "ml/train", "v1", empty.Image)
	h.must(err)
	h.open(grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, h.registry)}))
	return h
}

func (h *harbour) open(catalogue *grant.Catalogue) {
	h.t.Helper()
	ctx, t := h.t.Context(), h.t
	now := func() time.Time { return time.Now().UTC() }
	logger := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelInfo}))
	var err error
	h.store, err = store.Open(ctx, filepath.Join(t.TempDir(), "fairlead.db"))
	h.must(err)
	t.Cleanup(func() { h.must(h.store.Close()) })
	packages, err := store.OpenPackages(t.TempDir())
	h.must(err)
	files, err := depot.Open(ctx, "file://"+t.TempDir())
	h.must(err)
	t.Cleanup(func() { h.must(files.Close()) })
	keys, err := vault.Open(filepath.Join(t.TempDir(), "fairlead.key"))
	h.must(err)
	sealer := adapter.Sealer{Vault: keys}

	accounts := account.NewService(h.store, now)
	projects := project.NewService(h.store, accounts, sealer, adapter.Hosts{}, now)
	h.registries = registry.NewService(h.store, accounts, adapter.Kinds{Catalogue: catalogue}, sealer, now)
	selector := registry.NewSelector(h.store)
	grants := broker.New(broker.Config{Selector: selector, Opener: h.registries, Issuer: adapter.Issuer{Catalogue: catalogue}, Recorder: h.store, Now: now})
	t.Cleanup(grants.Close)
	bell := new(execution.Bell)
	channels := notice.NewService(notice.Config{Store: h.store, Messages: h.store, Accounts: accounts, Users: h.store, Sealer: sealer, Now: now})
	mailer, err := courier.NewMailer(courier.SMTP{})
	h.must(err)
	pages, err := web.New(web.Config{
		Accounts: accounts, Projects: projects, Registries: h.registries, Selector: selector,
		Executions: execution.NewService(execution.Config{
			Store: h.store, Packages: packages, Depot: files, Projects: accounts, Settings: projects, Now: now, Changed: bell,
		}),
		Dispatch: dispatch.New(dispatch.Config{Store: h.store, Projects: h.store, Now: now, Logger: logger, Changed: bell, LeaseLife: time.Hour}),
		Broker:   grants, Audit: h.store, Channels: channels,
		Outbox: outbox.New(outbox.Config{
			Store: h.store, Channels: channels, Mailer: mailer, Hooks: courier.NewHooks(courier.HooksConfig{}), Now: now, Logger: logger,
		}),
		Version: "1.2.3", Logger: logger, Now: now,
	})
	h.must(err)
	h.server = httptest.NewServer(pages)
	t.Cleanup(h.server.Close)
	h.people(accounts)
}

func (h *harbour) people(accounts *account.Service) {
	h.t.Helper()
	ctx := h.t.Context()
	password, err := accounts.Bootstrap(ctx, "root", "acme")
	h.must(err)
	root := h.actor(accounts, "root", password)
	for _, name := range []string{"ada", "ben", "eve"} {
		_, err := accounts.CreateUser(ctx, root, account.NewUser{Username: name, Password: secret.New("password of " + name)})
		h.must(err)
	}
	_, err = accounts.SetMember(ctx, root, "acme", "ada", account.Admin)
	h.must(err)
	_, err = accounts.SetMember(ctx, root, "acme", "ben", account.Member)
	h.must(err)
	_, err = accounts.CreateOrganization(ctx, root, "evil")
	h.must(err)
	_, err = accounts.SetMember(ctx, h.actor(accounts, "root", password), "evil", "eve", account.Admin)
	h.must(err)
	h.ada = h.actor(accounts, "ada", secret.New("password of ada"))
	h.vision, err = accounts.CreateProject(ctx, h.ada, account.NewProject{Name: "vision", Owner: "acme"})
	h.must(err)
	_, err = accounts.CreateProject(ctx, h.actor(accounts, "eve", secret.New("password of eve")), account.NewProject{Name: "mine"})
	h.must(err)
	h.acme = "/o/1/registries/"
}

func (h *harbour) actor(accounts *account.Service, name string, password secret.Text) account.Actor {
	h.t.Helper()
	_, text, err := accounts.SignIn(h.t.Context(), name, password, "test", "")
	h.must(err)
	actor, err := accounts.Authenticate(h.t.Context(), text, "")
	h.must(err)
	return actor
}

func (h *harbour) must(err error) {
	if err != nil {
		h.t.Helper()
		h.t.Fatal(err)
	}
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

// shown is a page as it came.
type shown struct {
	t      testing.TB
	status int
	path   string // after the redirects
	header http.Header
	text   string
	root   *html.Node
}

func (g *guest) get(path string) shown { return g.send(http.MethodGet, path, nil, nil) }

func (g *guest) post(path string, form url.Values) shown {
	return g.send(http.MethodPost, path, form, nil)
}

func (g *guest) send(method, path string, form url.Values, header http.Header) shown {
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
	page := shown{t: g.t, status: response.StatusCode, path: response.Request.URL.RequestURI(), header: response.Header, text: string(text), root: root}
	if strings.Contains(page.text, registryPassword) || strings.Contains(g.log.String(), registryPassword) {
		g.t.Errorf("%s %s shows the secret", method, path)
	}
	return page
}

// find is the first element of that id, or of that name where it begins with a dot.
func (p shown) find(id string) *html.Node {
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
func (p shown) words(id string) string {
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
func (p shown) value(name string) string {
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
func (p shown) wants(status int, texts ...string) shown {
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
func (p shown) lacks(texts ...string) shown {
	p.t.Helper()
	for _, text := range texts {
		if strings.Contains(p.text, text) {
			p.t.Errorf("%s says %q", p.path, text)
		}
	}
	return p
}
