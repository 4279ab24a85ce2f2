package source_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"testing/iotest"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
)

func TestAPackageUnpacksToWhatWasPacked(t *testing.T) {
	old := syscall.Umask(0o077)
	defer syscall.Umask(old)
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		"valohai.yaml": "- step:", "a/run.sh": "#!/bin/sh", "a/b/" + strings.Repeat("long", 40): "x", "\xff\n\x1b[31m": "odd", "big": incompressible(300_000),
	})
	if err := os.Chmod(filepath.Join(dir, "a/run.sh"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../valohai.yaml", filepath.Join(dir, "a/link")); err != nil {
		t.Fatal(err)
	}
	packed, _ := pack(t, dir)

	out := filepath.Join(t.TempDir(), "not", "yet")
	if err := source.Unpack(t.Context(), iotest.OneByteReader(bytes.NewReader(packed)), out, source.Limits{}); err != nil {
		t.Fatal(err)
	}
	want := snapshot(t, dir)
	for name, text := range want {
		_, content, _ := strings.Cut(text, " ")
		switch {
		case name == "a/run.sh":
			want[name] = "-rwxr-xr-x " + content
		case strings.HasPrefix(text, "-"):
			want[name] = "-rw-r--r-- " + content
		case strings.HasPrefix(text, "d"):
			want[name] = "drwxr-xr-x "
		}
	}
	if diff := cmp.Diff(want, snapshot(t, out)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
	if again, _ := pack(t, out); !bytes.Equal(packed, again) {
		t.Error("packed again, it is another package")
	}
}

func TestAPackageOfAnotherToolUnpacks(t *testing.T) {
	packed := archive(t,
		tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "c0ffee"}},
		tar.Header{Typeflag: tar.TypeDir, Name: "./", Mode: 0o700},
		tar.Header{Typeflag: tar.TypeDir, Name: "./a/", Mode: 0o7000},
		tar.Header{Typeflag: tar.TypeReg, Name: "./a/x", Mode: 0o4777, Size: 1, Uid: 99},
		tar.Header{Typeflag: tar.TypeLink, Name: "./a/same", Linkname: "./a/x"},
		tar.Header{Typeflag: tar.TypeDir, Name: "a"},
		tar.Header{Typeflag: tar.TypeReg, Name: "y", Size: 1, Mode: 0o644, Format: tar.FormatGNU},
	)
	dir := t.TempDir()
	if err := source.Unpack(t.Context(), bytes.NewReader(packed), dir, source.Limits{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"a": "drwxr-xr-x ", "a/x": "-rwxr-xr-x .", "a/same": "-rwxr-xr-x .", "y": "-rw-r--r-- ."}
	if diff := cmp.Diff(want, snapshot(t, dir)); diff != "" {
		t.Errorf("(-want +got)\n%s", diff)
	}
}

func TestAHostilePackageIsRefusedAndLeavesNothingOutside(t *testing.T) {
	file := func(name string) tar.Header { return tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1} }
	link := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeSymlink, Name: name, Linkname: target}
	}
	hard := func(name, target string) tar.Header {
		return tar.Header{Typeflag: tar.TypeLink, Name: name, Linkname: target}
	}
	for name, entries := range map[string][]tar.Header{
		"an absolute name":                     {file("/outside")},
		"a name that goes up":                  {file("../outside")},
		"a name that goes up inside":           {file("a/../../outside")},
		"a name that goes up and back":         {file("a/../b")},
		"a directory that goes up":             {{Typeflag: tar.TypeDir, Name: "../outside"}},
		"no name":                              {file("")},
		"the directory itself as a file":       {file(".")},
		"the directory itself as a link":       {link(".", "a")},
		"a link to an absolute name":           {link("a", "/etc")},
		"a link that goes up":                  {link("a", "..")},
		"a link that goes up from below":       {link("a/b", "../../outside")},
		"a link that goes up in the middle":    {link("a", "b/../../outside")},
		"a link to nothing":                    {link("a", "")},
		"a way out over two links":             {link("d/up", ".."), link("d/out", "up/../outside")},
		"a file behind a link":                 {link("a", "b"), {Typeflag: tar.TypeDir, Name: "b"}, file("a/x")},
		"a directory behind a link":            {link("a", "."), {Typeflag: tar.TypeDir, Name: "a"}},
		"a file over a link":                   {link("a", "b"), file("a")},
		"a link over a file":                   {file("a"), link("a", "b")},
		"a file twice":                         {file("a"), file("a")},
		"a file over a directory":              {{Typeflag: tar.TypeDir, Name: "a"}, file("a")},
		"a file below a file":                  {file("a"), file("a/b")},
		"a hard link that goes up":             {hard("a", "../secret")},
		"a hard link to an absolute name":      {hard("a", "/etc/passwd")},
		"a hard link to what is not there yet": {hard("a", "b"), file("b")},
		"a hard link to a directory":           {{Typeflag: tar.TypeDir, Name: "b"}, hard("a", "b")},
		"a hard link to a link":                {link("b", "c"), hard("a", "b")},
		"a character device":                   {{Typeflag: tar.TypeChar, Name: "null", Devmajor: 1, Devminor: 3}},
		"a block device":                       {{Typeflag: tar.TypeBlock, Name: "sda", Devmajor: 8}},
		"a pipe":                               {{Typeflag: tar.TypeFifo, Name: "pipe"}},
		"a name that is too long":              {file(strings.Repeat("a/", 520) + "a")},
		"a part of a name that is too long":    {file(strings.Repeat("a", 256))},
		"too many directories":                 {file(strings.Repeat("a/", 101) + "a")},
		"a link target that is too long":       {link("a", strings.Repeat("a", 1025))},
	} {
		t.Run(name, func(t *testing.T) {
			above := t.TempDir()
			plant(t, above, map[string]string{"secret": "s"})
			before := snapshot(t, above)
			dir := filepath.Join(above, "dir")
			err := source.Unpack(t.Context(), bytes.NewReader(archive(t, entries...)), dir, source.Limits{})
			if f := fault.From(err); f.Kind != fault.Invalid || f.Code != "source_unsafe" || strings.ContainsAny(f.Message, "\x1b\n") {
				t.Errorf("Unpack = %v, want source_unsafe", err)
			}
			if err := os.RemoveAll(dir); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(before, snapshot(t, above)); diff != "" {
				t.Errorf("outside (-before +after)\n%s", diff)
			}
		})
	}
}

func TestWhatIsThereAlreadyIsNeitherReplacedNorWrittenThrough(t *testing.T) {
	outside, dir := t.TempDir(), t.TempDir()
	plant(t, dir, map[string]string{"kept": "mine"})
	if err := os.Symlink(outside, filepath.Join(dir, "door")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"kept", "door/x", "door"} {
		err := source.Unpack(t.Context(), bytes.NewReader(archive(t, tar.Header{Typeflag: tar.TypeReg, Name: name, Size: 1})), dir, source.Limits{})
		if fault.From(err).Code != "source_unsafe" {
			t.Errorf("%s: Unpack = %v", name, err)
		}
	}
	if got := snapshot(t, outside); len(got) != 0 {
		t.Errorf("outside: %v", got)
	}
	if got := snapshot(t, dir)["kept"]; !strings.HasSuffix(got, " mine") {
		t.Errorf("the file was replaced: %q", got)
	}
}

func TestAPackageBeyondTheLimitsIsRefused(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a/b/c": strings.Repeat("c", 600), "d": strings.Repeat("d", 400)})
	packed, _ := pack(t, dir)
	for name, test := range map[string]struct {
		limits source.Limits
		code   string
	}{
		"just enough":           {source.Limits{MaxBytes: 1000, MaxEntries: 4, MaxNameLength: 5}, ""},
		"a byte too many":       {source.Limits{MaxBytes: 999}, "source_too_large"},
		"an entry too many":     {source.Limits{MaxEntries: 3}, "source_too_large"},
		"a character too many":  {source.Limits{MaxNameLength: 4}, "source_unsafe"},
		"directories count too": {source.Limits{MaxEntries: 2}, "source_too_large"},
	} {
		t.Run(name, func(t *testing.T) {
			err := source.Unpack(t.Context(), bytes.NewReader(packed), t.TempDir(), test.limits)
			if test.code == "" && err != nil || test.code != "" && fault.From(err).Code != test.code {
				t.Errorf("Unpack = %v, want %q", err, test.code)
			}
		})
	}
}

func TestABombIsRefusedBeforeItGoesOff(t *testing.T) {
	huge := archive(t, tar.Header{Typeflag: tar.TypeReg, Name: "x", Size: 1 << 30}) // of which one byte is there
	behind := gzipped(t, append(tarred(t, tar.Header{Typeflag: tar.TypeReg, Name: "x", Size: 1}), make([]byte, 8<<20)...))
	for name, packed := range map[string][]byte{"a huge file": huge, "zeros behind the end": behind} {
		dir := t.TempDir()
		err := source.Unpack(t.Context(), bytes.NewReader(packed), dir, source.Limits{MaxBytes: 1 << 20, MaxEntries: 10})
		if fault.From(err).Code != "source_too_large" {
			t.Errorf("%s: Unpack = %v", name, err)
		}
	}
}

func TestAPackageCutAnywhereIsRefused(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": incompressible(500), "b": "b"})
	packed, _ := pack(t, dir)
	for length := range packed {
		err := source.Unpack(t.Context(), bytes.NewReader(packed[:length]), t.TempDir(), source.Limits{})
		if f := fault.From(err); f == nil || f.Code != "source_truncated" {
			t.Fatalf("cut to %d of %d bytes: %v", length, len(packed), err)
		}
	}
}

func TestWhatIsNoPackageIsRefused(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": "a"})
	packed, _ := pack(t, dir)
	flipped := bytes.Clone(packed)
	flipped[len(flipped)-6] ^= 1 // in the checksum
	for name, text := range map[string][]byte{
		"a page": []byte("<html>no</html>"), "a gzip of text": gzipped(t, bytes.Repeat([]byte("text"), 300)),
		"a flipped bit": flipped, "garbage behind": append(bytes.Clone(packed), "garbage behind the end"...),
	} {
		err := source.Unpack(t.Context(), bytes.NewReader(text), t.TempDir(), source.Limits{})
		if f := fault.From(err); f.Kind != fault.Invalid || f.Code != "source_corrupt" {
			t.Errorf("%s: Unpack = %v", name, err)
		}
	}
}

func TestUnpackingEndsWithItsContextAndHearsItsReader(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": incompressible(1 << 20)})
	packed, _ := pack(t, dir)
	ctx, cancel := context.WithCancel(t.Context())
	half := bytes.NewReader(packed[:len(packed)/2])
	canceling := readerFunc(func(p []byte) (int, error) {
		n, err := half.Read(p)
		if errors.Is(err, io.EOF) {
			cancel()
			return 0, nil
		}
		return n, err
	})
	if err := source.Unpack(ctx, canceling, t.TempDir(), source.Limits{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled halfway: %v", err)
	}

	reset := errors.New("connection reset")
	broken := io.MultiReader(bytes.NewReader(packed[:len(packed)/2]), iotest.ErrReader(reset))
	if err := source.Unpack(t.Context(), broken, t.TempDir(), source.Limits{}); !errors.Is(err, reset) || fault.KindOf(err) != fault.Internal {
		t.Errorf("a broken reader: %v", err)
	}
}

func TestAFullDiskIsToldAsSuch(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small file system")
	}
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skipf("no file system can be mounted here: %v", err)
	}
	defer func() {
		if err := syscall.Unmount(dir, 0); err != nil {
			t.Error(err)
		}
	}()
	full := t.TempDir()
	plant(t, full, map[string]string{"a": incompressible(1 << 20)})
	packed, _ := pack(t, full)
	err := source.Unpack(t.Context(), bytes.NewReader(packed), dir, source.Limits{})
	if f := fault.From(err); f.Kind != fault.Exhausted || f.Code != "disk_full" {
		t.Errorf("Unpack = %v", err)
	}
}

// FuzzUnpack feeds tars from nobody good. Whatever they are, nothing appears
// outside the directory, and no link in it leads out.
func FuzzUnpack(f *testing.F) {
	f.Add(tarred(f, tar.Header{Typeflag: tar.TypeReg, Name: "a/b", Size: 1, Mode: 0o755}))
	f.Add(tarred(f, tar.Header{Typeflag: tar.TypeSymlink, Name: "a/b", Linkname: "../c"}, tar.Header{Typeflag: tar.TypeLink, Name: "d", Linkname: "a/b"}))
	f.Add(tarred(f, tar.Header{Typeflag: tar.TypeReg, Name: "../../x", Size: 1}))
	f.Add(tarred(f, tar.Header{Typeflag: tar.TypeReg, Name: strings.Repeat("é", 90), Size: 1}))
	f.Fuzz(func(t *testing.T, text []byte) {
		above := t.TempDir()
		dir := filepath.Join(above, "dir")
		_ = source.Unpack(t.Context(), bytes.NewReader(gzipped(t, text)), dir, source.Limits{MaxBytes: 1 << 20, MaxEntries: 100})
		if entries, err := os.ReadDir(above); err != nil || len(entries) > 1 {
			t.Fatalf("outside: %v (%v)", entries, err)
		}
		inside, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return
		}
		err = filepath.WalkDir(inside, func(path string, entry fs.DirEntry, err error) error {
			if err != nil || entry.Type()&fs.ModeSymlink == 0 {
				return err
			}
			end, err := filepath.EvalSymlinks(path)
			if err == nil && end != inside && !strings.HasPrefix(end, inside+"/") {
				t.Fatalf("%s leads to %s", path, end)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	})
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// archive is a gzipped tar whose files hold one full stop.
func archive(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	return gzipped(t, tarred(t, entries...))
}

func tarred(t testing.TB, entries ...tar.Header) []byte {
	t.Helper()
	var out bytes.Buffer
	w := tar.NewWriter(&out)
	for _, header := range entries {
		if err := w.WriteHeader(&header); err != nil {
			t.Fatal(err)
		}
		if header.Size > 0 {
			if _, err := w.Write([]byte(".")); err != nil {
				t.Fatal(err)
			}
		}
		if header.Size > 1 {
			return out.Bytes() // a promise that is not kept
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func gzipped(t testing.TB, text []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(text); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// incompressible is a text of n bytes, always the same.
func incompressible(n int) string {
	text := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{}).Read(text)
	return string(text)
}

// snapshot is all that is in dir, by name: mode, and content or target.
func snapshot(t *testing.T, dir string) map[string]string {
	t.Helper()
	found := make(map[string]string)
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, _ := filepath.Rel(dir, path)
		text := ""
		switch {
		case info.Mode().IsRegular():
			content, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			text = string(content)
		case info.Mode()&fs.ModeSymlink != 0:
			text, err = os.Readlink(path)
		}
		found[name] = info.Mode().String() + " " + text
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}
