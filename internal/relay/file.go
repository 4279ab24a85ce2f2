package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"fairlead.dev/fairlead/internal/audit"
)

// standardOutput writes lines to the process's own output.
type standardOutput struct{}

func (*standardOutput) Send(_ context.Context, links []audit.Link) error {
	_, err := os.Stdout.Write(lines(links))
	return err
}

func (*standardOutput) Reopen() {}

func (*standardOutput) Close() error { return nil }

// lines are rows as text, each with its end.
func lines(links []audit.Link) []byte {
	var text []byte
	for _, link := range links {
		text = append(append(text, link.Line()...), '\n')
	}
	return text
}

// logFile appends lines to a file that only its owner may read. It is opened anew
// where another file, or none, has the path, as after logrotate.
type logFile struct {
	path string
	open *os.File // nil: it is not
}

// Send has returned when the lines are on the disk.
func (f *logFile) Send(_ context.Context, links []audit.Link) (err error) {
	defer func() {
		if err != nil {
			f.Reopen()
		}
	}()
	if f.open != nil && f.isMoved() {
		f.Reopen()
	}
	if f.open == nil {
		if f.open, err = openLog(f.path); err != nil {
			return err
		}
	}
	if _, err := f.open.Write(lines(links)); err != nil {
		return err
	}
	return f.open.Sync()
}

// isMoved reports whether the path is another file's now, or nobody's.
func (f *logFile) isMoved() bool {
	there, err := os.Stat(f.path)
	if err != nil {
		return true
	}
	ours, err := f.open.Stat()
	return err != nil || !os.SameFile(there, ours)
}

func (f *logFile) Reopen() {
	if f.open != nil {
		_ = f.open.Close() // what was sent is on the disk
		f.open = nil
	}
}

func (f *logFile) Close() error {
	f.Reopen()
	return nil
}

// openLog opens a file to append to. The half of a line that a kill or a full disk
// left at its end is cut off: that row is sent again.
func openLog(path string) (_ *os.File, err error) {
	// Not blocked by a pipe that nobody reads.
	file, err := os.OpenFile(path, os.O_RDWR|os.O_APPEND|os.O_CREATE|syscall.O_NONBLOCK, 0o600) // the operator's own path
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			_ = file.Close()
		}
	}()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is no regular file", path)
	}
	return file, endLine(file, info.Size())
}

// lineBegin is how our lines begin.
const lineBegin = `{"id":`

// endLine sees to it that what is appended begins a line: it cuts off half a line of
// ours, and ends a line that is somebody else's.
func endLine(file *os.File, size int64) error {
	const most = 1 << 20 // more than a row has
	tail := make([]byte, min(size, most))
	if _, err := file.ReadAt(tail, size-int64(len(tail))); err != nil && !errors.Is(err, io.EOF) {
		return err
	}
	half := tail[bytes.LastIndexByte(tail, '\n')+1:]
	switch {
	case len(half) == 0:
		return nil
	case bytes.HasPrefix(half, []byte(lineBegin)[:min(len(half), len(lineBegin))]):
		return file.Truncate(size - int64(len(half)))
	default:
		_, err := file.WriteString("\n")
		return err
	}
}
