package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// childArgument makes this program measure one thing, and nothing else, in a
// process of its own: what it and its children took is then the kernel's to
// tell.
const childArgument = "measure-one"

// job is what a child measures.
type job struct {
	Name string
	Dir  string // fresh and empty

	Host, Image    string
	Changed        string // the image whose topmost layer is another
	CA             string // a file
	Certificates   string // the directory of that file
	User, Password string

	Layers   []modelLayer
	ImageDir string
	Bytes    int64 // unpacked
	Absent   string

	Profile string // a file, or ""
}

// result is what it took.
type result struct {
	Wall    float64 // seconds
	CPU     float64 // seconds of processor time, of all processes
	Memory  int64   // bytes at the peak, of all processes that run at once
	Written int64   // bytes that were given to the disk to write, as the kernel counts them
	Far     float64 // seconds of processor time of the registry and the wire meanwhile
	Others  float64 // seconds of processor time of everything else on the machine, the kernel's own threads included
	Said    string  `json:",omitempty"` // by the one who pulled

	// Fairlead's alone: seconds until a root filesystem is mounted of the image
	// that is there, and of the one whose topmost layer is not.
	Again, Changed float64 `json:",omitempty"`
}

func (r result) String() string {
	s := fmt.Sprintf("%.2f s, processor %.2f s, memory %d MiB, written %d MB, processor of the registry %.2f s, of others %.2f s",
		r.Wall, r.CPU, r.Memory>>20, r.Written/1e6, r.Far, r.Others)
	if r.Said != "" {
		s += "; " + r.Said
	}
	return s
}

// run has a child do a job, in an empty directory and with empty caches.
func (b *bench) run(ctx context.Context, j job) (got result, err error) {
	if err := removeTree(b.work()); err != nil {
		return got, err
	}
	if err := os.MkdirAll(j.Dir, 0o755); err != nil {
		return got, err
	}
	if !b.oldDisk {
		if err := b.freshDisk(ctx, j.Dir); err != nil {
			return got, fmt.Errorf("making a filesystem for it (--old-disk uses the directory itself): %w", err)
		}
	}
	b.emptyCaches()
	input, err := json.Marshal(j)
	if err != nil {
		return got, err
	}
	self, err := os.Executable()
	if err != nil {
		return got, err
	}
	var output, problems bytes.Buffer
	c := exec.CommandContext(ctx, self, childArgument)
	c.Stdin, c.Stdout, c.Stderr = bytes.NewReader(input), &output, &problems
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	before := processor(unix.RUSAGE_SELF)
	if err := c.Run(); err != nil {
		return got, fmt.Errorf("%w: %s%s", err, tail(problems.Bytes()), tailOf(filepath.Join(j.Dir, logFile)))
	}
	err = json.Unmarshal(output.Bytes(), &got)
	got.Far = processor(unix.RUSAGE_SELF) - before
	got.Others = max(got.Others-got.Far, 0)
	return got, err
}

// emptyCaches leaves nothing to write and nothing read.
func (b *bench) emptyCaches() {
	runtime.GC()
	unix.Sync()
	if err := os.WriteFile("/proc/sys/vm/drop_caches", []byte("3"), 0o200); err != nil {
		b.cached = true
	}
}

// child does the job that input says.
func child(ctx context.Context, input io.Reader, output io.Writer) error {
	runtime.LockOSThread() // its children end with this thread
	var j job
	if err := json.NewDecoder(input).Decode(&j); err != nil {
		return err
	}
	m := &meter{}
	root, err := do(ctx, m, j)
	got := m.result
	if err == nil && root != "" {
		err = whole(root, j)
	}
	if err = errors.Join(err, m.close()); err != nil {
		return err
	}
	return json.NewEncoder(output).Encode(got)
}

func do(ctx context.Context, m *meter, j job) (root string, err error) {
	switch j.Name {
	case fairlead:
		return pullFairlead(ctx, m, j)
	case limitTransfer:
		return "", transfer(ctx, m, j)
	case limitDecompress:
		return "", decompress(ctx, m, j)
	case limitWrite:
		return "", write(m, j)
	}
	i := slices.IndexFunc(peers, func(p peer) bool { return p.name == j.Name })
	if i < 0 {
		return "", fmt.Errorf("nobody is called %q", j.Name)
	}
	return peers[i].pull(ctx, m, j)
}

// whole sees that every layer is there.
func whole(root string, j job) error {
	for _, l := range j.Layers {
		info, err := os.Stat(filepath.Join(root, l.Marker))
		if err != nil {
			return fmt.Errorf("the root filesystem is not whole: %w", err)
		}
		if info.Size() != l.MarkerSize {
			return fmt.Errorf("%s has %d bytes, not %d", l.Marker, info.Size(), l.MarkerSize)
		}
	}
	if _, err := os.Lstat(filepath.Join(root, j.Absent)); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s was not taken away", j.Absent)
	}
	return nil
}

// meter measures this process (own), or the children that it runs and the
// daemon that it started before.
type meter struct {
	result

	own    bool
	begin  time.Time
	before usage
	peak   int64 // of the children that ran at once
	daemon *exec.Cmd
}

// usage is what was used up to some moment.
type usage struct {
	cpu     float64
	written int64
	machine float64 // processor time of everything on it
}

func (m *meter) start() error {
	var err error
	m.before, err = m.used()
	m.begin = time.Now()
	return err
}

func (m *meter) stop() error {
	m.Wall = time.Since(m.begin).Seconds()
	now, err := m.used()
	if err != nil {
		return err
	}
	m.CPU, m.Written = now.cpu-m.before.cpu, now.written-m.before.written
	m.Others = now.machine - m.before.machine - m.CPU
	m.Memory = m.peak
	if m.own {
		m.Memory, err = highWater("self")
	}
	for _, pid := range m.daemons() {
		more, failed := highWater(pid)
		m.Memory += more
		err = errors.Join(err, failed)
	}
	return err
}

// used adds up processes: the children that have ended (the kernel adds what
// they wrote to this process, which itself writes nothing then), and daemons.
func (m *meter) used() (u usage, err error) {
	if u.machine, err = machine(); err != nil {
		return u, err
	}
	if u.written, err = written("self"); err != nil {
		return u, err
	}
	u.cpu = processor(unix.RUSAGE_CHILDREN)
	if m.own {
		u.cpu += processor(unix.RUSAGE_SELF)
	}
	for _, pid := range m.daemons() {
		n, failed := written(pid)
		stat, statErr := readStat(pid)
		u.written, u.cpu = u.written+n, u.cpu+stat.cpu
		err = errors.Join(err, failed, statErr)
	}
	return u, err
}

// logFile gets what a job's programs say.
const logFile = "log"

func logTo(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, logFile), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// run runs a pipeline of programs until all have ended.
func (m *meter) run(dir string, commands ...*exec.Cmd) error {
	log, err := logTo(dir)
	if err != nil {
		return err
	}
	defer log.Close()
	var between []io.Closer
	for i, c := range commands {
		c.Stderr = log
		c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
		if i+1 < len(commands) {
			reads, writes, err := os.Pipe()
			if err != nil {
				return err
			}
			c.Stdout, commands[i+1].Stdin = writes, reads
			between = append(between, reads, writes)
		} else if c.Stdout == nil {
			c.Stdout = log
		}
	}
	var started []*exec.Cmd
	var errs []error
	for _, c := range commands {
		if err := c.Start(); err != nil {
			errs = append(errs, err)
			break
		}
		started = append(started, c)
	}
	for _, c := range between {
		_ = c.Close() // the programs have them
	}
	var atOnce int64
	for _, c := range started {
		if err := c.Wait(); err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", c.Path, err))
		}
		atOnce += c.ProcessState.SysUsage().(*syscall.Rusage).Maxrss << 10
	}
	m.peak = max(m.peak, atOnce)
	return errors.Join(errs...)
}

// startDaemon starts a daemon and waits until it listens on a socket.
func (m *meter) startDaemon(ctx context.Context, dir, socket string, c *exec.Cmd) error {
	log, err := logTo(dir)
	if err != nil {
		return err
	}
	defer log.Close()
	c.Stdout, c.Stderr = log, log
	c.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := c.Start(); err != nil {
		return err
	}
	m.daemon = c
	return listens(ctx, socket)
}

// close ends the daemon.
func (m *meter) close() error {
	if m.daemon == nil {
		return nil
	}
	_ = m.daemon.Process.Signal(syscall.SIGTERM)
	late := time.AfterFunc(20*time.Second, func() { _ = m.daemon.Process.Kill() })
	defer late.Stop()
	_ = m.daemon.Wait() // however it ended
	return nil
}

// daemons are the daemon and the processes below it.
func (m *meter) daemons() []string {
	if m.daemon == nil {
		return nil
	}
	parents := make(map[string][]string)
	entries, _ := os.ReadDir("/proc")
	for _, entry := range entries {
		if stat, err := readStat(entry.Name()); err == nil {
			parents[stat.parent] = append(parents[stat.parent], entry.Name())
		}
	}
	all := []string{strconv.Itoa(m.daemon.Process.Pid)}
	for i := 0; i < len(all); i++ {
		all = append(all, parents[all[i]]...)
	}
	return all
}

// processor is the processor time in seconds of this process, or of its
// children that have ended and theirs.
func processor(who int) float64 {
	var u unix.Rusage
	if err := unix.Getrusage(who, &u); err != nil {
		return 0
	}
	return float64(u.Utime.Nano()+u.Stime.Nano()) / 1e9
}

// ticks are what /proc counts processor time in, in a second.
const ticks = 100

// machine is the processor time in seconds of everything on this machine
// (https://man7.org/linux/man-pages/man5/proc_stat.5.html).
func machine() (seconds float64, err error) {
	text, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, err
	}
	line, _, _ := strings.Cut(string(text), "\n")
	const idle, iowait, guest = 4, 5, 9 // guests are in user already
	for i, field := range strings.Fields(line) {
		if i == 0 || i == idle || i == iowait || i >= guest {
			continue
		}
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return 0, err
		}
		seconds += n / ticks
	}
	return seconds, nil
}

type stat struct {
	parent string
	cpu    float64 // with the children that have ended
}

// readStat reads /proc/PID/stat (https://man7.org/linux/man-pages/man5/proc_pid_stat.5.html).
func readStat(pid string) (s stat, err error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return s, err
	}
	// The fields after the name, which is in parentheses and may hold anything.
	fields := strings.Fields(string(text[bytes.LastIndexByte(text, ')')+1:]))
	const parent, utime, cstime = 1, 11, 14
	s.parent = fields[parent]
	for _, field := range fields[utime : cstime+1] {
		n, err := strconv.ParseFloat(field, 64)
		if err != nil {
			return s, err
		}
		s.cpu += n / ticks
	}
	return s, nil
}

// written is how many bytes a process, and its children that have ended, gave
// to the disk to write.
func written(pid string) (int64, error) { return number(pid, "io", "write_bytes:") }

// highWater is the most memory that a process had.
func highWater(pid string) (int64, error) {
	kB, err := number(pid, "status", "VmHWM:")
	return kB << 10, err
}

func number(pid, file, name string) (int64, error) {
	text, err := os.ReadFile("/proc/" + pid + "/" + file)
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 1 && fields[0] == name {
			return strconv.ParseInt(fields[1], 10, 64)
		}
	}
	return 0, fmt.Errorf("/proc/%s/%s has no %s", pid, file, name)
}

// removeTree removes a directory, and before it what is mounted in it.
func removeTree(dir string) error {
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
