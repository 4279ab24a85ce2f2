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
	commit     string // of the code: its steps are train, fail, slow, tick and hidden

	// registry has registry.acme.example/ml/train:v1, which robot may pull, and
	// private/x:v1, which it may not; basic has basic.acme.example/ml/train:v1, and
	// no token service; hub has docker.io/acme/report:v1.
	registry, basic, hub *granttest.Registry

	dir     string
	listen  string   // HOST:PORT
	reach   []string // flags that lead to the registries
	flags   []string // of `fairlead serve`
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
    name: tick
    image: registry.acme.example/ml/train:v1
    command:
      - for i in $(seq 1 24); do echo "tick $i"; sleep 0.25; done
- step:
    name: learn
    image: registry.acme.example/ml/train:v1
    command:
      - for i in $(seq 1 6); do echo "{\"epoch\":$i,\"loss\":0.$((9 / i))}"; done
      - echo "weights" > /valohai/outputs/model.txt
- step:
    name: hidden
    image: registry.acme.example/private/x:v1
    command: echo never
`

// startServer starts all of it, which ends with the test; flags are further ones of
// `fairlead serve`.
func startServer(t testing.TB, flags ...string) *server {
	t.Helper()
	s := newServer(t, flags...)
	s.launch()
	s.furnish()
	return s
}

// newServer is one with its registries that was not started yet.
func newServer(t testing.TB, flags ...string) *server {
	t.Helper()
	s := &server{t: t, admin: person{name: "admin"}, ada: person{"ada", "ada's very long password"}, dir: t.TempDir(), listen: "127.0.0.1:0", flags: flags}
	s.registry = newRegistry(t, granttest.Options{}, granttest.Pull("ml/*"), "ml/train", "private/x")
	s.basic = newRegistry(t, granttest.Options{Kind: granttest.Basic, Host: "basic.acme.example"}, granttest.Pull("ml/*"), "ml/train")
	s.hub = newRegistry(t, granttest.Options{Kind: granttest.DockerHub}, granttest.Pull("acme/*"), "acme/report")
	s.reaches(s.registry, s.basic, s.hub)
	return s
}

// reaches has the server find the registries.
func (s *server) reaches(registries ...*granttest.Registry) {
	s.t.Helper()
	for _, registry := range registries {
		for _, rule := range registry.Rules() {
			file := filepath.Join(s.dir, rule.Host+".pem")
			s.check(os.WriteFile(file, rule.CA, 0o600))
			s.reach = append(s.reach, "--registry-address", rule.Host+"="+rule.Address, "--registry-ca", rule.Host+"="+file)
		}
	}
}

// newRegistry is a registry with an image in each of the repositories, and robot.
func newRegistry(t testing.TB, options granttest.Options, right granttest.Right, repositories ...string) *granttest.Registry {
	t.Helper()
	registry := granttest.New(t, options)
	registry.AddUser(robot, robotPassword, right)
	for _, repository := range repositories {
		push(t, registry, repository)
	}
	return registry
}

// push gives a registry an image.
func push(t testing.TB, registry *granttest.Registry, repository string) {
	t.Helper()
	image, err := demoimage.New(demoimage.Options{Layers: 2, LayerBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Push(t.Context(), repository, "v1", image); err != nil {
		t.Fatal(err)
	}
}

// program is the program with its arguments, which ends with the test.
func (s *server) program(args ...string) *exec.Cmd {
	s.t.Helper()
	self, err := os.Executable()
	s.check(err)
	command := exec.CommandContext(s.t.Context(), self, args...)
	command.Cancel = func() error { return command.Process.Signal(syscall.SIGTERM) } // its containers end with it
	command.Env = append(os.Environ(), asProgram+"=1", "HOME="+s.dir, "PATH="+os.Getenv("PATH")+":/usr/sbin:/sbin")
	return command
}

// launch starts the program, the first time or again, and waits until it serves.
func (s *server) launch() {
	s.t.Helper()
	args := append([]string{"serve", "--listen", s.listen, "--data-dir", filepath.Join(s.dir, "data"), "--organization", "acme"}, s.flags...)
	s.command = s.program(append(args, s.reach...)...)
	s.command.Stderr = &s.log
	says, err := s.command.StdoutPipe()
	s.check(err)
	s.check(s.command.Start())
	if s.url == "" {
		s.t.Cleanup(s.end)
	}
	s.url = ""
	lines := bufio.NewScanner(says)
	for s.url == "" && lines.Scan() {
		if password, found := strings.CutPrefix(lines.Text(), "Password, shown this once: "); found {
			s.admin.password = password
		}
		if url, found := strings.CutPrefix(lines.Text(), "Serving on http://"); found {
			s.url, s.listen = "http://"+url, url
		}
	}
	drained := make(chan struct{})
	s.drained = drained
	go func() {
		defer close(drained)
		_, _ = io.Copy(io.Discard, says) // until it ends
	}()
	if s.url == "" {
		_ = s.command.Wait()
		s.t.Fatalf("the server did not start: %s", &s.log)
	}
}

// kill ends the program as `kill -9` does.
func (s *server) kill() {
	s.t.Helper()
	s.check(s.command.Process.Kill())
	<-s.drained
	_ = s.command.Wait() // with the signal
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

// startWorker starts a worker of its own process.
func (s *server) startWorker() {
	s.t.Helper()
	made, err := s.signIn(s.admin).CreateWorkerToken(s.t.Context(), wire.NewWorkerToken{Name: "gpu"})
	s.check(err)
	file := filepath.Join(s.dir, "worker-token")
	s.check(os.WriteFile(file, []byte(made.Text), 0o600))
	worker := s.program(append([]string{"worker", "--data-dir", filepath.Join(s.dir, "worker"), "--token-file", file}, s.reach...)...)
	worker.Env = append(worker.Env, "FAIRLEAD_SERVER="+s.url)
	var log bytes.Buffer
	worker.Stderr = &log
	s.check(worker.Start())
	s.t.Cleanup(func() {
		_ = worker.Process.Signal(syscall.SIGTERM) // it may have ended
		_ = worker.Wait()                          // with the signal
		if s.t.Failed() {
			s.t.Logf("the worker's log:\n%s", &log)
		}
	})
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
