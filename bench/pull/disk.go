package main

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

// diskRoom is the size of that filesystem beside three times the unpacked image.
const diskRoom = 4 << 30

// freshDisk mounts a new filesystem at dir, which removeTree of a directory above
// takes away.
func (b *bench) freshDisk(ctx context.Context, dir string) error {
	path := filepath.Join(b.dir, "disk")
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	if err := errors.Join(file.Truncate(3*b.image.unpacked()+diskRoom), file.Close()); err != nil {
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
	err = unix.Mount(device, dir, "ext4", 0, "noinit_itable")
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
