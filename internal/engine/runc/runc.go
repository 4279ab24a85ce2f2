// Package runc runs containers with runc or crun, with no daemon between: one
// process of the runtime for each container, which is this process's child.
//
// Containers get what Docker gives them: namespaces of their own, Docker's
// seccomp filter, capabilities, masked and read-only paths, and, which Docker
// does not, no new privileges.
package runc

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"

	gorunc "github.com/containerd/go-runc"
	"github.com/opencontainers/runtime-spec/specs-go"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

// Config is how an engine is set up. Root alone is required.
type Config struct {
	// Command is the runtime: a name in PATH or a path. "" is crun where it is
	// installed and can work with the machine's cgroups, and runc otherwise.
	// Measured, crun starts and ends a container in about 50 ms where runc needs
	// 57; 30 of either are the seccomp filter's.
	Command string

	// Root is the directory of this engine's state, made if missing. Engines of
	// several processes may share it.
	Root string

	// CgroupParent is the cgroup that all containers are in; "" is "fairlead".
	CgroupParent string

	// CDIDirs hold the specifications of devices; none: /etc/cdi and /var/run/cdi.
	CDIDirs []string

	// Logger gets what an operator should know; nil: nobody does.
	Logger *slog.Logger
}

// Engine runs containers with one runtime.
type Engine struct {
	config  Config
	command string // absolute path of the runtime
	cgroups cgroups
	seccomp *specs.LinuxSeccomp // shared by all specs, never changed
}

var _ engine.Engine = (*Engine)(nil)

// New makes an engine and its state directory. It fails with a fault if this
// process is not root or the runtime is not there.
func New(config Config) (*Engine, error) {
	if os.Geteuid() != 0 {
		return nil, fault.New(fault.Denied, "engine_needs_root", "only root can run containers with runc").
			WithHint("Start the worker as root.")
	}
	if config.CgroupParent == "" {
		config.CgroupParent = "fairlead"
	}
	if len(config.CDIDirs) == 0 {
		config.CDIDirs = []string{"/etc/cdi", "/var/run/cdi"}
	}
	if config.Logger == nil {
		config.Logger = slog.New(slog.DiscardHandler)
	}
	root, err := filepath.Abs(config.Root)
	if err != nil || config.Root == "" {
		return nil, fmt.Errorf("runc: state directory %q: %w", config.Root, errors.Join(err, os.ErrInvalid))
	}
	config.Root = root
	if err := os.MkdirAll(root, 0o700); err != nil {
		return nil, fmt.Errorf("runc: state directory: %w", err)
	}
	e := &Engine{config: config, cgroups: findCgroups("/sys/fs/cgroup", config.CgroupParent)}
	if e.command, err = e.find(config.Command); err != nil {
		return nil, err
	}
	if e.seccomp, err = seccompFilter(); err != nil {
		return nil, fmt.Errorf("runc: seccomp filter: %w", err)
	}
	return e, nil
}

// find is the absolute path of the runtime that command names.
func (e *Engine) find(command string) (string, error) {
	candidates := []string{command}
	if command == "" {
		candidates = []string{"crun", "runc"}
		if e.cgroups.hybridWithControllers() {
			candidates = []string{"runc"} // crun refuses such a machine
		}
	}
	for _, name := range candidates {
		if path, err := exec.LookPath(name); err == nil {
			return filepath.Abs(path)
		}
	}
	if command == "" {
		command = "runc"
	}
	return "", fault.New(fault.Unavailable, "runtime_missing", "there is no container runtime: %s is not in PATH", command).
		WithHint("Install one: apt-get install %s", filepath.Base(command))
}

// Command is the absolute path of the runtime that is used.
func (e *Engine) Command() string { return e.command }

// runtime is the client of command for the one container of a bundle. An
// interrupt from the terminal does not reach it: it is for the worker to act on.
func (b bundle) runtime(command string) *gorunc.Runc {
	return &gorunc.Runc{Command: command, Root: b.path("state"), Setpgid: true}
}
