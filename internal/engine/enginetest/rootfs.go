package enginetest

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"path"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/mutate"

	"fairlead.dev/fairlead/internal/demoimage"
)

// Rootfs makes the root filesystem of the demo's image in a directory of the
// test, for [Exercise].
func Rootfs(t testing.TB) string {
	t.Helper()
	image, err := demoimage.New(demoimage.Options{Files: map[string][]byte{
		"/etc/hosts":    []byte("the image's\n"),
		"/opt/nothing":  []byte("no program\n"),
		"/opt/foreign":  []byte("#!"), // executable, and nothing the kernel knows
		"/opt/data.txt": []byte("data\n"),
	}})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { //nolint:gosec // the root of a container
		t.Fatal(err)
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	contents := mutate.Extract(image)
	defer contents.Close()
	for reader := tar.NewReader(contents); ; {
		header, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return dir
		}
		if err == nil {
			err = unpack(root, header, reader)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

func unpack(root *os.Root, header *tar.Header, content io.Reader) error {
	mode := header.FileInfo().Mode()
	if err := root.MkdirAll(path.Dir(header.Name), 0o755); err != nil { // layers come last first
		return err
	}
	switch header.Typeflag {
	case tar.TypeDir:
		if err := root.MkdirAll(header.Name, 0o755); err != nil {
			return err
		}
		if err := root.Chown(header.Name, header.Uid, header.Gid); err != nil {
			return err
		}
		return root.Chmod(header.Name, mode.Perm()|mode&os.ModeSticky)
	case tar.TypeSymlink:
		return root.Symlink(header.Linkname, header.Name)
	default:
		file, err := root.OpenFile(header.Name, os.O_CREATE|os.O_WRONLY, mode.Perm())
		if err != nil {
			return err
		}
		_, err = io.Copy(file, content) // our own image
		return errors.Join(err, file.Close())
	}
}
