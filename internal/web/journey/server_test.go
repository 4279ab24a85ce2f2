// Package journey_test walks through the pages as people do, with a real browser: the
// whole program as a process of its own, with a worker that runs containers, before
// real registries that are asked for every pull.
package journey_test

import (
	"bufio"
	"bytes"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"fairlead.dev/fairlead/internal/browsertest"
	"fairlead.dev/fairlead/internal/cli"
	"fairlead.dev/fairlead/internal/client"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/grant/granttest"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/source"
	"fairlead.dev/fairlead/internal/wire"
)

// asProgram is the variable that makes this program `fairlead`.
const asProgram = "FAIRLEAD_TEST_PROGRAM"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		os.Exit(cli.Main(os.Args[1:], "test"))
	}
	browsertest.Main(m)
}

// What the registries know their robot by, and no page may ever show.
const (
	robot         = "robot"
	robotPassword = "correct-horse-battery-staple"
)

// person is who signs in.
type person struct{ name, password string }

// server is a `fairlead serve` that runs, with a worker inside. It has the organisation
// acme, of which admin is an admin and ada a member; its project acme/train, with code;
// and no credential.
type server struct {
	t   testing.TB
	url string

	admin, ada person
	project    wire.Project
	commit     string // of the code: its steps are train, fail, slow and hidden

	// registry has registry.acme.example/ml/train:v1, which robot may pull, and
	// private/x:v1, which it may not; basic has basic.acme.example/ml/train:v1, and
	// no token service; hub has docker.io/acme/report:v1.
	registry, basic, hub *granttest.Registry

	command *exec.Cmd
	log     bytes.Buffer
	drained chan struct{} // closed when all that it says was read
}

// code is a project's: a step that works, one that fails, one that goes on until it is
// stopped, and one whose image robot may not pull.
const code = `- step:
    name: train
    image: registry.acme.example/ml/train:v1
    command:
      - echo "training for {parameter-value:epochs} epochs"
    parameters:
      - name: epochs
        type: integer
        default: 3
- step:
    name: fail
    image: registry.acme.example/ml/train:v1
    command:
      - echo before
      - exit 7
- step:
    name: slow
    image: registry.acme.example/ml/train:v1
    command:
      - echo started
      - sleep 600
- step:
    name: hidden
    image: registry.acme.example/private/x:v1
    command: echo never
`

// startServer starts all of it, which ends with the test; flags are further ones of
// `fairlead serve`.
func startServer(t testing.TB, flags ...string) *server {
	t.Helper()
	s := &server{t: t, admin: person{name: "admin"}, ada: person{"ada", "ada's very long password"}, drained: make(chan struct{})}
	s.registry = newRegistry(t, granttest.Options{}, granttest.Pull("ml/*"), "ml/train", "private/x")
	s.basic = newRegistry(t, granttest.Options{Kind: granttest.Basic, Host: "basic.acme.example"}, granttest.Pull("ml/*"), "ml/train")
	s.hub = newRegistry(t, granttest.Options{Kind: granttest.DockerHub}, granttest.Pull("acme/*"), "acme/report")
	s.start(flags)
	t.Cleanup(s.end)
	s.furnish()
	return s
}

// newRegistry is a registry with an image in each of the repositories, and robot.
func newRegistry(t testing.TB, options granttest.Options, right granttest.Right, repositories ...string) *granttest.Registry {
	t.Helper()
	registry := granttest.New(t, options)
	registry.AddUser(robot, robotPassword, right)
	for _, repository := range repositories {
		image, err := demoimage.New(demoimage.Options{Layers: 2, LayerBytes: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Push(t.Context(), repository, "v1", image); err != nil {
			t.Fatal(err)
		}
	}
	return registry
}

// start starts the program and waits until it serves.
func (s *server) start(flags []string) {
	s.t.Helper()
	dir := s.t.TempDir()
	args := append([]string{"serve", "--listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"), "--organization", "acme"}, flags...)
	for _, registry := range []*granttest.Registry{s.registry, s.basic, s.hub} {
		for _, rule := range registry.Rules() {
			file := filepath.Join(dir, rule.Host+".pem")
			s.check(os.WriteFile(file, rule.CA, 0o600))
			args = append(args, "--registry-address", rule.Host+"="+rule.Address, "--registry-ca", rule.Host+"="+file)
		}
	}
	self, err := os.Executable()
	s.check(err)
	s.command = exec.CommandContext(s.t.Context(), self, args...)
	s.command.Cancel = func() error { return s.command.Process.Signal(syscall.SIGTERM) } // its containers end with it
	s.command.Env = append(os.Environ(), asProgram+"=1", "HOME="+dir, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	s.command.Stderr = &s.log
	says, err := s.command.StdoutPipe()
	s.check(err)
	s.check(s.command.Start())
	lines := bufio.NewScanner(says)
	for s.url == "" && lines.Scan() {
		if password, found := strings.CutPrefix(lines.Text(), "Password, shown this once: "); found {
			s.admin.password = password
		}
		s.url, _ = strings.CutPrefix(lines.Text(), "Serving on ")
		if !strings.HasPrefix(s.url, "http") {
			s.url = ""
		}
	}
	go func() {
		defer close(s.drained)
		_, _ = io.Copy(io.Discard, says) // until it ends
	}()
	if s.url == "" {
		_ = s.command.Wait()
		s.t.Fatalf("the server did not start: %s", &s.log)
	}
}

// end ends the program, and tells what it logged if the test failed.
func (s *server) end() {
	_ = s.command.Process.Signal(syscall.SIGTERM) // it may have ended
	<-s.drained
	_ = s.command.Wait() // with the signal
	if s.t.Failed() {
		s.t.Logf("the server's log:\n%s", &s.log)
	}
	if strings.Contains(s.log.String(), robotPassword) {
		s.t.Error("the server's log has the registry's password")
	}
}

// furnish makes the people, the project and its code.
func (s *server) furnish() {
	s.t.Helper()
	ctx, admin := s.t.Context(), s.signIn(s.admin)
	_, err := admin.CreateUser(ctx, wire.NewUser{Username: s.ada.name, Password: wire.NewPassword(s.ada.password)})
	s.check(err)
	_, err = admin.SetMember(ctx, "acme", wire.NewMember{Username: s.ada.name, Role: "member"})
	s.check(err)
	s.project, err = admin.CreateProject(ctx, wire.NewProject{Name: "train", Owner: "acme"})
	s.check(err)
	dir := s.t.TempDir()
	s.check(os.WriteFile(filepath.Join(dir, "valohai.yaml"), []byte(code), 0o600))
	var packed bytes.Buffer
	_, err = source.Pack(ctx, dir, &packed, source.Options{})
	s.check(err)
	commit, err := admin.ImportPackage(ctx, s.project.ID, "the first", "", &packed)
	s.check(err)
	s.commit = commit.Identifier
}

// addCredential gives acme a credential of the registry, unchecked, which serves the
// pattern.
func (s *server) addCredential(pattern string) wire.Credential {
	s.t.Helper()
	unchecked := false
	created, err := s.signIn(s.admin).CreateCredential(s.t.Context(), wire.CredentialChange{
		Type: "generic", Owner: "acme", ImagePatterns: []string{pattern}, Check: &unchecked,
		Configuration: map[string]string{"username": robot, "password": robotPassword},
	})
	s.check(err)
	return created
}

// run queues a step as ada.
func (s *server) run(step string) wire.Execution {
	s.t.Helper()
	created, err := s.signIn(s.ada).CreateExecution(s.t.Context(), wire.NewExecution{Project: s.project.ID, Commit: s.commit, Step: step})
	s.check(err)
	return created
}

// transcript is an execution's log.
type transcript struct{ lines []string }

func (l *transcript) Lines(events []wire.Event) error {
	for _, event := range events {
		l.lines = append(l.lines, event.Message)
	}
	return nil
}

func (l *transcript) State(wire.Execution) error { return nil }

// ended waits until an execution has ended, and gives its log.
func (s *server) ended(execution wire.Execution) (wire.Execution, string) {
	s.t.Helper()
	var log transcript
	last, err := s.signIn(s.ada).Follow(s.t.Context(), execution.ID, 0, &log)
	s.check(err)
	return last, strings.Join(log.lines, "\n")
}

// signIn gives a client of the API as somebody.
func (s *server) signIn(who person) *client.Client {
	s.t.Helper()
	signed, err := s.trySignIn(who)
	s.check(err)
	s.t.Cleanup(signed.Close)
	return signed
}

func (s *server) trySignIn(who person) (*client.Client, error) {
	anonymous, err := client.New(client.Config{Server: s.url})
	if err != nil {
		return nil, err
	}
	defer anonymous.Close()
	got, err := anonymous.SignIn(s.t.Context(), wire.GetToken{Username: who.name, Password: wire.NewPassword(who.password), Name: "test"})
	if err != nil {
		return nil, err
	}
	return client.New(client.Config{Server: s.url, Token: secret.New(got.Token)})
}

func (s *server) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}
