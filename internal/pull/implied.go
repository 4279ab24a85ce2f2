package pull

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/continuity/sysx"
	"golang.org/x/sys/unix"
)

// inherit gives directories below root the owner, the mode, the times and the
// extended attributes of the same ones in the parents, of which the topmost comes
// first. Those that are new in the layer stay as they are.
func inherit(root string, parents, dirs []string) error {
	// From the bottom up, since a change inside one moves its times.
	for _, dir := range slices.Backward(dirs) {
		made := filepath.Join(root, dir)
		resolved, err := continuity.RootPath(root, dir)
		if err != nil {
			return err
		}
		info, err := os.Lstat(made)
		if errors.Is(err, fs.ErrNotExist) || err == nil && (resolved != made || !info.IsDir()) {
			continue // it is behind a link of the layer's own, or was replaced
		}
		if err != nil {
			return err
		}
		if err := inheritOne(made, dir, parents); err != nil {
			return err
		}
	}
	return nil
}

func inheritOne(made, dir string, parents []string) error {
	for _, parent := range parents {
		model, err := continuity.RootPath(parent, dir)
		if err != nil {
			return err
		}
		info, err := os.Lstat(model)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
			continue
		}
		if err != nil {
			return err
		}
		if !info.IsDir() { // it was replaced there
			return nil
		}
		return resemble(made, model, info)
	}
	return nil
}

// resemble makes a directory like a model.
func resemble(made, model string, info fs.FileInfo) error {
	status, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return &fs.PathError{Op: "stat", Path: model, Err: errors.ErrUnsupported}
	}
	if err := os.Lchown(made, int(status.Uid), int(status.Gid)); err != nil {
		return err
	}
	if err := os.Chmod(made, info.Mode()); err != nil {
		return err
	}
	names, err := sysx.LListxattr(model)
	if err != nil && !errors.Is(err, unix.ENOTSUP) {
		return err
	}
	for _, name := range names {
		if strings.HasPrefix(name, "trusted.overlay.") || strings.HasPrefix(name, "user.overlay.") {
			continue // how a layer below is stacked is its own affair
		}
		value, err := sysx.LGetxattr(model, name)
		if err == nil {
			err = sysx.LSetxattr(made, name, value, 0)
		}
		if err != nil {
			return err
		}
	}
	times := []unix.Timespec{unix.Timespec(status.Atim), unix.Timespec(status.Mtim)}
	return unix.UtimesNanoAt(unix.AT_FDCWD, made, times, unix.AT_SYMLINK_NOFOLLOW)
}
