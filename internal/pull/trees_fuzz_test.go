package pull_test

import (
	"archive/tar"
	"errors"
	"fmt"
	"math/rand/v2"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// sketch is bytes of a fuzzer's that say what is in a few small layers. Any bytes
// do: each entry takes four, and there are so few names that entries meet. Most
// entries are such that a layer makes sense, or nearly all would be refused.
type sketch []byte

// drawing is a sketch on its way to layers.
type drawing struct {
	layers [][]tarEntry
	kinds  map[string]byte // of names in all layers so far, the last one for each
	here   map[string]byte // of names in the present layer
	files  []string        // of them
	wild   bool            // there is an entry that may make no sense
}

// layers are the entries of one to three layers.
func (s sketch) layers() (layers [][]tarEntry, wild bool) {
	const most = 3
	d := drawing{kinds: make(map[string]byte)}
	d.next()
	for b := range slices.Chunk(s, 4) {
		switch {
		case len(b) < 4:
		case b[0] >= 224 && len(d.layers) < most:
			d.next()
		default:
			d.add(b[0], b[1], b[2], b[3])
		}
	}
	return d.layers, d.wild
}

func (d *drawing) next() {
	d.layers = append(d.layers, nil)
	d.here, d.files = make(map[string]byte), nil
}

func (d *drawing) add(kind, place, look, more byte) {
	name := sketchedName(place)
	wild := kind >= 216
	d.wild = d.wild || wild
	for dir := path.Dir(path.Join("/", name)); dir != "/" && !wild; dir = path.Dir(dir) {
		if is, known := d.kinds[dir]; known && is != tar.TypeDir {
			name = name[:strings.IndexAny(name, "abc")+1] // nothing lies in what is no directory
		}
	}
	clean := path.Join("/", name)
	kind %= 12
	if _, exists := d.here[clean]; exists && (kind == 8 || kind == 9) {
		kind = 0 // a whiteout is of a layer below
	}
	// containerd takes what no entry names for what is below, where an opaque
	// directory says so late, and gives the times of a directory to what it became.
	parent := path.Dir(clean)
	late := kind == 10 && (d.here[parent] != 0 || parent == "/" && len(d.here) > 0)
	if late || d.here[clean] == tar.TypeDir && kind != 10 {
		kind = 2
	}
	e := d.entry(kind, name, more, wild)
	e.Mode = []int64{0o644, 0o755, 0o4711, 0o2770, 0o1777, 0, 0o500, 0o7777}[look%8]
	if e.Typeflag == tar.TypeDir { // TestADirectoryWithoutAnEntryIsOfRootsGroupThoughTheOneBelowPassesItsGroupOn
		e.Mode &^= 0o2000
	}
	e.Uid, e.Gid = int(look/8%2)*1000, int(look/16%2)*70000
	e.Format, e.ModTime = tar.FormatPAX, time.Unix(int64(look)*1e7, int64(more))
	// containerd keeps those of the directory below where an entry comes after one in it.
	if look/32%4 == 3 && (e.Typeflag == tar.TypeReg || wild && e.Typeflag != tar.TypeDir) {
		kinds := []string{"user.note", "security.capability", "trusted.overlay.opaque", "user.overlay.opaque"}
		values := []string{string(more), capability, "y", "y"}
		e = e.xattr(kinds[more%4], values[more%4])
	}
	top := &d.layers[len(d.layers)-1]
	*top = append(*top, e)
	for dir := path.Dir(clean); dir != "/"; dir = path.Dir(dir) {
		d.kinds[dir], d.here[dir] = tar.TypeDir, tar.TypeDir
	}
	if kind == 10 {
		return // its name stands for the directory that it is in
	}
	d.kinds[clean], d.here[clean] = e.Typeflag, e.Typeflag
	d.files = slices.DeleteFunc(d.files, func(file string) bool { return file == clean || strings.HasPrefix(file, clean+"/") })
	if e.Typeflag == tar.TypeReg && (kind == 0 || kind == 1) {
		d.files = append(d.files, clean)
	}
}

func (d *drawing) entry(kind byte, name string, more byte, wild bool) tarEntry {
	parent, last := name[:strings.LastIndexByte(name, '/')+1], rune(name[len(name)-1])
	switch kind {
	case 2, 3:
		return dir(name)
	case 4:
		return symlink(name, sketchedTarget(more, last+1))
	case 5:
		return symlink(name, "/"+sketchedTarget(more, last+1))
	case 6, 7:
		if wild {
			return hardlink(name, sketchedTarget(more, last))
		}
		if others := slices.DeleteFunc(slices.Clone(d.files), func(file string) bool { return file == path.Join("/", name) }); len(others) > 0 {
			return hardlink(name, others[int(more)%len(others)])
		}
	case 8, 9:
		return whiteout(parent + ".wh." + strings.TrimPrefix(name, parent))
	case 10:
		return whiteout(parent + opaque)
	case 11:
		return special([]byte{tar.TypeChar, tar.TypeBlock, tar.TypeFifo}[more%3], name, 1+int64(more/3%2), int64(more/6%2)) // 0:0 is an overlay's whiteout, which is refused
	}
	return file(name, strings.Repeat(string('0'+rune(more%10)), int(more)))
}

// sketchedName is one of few names, at most three deep.
func sketchedName(place byte) string {
	parts := []string{string('a' + rune(place%3)), string('a' + rune(place/3%3)), string('a' + rune(place/9%3))}
	name := strings.Join(parts[:1+place/27%3], "/")
	return []string{"", "./", "/", "../"}[place/81] + name
}

// sketchedTarget is a name for a link, of letters from one on: a symbolic link
// leads to later letters than its own, so that none lead round in circles, which
// containerd follows for seconds before it gives up.
func sketchedTarget(place byte, from rune) string {
	return strings.Map(func(r rune) rune {
		if r < 'a' {
			return r
		}
		return max(r, from)
	}, sketchedName(place))
}

// say tells a person what is in a sketch.
func (s sketch) say() string {
	var b strings.Builder
	layers, _ := s.layers()
	for i, entries := range layers {
		fmt.Fprintf(&b, "layer %d\n", i)
		for _, e := range entries {
			fmt.Fprintf(&b, "  %c %04o %s -> %q, %d bytes, owner %d:%d, %v\n", e.Typeflag, e.Mode, e.Name, e.Linkname, e.Size, e.Uid, e.Gid, e.PAXRecords)
		}
	}
	return b.String()
}

// FuzzLayersBecomeTheTreeThatContainerdMakesOfThem compares what Fairlead and
// containerd make of small layers in both orders. Where containerd's two ways
// part (partedStories), Fairlead may go either with each file; what one refuses,
// it may refuse.
func FuzzLayersBecomeTheTreeThatContainerdMakesOfThem(f *testing.F) {
	seed := rand.New(rand.NewPCG(1, 2))
	for range 24 {
		bytes := make([]byte, 4*(4+seed.IntN(28)))
		for i := range bytes {
			bytes[i] = byte(seed.Uint32())
		}
		f.Add(bytes)
	}
	far := newFarSide(f)
	f.Fuzz(func(t *testing.T, bytes []byte) {
		const most = 4 * 64
		drawn := sketch(bytes[:min(len(bytes), most)])
		disk := smallDisk(t, "256m") // a fast one
		b := both{far, openStore(t, pull.Config{Root: filepath.Join(disk, "ours"), AllowDevices: true}), newDaemon(t, filepath.Join(disk, "theirs"))}
		merging := newMergingDaemon(t, filepath.Join(disk, "merging"))
		var layers []testLayer
		described, wild := drawn.layers()
		for _, entries := range described {
			layers = append(layers, layer(t, entries...))
		}
		b.wantOneOf(t, merging, imageOf(t, layers...), wild)
		if len(layers) > 1 {
			slices.Reverse(layers)
			b.wantOneOf(t, merging, imageOf(t, layers...), wild) // of layers that are here already
		}
		if t.Failed() {
			t.Log(drawn.say())
		}
	})
}

// wantOneOf checks that each file of an image is as one of containerd's ways
// makes it.
func (b both) wantOneOf(t *testing.T, merging *daemon, img v1.Image, wild bool) {
	t.Helper()
	theirs, refusal := b.theirs.unpack(t, img)
	merged, mergedRefusal := merging.unpack(t, img)
	ours, err := b.ours(t, img)
	if err != nil {
		wantFault(t, err, fault.Unavailable, "layer_corrupt")
		if refusal == nil && mergedRefusal == nil {
			t.Errorf("containerd unpacks what Fairlead refuses: %v", err)
		}
		return
	}
	switch {
	case errors.Is(refusal, syscall.ENOTDIR):
		// Something lies in what is a file below, which Fairlead takes for replaced
		// (TestADirectoryInAFileOfALayerBelowTakesItsPlaceThoughContainerdRefusesIt).
	case refusal != nil && mergedRefusal != nil && wild:
		// containerd may refuse what makes little sense.
	case refusal != nil && mergedRefusal != nil:
		t.Errorf("Fairlead unpacks what containerd refuses: %v", refusal)
	case mergedRefusal != nil:
		wantSameTree(t, theirs, ours)
	case refusal != nil:
		wantSameTree(t, merged, ours)
	default:
		unlike, want, got := differences(theirs, ours)
		unlikeMerged, _, _ := differences(merged, ours)
		for _, name := range unlike {
			if slices.Contains(unlikeMerged, name) {
				t.Errorf("%s is %+v, and to containerd %+v or %+v", name, got[name], want[name], merged.tree[name])
			}
		}
	}
}
