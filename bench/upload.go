package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// uploadBytes is what is uploaded: nearly as much as a package may hold.
const uploadBytes = 1_000_000_000

// upload runs a step in a directory with a gigabyte that cannot be compressed,
// and reads how much memory that took at its peak: the client's from its start
// on, the server's over what it had before. The worker is busy, so that nothing
// but the upload is measured.
func upload(ctx context.Context, h *house) error {
	if _, err := h.holdWorker(ctx); err != nil {
		return err
	}
	if err := writeNoise(filepath.Join(h.dir, "project", "weights.bin"), uploadBytes); err != nil {
		return err
	}
	if err := rest(ctx); err != nil {
		return err
	}
	if err := resetPeak(h.server.Process.Pid); err != nil {
		return err
	}
	before, _, err := h.memory()
	if err != nil {
		return err
	}
	begin := time.Now()
	client, err := h.uploadOnce(ctx)
	if err != nil {
		return err
	}
	took := time.Since(begin)
	_, peak, err := h.memory()
	if err != nil {
		return err
	}
	fmt.Printf("  %d MB in %v; the client's memory at its peak: %.1f MiB (limit 64 MiB), the server's: %.1f MiB more than the %.1f MiB before (limit 64 MiB)\n",
		uploadBytes/1_000_000, took.Round(time.Millisecond), float64(client)/(1<<20), float64(peak-before)/(1<<20), float64(before)/(1<<20))
	return nil
}

// uploadOnce is the peak of the memory of a `fairlead run` that has uploaded the
// code and queued the execution. It is stopped then.
func (h *house) uploadOnce(ctx context.Context) (peak int64, err error) {
	c, err := h.command(ctx, "run", "nothing")
	if err != nil {
		return 0, err
	}
	told, err := c.StderrPipe()
	if err != nil {
		return 0, err
	}
	if err := c.Start(); err != nil {
		return 0, err
	}
	var said bytes.Buffer
	queued := false
	lines := bufio.NewScanner(io.TeeReader(told, &said))
	for !queued && lines.Scan() {
		queued = strings.HasPrefix(lines.Text(), "Execution #")
	}
	if queued {
		_, peak, err = memoryOf(c.Process.Pid)
	}
	err = errors.Join(err, c.Process.Signal(os.Interrupt)) // it stops the execution and ends
	_, copyErr := io.Copy(&said, told)
	_ = c.Wait() // a stopped execution is no success
	if !queued {
		return 0, fmt.Errorf("nothing was queued: %s", said.String())
	}
	return peak, errors.Join(err, copyErr)
}

// writeNoise writes a file of random bytes, always the same.
func writeNoise(path string, size int64) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	_, err = io.CopyN(file, rand.NewChaCha8([32]byte{}), size)
	return errors.Join(err, file.Close())
}

// resetPeak forgets a process's highest memory so far, so that it starts anew at
// what it has now: proc_pid_clear_refs(5).
func resetPeak(pid int) error {
	return os.WriteFile(fmt.Sprintf("/proc/%d/clear_refs", pid), []byte("5"), 0)
}
