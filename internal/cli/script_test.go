package cli_test

import (
	"bufio"
	"cmp"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"fairlead.dev/fairlead/internal/cli"
	"fairlead.dev/fairlead/internal/demoimage"
	"fairlead.dev/fairlead/internal/gitfetch/gittest"
	"fairlead.dev/fairlead/internal/grant/granttest"
)

func TestMain(m *testing.M) {
	// The stories mostly wait for leases and lines to end, so that more of them
	// run at once than there are processors. The command line goes first.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	testscript.Main(m, map[string]func(){
		"fairlead": func() { os.Exit(cli.Main(os.Args[1:], "test")) },
	})
}

// registryPassword is what no story may ever print.
const registryPassword = "correct-horse-battery-staple"

// TestStories runs the stories in testdata: real servers, real containers, and a
// real private registry. They have further commands:
//
//	serve [ARG…]     starts a server in the background and waits until it serves
//	kill-server      kills it as kill -9 does
//	end-server       ends it with SIGTERM
//	interrupt ARG…   runs `fairlead ARG…` and interrupts it at its first output
//	attempts MARK N… waits until exactly these attempts of the execution with the
//	                 variable MARK have processes on this machine
//	never-twice MARK watches until the end that no two attempts of it ever have
//	small-disk D S   mounts a file system of size S on D, or makes it that large
//	commit B M FILE… commits the files, by their last names, with the message M to
//	                 the branch B of the repository $GIT_URL, and sets COMMIT
//	database SQL…    runs the statements on the server's database, past the program
//	watch ARG…       runs `fairlead ARG…` in the background, as what writes cores
//	memory TEXT      looks for a text in the memory of what watch started
//	listen           takes mail and webhooks, at $SMTP and $HOOK
//	trust FILE       checks webhooks with the secret in the JSON
//	letter TO S T    waits for mail to TO whose subject and text match S and T
//	hook BODY        waits for a webhook that matches, and is signed right
//	deaf [no]        has the receiver be down, or be back
//	again BODY       waits until a webhook that matches has come twice, with one id
//	second-factor    runs fairlead totp enable with an app, sets TOTP_KEY, writes recovery
//	with-code P F    writes the password of the file P and the next code into F
//	browsers ID…     signs admin in with browsers, of which there is no command
//	collect          takes traces as a collector of OpenTelemetry, at $COLLECTOR
//	traced NAME…     waits until one trace has all these spans; ! looks that no span has a text
//	revoke           ends the secret of the registry's user alerts
//	crash            ends that as a bug would, and looks for its core
func TestStories(t *testing.T) {
	registry, basic, broken := newRegistry(t), newBasicRegistry(t), newBrokenRegistry(t)
	git := gittest.New(t, gitToken)
	testscript.Run(t, testscript.Params{
		Dir: "testdata",
		Setup: func(env *testscript.Env) error {
			ca, basicCA := filepath.Join(env.WorkDir, "ca.pem"), filepath.Join(env.WorkDir, "basic-ca.pem")
			env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("XDG_CONFIG_HOME", filepath.Join(env.WorkDir, "home"))
			env.Setenv("FAIRLEAD_REGISTRY_ADDRESS", registry.Host()+"="+registry.Address()+","+basic.Host()+"="+basic.Address()+",down.example=127.0.0.1:1,broken.example="+broken)
			env.Setenv("FAIRLEAD_REGISTRY_PLAIN_HTTP", "broken.example")
			env.Setenv("FAIRLEAD_REGISTRY_CA", registry.Host()+"="+ca+","+basic.Host()+"="+basicCA)
			env.Setenv("REGISTRY_PASSWORD", registryPassword)
			env.Setenv("PATH", env.Getenv("PATH")+":/usr/sbin:/sbin")
			env.Values["server"], env.Values["cache"], env.Values["crashing"] = new(server), new(server), new(crashing)
			env.Values["told"], env.Values["collected"] = new(told), new(collected)
			env.Setenv("GIT_URL", git.URL(filepath.Base(env.WorkDir)))
			env.Values["commit"] = func(branch, message string, files map[string]string) string {
				return git.Commit(t, filepath.Base(env.WorkDir), branch, message, files)
			}
			return errors.Join(os.WriteFile(ca, registry.CA(), 0o600), os.WriteFile(basicCA, basic.CA(), 0o600), os.WriteFile(filepath.Join(env.WorkDir, "git-ca.pem"), git.CA(), 0o600))
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"serve": serve, "kill-server": kill, "end-server": end, "interrupt": interrupt,
			"attempts": waitForAttempts, "never-twice": neverTwice, "small-disk": smallDisk,
			"commit": commit, "watch": watch, "memory": memory, "crash": crash, "pull-through": pullThrough,
			"second-factor": secondFactor, "with-code": withCode, "browsers": browsers,
			"refused-soon": refusedSoon, "serve-cache": serveCache, "end-cache": endCache, "database": database,
			"listen": listen(t, registry), "revoke": revoke, "trust": trust, "letter": letter, "hook": hook, "deaf": deaf, "again": again,
			"collect": collect, "traced": traced,
		},
	})
}

// newRegistry is a private registry with the images of the stories.
func newRegistry(t *testing.T) *granttest.Registry {
	t.Helper()
	registry := granttest.New(t, granttest.Options{})
	registry.AddUser("robot", registryPassword, granttest.Pull("ml/*"))
	for name, options := range map[string]demoimage.Options{
		"ml/train":  {User: "trainer", Env: []string{"FROM_IMAGE=yes"}, Layers: 2, LayerBytes: 1 << 20},
		"ml/root":   {},
		"ml/entry":  {Entrypoint: []string{"/bin/sh", "-c", `echo entered; exec "$@"`, "entry"}},
		"ml/none":   {Entrypoint: []string{"/no/such/program"}},
		"ml/arm":    {Architecture: "riscv64"},
		"private/x": {},
	} {
		image, err := demoimage.New(options)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := registry.Push(t.Context(), name, "v1", image); err != nil {
			t.Fatal(err)
		}
	}
	return registry
}

// newBasicRegistry is a private registry without a token service, which takes the
// password itself and nothing else.
func newBasicRegistry(t *testing.T) *granttest.Registry {
	t.Helper()
	registry := granttest.New(t, granttest.Options{Kind: granttest.Basic, Host: "basic.acme.example"})
	registry.AddUser("robot", registryPassword, granttest.Pull("ml/*"))
	image, err := demoimage.New(demoimage.Options{Layers: 2, LayerBytes: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := registry.Push(t.Context(), "ml/train", "v1", image); err != nil {
		t.Fatal(err)
	}
	return registry
}

// gitToken is what the git host of the stories takes.
const gitToken = "glpat-right0hunter2"

func commit(ts *testscript.TestScript, _ bool, args []string) {
	files := make(map[string]string)
	for _, name := range args[2:] {
		files[filepath.Base(name)] = ts.ReadFile(name)
	}
	commit := ts.Value("commit").(func(branch, message string, files map[string]string) string)
	ts.Setenv("COMMIT", commit(args[0], args[1], files))
}

// server is the server of one story.
type server struct{ command *exec.Cmd }

func serverOf(ts *testscript.TestScript) *server { return ts.Value("server").(*server) }

// serve starts a server and gives the story its address and, the first time, the
// first user's password.
func serve(ts *testscript.TestScript, _ bool, args []string) {
	s, work := serverOf(ts), ts.Getenv("WORK")
	program, err := exec.LookPath("fairlead")
	ts.Check(err)
	// A server that comes again is where it was, as a real one would be.
	listen := cmp.Or(strings.TrimPrefix(ts.Getenv("FAIRLEAD_SERVER"), "http://"), "127.0.0.1:0")
	args = append([]string{"serve", "--listen", listen, "--data-dir", filepath.Join(work, "data")}, args...)
	s.command = exec.Command(program, args...)
	s.command.Dir = work
	for _, name := range []string{"HOME", "PATH", "FAIRLEAD_REGISTRY_ADDRESS", "FAIRLEAD_REGISTRY_CA", "FAIRLEAD_REGISTRY_PLAIN_HTTP", "TMPDIR"} {
		s.command.Env = append(s.command.Env, name+"="+ts.Getenv(name))
	}
	log, err := os.OpenFile(filepath.Join(work, "server.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	ts.Check(err)
	defer func() { ts.Check(log.Close()) }()
	s.command.Stderr = log
	out, err := s.command.StdoutPipe()
	ts.Check(err)
	ts.Check(s.command.Start())
	ts.Defer(func() { s.stop(syscall.SIGTERM) })
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if password, found := strings.CutPrefix(lines.Text(), "Password, shown this once: "); found {
			ts.Setenv("ADMIN_PASSWORD", password)
			ts.Check(os.WriteFile(filepath.Join(work, "admin-password"), []byte(password+"\n"), 0o600))
		}
		if address, found := strings.CutPrefix(lines.Text(), "Serving on "); found {
			ts.Setenv("FAIRLEAD_SERVER", address)
			return
		}
	}
	ts.Fatalf("the server did not start: %s", ts.ReadFile(filepath.Join(work, "server.log")))
}

func (s *server) stop(signal os.Signal) {
	if s.command == nil {
		return
	}
	_ = s.command.Process.Signal(signal) // it may have ended
	_ = s.command.Wait()                 // with the signal
	s.command = nil
}

func kill(ts *testscript.TestScript, _ bool, _ []string) { serverOf(ts).stop(syscall.SIGKILL) }
func end(ts *testscript.TestScript, _ bool, _ []string)  { serverOf(ts).stop(syscall.SIGTERM) }

// database does to the server's database what its owner can.
func database(ts *testscript.TestScript, _ bool, args []string) {
	db, err := sql.Open("sqlite", filepath.Join(ts.Getenv("WORK"), "data", "fairlead.db"))
	ts.Check(err)
	defer func() { ts.Check(db.Close()) }()
	for _, text := range args {
		_, err := db.Exec(text)
		ts.Check(err)
	}
}

// interrupt runs `fairlead ARG…` and interrupts it at its first line of output,
// which only the step writes. Its whole output is then in the file `output`.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	program, err := exec.LookPath("fairlead")
	ts.Check(err)
	command := exec.Command(program, args...)
	command.Dir = ts.MkAbs(".")
	for _, name := range []string{"HOME", "XDG_CONFIG_HOME", "PATH", "FAIRLEAD_SERVER", "FAIRLEAD_TOKEN", "FAIRLEAD_PROJECT"} {
		if value := ts.Getenv(name); value != "" {
			command.Env = append(command.Env, name+"="+value)
		}
	}
	errors, err := os.Create(ts.MkAbs("output"))
	ts.Check(err)
	defer func() { ts.Check(errors.Close()) }()
	command.Stderr = errors
	out, err := command.StdoutPipe()
	ts.Check(err)
	ts.Check(command.Start())
	lines := bufio.NewScanner(out)
	for first := true; lines.Scan(); first = false {
		_, err := fmt.Fprintln(errors, lines.Text())
		ts.Check(err)
		if first {
			ts.Check(command.Process.Signal(os.Interrupt))
		}
	}
	err = command.Wait()
	_, writeErr := fmt.Fprintf(errors, "exit: %v\n", err)
	ts.Check(writeErr)
}
