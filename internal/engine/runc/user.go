package runc

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/cyphar/filepath-securejoin/pathrs-lite"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
)

// maxAccountFile bounds /etc/passwd and /etc/group of an image.
const maxAccountFile = 4 << 20

// lookupUser finds the user that name stands for in rootfs, and its home.
func lookupUser(rootfs, name string) (specs.User, string, error) {
	passwd, err := readInRoot(rootfs, "/etc/passwd")
	if err != nil {
		return specs.User{}, "", err
	}
	group, err := readInRoot(rootfs, "/etc/group")
	if err != nil {
		return specs.User{}, "", err
	}
	found, err := user.GetExecUser(name, &user.ExecUser{Home: "/"}, bytes.NewReader(passwd), bytes.NewReader(group))
	if err != nil {
		return specs.User{}, "", fault.New(fault.Invalid, "user_unknown", "the image has no user %q", name).
			WithHint("Use a user of the image, or a number.").WithCause(err)
	}
	account := specs.User{UID: uint32(found.Uid), GID: uint32(found.Gid)} // GetExecUser bounds them
	for _, gid := range found.Sgids {
		account.AdditionalGids = append(account.AdditionalGids, uint32(gid)) // likewise
	}
	return account, found.Home, nil
}

// readInRoot reads a file of an image, with every link on the way followed as a
// process with rootfs for its root would. A file that is not there, and what is
// no regular file, is empty.
func readInRoot(rootfs, path string) ([]byte, error) {
	handle, err := pathrs.OpenInRoot(rootfs, path)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("image's %s: %w", path, err)
	}
	defer handle.Close()
	if info, err := handle.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, err
	}
	file, err := pathrs.Reopen(handle, os.O_RDONLY|unix.O_CLOEXEC)
	if err != nil {
		return nil, fmt.Errorf("image's %s: %w", path, err)
	}
	defer file.Close()
	content, err := io.ReadAll(io.LimitReader(file, maxAccountFile+1))
	if err != nil {
		return nil, fmt.Errorf("image's %s: %w", path, err)
	}
	if len(content) > maxAccountFile {
		return nil, fault.New(fault.Exhausted, "image_accounts_too_large", "the image's %s is larger than %d MiB", path, maxAccountFile>>20)
	}
	return content, nil
}
