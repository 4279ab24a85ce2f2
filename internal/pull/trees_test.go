package pull_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/types"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// both are containerd and Fairlead, who are to make the same of an image.
type both struct {
	far    *farSide
	store  *pull.Store
	theirs *daemon
}

func newBoth(t testing.TB) both {
	t.Helper()
	return both{newFarSide(t), openStore(t, pull.Config{AllowDevices: true}), newDaemon(t, t.TempDir())}
}

// ours is the tree that Fairlead mounts of an image.
func (b both) ours(t testing.TB, img v1.Image) (tree, error) {
	t.Helper()
	b.far.push(t, "acme/tree:v1", img)
	pulled, err := b.store.Pull(t.Context(), b.far.request(t, "acme/tree:v1"))
	if err != nil {
		return nil, err
	}
	return treeOf(t, b.store, pulled), nil
}

// treeOf is an image's tree as it is mounted.
func treeOf(t testing.TB, store *pull.Store, img pull.Image) tree {
	t.Helper()
	const key = "compared"
	read := wholeTree(t, mustMount(t, store, img, key))
	if err := store.Unmount(t.Context(), key); err != nil {
		t.Fatal(err)
	}
	return read
}

// wantSame checks that an image becomes the same tree with both.
func (b both) wantSame(t testing.TB, img v1.Image) {
	t.Helper()
	theirs, err := b.theirs.unpack(t, img)
	if err != nil {
		t.Fatalf("containerd does not unpack it: %v", err)
	}
	ours, err := b.ours(t, img)
	if err != nil {
		t.Fatalf("Fairlead does not unpack it: %v", err)
	}
	wantSameTree(t, theirs, ours)
}

func TestAnImageBecomesTheTreeThatContainerdMakesOfIt(t *testing.T) {
	b := newBoth(t)
	for _, s := range slices.Concat(fileStories(t), layerStories(t), formStories(t)) {
		t.Run(s.outcome, func(t *testing.T) { b.wantSame(t, imageOf(t, s.layers...)) })
	}
}

// parted is a story that containerd's two ways tell differently.
type parted struct {
	story
	merged bool // Fairlead goes the way that unpacks a layer upon those below
}

// Where it matters whether a layer is unpacked upon those below or for itself,
// containerd's two ways come to different trees, or one refuses the layer.
// Fairlead goes the second way, as containerd does on every machine with overlays,
// unless the specification is clear that what is below is not to be seen.
// https://github.com/opencontainers/image-spec/blob/v1.1.1/layer.md#whiteouts
func partedStories(t testing.TB) []parted {
	t.Helper()
	bottom := layer(t, dir("d").mode(0o750), file("d/a", "1"), dir("d/e").mode(0o700), file("d/e/f", "1"), file("g", "1"), symlink("l", "d"))
	told := func(outcome string, layers ...testLayer) parted { return parted{story{outcome, layers}, false} }
	specified := func(outcome string, layers ...testLayer) parted { return parted{story{outcome, layers}, true} }
	return []parted{
		specified("a whiteout of a directory and the directory again leave nothing of what was in it", bottom, layer(t, whiteout(".wh.d"), dir("d"), file("d/new", "2"))),
		specified("an opaque root directory hides everything", bottom, layer(t, whiteout(opaque), file("new", "2"))),
		specified("what is made in an opaque directory looks like nothing below", bottom, layer(t, whiteout("d/"+opaque)), layer(t, file("d/e/h", "3"))),
		told("a file in a directory's place and the directory again leave what was in it", bottom, layer(t, file("d", "2"), dir("d"), file("d/new", "2"))),
		told("a file behind a link of a layer below is in a directory instead of the link", bottom, layer(t, file("l/new", "2"))),
		told("a whiteout behind a link of a layer below removes nothing there", bottom, layer(t, whiteout("l/.wh.a"))),
		told("a file below a file of a layer below is in a directory instead of the file", bottom, layer(t, file("g/new", "2"))),
		told("a directory that is opaque in a file's place is a directory", bottom, layer(t, whiteout("g/"+opaque))),
		told("a directory with an entry has no extended attributes from below",
			layer(t, dir("d").xattr("user.a", "1")), layer(t, dir("d").xattr("user.b", "2"))),
	}
}

func TestWhereContainerdsTwoWaysPartFairleadGoesTheOneThatIsNamed(t *testing.T) {
	b, merging := newBoth(t), newMergingDaemon(t, t.TempDir())
	for _, s := range partedStories(t) {
		t.Run(s.outcome, func(t *testing.T) {
			img := imageOf(t, s.layers...)
			theirs, err := b.theirs.unpack(t, img)
			if err != nil {
				t.Fatal(err)
			}
			merged, err := merging.unpack(t, img)
			if err != nil && !s.merged {
				merged = reference{} // it refuses the layer
			} else if err != nil {
				t.Fatal(err)
			}
			if names, _, _ := differences(theirs, merged.tree); len(names) == 0 {
				t.Error("containerd's two ways come to the same, so that this story is one of all others")
			}
			ours, err := b.ours(t, img)
			if err != nil {
				t.Fatal(err)
			}
			if s.merged {
				theirs = merged
			}
			wantSameTree(t, theirs, ours)
		})
	}
}

// refusedStories are of a layer that containerd refuses, upon a bottom one.
func refusedStories(t testing.TB) []story {
	t.Helper()
	bottom := layer(t, dir("d"), file("d/a", "1"), file("g", "1"))
	var stories []story
	for outcome, entries := range map[string][]tarEntry{
		"a hard link to a file of a layer below":      {hardlink("h", "g")},
		"a hard link to a file that comes later":      {hardlink("h", "new"), file("new", "2")},
		"a hard link to itself":                       {file("new", "2"), hardlink("new", "new")},
		"a hard link to a directory":                  {dir("new"), hardlink("h", "new")},
		"a whiteout of the directory itself":          {whiteout("d/.wh..")},
		"a whiteout of the directory above":           {whiteout("d/.wh...")},
		"a whiteout of nothing":                       {whiteout("d/.wh.")},
		"a file behind a link that leads to itself":   {symlink("new", "new"), file("new/in", "2")},
		"a file in a file":                            {file("new", "2"), file("new/in", "2")},
		"an entry of a type that nobody knows":        {special('7', "new", 0, 0)},
		"a device of a number that is none":           {special(tar.TypeChar, "new", 1<<40, 1).with(func(h *tar.Header) { h.Format = tar.FormatGNU })},
		"extended attributes that the kernel refuses": {file("new", "2").xattr("security.capability", "none")},
		"a name that is too long for a file":          {file(strings.Repeat("n", 256), "2")},
		"an entry cut off":                            {file("new", noise(4096))},
	} {
		l := layer(t, entries...)
		if outcome == "an entry cut off" {
			l = compressedBy(t, types.OCILayer, archiveOf(t, entries...)[:1024])
		}
		stories = append(stories, story{outcome, []testLayer{bottom, l}})
	}
	return stories
}

func TestALayerThatContainerdRefusesIsRefusedWithASentence(t *testing.T) {
	b := newBoth(t)
	for _, s := range refusedStories(t) {
		t.Run(s.outcome, func(t *testing.T) {
			img := imageOf(t, s.layers...)
			if _, err := b.theirs.unpack(t, img); err == nil {
				t.Error("containerd unpacks it")
			}
			_, err := b.ours(t, img)
			wantFault(t, err, fault.Unavailable, "layer_corrupt")
		})
	}
}

// What the specification lets stay, whatever comes after it in the same layer:
// whiteouts hide what is below, and nothing else. containerd refuses such a layer.
func TestAWhiteoutNeverTakesWhatTheSameLayerHas(t *testing.T) {
	b := newBoth(t)
	bottom := layer(t, dir("d"), file("d/a", "1"), file("g", "1"))
	for outcome, test := range map[string]struct{ odd, plain []tarEntry }{
		"a file and then a whiteout of it":             {[]tarEntry{file("g", "2"), whiteout(".wh.g")}, []tarEntry{file("g", "2")}},
		"a directory and then a whiteout of it":        {[]tarEntry{dir("d"), file("d/n", "2"), whiteout(".wh.d")}, []tarEntry{dir("d"), whiteout("d/" + opaque), file("d/n", "2")}},
		"a whiteout of a directory and then a file in": {[]tarEntry{whiteout(".wh.d"), file("d/new/f", "2")}, []tarEntry{dir("d"), whiteout("d/" + opaque), file("d/new/f", "2")}},
		"a whiteout twice":                             {[]tarEntry{whiteout(".wh.g"), whiteout(".wh.g")}, []tarEntry{whiteout(".wh.g")}},
	} {
		t.Run(outcome, func(t *testing.T) {
			odd := imageOf(t, bottom, layer(t, test.odd...))
			if _, err := b.theirs.unpack(t, odd); err == nil {
				t.Error("containerd unpacks it")
			}
			theirs, err := b.theirs.unpack(t, imageOf(t, bottom, layer(t, test.plain...)))
			if err != nil {
				t.Fatal(err)
			}
			ours, err := b.ours(t, odd)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range []string{"d", "d/new"} { // which may have no entry in one of them
				theirs.tree.loseTime(name)
				ours.loseTime(name)
			}
			wantSameTree(t, theirs, ours)
		})
	}
}

// containerd looks below for what a layer does not say of a directory, and gives up
// if it meets a file there. Fairlead takes the file for replaced, as both do with a
// directory that has an entry, and with one right in the file's place.
func TestADirectoryInAFileOfALayerBelowTakesItsPlaceThoughContainerdRefusesIt(t *testing.T) {
	b := newBoth(t)
	bottom := layer(t, file("g", "1"), file("h", "1"))
	without, with := layer(t, dir("g"), file("g/new/in", "2"), file("h/new/in", "2")), layer(t, dir("g"), dir("g/new"), file("g/new/in", "2"), dir("h"), dir("h/new"), file("h/new/in", "2"))
	if _, err := b.theirs.unpack(t, imageOf(t, bottom, without)); !errors.Is(err, syscall.ENOTDIR) {
		t.Errorf("containerd unpacks it, or says %v", err)
	}
	theirs, err := b.theirs.unpack(t, imageOf(t, bottom, with))
	if err != nil {
		t.Fatal(err)
	}
	ours, err := b.ours(t, imageOf(t, bottom, without))
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"g/new", "h", "h/new"} { // which have no time without an entry
		theirs.tree.loseTime(name)
		ours.loseTime(name)
	}
	wantSameTree(t, theirs, ours)
}

// A directory with setgid passes its group on to those made in it. containerd has
// that of a layer below at hand when it makes one that has no entry; to Fairlead,
// what a layer makes does not depend on what is below.
func TestADirectoryWithoutAnEntryIsOfRootsGroupThoughTheOneBelowPassesItsGroupOn(t *testing.T) {
	b := newBoth(t)
	img := imageOf(t, layer(t, dir("d").mode(0o2775).with(func(h *tar.Header) { h.Gid = 7 })), layer(t, file("d/new/in", "1")))
	theirs, err := b.theirs.unpack(t, img)
	if err != nil {
		t.Fatal(err)
	}
	ours, err := b.ours(t, img)
	if err != nil {
		t.Fatal(err)
	}
	if theirs, ours := theirs.tree["d/new"].Owner, ours["d/new"].Owner; theirs != "0:7" || ours != "0:0" {
		t.Errorf("it belongs to %s with containerd and to %s with Fairlead", theirs, ours)
	}
}

func TestALayerThatIsKeptOutsideTheRegistryIsRefusedWithASentence(t *testing.T) {
	far, store := newFarSide(t), openStore(t, pull.Config{})
	for i, mediaType := range []types.MediaType{types.DockerForeignLayer, types.OCIRestrictedLayer, types.OCIUncompressedRestrictedLayer} {
		path := fmt.Sprint("acme/foreign:v", i)
		foreign := compressedBy(t, types.OCILayer, archiveOf(t, file("f", "1")))
		foreign.mediaType = mediaType
		far.push(t, path, imageOf(t, foreign))
		_, err := store.Pull(t.Context(), far.request(t, path))
		f := wantFault(t, err, fault.Invalid, "layer_foreign")
		if !strings.Contains(f.Sentence(), "kept outside the registry") {
			t.Errorf("the sentence is %q", f.Sentence())
		}
	}
}

// A layer may be unpacked once and be used in many images, so it must not depend
// on what happened to be below it the first time.
func TestALayerIsRightUponWhateverIsBelowItInWhateverOrderImagesCome(t *testing.T) {
	layers := []testLayer{
		layer(t, dir("d").mode(0o750).at(inTheYear(2001)).xattr("user.of", "first"), file("d/a", "1"), dir("d/e").mode(0o700), file("d/e/f", "1"), file("g", "1"), file("s", "1")),
		layer(t, file("d/c", "2"), file("d/e/g", "2"), whiteout("d/.wh.a"), whiteout(".wh.g"), file("n/m/o", "2")), // names no directory
		layer(t, dir("d").mode(0o1777).with(func(h *tar.Header) { h.Uid = 5 }), whiteout("d/"+opaque), file("d/h", "3"), dir("d/e").mode(0o711), dir("n").mode(0o711), file("g", "3")),
		layer(t, file("d/e", "4"), symlink("s", "d"), dir("n/m").mode(0o511).at(inTheYear(2004)), whiteout("n/.wh.x"), whiteout("d/.wh.c")),
	}
	var images []v1.Image
	for i := range layers {
		for j := range layers {
			for k := range layers {
				if i != j && j != k && i != k {
					images = append(images, imageOf(t, layers[i], layers[j], layers[k]))
				}
			}
			images = append(images, imageOf(t, layers[i], layers[j]))
		}
		images = append(images, imageOf(t, layers[i]))
	}
	b := newBoth(t)
	pulled := make([]pull.Image, len(images))
	var pulls sync.WaitGroup
	for i, img := range images {
		path := fmt.Sprint("acme/tree:v", i)
		b.far.push(t, path, img)
		pulls.Go(func() {
			var err error
			if pulled[i], err = b.store.Pull(t.Context(), b.far.request(t, path)); err != nil {
				t.Error(err)
			}
		})
	}
	if pulls.Wait(); t.Failed() {
		return
	}
	for i, img := range images {
		theirs, err := b.theirs.unpack(t, img)
		if err != nil {
			t.Fatal(err)
		}
		wantSameTree(t, theirs, treeOf(t, b.store, pulled[i]))
	}
}

func TestOfAnIndexOnlyTheLayersForThisPlatformAreUnpacked(t *testing.T) {
	b := newBoth(t)
	shared := layer(t, file("shared", "1"))
	here, elsewhere := imageFor(t, "amd64", shared, layer(t, file("of", "amd64"))), imageFor(t, "arm64", shared, layer(t, file("of", "arm64")))
	attestation := imageFor(t, "unknown", layer(t, file("attestation", "{}")))
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: elsewhere, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "arm64"}}},
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "unknown", Architecture: "unknown"}}},
		mutate.IndexAddendum{Add: here, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: attestation, Descriptor: v1.Descriptor{
			Platform:    &v1.Platform{OS: "unknown", Architecture: "unknown"},
			Annotations: map[string]string{"vnd.docker.reference.type": "attestation-manifest"},
		}},
	)
	b.far.push(t, "acme/tree:index", index)
	for architecture, img := range map[string]v1.Image{"amd64": here, "arm64": elsewhere} {
		theirs, err := b.theirs.unpack(t, img)
		if err != nil {
			t.Fatal(err)
		}
		store := openStore(t, pull.Config{Platform: ocispec.Platform{OS: "linux", Architecture: architecture}})
		wantSameTree(t, theirs, treeOf(t, store, mustPull(t, store, b.far.request(t, "acme/tree:index"))))
	}
}
