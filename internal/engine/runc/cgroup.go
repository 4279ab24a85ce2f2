package runc

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// cgroups is the machine's cgroup file system. Every container has a group of
// its own below parent, and in it the group that the runtime makes and deletes.
// The outer one is still there when the runtime has ended, and tells then
// whether the kernel killed for want of memory.
type cgroups struct {
	mount  string // where it is mounted
	parent string
	v2     bool
}

// inner is the group that the runtime makes; the limits are on it, where
// programs look for them.
const inner = "container"

// outOfMemoryMargin is how far the outer limit of cgroup v1 lies below the
// inner one. There, only the group at its limit counts an out-of-memory, so it
// has to be the outer one. Allocations above eight pages fail before they make
// the kernel kill (PAGE_ALLOC_COSTLY_ORDER in its mm code); this is twice that.
const outOfMemoryMargin = 64 << 10

func findCgroups(mount, parent string) cgroups {
	var stat unix.Statfs_t
	v2 := unix.Statfs(mount, &stat) == nil && stat.Type == unix.CGROUP2_SUPER_MAGIC
	return cgroups{mount: mount, parent: strings.Trim(filepath.Clean("/"+parent), "/"), v2: v2}
}

// hybridWithControllers reports whether cgroup v1 and v2 both have controllers,
// which crun does not support.
func (c cgroups) hybridWithControllers() bool {
	controllers, err := os.ReadFile(filepath.Join(c.mount, "unified", "cgroup.controllers"))
	return err == nil && !c.v2 && strings.TrimSpace(string(controllers)) != ""
}

// path is what a specification calls the group of container id.
func (c cgroups) path(id string) string { return "/" + filepath.Join(c.parent, id, inner) }

// memory is the directory that bounds the memory of container id.
func (c cgroups) memory(id string) string {
	if c.v2 {
		return filepath.Join(c.mount, c.parent, id)
	}
	return filepath.Join(c.mount, "memory", c.parent, id)
}

// watch makes the outer group of container id, for a limit of that many bytes,
// and watches it for an out-of-memory.
func (c cgroups) watch(id string, limit int64) (*memoryWatch, error) {
	dir := c.memory(id)
	if err := os.MkdirAll(dir, 0o755); err != nil { //nolint:gosec // as all cgroups are
		return nil, fmt.Errorf("cgroup: %w", err)
	}
	w := &memoryWatch{dir: dir, v2: c.v2, event: -1}
	if c.v2 {
		return w, c.enableMemory(dir)
	}
	outer := max(limit-outOfMemoryMargin, 0)
	if err := os.WriteFile(filepath.Join(dir, "memory.limit_in_bytes"), strconv.AppendInt(nil, outer, 10), 0); err != nil {
		return nil, fmt.Errorf("cgroup: memory limit of %d bytes: %w", limit, err)
	}
	return w, w.listen()
}

// enableMemory turns the memory controller on in every group above dir.
func (c cgroups) enableMemory(dir string) error {
	below, err := filepath.Rel(c.mount, dir)
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	group := c.mount
	for _, name := range strings.Split(below, "/") {
		if err := os.WriteFile(filepath.Join(group, "cgroup.subtree_control"), []byte("+memory"), 0); err != nil {
			return fmt.Errorf("cgroup: memory controller: %w", err)
		}
		group = filepath.Join(group, name)
	}
	return nil
}

// countsSwap reports whether the kernel bounds swap in the outer group of id,
// which has been made.
func (w *memoryWatch) countsSwap() bool {
	name := "memory.memsw.limit_in_bytes"
	if w.v2 {
		name = "memory.swap.max"
	}
	_, err := os.Stat(filepath.Join(w.dir, name))
	return err == nil
}

// remove deletes the groups of container id, which no process is in any more.
func (c cgroups) remove(id string) error {
	outer, err := filepath.Glob(filepath.Join(c.mount, "*", c.parent, id))
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	if c.v2 {
		outer = []string{filepath.Join(c.mount, c.parent, id)}
	}
	var errs []error
	for _, dir := range outer {
		for _, dir := range []string{filepath.Join(dir, inner), dir} {
			if err := unix.Rmdir(dir); err != nil && !errors.Is(err, fs.ErrNotExist) {
				errs = append(errs, fmt.Errorf("cgroup: %w", &fs.PathError{Op: "rmdir", Path: dir, Err: err}))
			}
		}
	}
	return errors.Join(errs...)
}

// resources are the limits as the runtime sets them on the inner group. Devices
// are closed; the runtime opens the ones that every container has.
func resources(memory int64, cpu float64, pids int64, countsSwap bool) *specs.LinuxResources {
	r := &specs.LinuxResources{Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}}}
	if memory > 0 {
		r.Memory = &specs.LinuxMemory{Limit: &memory}
		if countsSwap {
			r.Memory.Swap = &memory // memory and swap together: no swap
		}
	}
	if cpu > 0 {
		period := uint64(100_000) // µs, the kernel's own default
		quota := max(int64(cpu*float64(period)), 1000)
		r.CPU = &specs.LinuxCPU{Quota: &quota, Period: &period}
	}
	if pids > 0 {
		r.Pids = &specs.LinuxPids{Limit: &pids}
	}
	return r
}

// memoryWatch tells whether the kernel killed in a group for want of memory.
type memoryWatch struct {
	dir   string
	v2    bool
	event int // v1: the eventfd that counts it
}

// listen has cgroup v1 count out-of-memories in an eventfd, as its
// documentation says
// (https://docs.kernel.org/admin-guide/cgroup-v1/memory.html#oom-control).
func (w *memoryWatch) listen() error {
	control, err := os.Open(filepath.Join(w.dir, "memory.oom_control"))
	if err != nil {
		return fmt.Errorf("cgroup: %w", err)
	}
	defer control.Close()
	if w.event, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return fmt.Errorf("cgroup: eventfd: %w", err)
	}
	registration := fmt.Sprintf("%d %d", w.event, control.Fd())
	if err := os.WriteFile(filepath.Join(w.dir, "cgroup.event_control"), []byte(registration), 0); err != nil {
		w.close()
		return fmt.Errorf("cgroup: out-of-memory event: %w", err)
	}
	return nil
}

// killed reports whether it has happened; the group must still be there.
func (w *memoryWatch) killed() (bool, error) {
	if w.v2 {
		events, err := os.ReadFile(filepath.Join(w.dir, "memory.events"))
		if err != nil {
			return false, fmt.Errorf("cgroup: %w", err)
		}
		for line := range strings.Lines(string(events)) {
			if count, ok := strings.CutPrefix(line, "oom_kill "); ok {
				return strings.TrimSpace(count) != "0", nil
			}
		}
		return false, nil
	}
	var count [8]byte
	_, err := unix.Read(w.event, count[:])
	if errors.Is(err, unix.EAGAIN) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("cgroup: out-of-memory event: %w", err)
	}
	return binary.NativeEndian.Uint64(count[:]) > 0, nil
}

func (w *memoryWatch) close() {
	if w.event >= 0 {
		unix.Close(w.event) //nolint:errcheck // nothing was written
		w.event = -1
	}
}
