package worker

import (
	"context"
	"errors"
	"maps"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/engine"
	"fairlead.dev/fairlead/internal/fault"
)

// mounts are the workspace and what the step mounts of this machine. What its
// operator does not allow is refused, whatever links lead there.
func (r *run) mounts(files workspace) ([]engine.Mount, error) {
	mounts := files.mounts()
	for _, mount := range r.job.Mounts {
		source, err := filepath.EvalSymlinks(mount.Source)
		if err != nil {
			return nil, fault.New(fault.Invalid, "mount_missing", "the mount %s: this worker has no directory %s", mount.Destination, mount.Source).
				WithHint("Make it on the worker, or take the mount out of the step.")
		}
		if !slices.ContainsFunc(r.worker.config.Mounts, func(allowed string) bool { return isBelow(source, allowed) }) {
			return nil, fault.New(fault.Denied, "mount_forbidden", "the mount %s: this worker's operator does not allow steps to mount %s", mount.Destination, source).
				WithHint("The operator allows it with --allow-mount %s.", mount.Source)
		}
		if destination := filepath.Clean(mount.Destination); isBelow(valohaiDir, destination) || isBelow(destination, valohaiDir) || isBelow("/proc", destination) {
			return nil, fault.New(fault.Invalid, "mount_place", "nothing can be mounted on %s", mount.Destination).
				WithHint("Mount it somewhere else, such as /mnt/data.")
		}
		mounts = append(mounts, engine.Mount{Source: source, Destination: mount.Destination, ReadOnly: mount.ReadOnly})
	}
	return mounts, nil
}

// isBelow reports whether a path is a directory or something in it.
func isBelow(path, dir string) bool {
	path, dir = filepath.Clean(path), filepath.Clean(dir)
	return path == dir || dir == "/" || strings.HasPrefix(path, dir+"/")
}

// devices are what the step asks for, or else what every container here gets.
func (r *run) devices() []string {
	if r.job.Devices == nil {
		return r.worker.config.Devices
	}
	var names []string
	for _, kind := range slices.Sorted(maps.Keys(r.job.Devices)) {
		names = append(names, kind+"=all")
	}
	return names
}

// watchOutput ends the command when it has printed nothing for as long as it may
// be silent. watched puts the reason in the place of what the command's end says.
func (r *run) watchOutput(ctx context.Context) (_ context.Context, watched func(err *error)) {
	most := time.Duration(r.job.NoOutputSeconds * float64(time.Second))
	if most <= 0 {
		return ctx, func(*error) {}
	}
	watching, cancel := context.WithCancelCause(ctx)
	timer := time.AfterFunc(most, func() { cancel(errSilent) })
	r.journal.onOutput(func() { timer.Reset(most) })
	return watching, func(err *error) {
		timer.Stop()
		r.journal.onOutput(nil)
		if errors.Is(context.Cause(watching), errSilent) && ctx.Err() == nil {
			*err = fault.New(fault.Exhausted, "no_output_timeout", "the command printed nothing for %s, so it was stopped", most).
				WithHint("Raise the step's no-output-timeout if it may be silent for longer.")
		}
		cancel(nil)
	}
}
