package mirror

import (
	"cmp"
	"io"
	"net/http"
	"os"
	"sync"
	"time"
)

// sliceMost is how many bytes of a file are sent under one deadline: more, and a
// slow client would need a long one; fewer, and there are more calls of the
// kernel than bytes are worth.
const sliceMost = 1 << 20

// bufferSize is what content that is no file is copied with, in bytes. Many
// clients pull at the same time, each with one.
const bufferSize = 32 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// recorder remembers what came of an answer, cuts off who does not take it, and
// holds back net/http's own refusals, so that ours can be sent instead. A status waits
// for the first byte, so that content whose first Read fails is a refusal as well.
type recorder struct {
	http.ResponseWriter
	control *http.ResponseController
	stall   time.Duration

	pending int   // a status that is sent with the first byte, or at the end; 0: none is
	status  int   // as it was sent; 0: nothing was
	written int64 // bytes of the body
	failure error // of reading the content or of writing it
	lost    bool  // it was the client's
	refused int   // the status that was held back; 0: none was
}

func newRecorder(w http.ResponseWriter, stall time.Duration) *recorder {
	return &recorder{ResponseWriter: w, control: http.NewResponseController(w), stall: stall}
}

// WriteHeader notes the status. What http.ServeContent refuses with a page of
// text is held back, and so is that page.
func (a *recorder) WriteHeader(status int) {
	if a.refused == 0 && a.status == 0 && a.isPage(status) {
		a.refused = status
		return
	}
	a.refused = 0
	if status < 200 {
		a.ResponseWriter.WriteHeader(status)
	} else if a.status == 0 {
		a.pending = status
	}
}

// commit sends the status that waits, if one does.
func (a *recorder) commit() {
	if a.status == 0 && a.pending != 0 {
		a.status = a.pending
		a.ResponseWriter.WriteHeader(a.status)
	}
}

// begin sends the status: no other one comes now.
func (a *recorder) begin() {
	a.pending = cmp.Or(a.pending, http.StatusOK)
	a.commit()
}

// isPage reports whether a status comes with a page of http.Error.
func (a *recorder) isPage(status int) bool {
	return status >= 400 && a.Header().Get("Content-Type") == "text/plain; charset=utf-8"
}

// Write notes how much was sent.
func (a *recorder) Write(data []byte) (int, error) {
	if a.refused != 0 {
		return len(data), nil
	}
	a.begin()
	n, err := a.ResponseWriter.Write(data)
	a.lost = a.lost || err != nil
	a.note(int64(n), err)
	return n, err
}

// ReadFrom sends content: a file by way of the kernel, where the connection
// allows it.
func (a *recorder) ReadFrom(source io.Reader) (int64, error) {
	if a.refused != 0 {
		return io.Copy(io.Discard, source)
	}
	defer func() { _ = a.control.SetWriteDeadline(time.Time{}) }() // the connection's next answer has its own
	before := a.written
	kernel, canSend := a.ResponseWriter.(io.ReaderFrom)
	if limited, ok := source.(*io.LimitedReader); ok && canSend {
		switch content := limited.R.(type) {
		case *os.File:
			return a.sendFile(kernel, content, limited.N)
		case arriving:
			all, err := a.sendArriving(kernel, content, limited.N)
			if limited.N -= a.written - before; all || err != nil {
				return a.written - before, err
			}
		}
	}
	buffer := buffers.Get().(*[bufferSize]byte)
	defer buffers.Put(buffer)
	_, err := io.CopyBuffer(paced{a}, onlyReader{source}, buffer[:])
	a.note(0, err)
	return a.written - before, err
}

// arriving is content that tells in which file its next bytes are, once they are
// there.
type arriving interface {
	Arrived(most int64) (file *os.File, n int64, err error)
}

// sendArriving sends content as it arrives, as long as it is in a file; all reports
// whether that were as many bytes as were wanted.
func (a *recorder) sendArriving(to io.ReaderFrom, content arriving, most int64) (all bool, err error) {
	for most > 0 {
		file, n, err := content.Arrived(most)
		if err != nil {
			a.note(0, err)
			return false, err
		}
		if file == nil {
			return false, nil
		}
		sent, err := a.sendFile(to, file, n)
		if most -= sent; err == nil && sent < n {
			err = io.ErrUnexpectedEOF
			a.note(0, err)
		}
		if err != nil {
			return false, err
		}
	}
	return true, nil
}

// sendFile sends the next bytes of a file, a slice at a time.
func (a *recorder) sendFile(to io.ReaderFrom, file *os.File, most int64) (sent int64, err error) {
	a.begin()
	for sent < most {
		a.extend()
		slice := min(most-sent, sliceMost)
		n, err := to.ReadFrom(&io.LimitedReader{R: file, N: slice}) // in this form net knows what it is
		sent += n
		a.lost = hungUp(err) // which a file never is
		a.note(n, err)
		if err != nil || n < slice {
			return sent, err
		}
	}
	return sent, nil
}

// extend gives the client time for what comes next. A writer that knows no
// deadlines has none.
func (a *recorder) extend() { _ = a.control.SetWriteDeadline(time.Now().Add(a.stall)) }

func (a *recorder) note(n int64, err error) {
	a.written += n
	if a.failure == nil {
		a.failure = err
	}
}

// Unwrap lets http.ResponseController flush and set deadlines.
func (a *recorder) Unwrap() http.ResponseWriter { return a.ResponseWriter }

// paced writes to an answer with a deadline for each piece: reading the piece
// may take as long as it does.
type paced struct{ to *recorder }

// Write sends one piece.
func (p paced) Write(data []byte) (int, error) {
	p.to.extend()
	return p.to.Write(data)
}

// onlyReader hides every other way of copying.
type onlyReader struct{ io.Reader }
