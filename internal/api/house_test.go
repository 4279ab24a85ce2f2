package api_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/api"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/depot"
	"fairlead.dev/fairlead/internal/dispatch"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/gitfetch/gittest"
	"fairlead.dev/fairlead/internal/grant"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/outbox"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/reference"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/telemetry"
	"fairlead.dev/fairlead/internal/vault"
	"fairlead.dev/fairlead/internal/wire"
)

// registryPassword is what must never come out of the API again.
const registryPassword = "correct-horse-battery-staple-7"

// house is a whole server over a real database and a real registry, with people
// in it: root runs it, ada administers the organisation acme, ben is a member,
// eve administers another one, and the worker is a worker.
type house struct {
	t        testing.TB
	server   *httptest.Server
	accounts *account.Service
	registry *granttest.Registry
	git      *gittest.Host
	keys     *rotation
	audit    audit.Store
	log      *lockedBuffer
	tokens   map[string]string // by name
	names    map[string]string // what stands in braces in a scenario
}

// rotation rotates nothing, or fails.
type rotation struct{ fail bool }

func (r *rotation) Rotate(context.Context, account.Actor) (wire.KeyRotation, error) {
	if r.fail {
		panic("the key file is on fire")
	}
	return wire.KeyRotation{KeyID: 7, Resealed: 1, Retired: 1}, nil
}

const steps = `
- step:
    name: train
    image: registry.acme.example/ml/train:v1
    command:
      - python train.py {parameters}
    parameters:
      - name: epochs
        type: integer
        default: 5
`

func newHouse(t testing.TB) *house {
	t.Helper()
	ctx := t.Context()
	h := &house{t: t, keys: new(rotation), log: new(lockedBuffer), tokens: make(map[string]string), names: make(map[string]string)}
	h.registry = granttest.New(t, granttest.Options{})
	h.git = gittest.New(t, gitToken)
	h.registry.AddUser("robot", registryPassword, granttest.Pull("ml/*"))

	now := func() time.Time { return time.Now().UTC() }
	logger := slog.New(slog.NewJSONHandler(h.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	kept, err := store.Open(ctx, filepath.Join(t.TempDir(), "fairlead.db"))
	h.must(err)
	h.audit = kept
	t.Cleanup(func() { h.must(kept.Close()) })
	packages, err := store.OpenPackages(t.TempDir())
	h.must(err)
	files, err := depot.Open(ctx, "file://"+t.TempDir())
	h.must(err)
	t.Cleanup(func() { h.must(files.Close()) })
	sealing, err := vault.Open(filepath.Join(t.TempDir(), "fairlead.key"))
	h.must(err)

	catalogue := grant.NewCatalogue(grant.Config{Transport: granttest.NewTransport(t, h.registry), Now: now, Logger: logger})
	bell := new(execution.Bell)
	observer := telemetry.New(telemetry.NewMetrics("1.2.3", now), nil)
	accounts := account.NewService(kept, now).WithSealer(adapter.Sealer{Vault: sealing})
	h.accounts = accounts
	projects := project.NewService(kept, accounts, adapter.Sealer{Vault: sealing}, adapter.Hosts{}, now)
	git, err := gitfetch.New(gitfetch.Config{Dir: t.TempDir(), RootCAs: gitRoots(h.git)})
	h.must(err)
	t.Cleanup(git.Close)
	registries := registry.NewService(kept, accounts, adapter.Kinds{Catalogue: catalogue}, adapter.Sealer{Vault: sealing}, now)
	selector := registry.NewSelector(kept)
	grants := broker.New(broker.Config{
		Selector: selector, Opener: registries, Issuer: adapter.Issuer{Catalogue: catalogue}, Recorder: kept, Now: now, Observer: observer,
	})
	t.Cleanup(grants.Close)
	dispatching := dispatch.New(dispatch.Config{Store: kept, Projects: kept, Now: now, Logger: logger, Changed: bell, LeaseLife: time.Hour, Observer: observer})
	channels := notice.NewService(notice.Config{
		Store: kept, Messages: kept, Accounts: accounts, Users: kept, Sealer: adapter.Sealer{Vault: sealing}, Now: now,
	})
	mailer, err := courier.NewMailer(courier.SMTP{})
	h.must(err)
	door, err := api.New(api.Config{
		Channels: channels,
		Outbox: outbox.New(outbox.Config{
			Store: kept, Channels: channels, Mailer: mailer, Hooks: courier.NewHooks(courier.HooksConfig{}), Now: now, Logger: logger,
		}),
		Federation: account.NewFederation(account.FederationConfig{Accounts: accounts, Sealer: adapter.Sealer{Vault: sealing}}),
		Accounts:   accounts, Registries: registries, Selector: selector,
		Projects: projects,
		Executions: execution.NewService(execution.Config{
			Store: kept, Packages: packages, Depot: files, Projects: accounts, Settings: projects,
			Repositories: adapter.Repositories{Fetcher: git, Projects: projects}, Now: now, Changed: bell,
		}),
		Dispatch: dispatching, Readers: &adapter.Readers{Accounts: accounts, Dispatch: dispatching},
		Reference: reference.New,
		Broker:    grants, Audit: kept, Keys: h.keys, Packages: packages,
		Route: func(host string) *wire.RegistryRoute {
			return &wire.RegistryRoute{Address: h.registry.Address()}
		},
		Version: "1.2.3", Logger: logger, Now: now, Observer: observer,
	})
	h.must(err)
	h.server = httptest.NewServer(door)
	t.Cleanup(h.server.Close)

	password, err := accounts.Bootstrap(ctx, "root", "acme")
	h.must(err)
	h.people(accounts, password)
	return h
}

// people signs everybody in and gives them what they own.
func (h *house) people(accounts *account.Service, rootPassword secret.Text) {
	h.t.Helper()
	ctx := h.t.Context()
	_, text, err := accounts.SignIn(ctx, "root", rootPassword, "test", "")
	h.must(err)
	root, err := accounts.Authenticate(ctx, text, "")
	h.must(err)
	h.tokens["root"] = text.Reveal()
	for _, name := range []string{"ada", "ben", "eve"} {
		password := secret.New("password of " + name)
		_, err := accounts.CreateUser(ctx, root, account.NewUser{Username: name, Password: password})
		h.must(err)
		_, text, err := accounts.SignIn(ctx, name, password, "test", "")
		h.must(err)
		h.tokens[name] = text.Reveal()
	}
	_, err = accounts.SetMember(ctx, root, "acme", "ada", account.Admin)
	h.must(err)
	_, err = accounts.SetMember(ctx, root, "acme", "ben", account.Member)
	h.must(err)
	_, err = accounts.CreateOrganization(ctx, root, "evil")
	h.must(err)
	root, err = accounts.Authenticate(ctx, text, "")
	h.must(err)
	_, err = accounts.SetMember(ctx, root, "evil", "eve", account.Admin)
	h.must(err)
	h.must(accounts.RemoveMember(ctx, root, "evil", "root"))
	_, text, err = accounts.CreateWorkerToken(ctx, root, "worker-1", "", time.Time{})
	h.must(err)
	h.tokens["worker"] = text.Reveal()
	_, text, err = accounts.CreateCacheToken(ctx, root, "near", time.Time{})
	h.must(err)
	h.tokens["cache"] = text.Reveal()
	_, text, err = accounts.CreateWorkerToken(ctx, root, "worker-2", "", time.Time{})
	h.must(err)
	h.tokens["worker-2"] = text.Reveal()
}

// furnish gives acme a project with code and a credential.
func (h *house) furnish() {
	h.t.Helper()
	var project wire.Project
	h.call("ada", http.MethodPost, "projects/", wire.NewProject{Name: "vision", Owner: "acme"}, &project)
	h.names["project"] = project.ID
	var credential wire.Credential
	h.call("ada", http.MethodPost, "registry-credentials/", map[string]any{
		"type": "docker", "name": "Acme's registry", "image_pattern": "registry.acme.example/*", "owner": "acme",
		"configuration": map[string]string{"username": "robot", "password": registryPassword, "version": "1"},
	}, &credential)
	h.names["credential"] = credential.ID
	var commit wire.Commit
	h.read(h.upload("ada", project.ID, tarball(h.t, map[string]string{"valohai.yaml": steps})), http.StatusCreated, &commit)
	h.names["commit"] = commit.Identifier
}

// run queues the step and returns the execution.
func (h *house) run() wire.Execution {
	h.t.Helper()
	var created wire.Execution
	h.call("ben", http.MethodPost, "executions/", wire.NewExecution{
		Project: h.names["project"], Commit: h.names["commit"], Step: "train",
		Parameters: map[string]json.RawMessage{"epochs": json.RawMessage("7")},
	}, &created)
	h.names["execution"] = created.ID
	return created
}

// take has the worker take the execution.
func (h *house) take() wire.Lease {
	h.t.Helper()
	var lease wire.Lease
	h.call("worker", http.MethodPost, "leases/", wire.LeaseRequest{}, &lease)
	h.names["lease"] = lease.ID
	return lease
}

// append stores lines as a batch.
func (h *house) append(batch int64, texts ...string) {
	h.t.Helper()
	events := make([]wire.Event, len(texts))
	for i, text := range texts {
		events[i] = wire.Event{Stream: "stdout", Time: wire.NewTime(time.Now()), Message: text}
	}
	h.call("worker", http.MethodPost, h.fill("leases/{lease}/events/"), wire.EventBatch{Batch: batch, Events: events}, nil)
}

// finish ends the execution.
func (h *house) finish() {
	h.t.Helper()
	code := 0
	h.call("worker", http.MethodPost, h.fill("leases/{lease}/finish/"), wire.LeaseResult{Status: "complete", ExitCode: &code}, nil)
}

// fill replaces what stands in braces by what it is in this house.
func (h *house) fill(text string) string {
	for name, value := range h.names {
		text = strings.ReplaceAll(text, "{"+name+"}", value)
	}
	return text
}

// request makes a request of somebody.
func (h *house) request(who, method, path string, body io.Reader) *http.Request {
	h.t.Helper()
	request, err := http.NewRequestWithContext(h.t.Context(), method, h.server.URL+wire.Base+path, body)
	h.must(err)
	if who != "" {
		request.Header.Set("Authorization", "Token "+h.tokens[who])
	}
	return request
}

// call sends JSON and reads JSON; any error fails the test.
func (h *house) call(who, method, path string, in, out any) {
	h.t.Helper()
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		h.must(err)
		body = bytes.NewReader(text)
	}
	request := h.request(who, method, path, body)
	request.Header.Set("Content-Type", "application/json")
	h.read(request, 0, out)
}

// read sends a request and reads the answer, of the given status or, for 0, of
// any that is no error.
func (h *house) read(request *http.Request, status int, out any) {
	h.t.Helper()
	response, err := http.DefaultClient.Do(request)
	h.must(err)
	defer func() { _ = response.Body.Close() }() // only read
	text, err := io.ReadAll(response.Body)
	h.must(err)
	if status == 0 && response.StatusCode >= 300 || status != 0 && response.StatusCode != status {
		h.t.Fatalf("%s %s: got %d %s", request.Method, request.URL, response.StatusCode, text)
	}
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			h.t.Fatalf("%s %s: %v in %s", request.Method, request.URL, err, text)
		}
	}
}

// upload is the request that imports a package, as vh sends it.
func (h *house) upload(who, project string, data []byte, fields ...string) *http.Request {
	h.t.Helper()
	body := new(bytes.Buffer)
	form := multipart.NewWriter(body)
	for i := 0; i+1 < len(fields); i += 2 {
		h.must(form.WriteField(fields[i], fields[i+1]))
	}
	part, err := form.CreateFormFile("data", "data.tgz")
	h.must(err)
	_, err = part.Write(data)
	h.must(err)
	h.must(form.Close())
	request := h.request(who, http.MethodPost, "projects/"+project+"/import-package/", body)
	request.Header.Set("Content-Type", form.FormDataContentType())
	return request
}

func (h *house) must(err error) {
	if err != nil {
		h.t.Helper()
		h.t.Fatal(err)
	}
}

// tarball is code as clients pack it.
func tarball(t testing.TB, files map[string]string) []byte {
	t.Helper()
	out := new(bytes.Buffer)
	zipped := gzip.NewWriter(out)
	archive := tar.NewWriter(zipped)
	var names []string
	for name := range files {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := archive.WriteHeader(&tar.Header{Name: name, Mode: 0o644, Size: int64(len(files[name])), Typeflag: tar.TypeReg}); err != nil {
			t.Fatal(err)
		}
		if _, err := archive.Write([]byte(files[name])); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	if err := zipped.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// identifier is the commit that a package is.
func identifier(data []byte) string {
	sum := sha256.Sum256(data)
	return "~" + hex.EncodeToString(sum[:])
}

// lockedBuffer is where the server logs to.
type lockedBuffer struct {
	mu     sync.Mutex
	buffer bytes.Buffer
}

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

// scenario is one request and what must and must not come of it.
type scenario struct {
	name   string
	as     string // whose token; "": none
	method string
	path   string // below the API's base; {names} are filled in

	body        string
	contentType string            // application/json if empty
	header      map[string]string // further headers

	status int
	want   []string
	not    []string
}

// play runs the scenarios in their order and sees that no secret comes out of
// any of them, nor into the log.
func (h *house) play(t *testing.T, scenarios []scenario) {
	for _, s := range scenarios {
		t.Run(s.name, func(t *testing.T) {
			request := h.request(s.as, s.method, h.fill(s.path), strings.NewReader(h.fill(s.body)))
			if s.body != "" {
				request.Header.Set("Content-Type", "application/json")
			}
			if s.contentType != "" {
				request.Header.Set("Content-Type", s.contentType)
			}
			for name, value := range s.header {
				request.Header.Set(name, h.fill(value))
			}
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = response.Body.Close() }() // only read
			text, err := io.ReadAll(response.Body)
			if err != nil {
				t.Fatal(err)
			}
			answer := fmt.Sprint(response.Header, "\n", string(text))
			if response.StatusCode != s.status {
				t.Errorf("got the status %d, want %d", response.StatusCode, s.status)
			}
			for _, want := range s.want {
				if !strings.Contains(answer, h.fill(want)) {
					t.Errorf("%q is missing", h.fill(want))
				}
			}
			for _, not := range append(s.not, registryPassword, "goroutine", "SQL") {
				if strings.Contains(answer, h.fill(not)) {
					t.Errorf("%q must not be there", h.fill(not))
				}
			}
			if t.Failed() {
				t.Logf("the answer: %s", answer)
			}
		})
	}
	h.noSecretIn(t, h.log.String())
}

// noSecretIn fails the test if a text holds a secret.
func (h *house) noSecretIn(t *testing.T, text string) {
	t.Helper()
	secrets := []string{registryPassword, "password of"}
	for _, token := range h.tokens {
		secrets = append(secrets, token)
	}
	for _, hidden := range secrets {
		if strings.Contains(text, hidden) {
			t.Errorf("a secret beginning with %.8q is shown", hidden)
		}
	}
}
