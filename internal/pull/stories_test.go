package pull_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/containerd/stargz-snapshotter/estargz"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/types"
)

// with is an entry with a changed header.
func (e tarEntry) with(change func(h *tar.Header)) tarEntry {
	change(&e.Header)
	return e
}

func (e tarEntry) mode(mode int64) tarEntry {
	return e.with(func(h *tar.Header) { h.Mode = mode })
}

func (e tarEntry) at(when time.Time) tarEntry {
	return e.with(func(h *tar.Header) { h.ModTime, h.Format = when, tar.FormatPAX })
}

func (e tarEntry) xattr(name, value string) tarEntry {
	return e.with(func(h *tar.Header) {
		h.PAXRecords = map[string]string{"SCHILY.xattr." + name: value}
	})
}

func special(kind byte, name string, major, minor int64) tarEntry {
	return tarEntry{tar.Header{Typeflag: kind, Name: name, Mode: 0o640, Devmajor: major, Devminor: minor}, ""}
}

func symlink(name, target string) tarEntry  { return link(tar.TypeSymlink, name, target) }
func hardlink(name, target string) tarEntry { return link(tar.TypeLink, name, target) }
func whiteout(name string) tarEntry         { return file(name, "") }

const (
	opaque = ".wh..wh..opq"

	// capability lets a program use low ports, as the kernel keeps it.
	capability = "\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"
)

// inTheYear is a moment with a fraction of a second.
func inTheYear(year int) time.Time { return time.Date(year, 2, 3, 4, 5, 6, 123456789, time.UTC) }

// story is an image by the layers that it is made of.
type story struct {
	outcome string
	layers  []testLayer
}

func fileStories(t testing.TB) []story {
	t.Helper()
	long := strings.Repeat("n", 255)
	deep := strings.Repeat("deep/", 60)
	return []story{
		{"modes with setuid, setgid and sticky, and none at all", []testLayer{layer(t,
			file("setuid", "1").mode(0o4755), file("setgid", "1").mode(0o2755), file("both", "1").mode(0o6711), file("none", "1").mode(0),
			dir("sticky").mode(0o1777), dir("closed").mode(0), file("closed/inside", "1"), dir("fixed").mode(0o555), file("fixed/inside", "1"),
			dir("group").mode(0o2775), file("group/inside", "1"),
		)}},
		{"owners, of which some are too large for an old header", []testLayer{layer(t,
			file("small", "1").with(func(h *tar.Header) { h.Uid, h.Gid = 1000, 100 }),
			file("large", "1").with(func(h *tar.Header) { h.Uid, h.Gid = 3_000_000, 4_000_000_000 }),
			file("named", "1").with(func(h *tar.Header) { h.Uname, h.Gname = "daemon", "nogroup" }), // the number counts
			symlink("link", "small").with(func(h *tar.Header) { h.Uid, h.Gid = 7, 8 }),
			file("setuid", "1").mode(0o4755).with(func(h *tar.Header) { h.Uid = 5 }),
		)}},
		{"times with fractions, before 1970 and far away", []testLayer{layer(t,
			dir("d").at(inTheYear(2001)), file("d/f", "1").at(inTheYear(2002)), symlink("d/l", "f").at(inTheYear(2003)),
			file("early", "1").at(inTheYear(1950)), file("epoch", "1").at(time.Unix(0, 1)), file("late", "1").at(inTheYear(2261)),
			file("never", "1").at(inTheYear(2300)), dir("early-d").at(inTheYear(1969)), special(tar.TypeFifo, "fifo", 0, 0).at(inTheYear(2004)),
			file("accessed", "1").at(inTheYear(2005)).with(func(h *tar.Header) { h.AccessTime = inTheYear(2006) }),
		)}},
		{"a directory's time is the layer's, whatever is put into it later", []testLayer{
			layer(t, dir("d").at(inTheYear(2001)), file("d/f", "1"), dir("d/e").at(inTheYear(2001))),
			layer(t, dir("d").at(inTheYear(2002)), dir("d/e"), file("d/e/f", "1"), file("d/.wh.f", "")),
		}},
		{"symbolic links of all sorts", []testLayer{layer(t,
			symlink("relative", "file"), symlink("absolute", "/usr/bin/env"), symlink("self", "self"), symlink("up", "../../.."),
			symlink("long", strings.Repeat("x/", 1000)), symlink("dots", "."), file("file", "1"),
		)}},
		{"hard links, to links too, and what an entry says of the whole file", []testLayer{layer(t,
			dir("d"), file("d/first", "1").mode(0o600).at(inTheYear(2001)), hardlink("second", "d/first").mode(0o644).at(inTheYear(2002)),
			hardlink("d/third", "/second").with(func(h *tar.Header) { h.Uid, h.Mode = 9, 0o755 }),
			symlink("s", "nowhere"), hardlink("s2", "./s"), file("alone", "1"), hardlink("new/dir/fourth", "d/../second"),
		)}},
		{"hard links to what is replaced afterwards", []testLayer{layer(t,
			file("a", "1"), hardlink("b", "a"), file("a", "2"), hardlink("c", "b"), file("b", "3"),
		)}},
		{"extended attributes of files, directories and links", []testLayer{layer(t,
			file("ping", "1").mode(0o755).xattr("security.capability", capability),
			file("user", "1").xattr("user.note", "\x00binary\xff"), dir("d").xattr("user.empty", ""),
			file("d/large", "1").xattr("user.large", strings.Repeat("v", 3000)),
			symlink("link", "user").xattr("user.ignored", "links have none"), file("trusted", "1").xattr("trusted.ignored", "1"), file("odd", "1").xattr("nobodys.note", "1"),
			symlink("labelled", "user").xattr("security.label", "1"),
			file("stacking", "1").xattr("user.overlay.opaque", "y"), // no layer has a say in that
		)}},
		{"capabilities of a program that another owns", []testLayer{layer(t,
			file("ping", "1").mode(0o4755).xattr("security.capability", capability).with(func(h *tar.Header) { h.Uid = 5 }),
		)}},
		{"devices and pipes", []testLayer{layer(t,
			special(tar.TypeChar, "null", 1, 3), special(tar.TypeBlock, "disk", 259, 70000), special(tar.TypeFifo, "pipe", 0, 0),
		)}},
		{"long, foreign and odd names", []testLayer{layer(t,
			file(long, "1"), dir(deep), file(deep+long, "1"), hardlink("short", deep+long), symlink(deep+"link", deep+long),
			file("größe-名前-📦", "1"), file("new\nline", "1"), file(`back\slash`, "1"), file(" spaces ", "1"), file("-dash", "1"),
			file("two..dots", "1"), file("...", "1"), file("d/.hidden", "1"), file(".wh", "1"),
			file("bytes-\xff\xfe", "1").with(func(h *tar.Header) { h.Format = tar.FormatGNU }),
		)}},
		{"names that must be cleaned", []testLayer{layer(t,
			dir("./"), dir("./d/"), file("./d/one", "1"), file("/d/two", "2"), file("d//three", "3"), file("d/../d/./four", "4"), file("../five", "5"),
		)}},
		{"files of no bytes and of many", []testLayer{layer(t, file("empty", ""), file("one", "1"), file("block", noise(512)), file("many", noise(3<<20+1)))}},
		{"old headers and new ones", []testLayer{layer(t,
			file("ustar/"+strings.Repeat("p", 99), "1").with(func(h *tar.Header) { h.Format = tar.FormatUSTAR }),
			file("gnu/"+long, "1").with(func(h *tar.Header) { h.Format = tar.FormatGNU }), file("pax/"+long, "1").with(func(h *tar.Header) { h.Format = tar.FormatPAX }),
			tarEntry{tar.Header{Typeflag: tar.TypeXGlobalHeader, Name: "pax_global_header", PAXRecords: map[string]string{"comment": "of git"}}, ""},
			file("after", "1"),
		)}},
		{"a name that comes twice in a layer", []testLayer{layer(t,
			file("f", "1").mode(0o600), file("f", "2"), dir("d").mode(0o700), file("d/in", "1"), dir("d").mode(0o755).at(inTheYear(2001)),
			dir("becomes-file"), file("becomes-file/in", "1"), file("becomes-file", "1"), symlink("link", "f"), file("link", "not through"),
		)}},
	}
}

func layerStories(t testing.TB) []story {
	t.Helper()
	bottom := layer(t, dir("d").mode(0o750).at(inTheYear(2001)), file("d/a", "1"), file("d/b", "1"), dir("d/e").mode(0o700), file("d/e/f", "1"), file("g", "1"), symlink("l", "d"))
	return []story{
		{"directories without entries, new and old", []testLayer{
			bottom, layer(t, file("d/c", "2"), file("d/e/g", "2"), file("new/deep/er/file", "2")), layer(t, file("new/deep/other", "3"), file("d/e/x/y", "3")),
		}},
		{"directories that are named after what is in them", []testLayer{
			bottom, layer(t, file("d/c", "2"), dir("d").mode(0o711).at(inTheYear(2002)), file("n/m/o", "1"), dir("n/m").mode(0o700).at(inTheYear(2002))),
		}},
		{"directories without entries that become files", []testLayer{bottom, layer(t, file("n/m/o", "2"), file("n", "2"), file("d/e/x/y", "2"), file("d/e", "2"))}},
		{"whiteouts of files, directories and links", []testLayer{
			bottom, layer(t, whiteout("d/.wh.a"), whiteout(".wh.g"), whiteout("d/.wh.e"), whiteout(".wh.l")),
		}},
		{"a whiteout and the file again, in one layer", []testLayer{
			bottom, layer(t, whiteout("d/.wh.a"), file("d/a", "2"), whiteout(".wh.l"), file("l", "2")),
		}},
		{"what was whited out comes back in a later layer", []testLayer{
			bottom, layer(t, whiteout(".wh.d"), whiteout(".wh.g")), layer(t, dir("d"), file("d/new", "3"), file("g", "3")), layer(t, file("d/e", "4")),
		}},
		{"a whiteout of what is not there", []testLayer{bottom, layer(t, whiteout(".wh.nothing"), whiteout("no/such/.wh.place"), file("n", "2"))}},
		{"whiteouts where there is nothing below at all", []testLayer{layer(t, file("a", "1"), whiteout(".wh.b"), whiteout("d/.wh.c"), dir("e"), whiteout("e/"+opaque), file("e/f", "1"))}},
		{"whiteouts in a directory that is new", []testLayer{
			bottom, layer(t, dir("n"), whiteout("n/.wh.x"), file("n/y", "2"), dir("n/m"), whiteout("n/m/"+opaque), whiteout("n/m/.wh.z"), file("n/m/z2", "2")),
		}},
		{"opaque directories, first and last in a layer", []testLayer{
			bottom, layer(t, dir("d"), whiteout("d/"+opaque), file("d/c", "2")), layer(t, file("d/x", "3"), dir("d/e"), file("d/e/n", "3"), whiteout("d/"+opaque)),
		}},
		{"an opaque directory without an entry of its own", []testLayer{bottom, layer(t, whiteout("d/e/"+opaque), file("d/e/h", "3"))}},
		{"an opaque directory with another inside", []testLayer{bottom, layer(t, dir("d"), whiteout("d/"+opaque), dir("d/e"), whiteout("d/e/"+opaque), file("d/e/h", "2"))}},
		{"files, directories and links in each other's place", []testLayer{
			layer(t, file("f-d", "1"), dir("d-f"), file("d-f/in", "1"), symlink("l-d", "d-f"), symlink("l-f", "f-d"), dir("d-l"), file("d-l/in", "1"), file("f-l", "1")),
			layer(t, dir("f-d"), file("f-d/in", "2"), file("d-f", "2"), dir("l-d"), file("l-d/in", "2"), file("l-f", "2"), symlink("d-l", "f-d"), symlink("f-l", "d-f")),
			layer(t, file("f-d", "3"), dir("d-f").mode(0o700), symlink("l-d", "l-f"), special(tar.TypeFifo, "l-f", 0, 0), dir("d-l").at(inTheYear(2001)), dir("f-l")),
		}},
		{"a layer that puts something behind a link of its own", []testLayer{layer(t,
			dir("real"), symlink("alias", "real"), file("alias/through", "1"), symlink("root", "/"), file("root/top", "1"), symlink("out", "../../.."), file("out/side", "1"),
			hardlink("alias/hard", "real/through"), symlink("real/up", ".."), file("alias/up/over", "1"),
		)}},
		{"a layer twice, and one with nothing in it", []testLayer{bottom, layer(t), layer(t, whiteout("d/.wh.a")), bottom, layer(t)}},
		{"nothing at all", nil},
		{"no bytes at all", []testLayer{compressedBy(t, types.OCIUncompressedLayer, nil), compressedBy(t, types.OCILayer, nil)}},
		{"hard links that a layer above replaces, changes and removes", []testLayer{
			layer(t, file("a", "1"), hardlink("b", "a"), hardlink("c", "a"), hardlink("d", "a")), layer(t, file("b", "2"), whiteout(".wh.c")),
		}},
		{"capabilities that a layer above takes away with the file", []testLayer{
			layer(t, file("ping", "1").mode(0o755).xattr("security.capability", capability), dir("d").xattr("user.a", "1")),
			layer(t, file("ping", "2").mode(0o755), file("d/new", "2")),
		}},
	}
}

func formStories(t testing.TB) []story {
	t.Helper()
	archive := archiveOf(t, dir("d"), file("d/a", noise(200<<10)), file("b", strings.Repeat("b", 300<<10)))
	form := func(blob []byte, mediaType types.MediaType) testLayer {
		l := compressedBy(t, types.OCIUncompressedLayer, archive)
		l.blob, l.mediaType = blob, mediaType
		return l
	}
	inPieces := func(mediaType types.MediaType) (pieces []byte) {
		for piece := range slices.Chunk(archive, 100_000) { // no border of a file
			pieces = append(pieces, compressedBy(t, mediaType, piece).blob...)
		}
		return pieces
	}
	return []story{
		{"gzip in several members", []testLayer{form(inPieces(types.OCILayer), types.OCILayer)}},
		{"gzip with a name, a comment and a time", []testLayer{form(namedGzip(t, archive), types.OCILayer)}},
		{"zstd in several frames", []testLayer{form(inPieces(types.OCILayerZStd), types.OCILayerZStd)}},
		{"zstd with a frame that is to be skipped", []testLayer{form(append([]byte("\x50\x2a\x4d\x18\x04\x00\x00\x00skip"), compressedBy(t, types.OCILayerZStd, archive).blob...), types.OCILayerZStd)}},
		{"uncompressed", []testLayer{form(archive, types.OCIUncompressedLayer)}},
		{"estargz, of which each file is a member", []testLayer{stargz(t, archive)}},
		{"zeros behind the archive", []testLayer{compressedBy(t, types.OCILayer, append(bytes.Clone(archive), make([]byte, 10240)...))}},
		{"a sparse file", []testLayer{compressedBy(t, types.OCILayer, sparse(3<<20))}},
		{"types of layers mixed", []testLayer{
			layer(t, file("a", "1")), compressedBy(t, types.OCILayerZStd, archiveOf(t, file("b", "2"))), compressedBy(t, types.OCIUncompressedLayer, archiveOf(t, file("c", "3"))),
		}},
	}
}

func namedGzip(t testing.TB, archive []byte) []byte {
	t.Helper()
	var b bytes.Buffer
	w, err := gzip.NewWriterLevel(&b, gzip.HuffmanOnly)
	if err != nil {
		t.Fatal(err)
	}
	w.Name, w.Comment, w.Extra, w.ModTime = "layer.tar", "of a test", []byte("extra"), inTheYear(2001)
	if _, err := w.Write(archive); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// stargz is a layer in the form that can be read file by file: with an index and
// each file a gzip of its own.
func stargz(t testing.TB, archive []byte) testLayer {
	t.Helper()
	blob, err := estargz.Build(io.NewSectionReader(bytes.NewReader(archive), 0, int64(len(archive))), estargz.WithChunkSize(64<<10))
	if err != nil {
		t.Fatal(err)
	}
	defer blob.Close()
	compressed, err := io.ReadAll(blob)
	if err != nil {
		t.Fatal(err)
	}
	diffID, err := v1.NewHash(blob.DiffID().String())
	if err != nil {
		t.Fatal(err)
	}
	return testLayer{compressed, diffID, types.OCILayer}
}
