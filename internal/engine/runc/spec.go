package runc

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"tags.cncf.io/container-device-interface/pkg/cdi"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

const (
	defaultShmSize = 64 << 20 // Docker's
	hostnameLength = 12       // Docker's short ID
	minMemory      = 6 << 20  // Docker's least limit: with less the runtime itself does not start
)

// networkFiles are the files of /etc that say how the network's names are
// resolved; a container sees copies.
var networkFiles = []string{"hosts", "resolv.conf"}

var validID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$`)

// check finds what no runtime should be asked to run.
func check(c engine.Container) error {
	var errs []error
	add := func(ok bool, field, message string, args ...any) {
		if !ok {
			errs = append(errs, fault.InvalidField(field, "container_invalid", message, args...))
		}
	}
	add(validID.MatchString(c.ID), "id", "%q is no ID of a container", c.ID)
	info, err := os.Stat(c.Rootfs)
	add(filepath.IsAbs(c.Rootfs) && err == nil && info.IsDir(), "rootfs", "%q is no directory with an absolute path", c.Rootfs)
	add(len(c.Args) > 0 && c.Args[0] != "", "args", "there is no command")
	add(c.Dir == "" || filepath.IsAbs(c.Dir), "dir", "%q is not absolute", c.Dir)
	for _, m := range c.Mounts {
		add(filepath.IsAbs(m.Source) && filepath.IsAbs(m.Destination) && filepath.Clean(m.Destination) != "/",
			"mounts", "%q at %q: both paths must be absolute, and not the root", m.Source, m.Destination)
	}
	add(c.Limits.Memory == 0 || c.Limits.Memory >= minMemory, "limits.memory", "%d bytes are too few, the least is %d MiB", c.Limits.Memory, minMemory>>20)
	add(c.Limits.CPU >= 0 && c.Limits.PIDs >= 0 && c.ShmSize >= 0, "limits", "a limit must not be below 0")
	add(slices.Contains([]engine.Network{"", engine.HostNetwork, engine.NoNetwork}, c.Network), "network", "%q is no network", c.Network)
	return fault.Join(errs...)
}

// spec is what the runtime is told of c.
func (e *Engine) spec(c engine.Container, b bundle, countsSwap bool) (*specs.Spec, error) {
	account, home, err := lookupUser(c.Rootfs, c.User)
	if err != nil {
		return nil, err
	}
	dir := filepath.Clean("/" + c.Dir)
	spec := &specs.Spec{
		Version:  "1.0.2", // what the oldest runtimes in use know
		Hostname: c.ID[:min(len(c.ID), hostnameLength)],
		Root:     &specs.Root{Path: c.Rootfs},
		Mounts:   mounts(c, b),
		Process: &specs.Process{
			Args: c.Args, Cwd: dir, User: account, NoNewPrivileges: true,
			Env:          engine.Environ([]string{"PATH=" + engine.DefaultPath, "HOME=" + home}, c.Env),
			Capabilities: capabilitiesOf(account),
		},
		Linux: &specs.Linux{
			Namespaces:        namespaces(c.Network),
			CgroupsPath:       e.cgroups.path(c.ID),
			Resources:         resources(c.Limits.Memory, c.Limits.CPU, c.Limits.PIDs, countsSwap),
			Seccomp:           e.seccomp,
			RootfsPropagation: "rprivate",
			MaskedPaths:       maskedPaths,
			ReadonlyPaths:     readonlyPaths,
		},
	}
	if err := e.injectDevices(spec, c.Devices); err != nil {
		return nil, err
	}
	return spec, nil
}

func namespaces(network engine.Network) []specs.LinuxNamespace {
	own := []specs.LinuxNamespace{
		{Type: specs.PIDNamespace},
		{Type: specs.MountNamespace},
		{Type: specs.IPCNamespace},
		{Type: specs.UTSNamespace},
		{Type: specs.CgroupNamespace},
	}
	if network == engine.NoNetwork {
		own = append(own, specs.LinuxNamespace{Type: specs.NetworkNamespace})
	}
	return own
}

// mounts are Docker's, the network's files, and c's own, which may cover them.
func mounts(c engine.Container, b bundle) []specs.Mount {
	shm := c.ShmSize
	if shm == 0 {
		shm = defaultShmSize
	}
	all := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: []string{"nosuid", "noexec", "nodev", "ro"}},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: []string{"ro", "nosuid", "noexec", "nodev"}},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: []string{"nosuid", "noexec", "nodev"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: []string{"nosuid", "noexec", "nodev", "mode=1777", fmt.Sprintf("size=%d", shm)}},
	}
	for _, name := range networkFiles {
		if c.Network == engine.NoNetwork && name == "resolv.conf" {
			continue // there is nobody to ask
		}
		all = append(all, specs.Mount{Destination: "/etc/" + name, Type: "bind", Source: b.path(name), Options: []string{"bind", "rprivate"}})
	}
	for _, m := range c.Mounts {
		options := []string{"rbind", "rprivate"}
		if m.ReadOnly {
			options = append(options, "ro")
		}
		all = append(all, specs.Mount{Destination: filepath.Clean(m.Destination), Type: "bind", Source: m.Source, Options: options})
	}
	return all
}

// injectDevices adds what the machine's CDI specifications say of names. They
// are read anew each time: drivers come and go.
func (e *Engine) injectDevices(spec *specs.Spec, names []string) error {
	if len(names) == 0 {
		return nil
	}
	cache, err := cdi.NewCache(cdi.WithSpecDirs(e.config.CDIDirs...), cdi.WithAutoRefresh(false))
	if err != nil {
		return fmt.Errorf("CDI: %w", err)
	}
	unknown, err := cache.InjectDevices(spec, names...)
	if len(unknown) > 0 {
		return fault.New(fault.NotFound, "device_unknown", "this worker has no device %s", strings.Join(unknown, ", ")).
			WithHint("Describe it in %s, for a GPU with: nvidia-ctk cdi generate", e.config.CDIDirs[0]).WithCause(err)
	}
	if err != nil {
		return fmt.Errorf("CDI: %w", err)
	}
	return nil
}
