package pull

import (
	"bytes"
	"io"
	"os/exec"
	"testing"

	"github.com/klauspost/compress/gzip"
)

func TestTheProcessorTimeOfIgzipIsPaidFor(t *testing.T) {
	path, err := exec.LookPath("igzip")
	if err != nil {
		t.Fatal("igzip is missing; install the package isal")
	}
	const size = 64 << 20
	var packed bytes.Buffer
	w := gzip.NewWriter(&packed)
	if _, err := w.Write(make([]byte, size)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	const atOnce = 10e9 // more than it takes
	paid := share{nanoseconds: newPace(1, atOnce)}
	z, err := startIgzip(t.Context(), path, &packed, paid)
	if err != nil {
		t.Fatal(err)
	}
	if n, err := io.Copy(io.Discard, z); n != size || err != nil {
		t.Fatalf("%d bytes, %v", n, err)
	}
	if err := z.Close(); err != nil {
		t.Fatal(err)
	}
	state := z.command.ProcessState
	took := state.UserTime() + state.SystemTime()
	// The kernel rounds the one or the other to a few ticks.
	if got := atOnce - paid.nanoseconds.Tokens(); took <= 0 || got < 0.99*float64(took) || got > 1.5*float64(took)+1e7 {
		t.Errorf("paid for %v ns of %v", got, took)
	}
}
