package cli_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/rogpeppe/go-internal/testscript"
	"golang.org/x/sys/unix"
)

// crashing is a process of a story that is to write a core when it ends, if the
// kernel lets it.
type crashing struct {
	command *exec.Cmd
	log     *os.File
}

func crashingOf(ts *testscript.TestScript) *crashing { return ts.Value("crashing").(*crashing) }

// watch starts `fairlead ARG…` in the background, as one that writes cores.
func watch(ts *testscript.TestScript, _ bool, args []string) {
	c := crashingOf(ts)
	program, err := exec.LookPath("fairlead")
	ts.Check(err)
	c.command = exec.Command(program, args...)
	c.command.Dir = ts.MkAbs(".")
	c.command.Env = append(c.command.Env, "GOTRACEBACK=crash")
	for _, name := range []string{"HOME", "PATH", "FAIRLEAD_SERVER", "FAIRLEAD_REGISTRY_ADDRESS", "FAIRLEAD_REGISTRY_CA", "FAIRLEAD_REGISTRY_PLAIN_HTTP", "TMPDIR"} {
		c.command.Env = append(c.command.Env, name+"="+ts.Getenv(name))
	}
	c.log, err = os.Create(ts.MkAbs("crash.log"))
	ts.Check(err)
	c.command.Stdout, c.command.Stderr = c.log, c.log
	ts.Check(c.command.Start())
	ts.Defer(func() {
		if c.command != nil {
			_ = c.command.Process.Kill()
			_ = c.command.Wait()
		}
		_ = c.log.Close() // only written by a process that has ended
	})
	ts.Check(unix.Prlimit(c.command.Process.Pid, unix.RLIMIT_CORE, &unix.Rlimit{Cur: unix.RLIM_INFINITY, Max: unix.RLIM_INFINITY}, nil))
}

// memory fails unless a text is in the memory of what watch started; with `!`,
// if it is.
func memory(ts *testscript.TestScript, neg bool, args []string) {
	found, err := inMemory(crashingOf(ts).command.Process.Pid, []byte(args[0]))
	ts.Check(err)
	if found == neg {
		ts.Fatalf("%q is in its memory: %t", args[0], found)
	}
}

// inMemory looks through all memory of a process that can be written, and so may
// hold what it was told.
func inMemory(pid int, text []byte) (bool, error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		return false, err
	}
	mem, err := os.Open(fmt.Sprintf("/proc/%d/mem", pid))
	if err != nil {
		return false, err
	}
	defer func() { _ = mem.Close() }() // only read
	for line := range strings.Lines(string(maps)) {
		var from, to int64
		var rights string
		if n, _ := fmt.Sscanf(line, "%x-%x %s", &from, &to, &rights); n < 3 || !strings.HasPrefix(rights, "rw") {
			continue
		}
		part := make([]byte, to-from)
		n, err := mem.ReadAt(part, from)
		if bytes.Contains(part[:n], text) {
			return true, nil
		}
		if err != nil && !errors.Is(err, syscall.EIO) { // a page that is not there
			return false, err
		}
	}
	return false, nil
}

// crash ends what watch started as a bug of it would, and fails if a core of it
// is left.
func crash(ts *testscript.TestScript, _ bool, _ []string) {
	c := crashingOf(ts)
	ts.Check(c.command.Process.Signal(syscall.SIGABRT))
	_ = c.command.Wait() // with the signal
	state, ok := c.command.ProcessState.Sys().(syscall.WaitStatus)
	if !ok || state.Signal() != syscall.SIGABRT || state.CoreDump() {
		ts.Fatalf("it ended with %v", c.command.ProcessState)
	}
	c.command = nil
	cores, err := filepath.Glob(ts.MkAbs("core*"))
	ts.Check(err)
	if len(cores) > 0 {
		ts.Fatalf("it left %v", cores)
	}
}
