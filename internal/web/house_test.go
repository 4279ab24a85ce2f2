package web_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"log/slog"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/depot"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/gitfetch"
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

// registryPassword is what no page may show.
const registryPassword = "correct-horse-battery-staple-7"

const steps = `
- step:
    name: train
    image: registry.acme.example/ml/train:v1
    command: python train.py {parameters}
    parameters:
      - name: epochs
        type: integer
        default: 5
      - name: fast
        type: flag
`

// house is the pages over a real database and a real registry, with people in it:
// root runs it, ada administers the organisation acme, ben is a member, eve
// administers another one. Everybody's password is "password of NAME".
type house struct {
	t          testing.TB
	server     *httptest.Server
	registry   *granttest.Registry
	store      *store.Store
	accounts   *account.Service
	registries *registry.Service
	executions *execution.Service
	dispatch   *dispatch.Service
	actors     map[string]account.Actor
	logged     lockedBuffer

	project account.Project
	commit  execution.Commit
}

// newHouse builds it; each change may fit something to the pages before they are made.
func newHouse(t testing.TB, changes ...func(*house, *web.Config)) *house {
	t.Helper()
	reached := granttest.New(t, granttest.Options{})
	reached.AddUser("robot", registryPassword, granttest.Pull("ml/*"))
	return newHouseAt(t, reached, changes...)
}

// newHouseAt is one that reaches that registry.
func newHouseAt(t testing.TB, reached *granttest.Registry, changes ...func(*house, *web.Config)) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{t: t, registry: reached, actors: make(map[string]account.Actor)}
	now := func() time.Time { return time.Now().UTC() }
	logger := slog.New(slog.NewJSONHandler(&h.logged, nil))
	before, err := settled()
	h.must(err)
	database := filepath.Join(t.TempDir(), "fairlead.db")
	h.must(os.WriteFile(database, before.database, 0o600))
	kept, err := store.Open(ctx, database)
	h.must(err)
	h.store = kept
	t.Cleanup(func() { h.must(kept.Close()) })
	packages, err := store.OpenPackages(t.TempDir())
	h.must(err)
	files, err := depot.Open(ctx, "file://"+t.TempDir())
	h.must(err)
	t.Cleanup(func() { h.must(files.Close()) })
	sealing, err := vault.Open(filepath.Join(t.TempDir(), "fairlead.key"))
	h.must(err)
	git, err := gitfetch.New(gitfetch.Config{Dir: t.TempDir()})
	h.must(err)
	t.Cleanup(git.Close)

	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, h.registry), Now: now, Logger: logger})
	bell := new(execution.Bell)
	h.accounts = account.NewService(kept, now).WithSealer(adapter.Sealer{Vault: sealing})
	projects := project.NewService(kept, h.accounts, adapter.Sealer{Vault: sealing}, adapter.Hosts{}, now)
	h.registries = registry.NewService(kept, h.accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: sealing}, now)
	selector := registry.NewSelector(kept)
	grants := broker.New(broker.Config{Selector: selector, Opener: h.registries, Issuer: adapter.Issuer{Catalogue: catalogue}, Recorder: kept, Now: now})
	t.Cleanup(grants.Close)
	h.dispatch = dispatch.New(dispatch.Config{Store: kept, Projects: kept, Now: now, Logger: logger, Changed: bell, LeaseLife: time.Hour})
	h.executions = execution.NewService(execution.Config{
		Store: kept, Packages: packages, Depot: files, Projects: h.accounts, Settings: projects,
		Repositories: adapter.Repositories{Fetcher: git, Projects: projects}, Now: now, Changed: bell,
	})
	channels := notice.NewService(notice.Config{
		Store: kept, Messages: kept, Accounts: h.accounts, Users: kept, Sealer: adapter.Sealer{Vault: sealing}, Now: now,
	})
	mailer, err := courier.NewMailer(courier.SMTP{})
	h.must(err)
	config := web.Config{
		Accounts: h.accounts, Projects: projects, Registries: h.registries, Selector: selector, Executions: h.executions,
		Dispatch: h.dispatch, Broker: grants, Audit: kept, Channels: channels,
		Outbox: outbox.New(outbox.Config{
			Store: kept, Channels: channels, Mailer: mailer, Hooks: courier.NewHooks(courier.HooksConfig{}), Now: now, Logger: logger,
		}),
		Version: "1.2.3", Logger: logger, Now: now,
	}
	for _, change := range changes {
		change(h, &config)
	}
	pages, err := web.New(config)
	h.must(err)
	h.server = httptest.NewServer(pages)
	t.Cleanup(h.server.Close)
	h.people(before.tokens)
	return h
}

func (h *house) must(err error) {
	h.t.Helper()
	if err != nil {
		h.t.Fatal(err)
	}
}

func passwordOf(name string) secret.Text { return secret.New("password of " + name) }

// people finds everybody, who were there when the house was opened.
func (h *house) people(tokens map[string]secret.Text) {
	h.t.Helper()
	for name, text := range tokens {
		var err error
		h.actors[name], err = h.accounts.Authenticate(h.t.Context(), text, "")
		h.must(err)
	}
}

// furnish gives acme the project vision with code, and a credential.
func (h *house) furnish() registry.Credential {
	h.t.Helper()
	ctx := h.t.Context()
	var err error
	h.project, err = h.accounts.CreateProject(ctx, h.actors["ada"], account.NewProject{Name: "vision", Owner: "acme"})
	h.must(err)
	h.commit, err = h.executions.Import(ctx, h.actors["ada"], execution.NewPackage{Project: h.project.ID}, bytes.NewReader(h.tarball(steps)))
	h.must(err)
	credential, _, err := h.registries.Create(ctx, h.actors["ada"], registry.Draft{
		Organization: "acme", Name: "Acme's registry", Kind: "generic", Patterns: []string{"registry.acme.example/ml/*"},
		Material: registry.Material{
			Config:  map[string]string{"username": "robot"},
			Secrets: map[string]secret.Text{"password": secret.New(registryPassword)},
		},
	})
	h.must(err)
	return credential
}

func (h *house) tarball(yaml string) []byte {
	out := new(bytes.Buffer)
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)
	h.must(archive.WriteHeader(&tar.Header{Name: "valohai.yaml", Mode: 0o644, Size: int64(len(yaml)), Typeflag: tar.TypeReg}))
	_, err := io.WriteString(archive, yaml)
	h.must(err)
	h.must(archive.Close())
	h.must(zipped.Close())
	return out.Bytes()
}

// run queues the step.
func (h *house) run() execution.Execution {
	h.t.Helper()
	e, err := h.executions.Create(h.t.Context(), h.actors["ben"], execution.Draft{Project: h.project.ID, Commit: h.commit.Identifier, Step: "train"})
	h.must(err)
	return e
}

// take has the worker take an execution.
func (h *house) take() string {
	h.t.Helper()
	e, ok, err := h.dispatch.Take(h.t.Context(), h.actors["worker"], 0)
	h.must(err)
	if !ok {
		h.t.Fatal("nothing is queued")
	}
	return e.Lease.ID
}

// log has the worker write lines of a stream.
func (h *house) log(lease string, batch int64, stream execution.Stream, texts ...string) {
	h.t.Helper()
	var lines []execution.Line
	for _, text := range texts {
		lines = append(lines, execution.Line{Time: time.Now(), Stream: stream, Text: text})
	}
	h.must(h.dispatch.Append(h.t.Context(), h.actors["worker"], lease, batch, lines))
}

// finish ends an execution.
func (h *house) finish(lease string, result execution.Result) {
	h.t.Helper()
	h.must(h.dispatch.Finish(h.t.Context(), h.actors["worker"], lease, result, nil))
}

// visitor is a browser without JavaScript.
type visitor struct {
	h      *house
	client *http.Client
}

// visitor is a browser in which somebody is signed in; "" is nobody.
func (h *house) visitor(name string) *visitor {
	h.t.Helper()
	jar, err := cookiejar.New(nil)
	h.must(err)
	v := &visitor{h, &http.Client{Jar: jar}}
	if name != "" {
		shown := v.post("/sign-in/", url.Values{"username": {name}, "password": {passwordOf(name).Reveal()}})
		if shown.status != http.StatusOK || strings.HasPrefix(shown.path, "/sign-in/") {
			h.t.Fatalf("%s cannot sign in: %d %s", name, shown.status, shown.text)
		}
	}
	return v
}

// shown is a page, or a part of one.
type shown struct {
	status int
	path   string // where it led to
	header http.Header
	text   string // as HTML
	root   *html.Node
}

func (v *visitor) do(method, path string, form url.Values, header ...string) shown {
	v.h.t.Helper()
	var body io.Reader
	if form != nil {
		body = strings.NewReader(form.Encode())
	}
	request, err := http.NewRequestWithContext(v.h.t.Context(), method, v.h.server.URL+path, body)
	v.h.must(err)
	if form != nil {
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	for i := 0; i+1 < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := v.client.Do(request)
	v.h.must(err)
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	v.h.must(err)
	root, err := html.Parse(bytes.NewReader(text))
	v.h.must(err)
	return shown{response.StatusCode, response.Request.URL.RequestURI(), response.Header, string(text), root}
}

func (v *visitor) get(path string) shown { return v.do(http.MethodGet, path, nil) }

func (v *visitor) post(path string, form url.Values) shown {
	return v.do(http.MethodPost, path, form)
}

// htmx posts as htmx does.
func (v *visitor) htmx(path string, form url.Values) shown {
	return v.do(http.MethodPost, path, form, "HX-Request", "true")
}

// words is the text of a page, each run of spaces as one.
func (s shown) words() string {
	var b strings.Builder
	for node := range s.root.Descendants() {
		if node.Type == html.TextNode && (node.Parent == nil || node.Parent.DataAtom != atom.Script) {
			b.WriteString(node.Data + " ")
		}
	}
	return strings.Join(strings.Fields(b.String()), " ")
}

// byID is an element; nil: there is none.
func (s shown) byID(id string) *html.Node {
	for node := range s.root.Descendants() {
		if attribute(node, "id") == id {
			return node
		}
	}
	return nil
}

func attribute(node *html.Node, name string) string {
	if node == nil {
		return ""
	}
	for _, a := range node.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// wordsOf is the text of an element.
func (s shown) wordsOf(id string) string {
	node := s.byID(id)
	if node == nil {
		return ""
	}
	return shown{root: node}.words()
}

// wants fails unless the page has the status and says all of the texts.
func (s shown) wants(t testing.TB, status int, texts ...string) {
	t.Helper()
	if s.status != status {
		t.Errorf("%s: status %d, want %d: %.600s", s.path, s.status, status, s.words())
	}
	words := s.words()
	for _, text := range texts {
		if !strings.Contains(words, text) {
			t.Errorf("%s does not say %q: %.1500s", s.path, text, words)
		}
	}
}

// byName is a field of a form; nil: there is none.
func (s shown) byName(name string) *html.Node {
	for node := range s.root.Descendants() {
		if attribute(node, "name") == name {
			return node
		}
	}
	return nil
}

// lockedBuffer is where the pages log to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

// Write implements io.Writer.
func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buffer.String()
}
