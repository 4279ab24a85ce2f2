package source_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/source"
)

func TestTheSameContentGivesTheSamePackage(t *testing.T) {
	files := map[string]string{"valohai.yaml": "- step:", "a/b/c.py": "print()", "a.py": "", "a/z": "z", "é/ü": "x", "\xff": "no UTF-8"}
	names := slices.Sorted(maps.Keys(files))

	first := t.TempDir()
	for _, name := range names {
		plant(t, first, map[string]string{name: files[name]})
	}
	second := t.TempDir()
	for _, name := range slices.Backward(names) {
		plant(t, second, map[string]string{"gone": "", name: files[name]})
	}
	if err := os.Remove(filepath.Join(second, "gone")); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(second, "empty"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		path := filepath.Join(second, name)
		if err := errors.Join(os.Chmod(path, 0o600), os.Chtimes(path, time.Unix(1, 0), time.Unix(2, 0))); err != nil {
			t.Fatal(err)
		}
	}

	one, manifest := pack(t, first)
	two, _ := pack(t, second)
	if !bytes.Equal(one, two) {
		t.Error("the packages differ")
	}
	want := source.Manifest{
		Identifier: fmt.Sprintf("~%x", sha256.Sum256(one)), Files: 6, ContentBytes: 7 + 7 + 1 + 1 + 8, PackedBytes: int64(len(one)),
	}
	if diff := cmp.Diff(want, manifest); diff != "" {
		t.Errorf("manifest (-want +got)\n%s", diff)
	}

	if err := os.Chmod(filepath.Join(second, "a.py"), 0o755); err != nil {
		t.Fatal(err)
	}
	if three, _ := pack(t, second); bytes.Equal(one, three) {
		t.Error("a file that became executable changed nothing")
	}
}

func TestAPackageTellsNothingOfWhoMadeItAndWhen(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"x": "x"})
	packed, _ := pack(t, dir)
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	if !zipped.ModTime.IsZero() || zipped.Name != "" {
		t.Errorf("gzip header %+v", zipped.Header)
	}
	header, err := tar.NewReader(zipped).Next()
	if err != nil {
		t.Fatal(err)
	}
	if header.ModTime.Unix() != 0 || header.Uid != 0 || header.Gid != 0 || header.Uname != "" || header.Gname != "" || header.Mode != 0o644 {
		t.Errorf("tar header %+v", header)
	}
}

func TestWhatAPackageCannotHoldIsLeftOutAndReported(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"real/x": "x"})
	for name, target := range map[string]string{
		"inside": "real/x", "real/up": "../real", "real/self": ".", "dangling": "gone", "real/slash": "../real/",
		"absolute": "/etc/passwd", "above": "../x", "real/above": "../../x", "through": "real/up/../../x",
	} {
		if err := os.Symlink(target, filepath.Join(dir, name)); err != nil {
			t.Fatal(err)
		}
	}
	if err := syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o644); err != nil {
		t.Fatal(err)
	}
	t.Chdir(dir) // the path of a socket is short
	socket, err := net.Listen("unix", "socket")
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()

	packed, manifest := pack(t, ".")
	want := []source.Skipped{
		{Name: "above", Reason: `it is a link that leads out of the project, to "../x"`},
		{Name: "absolute", Reason: `it is a link that leads out of the project, to "/etc/passwd"`},
		{Name: "pipe", Reason: "it is a named pipe"},
		{Name: "real/above", Reason: `it is a link that leads out of the project, to "../../x"`},
		{Name: "socket", Reason: "it is a socket"},
		{Name: "through", Reason: `it is a link that leads out of the project, to "real/up/../../x"`},
	}
	if diff := cmp.Diff(want, manifest.Skipped); diff != "" {
		t.Errorf("skipped (-want +got)\n%s", diff)
	}
	names := []string{"dangling -> gone", "inside -> real/x", "real/self -> .", "real/slash -> ../real/", "real/up -> ../real", "real/x"}
	if diff := cmp.Diff(names, entryNames(t, packed)); diff != "" {
		t.Errorf("packed (-want +got)\n%s", diff)
	}
}

func TestAProjectThatIsTooLargeIsRefusedWithWhatIsLargest(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{
		"src/main.py": "x", "src/data/a.bin": strings.Repeat("a", 3000), "src/data/b.bin": strings.Repeat("b", 2000),
		"src/data/c/d": strings.Repeat("c", 1000), "src/data/e": "e",
	})
	var out bytes.Buffer
	_, err := source.Pack(t.Context(), dir, &out, source.Options{MaxBytes: 6001})
	f := fault.From(err)
	want := `the project's files have 5.9 KiB, and a package holds at most 5.9 KiB; the largest are "src/data/a.bin" (2.9 KiB), "src/data/b.bin" (2.0 KiB), "src/data/c/" (1000 B)`
	if f.Kind != fault.Exhausted || f.Message != want || !strings.Contains(f.Hint, ".vhignore") {
		t.Errorf("got %s: %s", f.Kind, f.Sentence())
	}
	if out.Len() != 0 {
		t.Errorf("%d bytes were written before", out.Len())
	}
	if _, err := source.Pack(t.Context(), dir, &out, source.Options{MaxBytes: 6002}); err != nil {
		t.Errorf("at the limit: %v", err)
	}

	plant(t, dir, map[string]string{".vhignore": "data/\n"})
	if _, err := source.Pack(t.Context(), dir, &out, source.Options{MaxBytes: 6001}); err != nil {
		t.Errorf("after the mend: %v", err)
	}
}

func TestAProjectOfTooManyFilesIsRefusedWithWhereTheyAre(t *testing.T) {
	dir := t.TempDir()
	for i := range 20 {
		plant(t, dir, map[string]string{fmt.Sprintf("node_modules/%02d", i): ""})
	}
	_, err := source.Pack(t.Context(), dir, io.Discard, source.Options{MaxFiles: 10})
	f := fault.From(err)
	if f.Kind != fault.Exhausted || !strings.Contains(f.Message, `more than 10 files`) || !strings.Contains(f.Message, `"node_modules/`) {
		t.Errorf("got %s: %s", f.Kind, f.Sentence())
	}
	if _, err := source.Pack(t.Context(), dir, io.Discard, source.Options{MaxFiles: 20}); err != nil {
		t.Errorf("at the limit: %v", err)
	}
}

func TestADirectoryWithNothingToPackIsRefused(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{".vhignore": "*\n", "x": ""})
	if _, err := source.Pack(t.Context(), dir, io.Discard, source.Options{}); fault.From(err).Code != "source_empty" {
		t.Errorf("Pack = %v", err)
	}
	if _, err := source.Pack(t.Context(), filepath.Join(dir, "gone"), io.Discard, source.Options{}); fault.From(err).Code != "source_unreadable" {
		t.Errorf("Pack of nothing = %v", err)
	}
}

func TestPackingEndsWithItsContext(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": strings.Repeat("a", 1<<20), "b": ""})
	ctx, cancel := context.WithCancel(t.Context())
	_, err := source.Pack(ctx, dir, writerFunc(func(p []byte) (int, error) { cancel(); return len(p), nil }), source.Options{})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("canceled at the first byte: %v", err)
	}
	if _, err := source.Pack(ctx, dir, io.Discard, source.Options{}); !errors.Is(err, context.Canceled) {
		t.Errorf("canceled before: %v", err)
	}
}

func TestAFileThatChangesWhileItIsPackedIsNamed(t *testing.T) {
	for name, change := range map[string]func(path string) error{
		"grown":   func(path string) error { return os.WriteFile(path, []byte("more"), 0o644) },
		"removed": os.Remove,
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			plant(t, dir, map[string]string{"a": incompressible(1 << 20), "b.log": ""})
			once := false
			_, err := source.Pack(t.Context(), dir, writerFunc(func(p []byte) (int, error) {
				if !once {
					once = true
					if err := change(filepath.Join(dir, "b.log")); err != nil {
						t.Error(err)
					}
				}
				return len(p), nil
			}), source.Options{})
			if f := fault.From(err); f.Code != "source_changed" || !strings.Contains(f.Message, `"b.log"`) {
				t.Errorf("Pack = %v", err)
			}
		})
	}
}

func TestAWriterThatFailsIsHeard(t *testing.T) {
	dir := t.TempDir()
	plant(t, dir, map[string]string{"a": incompressible(1 << 20)})
	broken := errors.New("connection reset")
	if _, err := source.Pack(t.Context(), dir, writerFunc(func([]byte) (int, error) { return 0, broken }), source.Options{}); !errors.Is(err, broken) {
		t.Errorf("Pack = %v", err)
	}
}

type writerFunc func(p []byte) (int, error)

func (f writerFunc) Write(p []byte) (int, error) { return f(p) }

// plant writes files, by their names relative to dir.
func plant(t *testing.T, dir string, files map[string]string) {
	t.Helper()
	for name, content := range files {
		path := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

func pack(t *testing.T, dir string) ([]byte, source.Manifest) {
	t.Helper()
	var out bytes.Buffer
	manifest, err := source.Pack(t.Context(), dir, &out, source.Options{})
	if err != nil {
		t.Fatal(err)
	}
	return out.Bytes(), manifest
}

func packedNames(t *testing.T, dir string) []string {
	t.Helper()
	packed, _ := pack(t, dir)
	return entryNames(t, packed)
}

// entryNames are the names in a package, in order, with where links lead.
func entryNames(t *testing.T, packed []byte) []string {
	t.Helper()
	zipped, err := gzip.NewReader(bytes.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for archive := tar.NewReader(zipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			slices.Sort(names)
			return names
		}
		if err != nil {
			t.Fatal(err)
		}
		name := header.Name
		if header.Linkname != "" {
			name += " -> " + header.Linkname
		}
		names = append(names, name)
	}
}
