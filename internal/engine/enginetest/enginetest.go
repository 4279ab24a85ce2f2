// Package enginetest is what every engine must do, as a suite of tests that run
// real containers.
package enginetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

// aMinute is long enough for anything to have gone wrong instead.
const aMinute = time.Minute

var counter atomic.Int64

// suite is one engine under test.
type suite struct {
	engine engine.Engine
	rootfs string
}

// Exercise runs the suite with e in rootfs, which is [Rootfs]'s.
func Exercise(t *testing.T, e engine.Engine, rootfs string) {
	s := suite{engine: e, rootfs: rootfs}
	t.Run("the exit code is the command's", s.exitCodes)
	t.Run("stdout and stderr are told apart and whole", s.output)
	t.Run("a writer that fails is an error and does not hang the container", s.failingWriter)
	t.Run("the environment has Docker's defaults and what was given", s.environment)
	t.Run("the working directory is made", s.workingDirectory)
	t.Run("users are looked up in the image", s.users)
	t.Run("an image's links lead nowhere outside", s.links)
	t.Run("a command that cannot be run is 127 or 126 and a fault", s.commands)
	t.Run("what makes no sense is refused", s.refusals)
	t.Run("a container is confined as Docker's are", s.confinement)
	t.Run("mounts are seen, read-only where they should be", s.mounts)
	t.Run("without network there is only loopback", s.networks)
	t.Run("memory is bounded and out-of-memory is told", s.memory)
	t.Run("processes are bounded", s.processes)
	t.Run("processor time is bounded", s.processorTime)
	t.Run("a stop is TERM first", s.stop)
	t.Run("a stop is KILL after the grace", s.stopByForce)
	t.Run("a grace can be ended before its time", s.stopInHaste)
	t.Run("a stop that comes before the start ends it too", s.stopEarly)
	t.Run("one ID is one container, and free afterwards", s.identity)
	t.Run("reaping leaves containers of living processes alone", s.reapNothing)
}

// container is one that runs program with the shell.
func (s suite) container(program string) engine.Container {
	return engine.Container{
		ID: fmt.Sprintf("exercise-%d-%d", os.Getpid(), counter.Add(1)), Rootfs: s.rootfs,
		Args: []string{"/bin/sh", "-c", program}, Grace: aMinute,
	}
}

// run runs c and gives what it wrote to stdout and stderr together.
func (s suite) run(t *testing.T, c engine.Container) (engine.Exit, string, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), aMinute)
	defer cancel()
	var stdout, stderr bytes.Buffer
	c.Stdout, c.Stderr = &stdout, &stderr
	exit, err := s.engine.Run(ctx, c)
	return exit, stdout.String() + stderr.String(), err
}

// expect runs c and wants it to exit with 0 and to have written want.
func (s suite) expect(t *testing.T, c engine.Container, want string) {
	t.Helper()
	exit, got, err := s.run(t, c)
	if err != nil || exit.Code != 0 {
		t.Errorf("exit %+v, error %v, output %q", exit, err, got)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("output (-want +got):\n%s", diff)
	}
}

func (s suite) exitCodes(t *testing.T) {
	for program, want := range map[string]engine.Exit{
		"true":                    {},
		"exit 42":                 {Code: 42},
		"exit 1":                  {Code: 1},
		"/bin/sh -c 'kill -9 $$'": {Code: 137, Signal: "SIGKILL"},
		"/bin/sh -c 'kill -15 $$; sleep infinity'": {Code: 143, Signal: "SIGTERM"},
	} {
		exit, out, err := s.run(t, s.container(program))
		if err != nil || exit != want {
			t.Errorf("%s: exit %+v, want %+v (%v, output %q)", program, exit, want, err, out)
		}
	}
}

func (s suite) output(t *testing.T) {
	var stdout, stderr bytes.Buffer
	c := s.container("echo complaint >&2; seq 20000; echo done >&2")
	c.Stdout, c.Stderr = &stdout, &stderr
	if exit, err := s.engine.Run(t.Context(), c); err != nil || exit.Code != 0 {
		t.Fatal(exit, err)
	}
	if got := stderr.String(); got != "complaint\ndone\n" {
		t.Errorf("stderr = %q", got)
	}
	if lines := strings.Count(stdout.String(), "\n"); lines != 20000 || !strings.HasSuffix(stdout.String(), "\n20000\n") {
		t.Errorf("stdout has %d lines of 20000", lines)
	}
}

type brokenWriter struct{}

var errBroken = errors.New("the log is gone")

func (brokenWriter) Write([]byte) (int, error) { return 0, errBroken }

func (s suite) failingWriter(t *testing.T) {
	c := s.container("seq 50000")
	c.Stdout = brokenWriter{}
	exit, err := s.engine.Run(t.Context(), c)
	if exit.Code != 0 || !errors.Is(err, errBroken) {
		t.Errorf("exit %+v, error %v; want 0 and the writer's error", exit, err)
	}
}

func (s suite) environment(t *testing.T) {
	c := s.container("")
	c.Args = []string{"env"}
	s.expect(t, c, "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\nHOME=/root\n")
	c = s.container("echo $A $B $HOME")
	c.Env, c.User = []string{"A=1", "B=x", "B=y z"}, "trainer"
	s.expect(t, c, "1 y z /home/trainer\n")
	c.Env = []string{"HOME=/elsewhere"}
	s.expect(t, c, "/elsewhere\n")
	c = s.container("hostname")
	s.expect(t, c, c.ID[:12]+"\n")
}

func (s suite) workingDirectory(t *testing.T) {
	s.expect(t, s.container("pwd"), "/\n")
	c := s.container("pwd")
	c.Dir = "/valohai/repository/deep"
	s.expect(t, c, "/valohai/repository/deep\n")
}

func (s suite) users(t *testing.T) {
	for user, want := range map[string]string{
		"":             "uid=0(root) gid=0(root) groups=0(root)\n",
		"trainer":      "uid=1000(trainer) gid=1000(trainer) groups=1000(trainer),2000(data)\n",
		"1000":         "uid=1000(trainer) gid=1000(trainer) groups=1000(trainer),2000(data)\n",
		"trainer:data": "uid=1000(trainer) gid=2000(data) groups=2000(data)\n",
		"4242:77":      "uid=4242(4242) gid=77 groups=77\n",
	} {
		c := s.container("id")
		c.User = user
		s.expect(t, c, want)
	}
	c := s.container("id")
	c.User = "stranger"
	if _, _, err := s.run(t, c); fault.From(err).Code != "user_unknown" {
		t.Errorf("an unknown user: %v", err)
	}
	c = s.container("echo hello > /dev/stdout; echo there > /dev/stderr")
	c.User = "trainer"
	s.expect(t, c, "hello\nthere\n")
}

// links gives the image a passwd that is a link out of it: as the container
// sees it, it leads to the image's own /outside.
func (s suite) links(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "passwd")
	if err := os.WriteFile(outside, []byte("spy:x:6666:6666::/:/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	passwd := filepath.Join(s.rootfs, "etc/passwd")
	if err := os.Rename(passwd, passwd+".kept"); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := os.Rename(passwd+".kept", passwd); err != nil {
			t.Error(err)
		}
	}()
	c := s.container("id -u")
	for _, target := range []string{outside, "../../../../../../../.." + outside} {
		if err := os.Symlink(target, passwd); err != nil {
			t.Fatal(err)
		}
		c.User = "spy"
		if _, out, err := s.run(t, c); fault.From(err).Code != "user_unknown" {
			t.Errorf("%s was followed out of the image: %q, %v", target, out, err)
		}
		if err := os.Remove(passwd); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink("/etc/passwd.kept", passwd); err != nil {
		t.Fatal(err)
	}
	c.User = "trainer"
	s.expect(t, c, "1000\n")
}

func (s suite) commands(t *testing.T) {
	for command, want := range map[string]struct {
		code int
		word string
	}{
		"nonsense":      {127, "command_not_found"},
		"/bin/nonsense": {127, "command_not_found"},
		"/opt/nothing":  {126, "command_not_executable"},
		"/opt":          {126, "command_not_executable"},
		"/opt/foreign":  {126, "command_not_executable"},
	} {
		c := s.container("")
		c.Args = []string{command}
		exit, out, err := s.run(t, c)
		if exit.Code != want.code || err == nil || fault.From(err).Code != want.word {
			t.Errorf("%s: exit %+v, error %v; want %d, %s", command, exit, err, want.code, want.word)
		}
		if out != "" && command != "/opt/foreign" { // there, the runtime is no more
			t.Errorf("%s: the container that never ran wrote %q", command, out)
		}
	}
}

func (s suite) refusals(t *testing.T) {
	for name, change := range map[string]func(*engine.Container){
		"a path for an ID":      func(c *engine.Container) { c.ID = "../x" },
		"a rootfs not there":    func(c *engine.Container) { c.Rootfs = "/does/not/exist" },
		"a relative rootfs":     func(c *engine.Container) { c.Rootfs = "." },
		"no command":            func(c *engine.Container) { c.Args = nil },
		"a relative directory":  func(c *engine.Container) { c.Dir = "x" },
		"a mount over the root": func(c *engine.Container) { c.Mounts = []engine.Mount{{Source: "/tmp", Destination: "/."}} },
		"too little memory":     func(c *engine.Container) { c.Limits.Memory = 1 },
		"an unknown network":    func(c *engine.Container) { c.Network = "bridge" },
	} {
		c := s.container("true")
		change(&c)
		if _, _, err := s.run(t, c); !fault.Is(err, fault.Invalid) {
			t.Errorf("%s: %v", name, err)
		}
	}
	c := s.container("true")
	c.Devices = []string{"example.com/gpu=0"}
	if _, _, err := s.run(t, c); fault.From(err).Code != "device_unknown" {
		t.Errorf("an unknown device: %v", err)
	}
}

// reading runs c's user's cat of path and gives what came.
func (s suite) reading(t *testing.T, c engine.Container, path string) string {
	t.Helper()
	c.Args = []string{"cat", path}
	exit, out, err := s.run(t, c)
	if err != nil || exit.Code != 0 {
		t.Errorf("cat %s: %+v, %v, %q", path, exit, err, out)
	}
	return out
}

func (s suite) confinement(t *testing.T) {
	for user, want := range map[string]map[string]string{
		"":        {"CapEff": "00000000a80425fb", "CapBnd": "00000000a80425fb", "CapAmb": "0000000000000000", "NoNewPrivs": "1", "Seccomp": "2"},
		"trainer": {"CapEff": "0000000000000000", "CapPrm": "0000000000000000", "CapBnd": "00000000a80425fb", "NoNewPrivs": "1", "Seccomp": "2"},
	} {
		c := s.container("")
		c.User = user
		status := map[string]string{}
		for line := range strings.Lines(s.reading(t, c, "/proc/self/status")) {
			name, value, _ := strings.Cut(line, ":")
			status[name] = strings.TrimSpace(value)
		}
		for name, value := range want {
			if status[name] != value {
				t.Errorf("user %q: %s = %s, want %s", user, name, status[name], value)
			}
		}
	}
	s.expect(t, s.container("cat /proc/kcore /proc/keys /proc/interrupts 2>/dev/null; ls /sys/firmware; echo end"), "end\n")
	for _, path := range []string{"/proc/sys/kernel/hostname", "/sys/kernel/x", "/proc/sysrq-trigger"} {
		if exit, _, err := s.run(t, s.container("echo x > "+path)); err != nil || exit.Code == 0 {
			t.Errorf("%s can be written: %+v, %v", path, exit, err)
		}
	}
	if out := s.reading(t, s.container(""), "/proc/self/mounts"); !strings.Contains(out, "/dev/shm tmpfs") || !strings.Contains(out, "size=65536k") {
		t.Errorf("/dev/shm is not Docker's:\n%s", out)
	}
	s.expect(t, s.container("echo x > /dev/null; head -c 0 /dev/urandom; ls /dev/sda /dev/vda 2>/dev/null; echo $$"), "1\n")
}

func (s suite) mounts(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "file"), []byte("from outside\n"), 0o644); err != nil { //nolint:gosec // the container reads it
		t.Fatal(err)
	}
	c := s.container("cat /in/file; echo no > /in/new; echo $?; echo yes > /out/made; cat /etc/own")
	c.Mounts = []engine.Mount{
		{Source: dir, Destination: "/in", ReadOnly: true},
		{Source: dir, Destination: "/out"},
		{Source: filepath.Join(dir, "file"), Destination: "/etc/own", ReadOnly: true},
	}
	exit, out, err := s.run(t, c)
	if err != nil || exit.Code != 0 || !strings.HasPrefix(out, "from outside\n1\nfrom outside\n") {
		t.Errorf("%+v, %v, %q", exit, err, out)
	}
	if made, err := os.ReadFile(filepath.Join(dir, "made")); err != nil || string(made) != "yes\n" {
		t.Errorf("the container wrote %q, %v", made, err)
	}
}

func (s suite) networks(t *testing.T) {
	hosts, err := os.ReadFile("/etc/hosts")
	if err != nil {
		t.Fatal(err)
	}
	devices, err := os.ReadFile("/proc/net/dev")
	if err != nil {
		t.Fatal(err)
	}
	count := func(text string) int { return strings.Count(text, ":") }
	c := s.container("")
	if got := s.reading(t, c, "/etc/hosts"); got != string(hosts) {
		t.Errorf("/etc/hosts is not the host's: %q", got)
	}
	if got := s.reading(t, c, "/proc/net/dev"); count(got) != count(string(devices)) {
		t.Errorf("the host's network has other interfaces:\n%s", got)
	}
	c.Network = engine.NoNetwork
	if got := s.reading(t, c, "/proc/net/dev"); count(got) > 1 || (count(got) == 1 && !strings.Contains(got, "lo:")) {
		t.Errorf("more than loopback:\n%s", got)
	}
}

func (s suite) memory(t *testing.T) {
	c := s.container("head -c 200m /dev/zero > /dev/shm/all")
	c.ShmSize, c.Limits.Memory = 256<<20, 64<<20
	exit, out, err := s.run(t, c)
	if err != nil || !exit.OOMKilled || exit.Code == 0 {
		t.Errorf("exit %+v, error %v, output %q; want it killed", exit, err, out)
	}
	c = s.container("head -c 20m /dev/zero > /dev/shm/all; exit 137")
	c.Limits.Memory = 128 << 20
	if exit, out, err := s.run(t, c); err != nil || exit.OOMKilled || exit.Code != 137 {
		t.Errorf("exit %+v, error %v, output %q; want 137 by itself", exit, err, out)
	}
}

func (s suite) processes(t *testing.T) {
	c := s.container("for i in $(seq 40); do /bin/sleep infinity & done; sleep infinity")
	c.Limits.PIDs = 24
	ctx, cancel := context.WithTimeout(t.Context(), aMinute)
	defer cancel()
	refused := make(chan struct{}, 1)
	c.Stderr = writerFunc(func(p []byte) (int, error) {
		select {
		case refused <- struct{}{}:
		default:
		}
		return len(p), nil
	})
	done := make(chan struct{})
	stopped, stop := context.WithCancel(ctx)
	defer stop()
	c.Grace = 0
	go func() {
		defer close(done)
		s.engine.Run(stopped, c) //nolint:errcheck // what it says of the limit counts here
	}()
	select {
	case <-refused: // a fork failed
	case <-done: // or the shell itself could not go on
	case <-ctx.Done():
		t.Error("no process was refused")
	}
	stop()
	<-done
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

func (s suite) processorTime(t *testing.T) {
	c := s.container("cat /sys/fs/cgroup/cpu.max /sys/fs/cgroup/cpu/cpu.cfs_quota_us 2>/dev/null; true")
	c.Limits.CPU = 0.5
	if _, out, err := s.run(t, c); err != nil || !strings.HasPrefix(out, "50000") {
		t.Errorf("the bound reads %q, %v; want 50000 µs of each 100 ms", out, err)
	}
}
