package pull

import (
	"bytes"
	"crypto/rand"
	"errors"
	"io"
	"testing"
)

func TestAPipeCarriesMoreThanItsBufferInOrder(t *testing.T) {
	sent := make([]byte, 3*pipeBytes+17)
	_, _ = rand.Read(sent) // it never fails
	p := newPipe()
	go func() {
		for rest := sent; len(rest) > 0; {
			n := min(len(rest), 100_003)
			_, _ = p.Write(rest[:n]) // it never fails
			rest = rest[n:]
		}
		p.finish(nil)
	}()
	got, err := io.ReadAll(p)
	if err != nil || !bytes.Equal(got, sent) {
		t.Errorf("%d of %d bytes came, or others: %v", len(got), len(sent), err)
	}
	if n, err := p.Read(make([]byte, 1)); n != 0 || !errors.Is(err, io.EOF) {
		t.Errorf("after the end come %d bytes and %v", n, err)
	}
}

func TestAPipeIsWrittenOnInOrderUpToItsEnd(t *testing.T) {
	sent := make([]byte, 3*pipeBytes+17)
	_, _ = rand.Read(sent) // it never fails
	for _, end := range []error{nil, errors.New("broken")} {
		p := newPipe()
		go func() {
			_, _ = p.Write(sent) // it never fails
			p.finish(end)
		}()
		var got bytes.Buffer
		n, err := p.WriteTo(&got)
		if !errors.Is(err, end) || n != int64(len(sent)) || !bytes.Equal(got.Bytes(), sent) {
			t.Errorf("%d of %d bytes came, or others, and %v", n, len(sent), err)
		}
	}
}

func TestWhatIsInAPipeIsReadBeforeItsError(t *testing.T) {
	p, broken := newPipe(), errors.New("broken")
	_, _ = p.Write([]byte("first"))
	p.finish(broken)
	got, err := io.ReadAll(p)
	if string(got) != "first" || !errors.Is(err, broken) || !p.failed() {
		t.Errorf("got %q and %v", got, err)
	}
}

func TestAWriterDoesNotWaitForAReaderThatHasGone(t *testing.T) {
	for _, drains := range []bool{false, true} {
		p := newPipe()
		p.drains = drains
		begun, done := make(chan struct{}), make(chan error)
		go func() {
			_, _ = p.Write(make([]byte, pipeBytes)) // fits
			close(begun)
			_, err := p.Write(make([]byte, 10*pipeBytes)) // does not
			done <- err
		}()
		<-begun
		p.leave()
		if err := <-done; (err == nil) != drains || p.failed() {
			t.Errorf("a write to a pipe that drains: %v, gives %v", drains, err)
		}
		if _, err := p.Read(make([]byte, 1)); !errors.Is(err, io.ErrClosedPipe) {
			t.Errorf("a read after leaving gives %v", err)
		}
	}
}
