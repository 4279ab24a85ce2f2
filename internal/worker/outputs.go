package worker

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// outputsMost is how many files of one execution are kept.
const outputsMost = 10_000

// keepOutputs gives the server what the command left in its outputs, however the
// command ended: a model that was saved before a crash is worth keeping. Where
// the lease is lost nothing is kept, since the execution is somebody else's.
func (r *run) keepOutputs(ctx context.Context, files workspace) error {
	if errors.Is(context.Cause(ctx), errShutdown) {
		return nil // it begins anew, on another worker
	}
	ctx, letGo := r.whileHeld(ctx)
	defer letGo()
	if ctx.Err() != nil {
		return nil
	}
	root, err := os.OpenRoot(filepath.Join(files.dir, "outputs"))
	if err != nil {
		return fmt.Errorf("reading the outputs: %w", err)
	}
	defer func() { _ = root.Close() }() // only read
	count := 0
	return fs.WalkDir(root.FS(), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return fmt.Errorf("reading the outputs: %w", err)
		case entry.IsDir():
			return nil
		case !entry.Type().IsRegular():
			r.journal.status(fmt.Sprintf("Left out the output %s: it is no file", name))
			return nil
		}
		if count++; count > outputsMost {
			return fault.New(fault.Exhausted, "outputs_many", "the command left more than %d outputs", outputsMost).
				WithHint("Pack them into one file.")
		}
		return r.keepOutput(ctx, root, name)
	})
}

func (r *run) keepOutput(ctx context.Context, root *os.Root, name string) error {
	var kept wire.Datum
	err := persistWhile(ctx, func() error {
		// A command that put a link in the place of the file gets no file of ours.
		file, err := root.Open(name)
		if err != nil {
			return fmt.Errorf("reading an output: %w", err)
		}
		defer func() { _ = file.Close() }() // only read
		info, err := file.Stat()
		if err != nil {
			return fmt.Errorf("reading an output: %w", err)
		}
		if !info.Mode().IsRegular() {
			return fault.New(fault.Invalid, "output_changed", "the output %s was replaced while it was read", name)
		}
		kept, err = r.worker.config.Client.AddOutput(ctx, r.lease.ID, name, info.Size(), file)
		return err
	}, maySucceedLater)
	if err != nil {
		var told *fault.Error
		if errors.As(err, &told) {
			named := *told
			named.Message = fmt.Sprintf("the output %s could not be kept: %s", name, told.Message)
			return &named
		}
		return err
	}
	r.journal.status(fmt.Sprintf("Kept the output %s: %s, %s%s", name, wire.Size(kept.Size), execution.DatumURL, kept.ID))
	return nil
}

// whileHeld is a context that only the loss of the lease ends: also a command
// that was stopped, or had too little time, leaves outputs.
func (r *run) whileHeld(ctx context.Context) (context.Context, context.CancelFunc) {
	held, cancel := context.WithCancel(context.WithoutCancel(ctx))
	go func() {
		select {
		case <-r.lost:
			cancel()
		case <-held.Done():
		}
	}()
	return held, cancel
}
