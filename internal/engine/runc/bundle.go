package runc

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
)

// bundle is all that there is of one container outside its root filesystem: a
// directory named after it, with
//
//	lock         held by the process that runs it, as long as it lives
//	runtime      the path of the runtime
//	config.json  what the runtime is to do
//	log.json     what the runtime had to say
//	state/       the runtime's own state
//	hosts, resolv.conf
type bundle struct {
	id, dir string
	lock    *os.File // nil where only looked at
}

// newBundle makes the directory of container id and takes its lock.
func (e *Engine) newBundle(id string) (bundle, error) {
	b := bundle{id: id, dir: filepath.Join(e.config.Root, id)}
	unlock, err := e.lockRoot()
	if err != nil {
		return b, err
	}
	defer unlock()
	err = os.Mkdir(b.dir, 0o700)
	if errors.Is(err, fs.ErrExist) {
		return b, fault.New(fault.Conflict, "container_exists", "there is already a container %q", id)
	}
	if err != nil {
		return b, fmt.Errorf("container %s: %w", id, err)
	}
	b.lock, err = tryLock(b.path("lock"))
	if err == nil {
		err = os.WriteFile(b.path("runtime"), []byte(e.command), 0o600)
	}
	if err != nil {
		return b, errors.Join(fmt.Errorf("container %s: %w", id, err), b.remove())
	}
	return b, nil
}

func (b bundle) path(name string) string { return filepath.Join(b.dir, name) }

// write puts the specification and the network's files where the runtime and
// the specification expect them.
func (b bundle) write(spec *specs.Spec) error {
	for _, name := range networkFiles {
		text, err := os.ReadFile("/etc/" + name)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("container %s: %w", b.id, err)
		}
		if err := os.WriteFile(b.path(name), text, 0o644); err != nil { //nolint:gosec // read by every user of the container
			return fmt.Errorf("container %s: %w", b.id, err)
		}
	}
	text, err := json.Marshal(spec)
	if err != nil {
		return fmt.Errorf("container %s: specification: %w", b.id, err)
	}
	if err := os.WriteFile(b.path("config.json"), text, 0o600); err != nil {
		return fmt.Errorf("container %s: %w", b.id, err)
	}
	return nil
}

// alive reports whether the runtime still keeps the container.
func (b bundle) alive() bool {
	_, err := os.Stat(filepath.Join(b.dir, "state", b.id))
	return err == nil
}

// remove deletes the directory and gives the lock back.
func (b bundle) remove() error {
	err := os.RemoveAll(b.dir)
	if b.lock != nil {
		err = errors.Join(err, b.lock.Close())
	}
	return err
}

// abandoned are the bundles that no living process holds; they are locked now.
func (e *Engine) abandoned() ([]bundle, error) {
	unlock, err := e.lockRoot()
	if err != nil {
		return nil, err
	}
	defer unlock()
	entries, err := os.ReadDir(e.config.Root)
	if err != nil {
		return nil, fmt.Errorf("runc: state directory: %w", err)
	}
	var found []bundle
	var errs []error
	for _, entry := range entries {
		if !entry.IsDir() {
			continue
		}
		b := bundle{id: entry.Name(), dir: filepath.Join(e.config.Root, entry.Name())}
		b.lock, err = tryLock(b.path("lock"))
		switch {
		case errors.Is(err, unix.EWOULDBLOCK): // its process lives
		case err != nil:
			errs = append(errs, fmt.Errorf("container %s: %w", b.id, err))
		default:
			found = append(found, b)
		}
	}
	return found, errors.Join(errs...)
}

// command is the runtime that the container was started with, or fallback if
// that was not written down or is gone.
func (b bundle) command(fallback string) string {
	text, err := os.ReadFile(b.path("runtime"))
	if err != nil {
		return fallback
	}
	command := strings.TrimSpace(string(text))
	if _, err := os.Stat(command); err != nil || !filepath.IsAbs(command) {
		return fallback
	}
	return command
}

// lockRoot keeps other processes from making or reaping bundles; it is held for
// the time of a few system calls.
func (e *Engine) lockRoot() (unlock func(), err error) {
	file, err := os.OpenFile(filepath.Join(e.config.Root, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("runc: state directory: %w", err)
	}
	for {
		err = unix.Flock(int(file.Fd()), unix.LOCK_EX)
		if !errors.Is(err, unix.EINTR) {
			break
		}
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("runc: state directory: lock: %w", err), file.Close())
	}
	return func() { file.Close() }, nil //nolint:errcheck // closing gives the lock back, whatever it says
}

// tryLock opens the file at path, which it makes, and locks it until it is
// closed or this process ends. A lock that is held is unix.EWOULDBLOCK.
func tryLock(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600) // below the state directory
	if err != nil {
		return nil, err
	}
	if err := unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB); err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return file, nil
}
