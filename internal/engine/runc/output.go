package runc

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"sync"
	"time"
)

// output carries what a container writes to its writers. The container holds
// the one end of two pipes, so that the runtime is not needed for it.
type output struct {
	stdout, stderr *pipe
	copies         sync.WaitGroup
}

// pipe is one of the two ways; its zero writer is thrown away.
type pipe struct {
	name   string
	to     io.Writer
	reader *os.File
	writer *os.File // the container's end, until the runtime has it
	err    error    // of the writer, after the copy
}

func newOutput(stdout, stderr io.Writer) (*output, error) {
	out := &output{stdout: &pipe{name: "stdout", to: stdout}, stderr: &pipe{name: "stderr", to: stderr}}
	for _, p := range []*pipe{out.stdout, out.stderr} {
		if p.to == nil {
			p.to = io.Discard
		}
		var err error
		if p.reader, p.writer, err = os.Pipe(); err != nil {
			return nil, errors.Join(fmt.Errorf("container's %s: %w", p.name, err), out.Close())
		}
	}
	return out, nil
}

// copy begins to carry. What is written to stderr while began is false, and
// still is when ended is closed, does not reach the writer: it is what the
// runtime itself had to say. The function that is returned gives, after wait,
// what came on stderr if that was a line or two, and "" if it was more.
func (o *output) copy(began func() bool, ended <-chan struct{}) (brief func() string) {
	held := &gate{to: o.stderr.to, began: began, ended: ended}
	o.copies.Go(func() { o.stdout.copy(o.stdout.to) })
	o.copies.Go(func() { o.stderr.copy(held) })
	return held.brief
}

// copy carries to its end. A writer that fails is not written to again, but
// the container may go on writing.
func (p *pipe) copy(to io.Writer) {
	if _, err := io.Copy(to, p.reader); err != nil {
		p.err = fmt.Errorf("container's %s: %w", p.name, err)
		io.Copy(io.Discard, p.reader) //nolint:errcheck // the first error is told
	}
}

// started gives the container's ends away; the runtime has them now.
func (o *output) started() {
	for _, p := range []*pipe{o.stdout, o.stderr} {
		if p.writer != nil {
			p.writer.Close() //nolint:errcheck // nothing was written here
			p.writer = nil
		}
	}
}

// wait returns when everything was carried, with the writers' errors.
func (o *output) wait() error {
	o.started()
	o.copies.Wait()
	return errors.Join(o.stdout.err, o.stderr.err)
}

// Close gives up what is open.
func (o *output) Close() error {
	o.started()
	var errs []error
	for _, p := range []*pipe{o.stdout, o.stderr} {
		if p.reader != nil {
			errs = append(errs, p.reader.Close())
		}
	}
	return errors.Join(errs...)
}

// The rest of go-runc's IO.

// Set gives the runtime's process, and through it the container, its output.
func (o *output) Set(cmd *exec.Cmd) { cmd.Stdout, cmd.Stderr = o.stdout.writer, o.stderr.writer }

// Stdin is none: the container reads from /dev/null.
func (o *output) Stdin() io.WriteCloser { return nil }

// Stdout is the end that is read here.
func (o *output) Stdout() io.ReadCloser { return o.stdout.reader }

// Stderr is the end that is read here.
func (o *output) Stderr() io.ReadCloser { return o.stderr.reader }

// gate lets writes pass once the container's command runs, and drops what came
// before if it never does.
type gate struct {
	to    io.Writer
	began func() bool
	ended <-chan struct{}
	open  bool
	text  []byte // what came first
	more  bool   // than text
}

// briefSize bounds what is kept of stderr: a complaint of the runtime's.
const briefSize = 1 << 10

func (g *gate) brief() string {
	if g.more {
		return ""
	}
	return string(g.text)
}

// Write waits until it is known who wrote. The runtime tells that the command
// runs within milliseconds, by a file.
func (g *gate) Write(p []byte) (int, error) {
	kept := min(len(p), briefSize-len(g.text))
	g.text, g.more = append(g.text, p[:kept]...), g.more || kept < len(p)
	if !g.open {
		g.open = g.await()
	}
	if !g.open {
		return len(p), nil
	}
	return g.to.Write(p)
}

func (g *gate) await() bool {
	look := time.NewTicker(2 * time.Millisecond)
	defer look.Stop()
	for !g.began() {
		select {
		case <-look.C:
		case <-g.ended:
			return g.began()
		}
	}
	return true
}
