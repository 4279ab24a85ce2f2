package trial

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Meter measures this process (Own), or the children that it runs and the
// daemon that it started before.
type Meter struct {
	Result

	Own bool // set before Start

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

// Start begins to measure.
func (m *Meter) Start() error {
	var err error
	m.before, err = m.used()
	m.begin = time.Now()
	return err
}

// Stop ends it: the Result is what was taken since Start.
func (m *Meter) Stop() error {
	m.Wall = time.Since(m.begin).Seconds()
	now, err := m.used()
	if err != nil {
		return err
	}
	m.CPU, m.Written = now.cpu-m.before.cpu, now.written-m.before.written
	m.Others = now.machine - m.before.machine - m.CPU
	m.Memory = m.peak
	if m.Own {
		m.Memory, err = highWater("self")
	}
	for _, pid := range m.daemons() {
		more, failed := highWater(pid)
		m.Memory += more
		err = errors.Join(err, failed)
	}
	return err
}

// Steps measures what is done one after the other.
func (m *Meter) Steps(steps ...func() error) error {
	if err := m.Start(); err != nil {
		return err
	}
	for _, step := range steps {
		if err := step(); err != nil {
			return err
		}
	}
	return m.Stop()
}

// used adds up processes: the children that have ended (the kernel adds what
// they wrote to this process, which itself writes nothing then), and daemons.
func (m *Meter) used() (u usage, err error) {
	if u.machine, err = machine(); err != nil {
		return u, err
	}
	if u.written, err = written("self"); err != nil {
		return u, err
	}
	u.cpu = processor(unix.RUSAGE_CHILDREN)
	if m.Own {
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

// Log is the file, in a job's directory, that gets what its programs say.
const Log = "log"

func logTo(dir string) (*os.File, error) {
	return os.OpenFile(filepath.Join(dir, Log), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
}

// Run runs a pipeline of programs until all have ended.
func (m *Meter) Run(dir string, commands ...*exec.Cmd) error {
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

// StartDaemon starts a daemon and waits until it listens on a socket.
func (m *Meter) StartDaemon(ctx context.Context, dir, socket string, c *exec.Cmd) error {
	return m.start(ctx, dir, "unix", socket, c)
}

// StartServer starts a daemon and waits until it listens on a TCP address. What
// it says is in the file Log of the directory.
func (m *Meter) StartServer(ctx context.Context, dir, address string, c *exec.Cmd) error {
	return m.start(ctx, dir, "tcp", address, c)
}

func (m *Meter) start(ctx context.Context, dir, network, address string, c *exec.Cmd) error {
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
	return listens(ctx, network, address)
}

// Close ends the daemon.
func (m *Meter) Close() error {
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
func (m *Meter) daemons() []string {
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

// listens waits until somebody listens at an address.
func listens(ctx context.Context, network, address string) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, network, address)
		if err == nil {
			return c.Close()
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waiting for the daemon: %w", err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}
