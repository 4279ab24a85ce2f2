package far

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"io"
	"math"
	"net"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestTheSameSizeIsTheSameImage(t *testing.T) {
	var got [2]*Model
	for i := range got {
		m, err := OpenModel(t.Context(), t.TempDir(), 1_000_000, io.Discard)
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
	made, err := OpenModel(t.Context(), dir, 1_000_000, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	read, err := OpenModel(t.Context(), dir, 1_000_000, &said)
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
	for _, name := range Links {
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

func TestAnImageThatIsNotWholeIsNoticed(t *testing.T) {
	root := t.TempDir()
	layers := []Layer{{Marker: "opt/layers/0", MarkerSize: 3}}
	write := func(name, text string) {
		name = filepath.Join(root, name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(name), 0o755), os.WriteFile(name, []byte(text), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	if err := Whole(root, layers); err == nil {
		t.Error("a layer is missing, and nobody noticed")
	}
	write("opt/layers/0", "abc")
	if err := Whole(root, layers); err != nil {
		t.Error(err)
	}
	write(RemovedLater, "")
	if err := Whole(root, layers); err == nil {
		t.Error("a file that a layer took away is there, and nobody noticed")
	}
}

func TestNobodyReachesARegistryThatIsCutOff(t *testing.T) {
	side, err := Serve()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := side.Close(); err != nil {
			t.Error(err)
		}
	}()
	client, err := Reach(side.Host, side.CAFile, User, Password)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := client.Authorize(t.Context()); err != nil {
		t.Fatal(err)
	}
	side.Cut()
	if _, err := client.Authorize(t.Context()); err == nil {
		t.Error("it still answers")
	}
}
