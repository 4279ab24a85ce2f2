package gitfetch_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/gitfetch"
	"fairlead.dev/fairlead/internal/source"
)

// packed packs a commit that has nothing to warn of.
func packed(t *testing.T, f *gitfetch.Fetcher, r gitfetch.Remote, commit string) []byte {
	t.Helper()
	var b bytes.Buffer
	warnings, err := f.Pack(t.Context(), r, commit, &b)
	if err != nil || len(warnings) > 0 {
		t.Fatalf("packing: %v, with the warnings %q", err, warnings)
	}
	return b.Bytes()
}

// names lists what a package holds.
func names(t *testing.T, pack []byte) []string {
	t.Helper()
	unzipped, err := gzip.NewReader(bytes.NewReader(pack))
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for archive := tar.NewReader(unzipped); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, header.Name)
	}
}

func TestAPackageOfACommitIsThatOfItsCheckout(t *testing.T) {
	everyWay(t, func(t *testing.T, root string, f *gitfetch.Fetcher, remote gitfetch.Remote) {
		r := newRepository(t, root, "team/model")
		noise := make([]byte, 6<<20) // more than is read at once
		_, _ = rand.Read(noise)
		r.write(map[string]string{
			"run.sh": "#!/bin/sh\n", "a/b/c.txt": "c", "a.txt": "beside a", "a-b/x": "git sorts otherwise", "ünïcode name": "", "big": string(noise),
			"zeros": strings.Repeat("\x00", 5<<20),
		})
		if err := errors.Join(
			os.Chmod(filepath.Join(r.dir, "run.sh"), 0o755),
			os.Symlink("b/c.txt", filepath.Join(r.dir, "a/link")),
			os.Symlink("../a.txt", filepath.Join(r.dir, "a/up")),
		); err != nil {
			t.Fatal(err)
		}
		r.commit("before", nil)
		commit := r.commit("all", map[string]string{"big": string(noise[:5<<20]) + "changed"}) // one of them becomes a delta
		r.git("gc", "-q")

		got := packed(t, f, remote, commit)
		var want bytes.Buffer
		if _, err := source.Pack(t.Context(), r.dir, &want, source.Options{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want.Bytes()) {
			t.Errorf("the package holds %v, that of the checkout %v", names(t, got), names(t, want.Bytes()))
		}
		if again := packed(t, f, remote, commit); !bytes.Equal(got, again) {
			t.Error("the same commit gave other bytes")
		}
		if err := source.Unpack(t.Context(), bytes.NewReader(got), t.TempDir(), source.Limits{}); err != nil {
			t.Error(err)
		}
		before := packed(t, f, remote, r.git("rev-parse", "HEAD~1"))
		if bytes.Equal(got, before) {
			t.Error("another commit gave the same bytes")
		}
	})
}

func TestWhatAPackageCannotHoldIsWarnedOf(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{}, h)
	r.write(map[string]string{
		".gitignore": "kept\n", "kept": "committed all the same",
		"model.bin": "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12\n",
		"notes.txt": "version https://git-lfs.github.com/spec/v1 is what a pointer starts with",
		".hg/store": "",
	})
	if err := errors.Join(os.Symlink("/etc/passwd", filepath.Join(r.dir, "out")), os.Symlink("../x", filepath.Join(r.dir, "up"))); err != nil {
		t.Fatal(err)
	}
	r.git("add", "-A", "-f")
	r.git("update-index", "--add", "--cacheinfo", "160000,"+r.git("rev-parse", "HEAD")+",libs/other")
	r.git("commit", "-q", "-m", "all")

	var b bytes.Buffer
	warnings, err := f.Pack(t.Context(), h.remote("a"), r.git("rev-parse", "HEAD"), &b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{".gitignore", "kept", "notes.txt", "valohai.yaml"}, names(t, b.Bytes())); diff != "" {
		t.Error(diff)
	}
	all := strings.Join(warnings, "\n")
	for _, part := range []string{`"model.bin" is left out: it is a pointer of Git LFS`, `"out" is left out: it is a link`, `"up" is`, `"libs/other" is left out: it is a submodule`, `".hg" is`} {
		if !strings.Contains(all, part) {
			t.Errorf("no %q in\n%s", part, all)
		}
	}
	if len(warnings) != 5 {
		t.Errorf("got %d warnings:\n%s", len(warnings), all)
	}
}

func TestACommitThatWritesOutsideIsPackedWithoutIt(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{}, h)
	blob := r.git("hash-object", "-w", "valohai.yaml")
	commit := rawCommit(t, r, "100644 ..\x00"+raw(blob)+"100644 .GIT\x00"+raw(blob)+"100644 ok\x00"+raw(blob))
	r.git("update-ref", "refs/heads/main", commit)
	var b bytes.Buffer
	warnings, err := f.Pack(t.Context(), h.remote("a"), commit, &b)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ok"}, names(t, b.Bytes())); diff != "" || len(warnings) != 2 {
		t.Errorf("%s\nwarnings: %q", diff, warnings)
	}
}

func TestATreeThatMultipliesIsRefused(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	f := fetcher(t, gitfetch.Config{}, h)
	tree := r.git("hash-object", "-w", "-t", "tree", "/dev/null")
	for range 12 { // 10 to the power of 12 directories, and no file
		var text strings.Builder
		for _, name := range "abcdefghij" {
			text.WriteString("40000 " + string(name) + "\x00" + raw(tree))
		}
		tree = rawObject(t, r, "tree", text.String())
	}
	commit := r.git("commit-tree", tree, "-m", "bomb")
	r.git("update-ref", "refs/heads/main", commit)
	var b bytes.Buffer
	_, err := f.Pack(t.Context(), h.remote("a"), commit, &b)
	wantFault(t, err, fault.Exhausted, "git_too_large")
	if b.Len() > 0 {
		t.Errorf("%d bytes were written before", b.Len())
	}
}

func TestWhatIsTooLargeIsRefused(t *testing.T) {
	h := newWebHost(t, true)
	noise := make([]byte, 300<<10)
	_, _ = rand.Read(noise)

	newRepository(t, h.root, "sent").commit("noise", map[string]string{"a": string(noise)})
	_, err := fetcher(t, gitfetch.Config{MostBytes: 100 << 10}, h).Fetch(t.Context(), h.remote("sent"))
	wantFault(t, err, fault.Exhausted, "git_too_large")

	newRepository(t, h.root, "blown").commit("zeros", map[string]string{"a": strings.Repeat("\x00", 8<<20)})
	_, err = fetcher(t, gitfetch.Config{MostBytes: 1 << 20}, h).Fetch(t.Context(), h.remote("blown"))
	wantFault(t, err, fault.Exhausted, "git_too_large")

	r := newRepository(t, h.root, "many")
	same := strings.Repeat("the same", 50<<10)
	commit := r.commit("copies", map[string]string{"a": same, "b": same, "c": same})
	_, err = fetcher(t, gitfetch.Config{MostBytes: 1 << 20}, h).Pack(t.Context(), h.remote("many"), commit, io.Discard)
	wantFault(t, err, fault.Exhausted, "git_too_large")
}

func TestACommitWithoutAFileIsRefused(t *testing.T) {
	h := newWebHost(t, true)
	r := newRepository(t, h.root, "a")
	r.git("rm", "-q", "valohai.yaml")
	commit := r.commit("nothing", nil)
	f := fetcher(t, gitfetch.Config{}, h)
	_, err := f.Pack(t.Context(), h.remote("a"), commit, io.Discard)
	wantFault(t, err, fault.Invalid, "source_empty")
	_, err = f.Pack(t.Context(), h.remote("a"), "main", io.Discard)
	if !fault.Is(err, fault.Invalid) {
		t.Errorf("a name was packed: %v", err)
	}
	_, err = f.Pack(t.Context(), h.remote("a"), strings.Repeat("7", 40), io.Discard)
	wantFault(t, err, fault.NotFound, "git_rev_unknown")
}
