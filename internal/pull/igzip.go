package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// processBuffer is how many bytes may be on the way to a process, and as many from it.
const processBuffer = 1 << 20

// igzip is a process that undoes gzip. What it gives is read from it.
//
// A layer is anybody's bytes; the process sees them and nothing else of the
// worker: no environment, no file but its own ends of two streams.
type igzip struct {
	*os.File // its output

	command *exec.Cmd
	said    bytes.Buffer
	fed     chan struct{} // closed when no more of the layer is passed on
	failed  error         // why not all of it was; set before

	ctx     context.Context //nolint:containedctx // a Read has none
	share   share
	charged time.Duration // processor time that was paid for
}

// startIgzip has the program at path undo what layer is compressed by. An error
// says that it could not be started; then nothing was read. The process ends with
// ctx. Its processor time is paid for at the reads.
func startIgzip(ctx context.Context, path string, layer io.WriterTo, share share) (_ *igzip, err error) {
	feed, input, err := processStream()
	if err != nil {
		return nil, err
	}
	defer func() { _ = input.Close() }() // the process has its own
	output, result, err := processStream()
	if err != nil {
		return nil, errors.Join(err, feed.Close())
	}
	defer func() { _ = result.Close() }() // the process has its own
	z := &igzip{File: output, fed: make(chan struct{}), ctx: ctx, share: share}
	z.command = exec.CommandContext(ctx, path, "--decompress", "--stdout")
	z.command.Env = []string{}
	z.command.Dir = "/"
	z.command.Stdin, z.command.Stdout, z.command.Stderr = input, result, &z.said
	if err := z.command.Start(); err != nil {
		return nil, errors.Join(err, feed.Close(), output.Close())
	}
	go z.feed(feed, layer)
	return z, nil
}

// feed passes the layer on. Where the process ended before, it says itself why.
func (z *igzip) feed(to io.WriteCloser, layer io.WriterTo) {
	defer close(z.fed)
	_, err := layer.WriteTo(to)
	if !errors.Is(err, syscall.EPIPE) && !errors.Is(err, syscall.ECONNRESET) {
		z.failed = err
	}
	_ = to.Close() // the process reads its end
}

// processStream makes what carries bytes to or from a process: our end, and its. It is
// a pair of sockets and no pipe, since for a pipe the kernel takes and gives back
// memory by 4 KiB: a fifteenth of the processor time of a pull.
func processStream() (ours, its *os.File, err error) {
	ends, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("making a pair of sockets: %w", err)
	}
	for _, end := range ends {
		// Less is slower and works.
		_ = unix.SetsockoptInt(end, unix.SOL_SOCKET, unix.SO_SNDBUFFORCE, processBuffer)
	}
	if err := unix.SetNonblock(ends[0], true); err != nil { // so that no thread waits for it
		return nil, nil, errors.Join(err, unix.Close(ends[0]), unix.Close(ends[1]))
	}
	const name = "the stream of a process"
	return os.NewFile(uintptr(ends[0]), name), os.NewFile(uintptr(ends[1]), name), nil
}

// Read ends with io.EOF only where the process has found all to be right.
func (z *igzip) Read(p []byte) (int, error) {
	n, err := z.File.Read(p)
	if err == nil && z.share.isLimited() {
		err = z.pay(processTime(z.command.Process.Pid))
	}
	if !errors.Is(err, io.EOF) {
		return n, err
	}
	<-z.fed
	if err := errors.Join(z.failed, z.end()); err != nil {
		return n, err
	}
	return n, io.EOF
}

// pay pays for the processor time that the process has used up to now.
func (z *igzip) pay(used time.Duration) error {
	spent := max(0, used-z.charged)
	z.charged += spent
	return z.share.nanoseconds.pay(z.ctx, int64(spent))
}

// processTime is the processor time of a process, in the kernel too. The clock of a
// process is called as the kernel numbers it: clock_getcpuclockid(3).
func processTime(pid int) time.Duration {
	const scheduled = 2
	var t unix.Timespec
	_ = unix.ClockGettime(int32(^pid<<3|scheduled), &t) // 0 of one that has ended, which end pays for
	return time.Duration(t.Nano())
}

// end waits for the process.
func (z *igzip) end() error {
	if z.command.ProcessState != nil {
		return nil
	}
	err := z.command.Wait()
	if z.share.isLimited() {
		err = errors.Join(err, z.pay(z.command.ProcessState.UserTime()+z.command.ProcessState.SystemTime()))
	}
	if err == nil {
		return nil
	}
	said, _, _ := strings.Cut(strings.TrimSpace(z.said.String()), "\n")
	return fmt.Errorf("reading gzip: %w: %.200q", err, said)
}

// Close ends the process where it still works. Nobody must be waiting for more of
// the layer.
func (z *igzip) Close() error {
	err := z.File.Close() // so that it waits for no reader
	_ = z.command.Process.Kill()
	_ = z.end()
	<-z.fed
	return err
}
