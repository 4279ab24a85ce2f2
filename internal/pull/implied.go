package pull

import (
	"context"
	"errors"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/continuity/sysx"
	"github.com/containerd/errdefs"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/unpack"
)

// In an overlay, a directory of an upper layer hides the owner, the mode and the
// times of the same directory below. Where a layer only has something in a directory
// and says nothing of it, it is to stay what it is below. An image with such layers
// gets one more snapshot on top, with those directories alone, as they are to be.

// mend makes that snapshot, unless it is here.
func (p *puller) mend(ctx context.Context, layers []unpackedLayer) error {
	name := p.documents.configuration.directories()
	unlock, err := p.lock(ctx, name)
	if err != nil {
		return err
	}
	defer unlock()
	if err := p.lend(ctx, name); err != nil {
		return err
	}
	_, err = p.store.snapshots.Stat(ctx, name)
	if err == nil {
		return nil
	}
	if !errdefs.IsNotFound(err) {
		return p.storing(err)
	}
	key := unpackPrefix + name
	mounts, err := p.prepare(ctx, key)
	if err != nil {
		return p.storing(err)
	}
	if err = p.mendInto(ctx, key, mounts, layers); err != nil {
		p.store.removeHalf(context.WithoutCancel(ctx), key, mounts)
		return p.storing(err)
	}
	return nil
}

func (p *puller) mendInto(ctx context.Context, key string, mounts []mount.Mount, layers []unpackedLayer) error {
	root, err := destination(mounts)
	if err != nil {
		return err
	}
	models, err := modelsOf(layers)
	if err != nil {
		return err
	}
	names := slices.Sorted(maps.Keys(models))
	for _, name := range names {
		if err := os.Mkdir(filepath.Join(root, name), directory); err != nil {
			return err
		}
	}
	for _, name := range slices.Backward(names) { // since a change inside one moves its times
		if err := resemble(filepath.Join(root, name), models[name]); err != nil {
			return err
		}
	}
	return p.store.snapshots.Commit(ctx, p.documents.configuration.directories(), key)
}

// modelsOf are the directories that are to look otherwise than in the topmost layer
// that has them, with those above them, and for each the one that it is to look
// like.
func modelsOf(layers []unpackedLayer) (map[string]string, error) {
	implied := make([]map[string]bool, len(layers))
	all := make(map[string]bool)
	for i, layer := range layers {
		names, err := layer.implied()
		if err != nil {
			return nil, err
		}
		implied[i] = make(map[string]bool, len(names))
		for _, name := range names {
			implied[i][name], all[name] = true, true
		}
	}
	models := make(map[string]string)
	for name := range all {
		found, err := look(layers, implied, name)
		if err != nil {
			return nil, err
		}
		if found.named == "" || found.named == found.topmost {
			continue
		}
		models[name] = found.named
		for above := path.Dir(name); above != "." && models[above] == ""; above = path.Dir(above) {
			found, err := look(layers, implied, above)
			if err != nil {
				return nil, err
			}
			if models[above] = found.named; found.named == "" {
				models[above] = found.topmost
			}
		}
	}
	return models, nil
}

// appearance is where a directory of an image is; "" is nowhere.
type appearance struct {
	topmost string // in the topmost layer that has it
	named   string // in the topmost that names it
}

// look looks for a directory through the layers, from the top down, until one names
// it, or hides what is below.
func look(layers []unpackedLayer, implied []map[string]bool, name string) (found appearance, err error) {
	for i, layer := range layers {
		at, hides, err := lookIn(layer.dir, name)
		if err != nil {
			return found, err
		}
		if at != "" && found.topmost == "" {
			found.topmost = at
		}
		if at != "" && !implied[i][name] {
			found.named = at
			return found, nil
		}
		if hides {
			return found, nil
		}
	}
	return found, nil
}

// lookIn is where a layer has a directory, or "", and whether what layers below have
// of that name is not to be seen. A directory in the place of a link looks like what
// the link led to.
func lookIn(dir, name string) (at string, hides bool, err error) {
	at = dir
	for component := range strings.SplitSeq(name, "/") {
		if at != dir && !hides {
			if hides, err = isOpaque(at); err != nil {
				return "", false, err
			}
		}
		at = filepath.Join(at, component)
		info, err := os.Lstat(at)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			return "", hides, nil
		case err != nil:
			return "", false, err
		case info.Mode()&fs.ModeSymlink != 0:
			return throughLink(dir, name)
		case !info.IsDir(): // removed, or replaced
			return "", true, nil
		}
	}
	return at, hides, nil
}

// throughLink is what a path with links leads to in the same layer.
func throughLink(dir, name string) (at string, hides bool, err error) {
	at, err = unpack.Directory(dir, name)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return "", false, nil
	case errors.Is(err, unix.ENOTDIR), errors.Is(err, unix.ELOOP):
		return "", true, nil
	default:
		return at, true, err
	}
}

// isOpaque reports whether nothing below is seen in a directory.
func isOpaque(dir string) (bool, error) {
	value, err := sysx.LGetxattr(dir, "trusted.overlay.opaque")
	if errors.Is(err, unix.ENODATA) || errors.Is(err, unix.ENOTSUP) {
		return false, nil
	}
	return string(value) == "y", err
}

// resemble makes a directory like a model.
func resemble(made, model string) error {
	info, err := os.Lstat(model)
	if err != nil {
		return err
	}
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
