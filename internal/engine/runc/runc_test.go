package runc_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/engine/enginetest"
	"fairlead.dev/fairlead/internal/engine/runc"
	"fairlead.dev/fairlead/internal/fault"
)

// childVariable makes this test's program a worker: its value is the command,
// the state directory, the root filesystem and the program, one a line.
const childVariable = "FAIRLEAD_TEST_ENGINE"

// cgroupParent is this test's own, so that what is left in it was left by it.
const cgroupParent = "fairlead-runc-test"

func TestMain(m *testing.M) {
	if words := strings.Split(os.Getenv(childVariable), "\n"); len(words) == 4 {
		worker(words[0], words[1], words[2], words[3])
	}
	goleak.VerifyTestMain(m)
}

// worker runs a container with the shell's program.
func worker(command, root, rootfs, program string) {
	e, err := runc.New(runc.Config{Command: command, Root: root, CgroupParent: cgroupParent})
	if err == nil {
		_, err = e.Run(context.Background(), engine.Container{
			ID: "left-behind", Rootfs: rootfs, Limits: engine.Limits{Memory: 64 << 20},
			Args:   []string{"/bin/sh", "-c", program},
			Stdout: os.Stdout, Stderr: os.Stderr,
		})
	}
	fmt.Println("the container ended:", err)
	os.Exit(1)
}

// runtimes are the ones under test. crun refuses a machine where cgroup v1 and
// v2 both have controllers; there it is shown v1 alone.
func runtimes(t testing.TB) map[string]string {
	t.Helper()
	crun := "crun"
	if controllers, err := os.ReadFile("/sys/fs/cgroup/unified/cgroup.controllers"); err == nil && len(controllers) > 1 {
		crun = filepath.Join(t.TempDir(), "crun")
		script := "#!/bin/sh\nexec unshare -m sh -c 'umount /sys/fs/cgroup/unified; exec crun \"$@\"' crun \"$@\"\n"
		if err := os.WriteFile(crun, []byte(script), 0o700); err != nil { // a program
			t.Fatal(err)
		}
	}
	return map[string]string{"runc": "runc", "crun": crun}
}

func newEngine(t testing.TB, command string) *runc.Engine {
	t.Helper()
	root := t.TempDir()
	e, err := runc.New(runc.Config{Command: command, Root: root, CgroupParent: cgroupParent, Logger: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { checkNothingLeft(t, root) })
	return e
}

// checkNothingLeft wants no trace of any container of root.
func checkNothingLeft(t testing.TB, root string) {
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Error(err)
	}
	for _, entry := range entries {
		if entry.Name() != "lock" {
			t.Errorf("left in the state directory: %s", entry.Name())
		}
	}
	for _, pattern := range []string{"/sys/fs/cgroup/" + cgroupParent + "/*/", "/sys/fs/cgroup/*/" + cgroupParent + "/*/"} {
		if groups, err := filepath.Glob(pattern); err != nil || len(groups) > 0 {
			t.Errorf("cgroups left: %q, %v", groups, err)
		}
	}
	if mounts, err := os.ReadFile("/proc/self/mounts"); err != nil || strings.Contains(string(mounts), root) {
		t.Errorf("mounts left (%v):\n%s", err, mounts)
	}
}

func TestARuntimeIsAnEngine(t *testing.T) {
	for name, command := range runtimes(t) {
		t.Run(name, func(t *testing.T) {
			enginetest.Exercise(t, newEngine(t, command), enginetest.Rootfs(t))
		})
	}
}

// startWorker starts a worker whose container is ready, and gives a handle of
// the container's first process.
func startWorker(t *testing.T, command, root, program string) (worker *exec.Cmd, first int) {
	t.Helper()
	worker = exec.CommandContext(t.Context(), os.Args[0])
	worker.Env = append(os.Environ(), childVariable+"="+strings.Join([]string{command, root, enginetest.Rootfs(t), program}, "\n"))
	output, err := worker.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.Start(); err != nil {
		t.Fatal(err)
	}
	if line, err := bufio.NewReader(output).ReadString('\n'); err != nil || line != "ready\n" {
		t.Fatalf("the worker's container said %q, %v", line, err)
	}
	pid := firstProcess(t, root, "left-behind")
	if first, err = unix.PidfdOpen(pid, 0); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(first) }) //nolint:errcheck // only watched
	return worker, first
}

// kill kills a worker, which has no time to say goodbye.
func kill(t *testing.T, worker *exec.Cmd) {
	t.Helper()
	if err := worker.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	worker.Wait() //nolint:errcheck // it was killed
}

func TestAContainerOfAKilledProcessIsReaped(t *testing.T) {
	for name, command := range runtimes(t) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			worker, first := startWorker(t, command, root, "trap '' TERM; echo ready; /bin/sleep infinity & sleep infinity")

			// While its process lives, another engine leaves it alone.
			e, err := runc.New(runc.Config{Root: root, CgroupParent: cgroupParent})
			if err != nil {
				t.Fatal(err)
			}
			if ids, err := e.Reap(t.Context()); err != nil || len(ids) > 0 {
				t.Errorf("reaped %q, %v from a living worker", ids, err)
			}

			kill(t, worker)
			ids, err := e.Reap(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff([]string{"left-behind"}, ids); diff != "" {
				t.Errorf("reaped (-want +got):\n%s", diff)
			}
			if !ended(t, first, 0) {
				t.Error("its first process lives on")
			}
			checkNothingLeft(t, root)
			if ids, err := e.Reap(t.Context()); err != nil || len(ids) > 0 {
				t.Errorf("reaped %q, %v a second time", ids, err)
			}
		})
	}
}

func TestAContainerIsToldToEndWhenItsProcessIsKilled(t *testing.T) {
	for name, command := range runtimes(t) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			worker, first := startWorker(t, command, root, "echo ready; sleep infinity")
			kill(t, worker)
			ended(t, first, -1)
			e, err := runc.New(runc.Config{Root: root, CgroupParent: cgroupParent})
			if err != nil {
				t.Fatal(err)
			}
			if _, err := e.Reap(t.Context()); err != nil {
				t.Error(err)
			}
			checkNothingLeft(t, root)
		})
	}
}

func TestAKilledRuntimeLeavesNoContainer(t *testing.T) {
	for name, command := range runtimes(t) {
		t.Run(name, func(t *testing.T) {
			root := t.TempDir()
			e, err := runc.New(runc.Config{Command: command, Root: root, CgroupParent: cgroupParent})
			if err != nil {
				t.Fatal(err)
			}
			failed := make(chan error, 1)
			go func() {
				_, err := e.Run(context.Background(), engine.Container{
					ID: "orphan", Rootfs: enginetest.Rootfs(t), Args: []string{"/bin/sh", "-c", "sleep infinity"},
				})
				failed <- err
			}()
			status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", firstProcess(t, root, "orphan")))
			if err != nil {
				t.Fatal(err)
			}
			_, parent, _ := strings.Cut(string(status), "PPid:")
			pid, err := strconv.Atoi(strings.Fields(parent)[0])
			if err != nil {
				t.Fatal(err)
			}
			if err := unix.Kill(pid, unix.SIGKILL); err != nil {
				t.Fatal(err)
			}
			if err := <-failed; fault.From(err).Code != "runtime_killed" {
				t.Errorf("error %v, want that the runtime was killed", err)
			}
			checkNothingLeft(t, root)
		})
	}
}

// firstProcess is a container's first process.
func firstProcess(t *testing.T, root, id string) int {
	t.Helper()
	// The runtime writes it when the command runs; the command may be quicker.
	path := filepath.Join(root, id, "pid")
	look := time.NewTicker(time.Millisecond)
	defer look.Stop()
	for {
		text, err := os.ReadFile(path)
		if pid, notYet := strconv.Atoi(string(text)); err == nil && notYet == nil {
			return pid
		}
		select {
		case <-look.C:
		case <-t.Context().Done():
			t.Fatal("no", path)
		}
	}
}

// ended reports whether a process ends within milliseconds; -1 waits for ever.
func ended(t *testing.T, handle, milliseconds int) bool {
	t.Helper()
	n, err := unix.Poll([]unix.PollFd{{Fd: int32(handle), Events: unix.POLLIN}}, milliseconds)
	if err != nil {
		t.Fatal(err)
	}
	return n > 0
}

func TestARuntimeThatIsNotThereIsAFaultWithTheCommandThatInstallsIt(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	_, err := runc.New(runc.Config{Root: t.TempDir()})
	f := fault.From(err)
	if f.Code != "runtime_missing" || !strings.Contains(f.Sentence(), "apt-get install runc") {
		t.Errorf("fault %q, %s", f.Code, f.Sentence())
	}
}

func TestDevicesAreThoseOfTheMachinesSpecifications(t *testing.T) {
	dir := t.TempDir()
	specification := `{"cdiVersion":"0.5.0","kind":"example.com/toy","devices":[{"name":"one","containerEdits":{
		"env":["TOY=one"],"deviceNodes":[{"path":"/dev/toy","hostPath":"/dev/zero"}]}}]}`
	if err := os.WriteFile(filepath.Join(dir, "toy.json"), []byte(specification), 0o600); err != nil {
		t.Fatal(err)
	}
	e, err := runc.New(runc.Config{Root: t.TempDir(), CgroupParent: cgroupParent, CDIDirs: []string{dir}})
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	exit, err := e.Run(t.Context(), engine.Container{
		ID: "with-a-device", Rootfs: enginetest.Rootfs(t), Devices: []string{"example.com/toy=one"}, User: "trainer",
		Args: []string{"/bin/sh", "-c", "echo $TOY; head -c 1 /dev/toy && echo read"}, Stdout: &out,
	})
	if err != nil || exit.Code != 0 || out.String() != "one\n\x00read\n" {
		t.Errorf("%+v, %v, %q", exit, err, out.String())
	}
}

func BenchmarkRun(b *testing.B) {
	for name, command := range runtimes(b) {
		b.Run(name, func(b *testing.B) { benchmarkRun(b, command) })
	}
}

func benchmarkRun(b *testing.B, command string) {
	e := newEngine(b, command)
	rootfs := enginetest.Rootfs(b)
	for n := 0; b.Loop(); n++ {
		c := engine.Container{ID: "bench-" + strconv.Itoa(n), Rootfs: rootfs, Args: []string{"/bin/true"}}
		if exit, err := e.Run(b.Context(), c); err != nil || exit.Code != 0 {
			b.Fatal(exit, err)
		}
	}
}
