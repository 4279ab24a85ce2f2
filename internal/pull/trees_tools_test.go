//go:build trees

package pull_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/pull"
)

// Images made by other programs than Go's archive/tar, as `make test-trees` has
// them: what those write, no test of ours would think of.

// shop is where images are made.
type shop struct {
	far    *farSide
	work   string
	before string // a tree with everything that can be in one
	after  string // the same, after much has changed
}

func newShop(t *testing.T) *shop {
	t.Helper()
	s := &shop{far: newFarSide(t), work: t.TempDir()}
	s.before, s.after = filepath.Join(s.work, "before"), filepath.Join(s.work, "after")
	furnish(t, s.before)
	s.run(t, "cp", "-a", s.before, s.after)
	for _, gone := range []string{"modes", "links/hard", "plain"} {
		try(t, os.RemoveAll(filepath.Join(s.after, gone)))
	}
	for name, content := range map[string]string{"modes": "a file now", "links/new": "new", "plain/other": "instead of what was there", "xattrs/note": "changed"} {
		path := filepath.Join(s.after, name)
		try(t, os.MkdirAll(filepath.Dir(path), 0o755))
		try(t, os.WriteFile(path, []byte(content), 0o644))
	}
	return s
}

func try(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// furnish makes a tree of all sorts of files.
func furnish(t *testing.T, root string) {
	t.Helper()
	at := func(name string) string {
		path := filepath.Join(root, name)
		try(t, os.MkdirAll(filepath.Dir(path), 0o755))
		return path
	}
	write := func(name, content string) string {
		path := at(name)
		try(t, os.WriteFile(path, []byte(content), 0o644))
		return path
	}
	write("plain/file", "content")
	write("plain/empty", "")
	write("plain/many", noise(300<<10))
	for mode, name := range map[uint32]string{0o4755: "setuid", 0o2755: "setgid", 0o6711: "both", 0: "none", 0o444: "fixed"} {
		path := write("modes/"+name, name)
		try(t, os.Chown(path, 1000, 2000))
		try(t, unix.Chmod(path, mode))
	}
	write("modes/sticky/in", "1")
	try(t, unix.Chmod(at("modes/sticky"), 0o1777))
	write("modes/closed/in", "1")
	try(t, unix.Chmod(at("modes/closed"), 0o500))
	first := write("links/first", "one file of three names")
	try(t, os.Link(first, at("links/hard")))
	try(t, os.Link(first, at("elsewhere/hard")))
	try(t, os.Symlink("first", at("links/soft")))
	try(t, os.Symlink("/nowhere/at/all", at("links/dangling")))
	try(t, os.Symlink("../links", at("links/directory")))
	write("names/größe-名前-📦", "1")
	write("names/ spaced \n and broken", "1")
	write("long/"+strings.Repeat("long/", 50)+strings.Repeat("n", 200), "1")
	try(t, unix.Setxattr(write("xattrs/capable", "1"), "security.capability", []byte(capability), 0))
	try(t, unix.Setxattr(write("xattrs/note", "1"), "user.note", []byte("of a file"), 0))
	try(t, unix.Setxattr(at("xattrs"), "user.note", []byte("of a directory"), 0))
	try(t, unix.Mkfifo(at("special/pipe"), 0o600))
	try(t, unix.Mknod(at("special/null"), unix.S_IFCHR|0o666, int(unix.Mkdev(1, 3))))
	try(t, unix.Mknod(at("special/disk"), unix.S_IFBLK|0o660, int(unix.Mkdev(259, 7))))
	hole := write("holes/middle", "begin")
	try(t, os.Truncate(hole, 4<<20))
	file, err := os.OpenFile(hole, os.O_WRONLY|os.O_APPEND, 0)
	try(t, err)
	_, err = file.WriteString("end")
	try(t, err)
	try(t, file.Close())
	try(t, os.Truncate(write("holes/only", ""), 1<<20))
	for year, name := range map[int]string{1950: "early", 1999: "fraction", 2200: "late"} {
		try(t, os.Chtimes(write("times/"+name, "1"), time.Time{}, inTheYear(year)))
	}
	try(t, os.Chtimes(at("times"), time.Time{}, inTheYear(2010)))
}

// run runs a program that make test-trees installs.
func (s *shop) run(t *testing.T, program string, arguments ...string) (output []byte) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		t.Fatalf("%s is not installed: run make test-trees, which installs it.", program)
	}
	command := exec.CommandContext(t.Context(), program, arguments...)
	command.Dir = s.work
	var problems bytes.Buffer
	command.Stderr = &problems
	output, err := command.Output()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, &problems)
	}
	return output
}

// registry is where programs push to.
func (s *shop) registry() string { return strings.TrimPrefix(s.far.back.URL, "http://") }

// wantSame checks that an image at the registry becomes the same tree with Fairlead
// as with containerd, with both of its ways.
func (s *shop) wantSame(t *testing.T, path string) {
	t.Helper()
	theirs, merging := newDaemon(t, t.TempDir()), newMergingDaemon(t, t.TempDir()) // after the image was made
	ref, err := name.ParseReference(s.registry()+"/"+path, name.Insecure)
	try(t, err)
	img, err := remote.Image(ref)
	try(t, err)
	made, err := theirs.unpack(t, img)
	try(t, err)
	merged, err := merging.unpack(t, img)
	try(t, err)
	store := openStore(t, pull.Config{AllowDevices: true})
	ours := treeOf(t, store, mustPull(t, store, s.far.request(t, path)))
	wantSameTree(t, made, ours)
	wantSameTree(t, merged, ours)
	if len(ours) < 2 {
		t.Errorf("the image has only %v", ours)
	}
}

func TestWhatATarProgramWritesBecomesTheTreeThatContainerdMakesOfIt(t *testing.T) {
	s := newShop(t)
	for outcome, command := range map[string]string{
		"GNU tar, pax, attributes and holes":  "tar --format=pax --sparse --xattrs --xattrs-include=* --acls",
		"GNU tar, pax, holes of version 0.0":  "tar --format=pax --sparse --sparse-version=0.0",
		"GNU tar, pax, holes of version 0.1":  "tar --format=pax --sparse --sparse-version=0.1",
		"GNU tar, its own form":               "tar --format=gnu",
		"GNU tar, its old form":               "tar --format=oldgnu --exclude=late",
		"GNU tar, ustar":                      "tar --format=ustar --exclude=long --exclude=early --exclude=late",
		"GNU tar, version 7":                  "tar --format=v7 --exclude=long --exclude=special --exclude=early --exclude=late",
		"GNU tar, no directories, sorted":     "tar --format=pax --sort=name --no-recursion",
		"GNU tar, numbers and other owners":   "tar --format=pax --numeric-owner --owner=4000000 --group=5000000",
		"bsdtar, pax":                         "bsdtar --format=pax --xattrs --acls --fflags",
		"bsdtar, as little pax as can be":     "bsdtar --format=paxr",
		"bsdtar, GNU's form":                  "bsdtar --format=gnutar --exclude=long",
		"bsdtar, ustar":                       "bsdtar --format=ustar --exclude=long --exclude=early --exclude=late",
		"bsdtar, with its own sparse records": "bsdtar --format=pax --read-sparse",
	} {
		t.Run(outcome, func(t *testing.T) {
			words := strings.Fields(command)
			inside := []string{"."}
			if strings.Contains(command, "--no-recursion") {
				inside = strings.Split(strings.TrimSuffix(string(s.run(t, "find", s.before, "-not", "-type", "d", "-printf", "%P\\0")), "\x00"), "\x00")
			}
			both := [2][]byte{
				s.run(t, words[0], append(append(words[1:], "-cf", "-", "-C", s.before), inside...)...),
				s.run(t, words[0], append(words[1:], "-cf", "-", "-C", s.after, "links")...),
			}
			s.far.push(t, "acme/tar:v1", imageOf(t, compressedBy(t, types.OCILayer, both[0]), compressedBy(t, types.OCILayerZStd, both[1])))
			s.wantSame(t, "acme/tar:v1")
		})
	}
}

func TestATreeWithHolesOfTheOldestFormIsWhatItWasThoughContainerdRefusesIt(t *testing.T) {
	s := newShop(t)
	made := func(arguments ...string) v1.Image {
		arguments = append(append([]string{"--format=gnu"}, arguments...), "-cf", "-", "-C", s.before, "holes")
		return imageOf(t, compressedBy(t, types.OCILayer, s.run(t, "tar", arguments...)))
	}
	theirs := newDaemon(t, t.TempDir())
	if _, err := theirs.unpack(t, made("--sparse")); err == nil {
		t.Error("containerd unpacks it")
	}
	want, err := theirs.unpack(t, made())
	if err != nil {
		t.Fatal(err)
	}
	s.far.push(t, "acme/holes:v1", made("--sparse"))
	store := openStore(t, pull.Config{})
	wantSameTree(t, want, treeOf(t, store, mustPull(t, store, s.far.request(t, "acme/holes:v1"))))
}

func TestWhatContainerdItselfWritesOfAChangeBecomesTheTreeThatItMakesOfIt(t *testing.T) {
	s := newShop(t)
	var layers []testLayer
	for _, change := range [][2]string{{t.TempDir(), s.before}, {s.before, s.after}, {s.after, s.before}} {
		var b bytes.Buffer
		try(t, archive.WriteDiff(t.Context(), &b, change[0], change[1]))
		layers = append(layers, compressedBy(t, types.OCILayer, b.Bytes()))
	}
	s.far.push(t, "acme/changes:v1", imageOf(t, layers...))
	s.wantSame(t, "acme/changes:v1")
}

// umoci makes an image of two layers at work/umoci. Where a file replaced a
// directory, it writes whiteouts in what is the file, and containerd refuses that.
func (s *shop) umoci(t *testing.T) (layout string) {
	t.Helper()
	layout = filepath.Join(s.work, "umoci")
	s.run(t, "umoci", "init", "--layout", layout)
	s.run(t, "umoci", "new", "--image", layout+":v1")
	for i, content := range []string{s.before, s.after} {
		bundle := filepath.Join(s.work, fmt.Sprint("bundle-", i))
		s.run(t, "umoci", "unpack", "--image", layout+":v1", bundle)
		rootfs := filepath.Join(bundle, "rootfs")
		try(t, os.RemoveAll(rootfs))
		s.run(t, "cp", "-a", content, rootfs)
		if content == s.after {
			try(t, os.Remove(filepath.Join(rootfs, "modes")))
		}
		s.run(t, "umoci", "repack", "--image", layout+":v1", bundle)
	}
	return layout
}

func TestWhatUmociMakesAndSkopeoConvertsBecomesTheTreeThatContainerdMakesOfIt(t *testing.T) {
	s := newShop(t)
	layout := s.umoci(t)
	for i, options := range []string{
		"--format=oci",
		"--format=v2s2",
		"--format=oci --dest-compress-format=gzip --dest-compress-level=1",
		"--format=oci --dest-compress-format=zstd",
		"--format=oci --dest-compress-format=zstd:chunked",
	} {
		t.Run(options, func(t *testing.T) {
			// By way of a directory without compression, so that skopeo compresses anew.
			plain, path := filepath.Join(s.work, fmt.Sprint("plain-", i)), fmt.Sprint("acme/umoci:v", i)
			s.run(t, "skopeo", "copy", "-q", "--dest-decompress", "oci:"+layout+":v1", "dir:"+plain)
			s.run(t, "skopeo", append(append([]string{"copy", "-q", "--dest-tls-verify=false"}, strings.Fields(options)...), "dir:"+plain, "docker://"+s.registry()+"/"+path)...)
			s.wantSame(t, path)
		})
	}
}

func TestWhatBuildahBuildsBecomesTheTreeThatContainerdMakesOfIt(t *testing.T) {
	s := newShop(t)
	storage := []string{"--storage-driver=vfs", "--root=" + filepath.Join(s.work, "root"), "--runroot=" + filepath.Join(s.work, "run")}
	buildah := func(t *testing.T, arguments ...string) string {
		t.Helper()
		return strings.TrimSpace(string(s.run(t, "buildah", append(storage, arguments...)...)))
	}
	recipe := "FROM scratch\nCOPY before /\nCOPY --chown=7:8 before/plain /app/plain\nADD added.tar /app\nCOPY after/modes /app/plain/file\n"
	try(t, os.WriteFile(filepath.Join(s.work, "Dockerfile"), []byte(recipe), 0o600))
	s.run(t, "tar", "--format=pax", "-cf", "added.tar", "-C", s.after, "links", "times")
	buildah(t, "bud", "--isolation=chroot", "--layers", "-q", "-t", "built", "-f", "Dockerfile", ".")
	container := buildah(t, "from", "localhost/built")
	mounted := buildah(t, "mount", container)
	for _, gone := range []string{"app/plain", "links", "modes/setuid"} {
		try(t, os.RemoveAll(filepath.Join(mounted, gone)))
	}
	s.run(t, "cp", "-a", s.after+"/links", filepath.Join(mounted, "app/plain")) // others in its place
	buildah(t, "umount", container)
	buildah(t, "commit", "-q", container, "changed")
	for path, arguments := range map[string][]string{
		"acme/buildah:built":   {"--format=oci", "localhost/built"},
		"acme/buildah:docker":  {"--format=v2s2", "localhost/built"},
		"acme/buildah:changed": {"--format=oci", "localhost/changed"},
	} {
		t.Run(path, func(t *testing.T) {
			buildah(t, append(append([]string{"push", "-q", "--tls-verify=false"}, arguments...), "docker://"+s.registry()+"/"+path)...)
			s.wantSame(t, path)
		})
	}
}

func TestWhatCraneMakesBecomesTheTreeThatContainerdMakesOfIt(t *testing.T) {
	s := newShop(t)
	s.run(t, "tar", "--format=pax", "-cf", "one.tar", "-C", s.before, ".")
	s.run(t, "tar", "--format=gnu", "--sparse", "-cf", "two.tar", "-C", s.after, "links", "plain")
	base := s.registry() + "/acme/crane"
	s.run(t, "crane", "append", "--insecure", "--oci-empty-base", "-f", "one.tar", "-t", base+":appended")
	s.run(t, "crane", "append", "--insecure", "-b", base+":appended", "-f", "two.tar", "-t", base+":twice")
	s.run(t, "crane", "mutate", "--insecure", base+":twice", "--entrypoint=/a", "--append=one.tar", "-t", base+":mutated")
	s.run(t, "crane", "flatten", "--insecure", base+":mutated", "-t", base+":flat")
	s.run(t, "crane", "append", "--insecure", "-f", "one.tar", "-t", base+":docker")
	for _, tag := range []string{"appended", "twice", "mutated", "flat", "docker"} {
		t.Run(tag, func(t *testing.T) { s.wantSame(t, "acme/crane:"+tag) })
	}
}

func TestADistributionOfManyLayersBecomesTheTreeThatContainerdMakesOfIt(t *testing.T) {
	s := newShop(t)
	packages, err := filepath.Glob("../../.tools/debs/*.deb")
	try(t, err)
	if len(packages) == 0 {
		t.Fatal("There is no package in .tools/debs: run make test-trees, which downloads some.")
	}
	var layers []testLayer
	forms := []types.MediaType{types.OCILayer, types.OCILayerZStd, types.OCIUncompressedLayer}
	for i, deb := range packages {
		deb, err := filepath.Abs(deb)
		try(t, err)
		layers = append(layers, compressedBy(t, forms[i%len(forms)], s.run(t, "dpkg-deb", "--fsys-tarfile", deb)))
	}
	s.far.push(t, "acme/debian:v1", imageOf(t, layers...))
	s.wantSame(t, "acme/debian:v1")
}

func TestManyFilesBecomeTheTreeThatContainerdMakesOfThem(t *testing.T) {
	s := newShop(t)
	sources := filepath.Join(strings.TrimSpace(string(s.run(t, "go", "env", "GOROOT"))), "src")
	var layers []testLayer
	for _, part := range []string{"runtime", "net", "cmd/compile", "crypto"} {
		layers = append(layers, compressedBy(t, types.OCILayer, s.run(t, "tar", "--format=pax", "-cf", "-", "-C", sources, part)))
	}
	s.far.push(t, "acme/sources:v1", imageFor(t, runtime.GOARCH, layers...))
	s.wantSame(t, "acme/sources:v1")
}
