package main

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheSameSizeIsTheSameImage(t *testing.T) {
	var got [2]*model
	for i := range got {
		m, err := openModel(t.Context(), t.TempDir(), 1_000_000, io.Discard)
		if err != nil {
			t.Fatal(err)
		}
		got[i] = m
	}
	if diff := cmp.Diff(got[0].Layers, got[1].Layers); diff != "" {
		t.Errorf("layers (-first +second):\n%s", diff)
	}
}

func TestAnImageThatWasMadeIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	made, err := openModel(t.Context(), dir, 1_000_000, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	read, err := openModel(t.Context(), dir, 1_000_000, &said)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(made.Layers, read.Layers); diff != "" || said.Len() > 0 {
		t.Errorf("it was made again: %s\n%s", said.String(), diff)
	}
}

func TestContentCompressesToAThird(t *testing.T) {
	for name, fill := range map[string]func(*drawer, []byte){"text": (*drawer).text, "binary": (*drawer).binary} {
		content := make([]byte, 4<<20)
		fill(newDrawer(1), content)
		packed := newTally(io.Discard)
		zip := gzip.NewWriter(packed)
		if _, err := zip.Write(content); err != nil {
			t.Fatal(err)
		}
		if err := zip.Close(); err != nil {
			t.Fatal(err)
		}
		if got := float64(len(content)) / float64(packed.n); math.Abs(got-ratio) > 0.4 {
			t.Errorf("%s compresses %.2f : 1, not about %.0f : 1", name, got, ratio)
		}
	}
}

// Both ways of the wire bring what was sent, and the end of it.
func TestTheWireBringsEverything(t *testing.T) {
	for _, name := range allLinks {
		t.Run(name, func(t *testing.T) {
			echo, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			defer echo.Close()
			go func() {
				for {
					c, err := echo.Accept()
					if err != nil {
						return
					}
					go func() {
						defer c.Close()
						_, _ = io.Copy(c, c)
					}()
				}
			}()
			w, err := newWire()
			if err != nil {
				t.Fatal(err)
			}
			w.use(name)
			w.serve(echo.Addr().String())
			c, err := net.Dial("tcp", w.listener.Addr().String())
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			sent := make([]byte, 3<<20)
			newDrawer(1).binary(sent)
			go func() {
				_, _ = c.Write(sent) // what is missing is noticed below
				_ = c.(*net.TCPConn).CloseWrite()
			}()
			got, err := io.ReadAll(c)
			if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
				t.Errorf("%d of %d bytes came back, or others: %v", len(got), len(sent), err)
			}
			if err := w.close(); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestTheKernelIsReadAsItWrites(t *testing.T) {
	own, err := readStat(strconv.Itoa(os.Getpid()))
	if err != nil || own.parent != strconv.Itoa(os.Getppid()) {
		t.Errorf("our parent is %q: %v", own.parent, err)
	}
	if used, err := machine(); err != nil || used <= 0 {
		t.Errorf("the machine used %v s: %v", used, err)
	}
	if peak, err := highWater("self"); err != nil || peak <= 1<<20 {
		t.Errorf("the most memory was %d bytes: %v", peak, err)
	}
	if _, err := written("self"); err != nil {
		t.Error(err)
	}
}

func TestTheLimitIsTheSlowestOfThree(t *testing.T) {
	b := &bench{image: &model{Layers: []modelLayer{{Size: 2 * linkRate}}}}
	b.limits.transfer, b.limits.write = []float64{0.1}, []float64{1, 1.5, 9}
	b.limits.decompress = []float64{float64(cores())}
	want := map[string]limit{
		unthrottled: {Transfer: 0.1, Decompress: 1, Write: 1.5, Seconds: 1.5, By: "writing"},
		shaped:      {Transfer: 2, Decompress: 1, Write: 1.5, Seconds: 2, By: "transfer"},
	}
	for link, want := range want {
		if diff := cmp.Diff(want, b.limitOf(link)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", link, diff)
		}
	}
}

func TestAnImageThatIsNotWholeIsNoticed(t *testing.T) {
	root := t.TempDir()
	j := job{Layers: []modelLayer{{Marker: "opt/layers/0", MarkerSize: 3}}, Absent: "gone"}
	if err := whole(root, j); err == nil {
		t.Error("a layer is missing, and nobody noticed")
	}
	if err := files(map[string]string{filepath.Join(root, "opt/layers/0"): "abc"}); err != nil {
		t.Fatal(err)
	}
	if err := whole(root, j); err != nil {
		t.Error(err)
	}
	if err := files(map[string]string{filepath.Join(root, "gone"): ""}); err != nil {
		t.Fatal(err)
	}
	if err := whole(root, j); err == nil {
		t.Error("a file that a layer took away is there, and nobody noticed")
	}
}
