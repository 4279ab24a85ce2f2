// Package trial measures one thing at a time: in a process of its own, on a new
// filesystem and with the machine's caches emptied, by what the kernel counts.
package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// ChildArgument makes a program measure one thing, and nothing else, in a
// process of its own: what it and its children took is then the kernel's to
// tell.
const ChildArgument = "measure-one"

// Result is what something took.
type Result struct {
	Wall    float64 // seconds
	CPU     float64 // seconds of processor time, of all processes
	Memory  int64   // bytes at the peak, of all processes that run at once
	Written int64   // bytes that were given to the disk to write, as the kernel counts them
	Far     float64 // seconds of processor time of the registry and the wire meanwhile
	Others  float64 // seconds of processor time of everything else on the machine, the kernel's own threads included
}

func (r Result) String() string {
	return fmt.Sprintf("%.2f s, processor %.2f s, memory %d MiB, written %d MB, processor of the registry %.2f s, of others %.2f s",
		r.Wall, r.CPU, r.Memory>>20, r.Written/1e6, r.Far, r.Others)
}

// AddFar notes what the parent, which has the registry and the wire, took of
// what a child saw of others.
func (r *Result) AddFar(seconds float64) {
	r.Far, r.Others = seconds, max(r.Others-seconds, 0)
}

// Stand is where trials are made, one after the other.
type Stand struct {
	Dir     string // on the disk that is measured
	Room    int64  // bytes, of each trial's filesystem
	OldDisk bool   // use the directory itself, not a new filesystem in a file there

	CachesKept bool // set if the machine's caches could not be emptied
}

// Place is the directory that a trial has, fresh and empty.
func (s *Stand) Place() string { return filepath.Join(s.work(), "run") }

func (s *Stand) work() string { return filepath.Join(s.Dir, "work") }

// Run has a child of this program, called with ChildArgument, do a job: it reads
// that from its standard input and writes the result to its standard output,
// both as JSON. far is the processor time in seconds that this process took
// meanwhile. What the child wrote in a file Log of its place is in the error.
func (s *Stand) Run(ctx context.Context, job, result any) (far float64, err error) {
	if err := RemoveTree(s.work()); err != nil {
		return 0, err
	}
	if err := os.MkdirAll(s.Place(), 0o755); err != nil {
		return 0, err
	}
	if !s.OldDisk {
		if err := s.freshDisk(ctx); err != nil {
			return 0, fmt.Errorf("making a filesystem for it (--old-disk uses the directory itself): %w", err)
		}
	}
	s.emptyCaches()
	input, err := json.Marshal(job)
	if err != nil {
		return 0, err
	}
	self, err := os.Executable()
	if err != nil {
		return 0, err
	}
	var output, problems bytes.Buffer
	c := exec.CommandContext(ctx, self, ChildArgument)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &output, &problems
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	runtime.LockOSThread() // the child ends with the thread that started it, not only with this process
	defer runtime.UnlockOSThread()
	before := processor(unix.RUSAGE_SELF)
	if err := c.Run(); err != nil {
		if cause := context.Cause(ctx); cause != nil {
			err = fmt.Errorf("%w (%w)", cause, err)
		}
		return 0, fmt.Errorf("%w: %s%s", err, tail(problems.Bytes()), tailOf(filepath.Join(s.Place(), Log)))
	}
	far = processor(unix.RUSAGE_SELF) - before
	return far, json.Unmarshal(output.Bytes(), result)
}

// Clear removes what trials left.
func (s *Stand) Clear() error {
	return errors.Join(RemoveTree(s.work()), os.RemoveAll(filepath.Join(s.Dir, diskFile)))
}

// emptyCaches leaves nothing to write and nothing read.
func (s *Stand) emptyCaches() {
	runtime.GC()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200); err != nil {
		s.CachesKept = true
	}
}

// RemoveTree removes a directory, and before it what is mounted in it.
func RemoveTree(dir string) error {
	text, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return err
	}
	var errs []error
	lines := slices.Collect(strings.Lines(string(text)))
	for _, line := range slices.Backward(lines) {
		if fields := strings.Fields(line); strings.HasPrefix(fields[4], dir+"/") {
			errs = append(errs, unix.Unmount(fields[4], unix.MNT_DETACH))
		}
	}
	return errors.Join(append(errs, os.RemoveAll(dir))...)
}

// tail is the end of what a program said.
func tail(text []byte) string {
	const most = 2000
	return string(text[max(0, len(text)-most):])
}

func tailOf(file string) string {
	text, err := os.ReadFile(file)
	if err != nil {
		return ""
	}
	return "\n" + tail(text)
}
