package depot_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"fairlead.dev/fairlead/internal/depot"
	"fairlead.dev/fairlead/internal/fault"
)

func open(t *testing.T) (*depot.Depot, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "made", "here")
	d, err := depot.Open(t.Context(), "file://"+dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.Close(); err != nil {
			t.Error(err)
		}
	})
	return d, dir
}

func TestAFileComesBackFromAnyByteOn(t *testing.T) {
	d, _ := open(t)
	size, sum, err := d.Put(t.Context(), "project/execution/röd", strings.NewReader("0123456789"))
	if err != nil || size != 10 || sum != "84d89877f0d4041efb6bf91a16f0248f2fd573e6af05c19f96bedb9f882f7882" {
		t.Fatalf("put: %d, %s, %v", size, sum, err)
	}
	for _, test := range []struct {
		offset int64
		want   string
	}{{0, "0123456789"}, {7, "789"}} {
		body, err := d.Open(t.Context(), "project/execution/röd", test.offset)
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(body)
		if err := errors.Join(err, body.Close()); err != nil || string(got) != test.want {
			t.Errorf("from %d on it is %q, %v; want %q", test.offset, got, err, test.want)
		}
	}
}

func TestAFileThatBreaksOffLeavesNothing(t *testing.T) {
	d, dir := open(t)
	for name, broken := range map[string]io.Reader{
		"a connection":    io.MultiReader(strings.NewReader("half"), iotest.ErrReader(io.ErrUnexpectedEOF)),
		"one that leaves": io.MultiReader(strings.NewReader("half"), iotest.ErrReader(context.Canceled)),
	} {
		if _, _, err := d.Put(t.Context(), "a/b", broken); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
	_, err := d.Open(t.Context(), "a/b", 0)
	if f := fault.From(err); f.Code != "depot_missing" {
		t.Errorf("opening it: %v", err)
	}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			t.Errorf("%s was left", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestDeletingWhatIsNotThereIsNoError(t *testing.T) {
	d, _ := open(t)
	if _, _, err := d.Put(t.Context(), "a/b", strings.NewReader("x")); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := d.Delete(t.Context(), "a/b"); err != nil {
			t.Error(err)
		}
	}
}

func TestOthersOfTheMachineReadNoOutputs(t *testing.T) {
	_, dir := open(t)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the directory has the mode %o", info.Mode().Perm())
	}
}

func TestAnAddressThatIsNoneIsRefusedWithTheMend(t *testing.T) {
	for address, want := range map[string]string{
		"":                       "depot_url",
		"/srv/outputs":           "depot_url",
		"https://example.com/x":  "depot_url",
		"s3://user:pass@bucket":  "depot_url",
		"file://srv/outputs":     "depot_open",
		"file:///dev/null/below": "depot_open",
		"s3://":                  "depot_open",
	} {
		d, err := depot.Open(t.Context(), address)
		if err == nil {
			t.Errorf("%q was opened", address)
			_ = d.Close()
			continue
		}
		f := fault.From(err)
		if f.Kind != fault.Invalid || f.Code != want || f.Hint == "" || strings.Contains(f.Sentence(), "pass") {
			t.Errorf("%q: %v (%s)", address, f.Sentence(), f.Code)
		}
	}
}
