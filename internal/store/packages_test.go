package store_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/iotest"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/store"
)

func packages(t *testing.T) (*store.Packages, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "pack[ages]*")
	p, err := store.OpenPackages(dir)
	if err != nil {
		t.Fatal(err)
	}
	return p, dir
}

// files are the names in dir.
func files(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, entry := range entries {
		names = append(names, entry.Name())
	}
	return names
}

func TestAPackageIsKeptUnderItsHash(t *testing.T) {
	p, dir := packages(t)
	content := bytes.Repeat([]byte("code "), 10_000)
	want := fmt.Sprintf("~%x", sha256.Sum256(content))
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			identifier, size, err := p.Put(t.Context(), bytes.NewReader(content), int64(len(content)))
			if err != nil || identifier != want || size != int64(len(content)) {
				t.Errorf("got %s, %d bytes, %v", identifier, size, err)
			}
		})
	}
	all.Wait()
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("the directory holds %v", names)
	}
	file, size, err := p.Open(t.Context(), want)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	got, err := io.ReadAll(file)
	if err != nil || !bytes.Equal(got, content) || size != int64(len(content)) {
		t.Errorf("%d of %d bytes came back, %v", len(got), size, err)
	}
	if info, err := os.Stat(filepath.Join(dir, files(t, dir)[0])); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
}

func TestAPackageThatIsRefusedOrBrokenOffLeavesNothing(t *testing.T) {
	p, dir := packages(t)
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	broken := errors.New("the line was cut")
	_, _, large := p.Put(t.Context(), bytes.NewReader(make([]byte, 101)), 100)
	if !fault.Is(large, fault.Exhausted) {
		t.Errorf("too large: got %v", large)
	}
	if _, _, err := p.Put(t.Context(), io.MultiReader(bytes.NewReader(make([]byte, 50)), iotest.ErrReader(broken)), 100); !errors.Is(err, broken) {
		t.Errorf("broken off: got %v", err)
	}
	if _, _, err := p.Put(gone, bytes.NewReader(make([]byte, 50)), 100); !errors.Is(err, context.Canceled) {
		t.Errorf("given up: got %v", err)
	}
	if names := files(t, dir); len(names) != 0 {
		t.Errorf("the directory holds %v", names)
	}
}

func TestOnlyAnIdentifierOpensAPackage(t *testing.T) {
	p, dir := packages(t)
	if err := os.WriteFile(filepath.Join(filepath.Dir(dir), "secret.tar.gz"), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%X", sha256.Sum256(nil))
	for _, name := range []string{"", "~", "../secret", "~../secret", "~" + sum, sum, "~" + sum[:10], "~" + sum + "\x00"} {
		if _, _, err := p.Open(t.Context(), name); !fault.Is(err, fault.NotFound) {
			t.Errorf("%q: got %v", name, err)
		}
	}
}

func TestWhatADeadUploadLeftIsRemovedAndALiveOneIsNot(t *testing.T) {
	p, dir := packages(t)
	orphan := filepath.Join(dir, "upload-dead")
	if err := os.WriteFile(orphan, []byte("half"), 0o600); err != nil {
		t.Fatal(err)
	}
	reader, writer := io.Pipe()
	done := make(chan error)
	go func() {
		_, _, err := p.Put(t.Context(), reader, 100)
		done <- err
	}()
	if _, err := writer.Write([]byte("live")); err != nil { // returns when Put has read it
		t.Fatal(err)
	}
	if _, err := store.OpenPackages(dir); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(orphan); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the orphan: %v", err)
	}
	if err := writer.Close(); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Error(err)
	}
	if names := files(t, dir); len(names) != 1 {
		t.Errorf("the directory holds %v", names)
	}
}
