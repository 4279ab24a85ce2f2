package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"
)

// A run must not pay for what the one before removed: ext4 does not use a removed
// file's inode again for minutes, and without a journal looks at each of them for
// every new file. So each run gets a new filesystem, in a sparse file on the disk
// that is measured.

// diskFile is that file.
const diskFile = "disk"

// freshDisk mounts a new filesystem at the trial's place, which RemoveTree of the
// directory above takes away.
func (s *Stand) freshDisk(ctx context.Context) error {
	path := filepath.Join(s.Dir, diskFile)
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(s.Room), file.Close()); err != nil {
		return err
	}
	// What mkfs leaves for later would be done while something is measured.
	if _, err := output(ctx, "mkfs.ext4", "-q", "-E", "lazy_itable_init=1,lazy_journal_init=1", path); err != nil {
		return err
	}
	device, err := output(ctx, "losetup", "--find", "--show", "--direct-io=on", path)
	if err != nil {
		return err
	}
	err = unix.Mount(device, s.Place(), "ext4", 0, "noinit_itable")
	_, detached := output(ctx, "losetup", "--detach", device) // at once, or when it is unmounted
	return errors.Join(err, detached)
}

func output(ctx context.Context, name string, arguments ...string) (string, error) {
	var problems bytes.Buffer
	c := exec.CommandContext(ctx, name, arguments...)
	c.Stderr = &problems
	said, err := c.Output()
	if err != nil {
		return "", fmt.Errorf("%s: %w: %s", name, err, tail(problems.Bytes()))
	}
	return strings.TrimSpace(string(said)), nil
}
