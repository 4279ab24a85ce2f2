// Package pullthrough_test holds the whole program to what the pull-through cache
// promises: `fairlead serve --cache` as a process of its own, before a real registry
// whose token service gives two organisations' robots different repositories, and at
// the end of a line that can break and lie.
package pullthrough_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/pem"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/cli"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// asProgram is the variable that makes this program `fairlead`.
const asProgram = "FAIRLEAD_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(os.Args[1:], "test"))
	}
	os.Exit(m.Run())
}

// upstreamHost is the registry's name in images. Certificates of httptest are for it.
const upstreamHost = "registry.example.com"

// member is who pulls for an organisation: the one project of it, and a token.
type member struct {
	organization string
	project      string // OWNER/PROJECT
	password     string
	token        string
	id           string         // of the token
	api          *client.Client // as that person
}

// world is the whole: a registry, the line to it, the program, and a person of each of
// two organisations.
type world struct {
	t        testing.TB
	registry *granttest.Registry
	line     *line
	dir      string
	flags    []string
	server   *program

	acme, globex *member
}

// robotPassword is what the registry knows the robots by, and nobody may ever see.
const robotPassword = "correct-horse-battery-staple"

// newWorld starts all of it. In the registry, acme's robot may pull ml/* and shared/*,
// and globex's vision/* and shared/*. Acme's credential covers these alone, and globex's
// all of the registry, so that each is refused the other's in a way of its own.
func newWorld(t testing.TB, flags ...string) *world {
	t.Helper()
	w := &world{t: t, dir: t.TempDir(), flags: flags}
	w.registry = granttest.New(t, granttest.Options{Host: upstreamHost})
	w.registry.AddUser("acme-robot", robotPassword, granttest.Pull("ml/*"), granttest.Pull("shared/*"))
	w.registry.AddUser("globex-robot", robotPassword, granttest.Pull("vision/*"), granttest.Pull("shared/*"))
	w.line = newLine(t, w.registry)
	if err := os.WriteFile(filepath.Join(w.dir, "registry.pem"), w.line.ca(), 0o600); err != nil {
		t.Fatal(err)
	}
	w.start()
	t.Cleanup(func() { w.server.end(syscall.SIGTERM) })

	admin := w.signIn("admin", w.server.password)
	w.acme = w.member(admin, "acme", "ada", upstreamHost+"/ml/*", upstreamHost+"/shared/*")
	w.globex = w.member(admin, "globex", "ben", upstreamHost+"/**")
	return w
}

// member makes an organisation with a credential and a project, and a person in it.
func (w *world) member(admin *client.Client, organization, person string, patterns ...string) *member {
	w.t.Helper()
	ctx := w.t.Context()
	m := &member{organization: organization, project: organization + "/train", password: person + "'s very long password"}
	_, err := admin.CreateUser(ctx, wire.NewUser{Username: person, Password: wire.NewPassword(m.password)})
	w.check(err)
	_, err = admin.CreateOrganization(ctx, wire.NewOrganization{Name: organization})
	w.check(err)
	_, err = admin.SetMember(ctx, organization, wire.NewMember{Username: person, Role: "member"})
	w.check(err)
	unchecked := false
	_, err = admin.CreateCredential(ctx, wire.CredentialChange{
		Type: "generic", Owner: organization, ImagePatterns: patterns, Check: &unchecked,
		Configuration: map[string]string{"username": organization + "-robot", "password": robotPassword},
	})
	w.check(err)
	_, err = admin.CreateProject(ctx, wire.NewProject{Name: "train", Owner: organization})
	w.check(err)
	m.api = w.signIn(person, m.password)
	w.renew(m)
	return m
}

// renew gives a member another token to pull with.
func (w *world) renew(m *member) {
	w.t.Helper()
	created, err := m.api.CreateToken(w.t.Context(), wire.NewToken{Name: "laptop"})
	w.check(err)
	m.token, m.id = created.Text, created.ID
}

func (w *world) signIn(user, password string) *client.Client {
	w.t.Helper()
	anonymous, err := client.New(client.Config{Server: w.server.url})
	w.check(err)
	defer anonymous.Close()
	got, err := anonymous.SignIn(w.t.Context(), wire.GetToken{Username: user, Password: wire.NewPassword(password), Name: "test"})
	w.check(err)
	signed, err := client.New(client.Config{Server: w.server.url, Token: secret.New(got.Token)})
	w.check(err)
	w.t.Cleanup(signed.Close)
	return signed
}

func (w *world) check(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// cacheDir is where the program keeps what it has.
func (w *world) cacheDir() string { return filepath.Join(w.dir, "cache") }

// program is a `fairlead serve` that runs.
type program struct {
	command  *exec.Cmd
	url      string
	password string // of the first user, where it was made just now
	log      *bytes.Buffer
	drained  chan struct{} // closed when all that it says was read
}

// start starts the program where it was before, if it was.
func (w *world) start() {
	w.t.Helper()
	listen := "127.0.0.1:0"
	if w.server != nil {
		listen = strings.TrimPrefix(w.server.url, "http://")
	}
	self, err := os.Executable()
	w.check(err)
	p := &program{log: new(bytes.Buffer), drained: make(chan struct{})}
	p.command = exec.CommandContext(w.t.Context(), self, append([]string{
		"serve", "--worker=false", "--listen", listen, "--data-dir", filepath.Join(w.dir, "data"), "--cache", "file://" + w.cacheDir(),
		"--registry-address", upstreamHost + "=" + w.line.address(), "--registry-ca", upstreamHost + "=" + filepath.Join(w.dir, "registry.pem"),
	}, w.flags...)...)
	p.command.Env = append(os.Environ(), asProgram+"=1")
	p.command.Stderr = p.log
	says, err := p.command.StdoutPipe()
	w.check(err)
	w.check(p.command.Start())
	lines := bufio.NewScanner(says)
	for lines.Scan() {
		if password, found := strings.CutPrefix(lines.Text(), "Password, shown this once: "); found {
			p.password = password
		}
		if url, found := strings.CutPrefix(lines.Text(), "Serving on "); found {
			p.url = url
			break
		}
	}
	go func() {
		defer close(p.drained)
		_, _ = io.Copy(io.Discard, says) // until it ends
	}()
	if p.url == "" {
		_ = p.command.Wait()
		w.t.Fatalf("the server did not start: %s", p.log)
	}
	w.server = p
}

// end ends the program with a signal and waits until it has ended. Its log is then
// whole.
func (p *program) end(signal syscall.Signal) {
	if p.command.ProcessState != nil {
		return
	}
	_ = p.command.Process.Signal(signal) // it may have ended
	<-p.drained
	_ = p.command.Wait() // with the signal
}

// until waits until something is so; it is looked at often, and for a minute.
func until(t testing.TB, what string, is func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !is() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("it never came to be that %s", what)
		}
	}
}

// request makes a request for a path of the cache, as a member, or as nobody.
func (w *world) request(ctx context.Context, m *member, method, path string) *http.Request {
	w.t.Helper()
	asked, err := http.NewRequestWithContext(ctx, method, w.server.url, http.NoBody)
	w.check(err)
	path, query, _ := strings.Cut(path, "?")
	asked.URL.Opaque = "//" + asked.URL.Host + path // which goes out as it is
	asked.URL.RawQuery = query
	if m != nil {
		asked.SetBasicAuth(m.project, m.token)
	}
	return asked
}

// toPEM writes a certificate as text.
func toPEM(der []byte) []byte { return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}) }
