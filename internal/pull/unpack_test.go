package pull_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"github.com/klauspost/compress/zstd"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// unpacked is the tree that an image of some layers is mounted as.
func unpacked(t *testing.T, layers ...testLayer) (rootfs, root string) {
	t.Helper()
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layers...))
	root = t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	return mustMount(t, store, mustPull(t, store, far.request(t, "acme/train:v1")), "k"), root
}

func TestWhiteoutsRemoveWhatIsBelowAndOpaqueDirectoriesHideIt(t *testing.T) {
	rootfs, _ := unpacked(t,
		layer(t, dir("a"), file("a/gone", "1"), file("a/stays", "1"), dir("b"), file("b/hidden", "1"), dir("b/c"), file("d", "1"), dir("e"), file("e/f", "1")),
		layer(t, file("a/.wh.gone", ""), dir("b"), file("b/.wh..wh..opq", ""), file("b/new", "2"), file(".wh.d", ""), file(".wh.e", "")),
		layer(t, file("d", "3"), file("e/g", "3")),
	)
	want := map[string]string{"a/": "", "a/stays": "1", "b/": "", "b/new": "2", "d": "3", "e/": "", "e/g": "3"}
	if diff := cmp.Diff(want, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestNothingInALayerLeavesTheRootFilesystem(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, []byte("outside"), 0o600); err != nil {
		t.Fatal(err)
	}
	rootfs, root := unpacked(t,
		layer(t,
			file("../../../../../../dots", "1"),
			file("/absolute", "1"),
			link(tar.TypeSymlink, "host", filepath.Dir(outside)),
			file("host/outside", "through a link"),
			link(tar.TypeSymlink, "up", "../../../../../.."),
			file("up/through", "1"),
		),
		layer(t,
			file("host/second", "through the link below"),
			link(tar.TypeSymlink, "passwd", "/etc/passwd"),
		),
	)
	content, err := os.ReadFile(outside)
	if err != nil || string(content) != "outside" {
		t.Errorf("the file outside is %q, %v", content, err)
	}
	beside, err := os.ReadDir(filepath.Dir(outside))
	if err != nil || len(beside) != 1 {
		t.Errorf("beside the file outside there are %v, %v", beside, err)
	}
	for _, name := range []string{"dots", "through"} {
		for dir := filepath.Dir(root); ; dir = filepath.Dir(dir) {
			if _, err := os.Lstat(filepath.Join(dir, name)); err == nil {
				t.Errorf("%s was written to %s", name, dir)
			}
			if dir == "/" {
				break
			}
		}
	}
	tree := readTree(t, rootfs)
	for name, want := range map[string]string{"dots": "1", "absolute": "1", "through": "1", "passwd": "-> /etc/passwd"} {
		if tree[name] != want {
			t.Errorf("%s is %q, want %q", name, tree[name], want)
		}
	}
}

func TestAHardLinkToAFileOutsideIsRefused(t *testing.T) {
	outside := filepath.Join(t.TempDir(), "outside")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	far := newFarSide(t)
	for _, target := range []string{outside, "../../../../../../../.." + outside, "link/outside"} {
		far.push(t, "acme/train:v1", imageOf(t, layer(t,
			link(tar.TypeSymlink, "link", filepath.Dir(outside)), link(tar.TypeLink, "hard", target))))
		root := t.TempDir()
		store := openStore(t, pull.Config{Root: root})
		_, err := store.Pull(t.Context(), far.request(t, "acme/train:v1"))
		wantFault(t, err, fault.Unavailable, "layer_corrupt")
		wantNoLayer(t, store, root)
	}
	var stat unix.Stat_t
	if err := unix.Stat(outside, &stat); err != nil || stat.Nlink != 1 {
		t.Errorf("the file outside has %d links, %v", stat.Nlink, err)
	}
}

func TestALayerHasNoSayInHowItIsStacked(t *testing.T) {
	entry := dir("d")
	entry.PAXRecords = map[string]string{
		"SCHILY.xattr.trusted.overlay.opaque": "y",
		"SCHILY.xattr.user.overlay.opaque":    "y",
		"SCHILY.xattr.user.note":              "kept",
	}
	rootfs, _ := unpacked(t, layer(t, dir("d"), file("d/below", "1")), layer(t, entry, file("d/above", "2")))
	want := map[string]string{"d/": "", "d/below": "1", "d/above": "2"}
	if diff := cmp.Diff(want, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
	note := make([]byte, 16)
	if n, err := unix.Getxattr(filepath.Join(rootfs, "d"), "user.note", note); err != nil || string(note[:n]) != "kept" {
		t.Errorf("user.note = %q, %v", note[:max(n, 0)], err)
	}
}

func TestDeviceNodesAreRefusedUnlessTheyAreAllowedAndNeverOpen(t *testing.T) {
	far := newFarSide(t)
	null := tarEntry{tar.Header{Typeflag: tar.TypeChar, Name: "dev/null", Mode: 0o666, Devmajor: 1, Devminor: 3}, ""}
	far.push(t, "acme/train:v1", imageOf(t, layer(t, null)))
	_, err := openStore(t, pull.Config{}).Pull(t.Context(), far.request(t, "acme/train:v1"))
	if f := wantFault(t, err, fault.Invalid, "layer_device"); !strings.Contains(f.Message, `"dev/null"`) {
		t.Errorf("sentence = %q", f.Sentence())
	}

	store := openStore(t, pull.Config{AllowDevices: true})
	node := filepath.Join(mustMount(t, store, mustPull(t, store, far.request(t, "acme/train:v1")), "k"), "dev/null")
	var stat unix.Stat_t
	if err := unix.Stat(node, &stat); err != nil || stat.Mode != unix.S_IFCHR|0o666 || stat.Rdev != unix.Mkdev(1, 3) {
		t.Errorf("mode %o, device %d, %v", stat.Mode, stat.Rdev, err)
	}
	if _, err := os.Open(node); !errors.Is(err, unix.EACCES) {
		t.Errorf("opening it: %v", err)
	}

	mark := tarEntry{tar.Header{Typeflag: tar.TypeChar, Name: "gone", Mode: 0o666}, ""}
	far.push(t, "acme/mark:v1", imageOf(t, layer(t, file("gone", "1")), layer(t, mark)))
	_, err = store.Pull(t.Context(), far.request(t, "acme/mark:v1"))
	wantFault(t, err, fault.Unavailable, "layer_corrupt")
}

func TestOwnersAndModesAreTheLayers(t *testing.T) {
	entry := file("su", "x")
	entry.Mode, entry.Uid, entry.Gid = 0o4755, 1000, 2000
	rootfs, _ := unpacked(t, layer(t, entry))
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(rootfs, "su"), &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Mode&0o7777 != 0o4755 || stat.Uid != 1000 || stat.Gid != 2000 {
		t.Errorf("mode %o, owner %d:%d", stat.Mode, stat.Uid, stat.Gid)
	}
}

// sparse is an archive of one file that is all hole, in the form that
// archive/tar reads and does not write.
// https://www.gnu.org/software/tar/manual/html_node/PAX-1.html
func sparse(size int64) []byte {
	var records string
	for _, record := range []string{"GNU.sparse.major=1", "GNU.sparse.minor=0", "GNU.sparse.name=hole", fmt.Sprint("GNU.sparse.realsize=", size)} {
		const digits = 2
		records += fmt.Sprintf("%d %s\n", digits+1+len(record)+1, record)
	}
	pieces := fmt.Sprintf("1\n%d\n0\n", size)
	var b bytes.Buffer
	for _, entry := range []struct {
		kind    byte
		content string
	}{{tar.TypeXHeader, records}, {tar.TypeReg, pieces + string(make([]byte, 512-len(pieces)))}} {
		header := make([]byte, 512)
		copy(header, "GNUSparseFile.0/hole")
		copy(header[100:], "0000644\x000000000\x000000000\x00")
		copy(header[124:], fmt.Sprintf("%011o\x00%011o\x00        ", len(entry.content), 0))
		header[156] = entry.kind
		copy(header[257:], "ustar\x0000")
		sum := 0
		for _, c := range header {
			sum += int(c)
		}
		copy(header[148:], fmt.Sprintf("%06o\x00", sum))
		b.Write(header)
		b.WriteString(entry.content)
		b.Write(make([]byte, (512-len(entry.content)%512)%512))
	}
	b.Write(make([]byte, 1024))
	return b.Bytes()
}

func TestAnImageThatUnpacksToTooMuchIsStopped(t *testing.T) {
	const most = 1 << 20
	for outcome, layers := range map[string][]testLayer{
		"a bomb of zeros":               {layer(t, file("zeros", string(make([]byte, 2*most))))},
		"many layers that are small":    {layer(t, file("a", noise(most/2))), layer(t, file("b", noise(most/2))), layer(t, file("c", "!"))},
		"zeros behind the archive":      {compressedBy(t, "application/vnd.oci.image.layer.v1.tar+gzip", append(archiveOf(t, file("a", "a")), make([]byte, 2*most)...))},
		"a file that is mostly a hole":  {compressedBy(t, "application/vnd.oci.image.layer.v1.tar+gzip", sparse(8<<30))},
		"no file but very many entries": {compressedBy(t, "application/vnd.oci.image.layer.v1.tar+gzip", bytes.Repeat(archiveOf(t, dir("d"))[:512], 2*most/512))},
	} {
		t.Run(outcome, func(t *testing.T) {
			far := newFarSide(t)
			far.push(t, "acme/bomb:v1", imageOf(t, layers...))
			store := openStore(t, pull.Config{MaxUnpacked: most})
			_, err := store.Pull(t.Context(), far.request(t, "acme/bomb:v1"))
			wantFault(t, err, fault.Exhausted, "image_too_large")
		})
	}
}

func TestADirectoryThatALayerDoesNotNameStaysWhatItIsBelow(t *testing.T) {
	when := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	shared := dir("shared")
	shared.Mode, shared.Uid, shared.Gid, shared.ModTime = 0o1777, 1000, 2000, when
	shared.PAXRecords = map[string]string{"SCHILY.xattr.security.fairlead": "kept"}
	named, replaced := dir("named"), dir("replaced")
	named.Mode, replaced.Mode = 0o700, 0o700
	rootfs, _ := unpacked(t,
		layer(t, shared, named, replaced),
		layer(t, file("between", "1"), link(tar.TypeSymlink, "replaced", "between")),
		layer(t, file("shared/new/file", "2"), dir("named"), file("named/file", "2"), file("replaced/file", "2")),
	)
	var stat unix.Stat_t
	if err := unix.Stat(filepath.Join(rootfs, "shared"), &stat); err != nil {
		t.Fatal(err)
	}
	if stat.Mode&0o7777 != 0o1777 || stat.Uid != 1000 || stat.Gid != 2000 || stat.Mtim.Sec != when.Unix() {
		t.Errorf("mode %o, owner %d:%d, time %d", stat.Mode&0o7777, stat.Uid, stat.Gid, stat.Mtim.Sec)
	}
	value := make([]byte, 16)
	n, err := unix.Lgetxattr(filepath.Join(rootfs, "shared"), "security.fairlead", value)
	if err != nil || string(value[:n]) != "kept" {
		t.Errorf("the extended attribute is %q, %v", value[:max(n, 0)], err)
	}
	for name, want := range map[string]uint32{
		"shared/new": 0o755, // is new
		"named":      0o755, // the layer says so
		"replaced":   0o755, // is no directory below
	} {
		if err := unix.Stat(filepath.Join(rootfs, name), &stat); err != nil || stat.Mode&0o7777 != want {
			t.Errorf("%s has the mode %o, not %o (%v)", name, stat.Mode&0o7777, want, err)
		}
	}
}

func TestADirectoryLooksAsTheTopmostLayerSaysThatNamesIt(t *testing.T) {
	const tmp, private, shared = 0o1777, 0o700, 0o2775
	moded := func(name string, mode int64) tarEntry {
		entry := dir(name)
		entry.Mode = mode
		return entry
	}
	rootfs, _ := unpacked(t,
		layer(t, moded("a", tmp), moded("a/b", private), moded("c", private), moded("d", private), moded("e", private), moded("e/f", private), moded("g", private)),
		layer(t, file("a/b/second", "2"), file(".wh.c", ""), moded("g", shared)),
		layer(t, file("a/b/third", "3"), file("c/new", "3"), file(".wh.d", ""), file("d/new", "3"),
			moded("e", tmp), file("e/.wh..wh..opq", ""), file("e/f/new", "3"), file("g/third", "3")),
		layer(t, file("e/f/fourth", "4"), file("a/fourth", "4"), file("d/.wh.new", ""), link(tar.TypeSymlink, "g", "a")),
	)
	for name, want := range map[string]uint32{
		"a":   tmp,     // of the lowest, through all that imply it
		"a/b": private, // and one inside
		"c":   0o755,   // was removed between, and is new
		"d":   0o755,   // was removed by the layer that has it again
		"e":   tmp,     // is named, and hides what is below
		"e/f": 0o755,   // so that this one is new
	} {
		var stat unix.Stat_t
		if err := unix.Stat(filepath.Join(rootfs, name), &stat); err != nil || stat.Mode&0o7777 != want {
			t.Errorf("%s has the mode %o, not %o (%v)", name, stat.Mode&0o7777, want, err)
		}
	}
	want := map[string]string{
		"a/": "", "a/b/": "", "a/b/second": "2", "a/b/third": "3", "a/fourth": "4", "c/": "", "c/new": "3", "d/": "",
		"e/": "", "e/f/": "", "e/f/fourth": "4", "e/f/new": "3", "g": "-> a",
	}
	if diff := cmp.Diff(want, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestALayerIsStoredOnceWhereverItStandsInImages(t *testing.T) {
	far := newFarSide(t)
	base, removes := layer(t, file("base", "1"), file("gone", "1")), layer(t, file("other", "2"), file(".wh.gone", ""))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	both := map[string]string{"base": "1", "gone": "1", "other": "2"}
	for name, test := range map[string]struct {
		layers []testLayer
		want   map[string]string
	}{
		"removing":    {[]testLayer{base, removes}, map[string]string{"base": "1", "other": "2"}},
		"bottom":      {[]testLayer{removes, base}, both},
		"three-times": {[]testLayer{base, removes, base, base}, both},
	} {
		far.push(t, "acme/"+name+":v1", imageOf(t, test.layers...))
		img := mustPull(t, store, far.request(t, "acme/"+name+":v1"))
		if diff := cmp.Diff(test.want, readTree(t, mustMount(t, store, img, name))); diff != "" {
			t.Errorf("tree of %s (-want +got):\n%s", name, diff)
		}
		if img.Unpacked != 3 {
			t.Errorf("%s has %d bytes, not 3", name, img.Unpacked)
		}
	}
	kept, err := os.ReadDir(filepath.Join(root, "overlay", "snapshots"))
	if err != nil || len(kept) != 3 { // of the one that removes something, also without that, for the bottom
		t.Errorf("%d snapshots, %v", len(kept), err)
	}
}

func TestLayersThatNeedMuchMemoryToReadAreReadOneAfterTheOther(t *testing.T) {
	const window = 128 << 20
	far := newFarSide(t)
	var layers []testLayer
	want := make(map[string]string)
	for i := range 4 {
		name := fmt.Sprint("of-", i)
		want[name] = noise(1 << 20)
		l := layer(t, file(name, want[name]))
		var b bytes.Buffer
		w, err := zstd.NewWriter(&b, zstd.WithWindowSize(window))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(archiveOf(t, file(name, want[name]))); err != nil {
			t.Fatal(err)
		}
		if err := w.Close(); err != nil {
			t.Fatal(err)
		}
		l.blob, l.mediaType = b.Bytes(), types.OCILayerZStd
		layers = append(layers, l)
	}
	far.push(t, "acme/train:v1", imageOf(t, layers...))
	store := openStore(t, pull.Config{})
	if diff := cmp.Diff(want, readTree(t, mustMount(t, store, mustPull(t, store, far.request(t, "acme/train:v1")), "k"))); diff != "" {
		t.Errorf("tree (-want +got):\n%.500s", diff)
	}
}

func TestALayerThatHidesEverythingBelowDoes(t *testing.T) {
	rootfs, _ := unpacked(t, layer(t, file("below", "1")), layer(t, file(".wh..wh..opq", ""), file("above", "2")), layer(t, file("top", "3")))
	if diff := cmp.Diff(map[string]string{"above": "2", "top": "3"}, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestALayerIsUnpackedBeforeThoseBelowItAreHere(t *testing.T) {
	far := newFarSide(t)
	bottom := layer(t, file("a", "below"), file("b", "below"))
	far.push(t, "acme/train:v1", imageOf(t, bottom, layer(t, file("b", "above"))))
	above := make(chan struct{})
	far.between(func(_ http.ResponseWriter, r *http.Request) bool {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, bottom.blobPath()) {
			<-above
		}
		return false
	})
	store := openStore(t, pull.Config{ProgressEvery: time.Millisecond})
	request := far.request(t, "acme/train:v1")
	var once sync.Once
	request.Progress = func(p pull.Progress) {
		if len(p.Layers) == 2 && p.Layers[1].Phase == pull.Unpacking {
			once.Do(func() { close(above) })
		}
	}
	rootfs := mustMount(t, store, mustPull(t, store, request), "k")
	if diff := cmp.Diff(map[string]string{"a": "below", "b": "above"}, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestImagesThatShareLayersInAnyOrderArePulledAtOnce(t *testing.T) {
	far := newFarSide(t)
	var layers []testLayer
	for i := range 6 {
		layers = append(layers, layer(t, file(fmt.Sprint("of-", i), noise(1<<16))))
	}
	for i := range 6 { // each has more of the same layers
		far.push(t, fmt.Sprint("acme/train:v", i), imageOf(t, layers[:i+1]...))
	}
	store := openStore(t, pull.Config{Parallel: 2})
	var pulls sync.WaitGroup
	for i := range 6 {
		pulls.Go(func() {
			img, err := store.Pull(t.Context(), far.request(t, fmt.Sprint("acme/train:v", i)))
			if err != nil {
				t.Error(err)
				return
			}
			if want := int64(i+1) << 16; img.Unpacked != want {
				t.Errorf("image %d has %d bytes, not %d", i, img.Unpacked, want)
			}
		})
	}
	pulls.Wait()
}

func TestLayersThatAreHereAlreadyCountTowardsWhatAnImageMayUnpackTo(t *testing.T) {
	far, other := newFarSide(t), newFarSideOf(t, otherHost)
	shared := layer(t, file("shared", noise(600<<10)))
	other.push(t, "acme/a:v1", imageOf(t, shared))
	far.push(t, "acme/b:v1", imageOf(t, shared, layer(t, file("own", noise(600<<10)))))
	store := openStore(t, pull.Config{MaxUnpacked: 1 << 20})
	mustPull(t, store, other.request(t, "acme/a:v1"))
	_, err := store.Pull(t.Context(), far.request(t, "acme/b:v1"))
	wantFault(t, err, fault.Exhausted, "image_too_large")
}
