package blobs_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"testing"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/fault"
)

// take takes what has arrived out of the file that has it.
func take(t *testing.T, c *blobs.Content, most int64) []byte {
	t.Helper()
	file, n, err := c.Arrived(most)
	if err != nil || file == nil || n < 1 || n > most {
		t.Fatalf("%d bytes of %v: %v", n, file, err)
	}
	got := make([]byte, n)
	if _, err := io.ReadFull(file, got); err != nil {
		t.Fatal(err)
	}
	return got
}

func TestWhatHasArrivedIsInAFileAndReadGoesOnBehindIt(t *testing.T) {
	content := noise(70, 1<<20)
	g := newGate(t, content)
	store := openStore(t, blobs.Config{})
	opened := filling(t, store, g.upstream, content)
	g.open <- 1000
	first := <-opened
	other := fill(t, store, g.upstream, content) // whose place in the blob is its own
	if got := take(t, first, 300); !bytes.Equal(got, content[:len(got)]) {
		t.Error("the first bytes are others")
	}
	at, err := first.Seek(0, io.SeekCurrent)
	if err != nil {
		t.Fatal(err)
	}
	if got := take(t, other, 500); !bytes.Equal(got, content[:len(got)]) {
		t.Error("the other's first bytes are others")
	}
	piece := make([]byte, 100)
	if _, err := io.ReadFull(first, piece); err != nil || !bytes.Equal(piece, content[at:at+100]) {
		t.Errorf("read behind it: %v", err)
	}
	if got := take(t, first, 50); !bytes.Equal(got, content[at+100:at+100+int64(len(got))]) {
		t.Error("what comes behind what was read is other bytes")
	}
	g.open <- len(content)
	for at, _ = first.Seek(0, io.SeekCurrent); at < int64(len(content)); {
		got := take(t, first, int64(len(content)))
		if !bytes.Equal(got, content[at:at+int64(len(got))]) {
			t.Fatalf("other bytes from %d on", at)
		}
		at += int64(len(got))
	}
	if file, n, err := first.Arrived(1); file != nil || n != 0 || err != nil {
		t.Errorf("at the end there are %d bytes of %v: %v", n, file, err)
	}
	if err := other.Close(); err != nil {
		t.Error(err)
	}
	if _, _, err := other.Arrived(1); !errors.Is(err, os.ErrClosed) {
		t.Errorf("when it is closed: %v", err)
	}
}

func TestTheLastByteOfWhatIsWrongIsInNoFileThatIsGiven(t *testing.T) {
	content := noise(71, 100_000)
	wrong := bytes.Clone(content)
	wrong[50_000]++
	u := newUpstream(t)
	u.content[descriptor(content).Digest.String()] = wrong
	store := openStore(t, blobs.Config{})
	c := fill(t, store, u, content)
	var all int64
	for {
		file, n, err := c.Arrived(1 << 20)
		if err != nil {
			if fault.From(err).Kind == fault.Internal {
				t.Error(err)
			}
			break
		}
		if all += n; file == nil || all >= int64(len(content)) {
			t.Fatalf("%d bytes of %d were given of what is not what its digest says", all, len(content))
		}
	}
}
