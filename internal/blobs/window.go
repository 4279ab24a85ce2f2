package blobs

import (
	"fmt"
	"io"
	"os"
	"sync"
)

// window is one client's own opening of a file of the spool, whose offset is its alone:
// the kernel sends from there. The zero value is ready.
type window struct {
	mu     sync.Mutex
	file   *os.File
	at     int64
	failed bool // it could not be opened, and is not tried again
	closed bool
}

// from is the opening, at an offset, from which the caller takes n bytes; nil where
// there can be none.
func (w *window) from(spool *spooled, offset, n int64) *os.File {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed || w.failed {
		return nil
	}
	if w.file == nil {
		// By this way the file is found under whatever name it has by now, or none.
		opened, err := os.Open(fmt.Sprintf("/proc/self/fd/%d", spool.Fd()))
		if w.failed = err != nil; w.failed {
			return nil
		}
		w.file = opened
	}
	if w.at != offset {
		if _, err := w.file.Seek(offset, io.SeekStart); err != nil {
			w.failed = true
			return nil
		}
	}
	w.at = offset + n
	return w.file
}

func (w *window) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.closed = true
	if w.file == nil {
		return nil
	}
	return w.file.Close()
}
