package unpack_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/unpack"
)

type entry struct {
	tar.Header
	content string
}

func file(name, content string) entry {
	return entry{tar.Header{Typeflag: tar.TypeReg, Name: name, Mode: 0o644, Size: int64(len(content))}, content}
}

func dir(name string, mode int64) entry {
	return entry{tar.Header{Typeflag: tar.TypeDir, Name: name, Mode: mode}, ""}
}

func link(kind byte, name, target string) entry {
	return entry{tar.Header{Typeflag: kind, Name: name, Linkname: target, Mode: 0o777}, ""}
}

func archive(t testing.TB, entries ...entry) []byte {
	t.Helper()
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, e := range entries {
		e.Format = tar.FormatPAX
		if err := w.WriteHeader(&e.Header); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, e.content); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func layer(t testing.TB, options unpack.Options, entries ...entry) (dir string, result unpack.Result, err error) {
	t.Helper()
	dir = t.TempDir()
	result, err = unpack.Layer(t.Context(), dir, bytes.NewReader(archive(t, entries...)), options)
	return dir, result, err
}

func mustLayer(t *testing.T, entries ...entry) (dir string, result unpack.Result) {
	t.Helper()
	dir, result, err := layer(t, unpack.Options{}, entries...)
	if err != nil {
		t.Fatal(err)
	}
	return dir, result
}

func stat(t *testing.T, elements ...string) unix.Stat_t {
	t.Helper()
	var s unix.Stat_t
	if err := unix.Lstat(filepath.Join(elements...), &s); err != nil {
		t.Fatalf("%v: %v", elements, err)
	}
	return s
}

func content(t *testing.T, elements ...string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(elements...))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestWhatAnEntryIsReplacesWhatAnEarlierOneOfItsNameWas(t *testing.T) {
	made := map[string]func(name string) []entry{
		"a file":           func(name string) []entry { return []entry{file(name, "x")} },
		"a directory":      func(name string) []entry { return []entry{dir(name, 0o750), file(name+"/in/it", "x")} },
		"a symbolic link":  func(name string) []entry { return []entry{link(tar.TypeSymlink, name, "target")} },
		"a broken link":    func(name string) []entry { return []entry{link(tar.TypeSymlink, name, "nowhere")} },
		"a hard link":      func(name string) []entry { return []entry{link(tar.TypeLink, name, "target")} },
		"a named pipe":     func(name string) []entry { return []entry{{tar.Header{Typeflag: tar.TypeFifo, Name: name}, ""}} },
		"an implied one":   func(name string) []entry { return []entry{file(name+"/deep/er", "x")} },
		"a whiteout":       func(name string) []entry { return []entry{file(".wh."+name, "")} },
		"nothing, earlier": func(string) []entry { return nil },
	}
	kinds := map[string]uint32{
		"a file": unix.S_IFREG, "a directory": unix.S_IFDIR, "a symbolic link": unix.S_IFLNK, "a broken link": unix.S_IFLNK,
		"a hard link": unix.S_IFREG, "a named pipe": unix.S_IFIFO,
	}
	for before, first := range made {
		for after, kind := range kinds {
			entries := slices.Concat([]entry{file("target", "t")}, first("n"), made[after]("n"), []entry{file("end", "e")})
			dir, _ := mustLayer(t, entries...)
			if got := stat(t, dir, "n").Mode & unix.S_IFMT; got != kind {
				t.Errorf("%s after %s is of the kind %o", after, before, got)
			}
			if content(t, dir, "target") != "t" || content(t, dir, "end") != "e" {
				t.Errorf("%s after %s changed other files", after, before)
			}
		}
	}
}

func TestAFileGetsOwnerModeTimesAndAttributes(t *testing.T) {
	when := time.Date(2001, 2, 3, 4, 5, 6, 789, time.UTC)
	for _, mode := range []int64{0, 0o400, 0o644, 0o777, 0o4755, 0o2664, 0o1777} {
		for _, owner := range []int{0, 1234} {
			f := file("f", "x")
			f.Mode, f.Uid, f.Gid, f.ModTime = mode, owner, owner, when
			f.PAXRecords = map[string]string{"SCHILY.xattr.user.note": "kept", "SCHILY.xattr.security.fairlead": "too"}
			dir, _ := mustLayer(t, f)
			s := stat(t, dir, "f")
			if int64(s.Mode&0o7777) != mode || int(s.Uid) != owner || int(s.Gid) != owner || s.Mtim.Nano() != when.UnixNano() {
				t.Errorf("mode %o for %o, owner %d:%d for %d, time %v", s.Mode&0o7777, mode, s.Uid, s.Gid, owner, s.Mtim)
			}
			for name, want := range map[string]string{"user.note": "kept", "security.fairlead": "too"} {
				value := make([]byte, 16)
				n, err := unix.Lgetxattr(filepath.Join(dir, "f"), name, value)
				if err != nil || string(value[:n]) != want {
					t.Errorf("%s of a file of the mode %o is %q, %v", name, mode, value[:max(n, 0)], err)
				}
			}
		}
	}
}

func TestADirectoryIsAsItIsNamedLastAndDoesNotPassOnItsGroup(t *testing.T) {
	when := time.Date(2001, 2, 3, 4, 5, 6, 0, time.UTC)
	early, late := dir("d", 0o700), dir("d", 0o2555)
	early.PAXRecords = map[string]string{"SCHILY.xattr.user.first": "1"}
	late.Gid, late.ModTime = 77, when
	made, result := mustLayer(t, early, file("d/a", "x"), late, file("d/b", "x"), file("i/f", "x"))
	s := stat(t, made, "d")
	if s.Mode&0o7777 != 0o2555 || s.Gid != 77 || s.Mtim.Sec != when.Unix() {
		t.Errorf("mode %o, group %d, time %v", s.Mode&0o7777, s.Gid, s.Mtim)
	}
	if n, err := unix.Lgetxattr(filepath.Join(made, "d"), "user.first", make([]byte, 4)); n != 1 || err != nil {
		t.Errorf("what it was given first: %v", err)
	}
	for _, name := range []string{"d/a", "d/b"} {
		if s := stat(t, made, name); s.Gid != 0 {
			t.Errorf("%s is of the group %d", name, s.Gid)
		}
	}
	if want := []string{"i"}; !slices.Equal(result.Implied, want) {
		t.Errorf("implied: %q, want %q", result.Implied, want)
	}
	if s := stat(t, made, "i"); s.Mode&0o7777 != 0o755 {
		t.Errorf("a directory that nothing is said of has the mode %o", s.Mode&0o7777)
	}
}

func TestLinksLeadNowhereOutside(t *testing.T) {
	made, _ := mustLayer(t,
		dir("real/deep", 0o755),
		link(tar.TypeSymlink, "absolute", "/real"),
		link(tar.TypeSymlink, "up", "../../../../real/deep/.."),
		link(tar.TypeSymlink, "chain", "up/deep"),
		link(tar.TypeSymlink, "dangling", "made/by/it"),
		file("absolute/1", "1"), file("up/2", "2"), file("chain/3", "3"), file("chain/../4", "4"), file("dangling/5", "5"), file("../6", "6"),
	)
	for name, want := range map[string]string{"real/1": "1", "real/2": "2", "real/deep/3": "3", "4": "4", "made/by/it/5": "5", "6": "6"} {
		if got := content(t, made, name); got != want {
			t.Errorf("%s holds %q", name, got)
		}
	}
	_, _, err := layer(t, unpack.Options{}, link(tar.TypeSymlink, "a", "b"), link(tar.TypeSymlink, "b", "a"), file("a/f", "x"))
	if !errors.Is(err, unix.ELOOP) || !strings.Contains(err.Error(), `"a/f"`) {
		t.Errorf("a loop: %v", err)
	}
}

func TestManyDirectoriesAndDeepOnesAreNoMatter(t *testing.T) {
	var entries []entry
	for i := range 300 {
		entries = append(entries, file(fmt.Sprintf("wide/%d/f", i), "x"))
	}
	deep := strings.Repeat("d/", 300)
	entries = append(entries, file(deep+"f", "deep"), link(tar.TypeLink, "wide/hard", deep+"f"), file("wide/0/g", "x"))
	made, _ := mustLayer(t, entries...)
	if content(t, made, "wide/hard") != "deep" || stat(t, made, deep, "f").Nlink != 2 {
		t.Error("the link to the deep file is none")
	}
	if open, err := os.ReadDir("/proc/self/fd"); err != nil || slices.ContainsFunc(open, func(fd fs.DirEntry) bool {
		target, _ := os.Readlink("/proc/self/fd/" + fd.Name())
		return strings.HasPrefix(target, made)
	}) {
		t.Errorf("directories stay open: %v, %v", open, err)
	}
}

func TestZerosBecomeHoles(t *testing.T) {
	const size = 4 << 20
	zeros := strings.Repeat("\x00", size)
	made, _ := mustLayer(t, file("hole", zeros), file("end", zeros+"."), file("begin", "."+zeros), file("small", "\x00"))
	for name, want := range map[string]string{"hole": zeros, "end": zeros + ".", "begin": "." + zeros, "small": "\x00"} {
		if content(t, made, name) != want {
			t.Errorf("%s is not what it was", name)
		}
		if s := stat(t, made, name); s.Blocks*512 > size/4 {
			t.Errorf("%s takes %d bytes", name, s.Blocks*512)
		}
	}
}

func TestOnlyWhatIsBelowIsHidden(t *testing.T) {
	entries := []entry{
		file("f", "x"), file(".wh.f", ""), // its own file stays
		dir("d", 0o755), file("d/own", "x"), file(".wh.d", ""), // so does its directory, which hides the one below
		file(".wh.e", ""), file("e/own", "x"), // the same the other way round
		file("o/.wh..wh..opq", ""), file("gone/.wh.g", ""), file(".wh..wh.plnk", ""),
		file("f/.wh.in-the-directory-before", ""), // as umoci writes it
	}
	made, result := mustLayer(t, entries...)
	opaque := func(name string) bool {
		value := make([]byte, 4)
		n, err := unix.Lgetxattr(filepath.Join(made, name), "trusted.overlay.opaque", value)
		return err == nil && string(value[:n]) == "y"
	}
	if content(t, made, "f") != "x" || content(t, made, "d/own") != "x" || content(t, made, "e/own") != "x" {
		t.Error("the layer's own files are not there")
	}
	if !opaque("d") || !opaque("e") || !opaque("o") || opaque("gone") {
		t.Error("the wrong directories are opaque")
	}
	if s := stat(t, made, "gone/g"); s.Mode&unix.S_IFMT != unix.S_IFCHR || s.Rdev != 0 {
		t.Errorf("the whiteout is a node of mode %o, number %d", s.Mode, s.Rdev)
	}
	if want := []string{"gone", "o"}; !result.Hides || result.HidesAll || !slices.Equal(result.Implied, want) {
		t.Errorf("%+v, want the implied %q", result, want)
	}

	alone, _ := mustLayer(t, append(entries, file(".wh..wh..opq", ""))...) // nothing is below it
	wantNoWhiteout(t, alone)

	bottom, result, err := layer(t, unpack.Options{Bottom: true}, append(entries, file(".wh..wh..opq", ""))...)
	if err != nil || !result.Hides || !result.HidesAll {
		t.Errorf("at the bottom: %+v, %v", result, err)
	}
	wantNoWhiteout(t, bottom)
}

func wantNoWhiteout(t *testing.T, dir string) {
	t.Helper()
	_ = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeCharDevice != 0 {
			t.Errorf("%s: %v, %v", path, entry.Type(), err)
		}
		return nil
	})
}

func TestAnArchiveThatMakesNoSenseSaysWhere(t *testing.T) {
	for name, bad := range map[string]struct {
		entries []entry
		is      error
	}{
		"f/g":     {[]entry{file("f", "x"), file("f/g", "x")}, unix.ENOTDIR},
		"hard":    {[]entry{link(tar.TypeLink, "hard", "nowhere")}, unix.ENOENT},
		"in/hard": {[]entry{link(tar.TypeLink, "in/hard", "no/where")}, unix.ENOENT},
		".wh.":    {[]entry{file(".wh.", "")}, tar.ErrHeader},
		".wh...":  {[]entry{file(".wh...", "")}, tar.ErrHeader},
		"cont":    {[]entry{{tar.Header{Typeflag: tar.TypeCont, Name: "cont"}, ""}}, tar.ErrHeader},
		"x":       {[]entry{file(strings.Repeat("x", 300), "")}, unix.ENAMETOOLONG},
	} {
		_, _, err := layer(t, unpack.Options{}, bad.entries...)
		if !errors.Is(err, bad.is) || !strings.HasPrefix(err.Error(), `"`+name) {
			t.Errorf("%s: %v", name, err)
		}
	}
	whole := archive(t, file("f", strings.Repeat("x", 4096)))
	_, err := unpack.Layer(t.Context(), t.TempDir(), bytes.NewReader(whole[:2048]), unpack.Options{})
	if !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("half an archive: %v", err)
	}
}

func TestWhatIsNotAdmittedEndsIt(t *testing.T) {
	no := errors.New("no")
	_, _, err := layer(t, unpack.Options{Admit: func(h *tar.Header) error {
		if h.Name == "b" {
			return no
		}
		return nil
	}}, file("a", "x"), file("./b", "x"))
	if !errors.Is(err, no) {
		t.Errorf("got %v", err)
	}
}

// FuzzLayer looks for an archive that panics, or reaches what is beside the
// directory.
func FuzzLayer(f *testing.F) {
	f.Add(archive(f, dir("d", 0o755), file("d/f", "x"), link(tar.TypeSymlink, "s", "../outside"), file("s/f", "x"), link(tar.TypeLink, "h", "s/f")))
	f.Add(archive(f, file("../outside/f", "x"), file(".wh.d", ""), file("d/.wh..wh..opq", ""), link(tar.TypeSymlink, "d", "/")))
	f.Fuzz(func(t *testing.T, layer []byte) {
		parent := t.TempDir()
		inside, outside := filepath.Join(parent, "inside"), filepath.Join(parent, "outside")
		if err := errors.Join(os.Mkdir(inside, 0o700), os.Mkdir(outside, 0o700)); err != nil {
			t.Fatal(err)
		}
		before := stat(t, outside)
		small := func(h *tar.Header) error {
			if h.Size > 1<<20 || h.Typeflag == tar.TypeChar || h.Typeflag == tar.TypeBlock {
				return fs.ErrInvalid
			}
			return nil
		}
		_, _ = unpack.Layer(t.Context(), inside, bytes.NewReader(layer), unpack.Options{Admit: small})
		if left, err := os.ReadDir(parent); err != nil || len(left) != 2 || stat(t, outside) != before {
			t.Errorf("beside the directory: %v, %v", left, err)
		}
	})
}
