package pull_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/google/go-cmp/cmp"
	v1 "github.com/google/go-containerregistry/pkg/v1"

	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
	"fairlead.dev/fairlead/internal/secret"
)

var (
	rounds = flag.Int("rounds", 3, "how often a pull is killed and taken up again")
	seed   = flag.Uint64("seed", 0, "the moments at which it is killed; others each time if 0")
)

// moment is when a child is killed: when the registry gave a number of bytes, or
// when the child said something.
type moment struct {
	bytes int64
	event string
}

func (m moment) String() string {
	if m.event != "" {
		return "when it said " + m.event
	}
	return fmt.Sprintf("when %d bytes of layers were sent", m.bytes)
}

// moments are spread over all of a pull: most of them over the bytes of its layers,
// and one in four over what it does before and after.
func moments(draw *rand.Rand, count int, bytes int64, layers []string) []moment {
	events := []string{opened, resolved, pulled, stacked, collected}
	for _, layer := range layers {
		events = append(events, layerDone+layer)
	}
	draw.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
	var drawn []moment
	for i := range count {
		if i%4 == 0 {
			drawn = append(drawn, moment{event: events[i/4%len(events)]})
			continue
		}
		part := float64(i) + draw.Float64()
		drawn = append(drawn, moment{bytes: int64(part / float64(count) * float64(bytes))})
	}
	return drawn
}

// killed starts a child and kills it. It returns the layers that were finished by the
// child's own word.
func (g *guarded) killed(t *testing.T, root, path string, when moment) (done []string) {
	t.Helper()
	text, err := json.Marshal(order{root, host + "/" + path, g.token, g.rules[0]})
	if err != nil {
		t.Fatal(err)
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.CommandContext(t.Context(), self)
	child.Env = append(os.Environ(), childOrder+"="+string(text))
	child.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	child.Stderr = os.Stderr
	says, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	waits, err := child.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	defer waits.Close()
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	kill := func() { _ = child.Process.Kill() } // it may have been
	if when.event == "" {
		g.from(when.bytes, kill)
	} else {
		g.from(0, nil)
	}
	for lines := bufio.NewScanner(says); lines.Scan(); {
		line := lines.Text()
		if line == when.event || line == collected { // the latter is the end of it
			kill()
		}
		if layer, isDone := strings.CutPrefix(line, layerDone); isDone {
			done = append(done, layer)
		}
	}
	_ = child.Wait()
	if state, ok := child.ProcessState.Sys().(syscall.WaitStatus); !ok || state.Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed, but ended: %v", child.ProcessState)
	}
	return done
}

// heavy is an image that takes a moment to pull, of layers that have to do with
// each other.
func heavy(t *testing.T, draw *rand.ChaCha8, count int) v1.Image {
	t.Helper()
	const small, large = 100, 2 << 20
	var layers []testLayer
	for i := range count {
		content := make([]byte, large)
		_, _ = draw.Read(content) // it never fails
		of := fmt.Sprint("of-", i)
		entries := []tarEntry{
			dir("shared").mode(int64(0o700 + i)).at(inTheYear(2001 + i)), file("shared/"+of, of), file("implied/"+of+"/file", of),
			dir(of), file(of+"/large", string(content)).mode(0o4755), hardlink(of+"/linked", of+"/large"), symlink(of+"/link", "large"),
		}
		if i > 0 {
			before := fmt.Sprint("of-", i-1)
			entries = append(entries, whiteout("shared/.wh."+before), whiteout(before+"/.wh.linked"), whiteout("implied/"+before+"/"+opaque))
		}
		for n := range small {
			entries = append(entries, file(fmt.Sprintf("%s/%d/%d", of, n%7, n), of).at(inTheYear(1980+n%40)))
		}
		layers = append(layers, layer(t, entries...))
	}
	return imageOf(t, layers...)
}

// inventory is how many files of a kind and size there are in the parts of a store,
// but for the databases and the store's own list, whose sizes tell nothing, and the
// directories that documents are in, which stay.
func inventory(t *testing.T, root string) map[string]int {
	t.Helper()
	found := make(map[string]int)
	err := filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || strings.HasSuffix(path, ".db") || strings.HasPrefix(filepath.Base(path), "inventory.json") {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		if err != nil {
			return err
		}
		part, _, _ := strings.Cut(name, "/")
		if part == "content" && entry.IsDir() {
			return nil
		}
		what := fmt.Sprintf("%s: %v", part, info.Mode())
		if !entry.IsDir() {
			what += fmt.Sprintf(" of %d bytes", info.Size())
		}
		found[what]++
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// killings are rounds upon one image.
type killings struct {
	*guarded
	path        string
	theirs      reference
	empty, full map[string]int // inventories of stores that nobody killed
	bytes       int64
}

func newKillings(t *testing.T, img v1.Image) *killings {
	t.Helper()
	k := &killings{guarded: newGuarded(t), path: "acme/heavy:v1"}
	k.push(t, k.path, img)
	var err error
	if k.theirs, err = newDaemon(t, t.TempDir()).unpack(t, img); err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	k.empty = inventory(t, root)
	k.from(0, nil)
	wantSameTree(t, k.theirs, treeOf(t, store, mustPull(t, store, k.request(t))))
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	k.full = inventory(t, root)
	for _, bytes := range k.sent() {
		k.bytes += bytes
	}
	return k
}

func (k *killings) request(t *testing.T) pull.Request {
	t.Helper()
	request := k.guarded.request(t, k.path)
	request.Authorize = func(context.Context, bool) (oci.Authorization, error) { return oci.Bearer(secret.New(k.token)), nil }
	return request
}

func TestAPullThatIsKilledAtAnyMomentIsTakenUpWhereItWas(t *testing.T) {
	begin := *seed
	if begin == 0 {
		begin = rand.Uint64()
	}
	t.Logf("go test ./internal/pull -run %s -rounds %d -seed %d", t.Name(), *rounds, begin)
	var key [32]byte
	binary.NativeEndian.PutUint64(key[:], begin)
	source := rand.NewChaCha8(key)
	draw := rand.New(source)

	img := heavy(t, source, 8)
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	sizes := make(map[string]int64)
	for _, l := range manifest.Layers {
		sizes[l.Digest.String()] = l.Size
	}
	k := newKillings(t, img)
	for i, first := range moments(draw, *rounds, k.bytes, slices.Sorted(maps.Keys(sizes))) {
		whens := []moment{first}
		if draw.IntN(3) == 0 {
			whens = append(whens, moment{bytes: draw.Int64N(k.bytes)})
		}
		restarts := draw.IntN(5) == 0
		t.Run(fmt.Sprint("round ", i), func(t *testing.T) {
			t.Log("killed", whens, ", the machine restarts: ", restarts)
			k.round(t, sizes, whens, restarts)
		})
	}
}

// round kills a pull at some moments, lets the machine restart or not, and takes the
// pull up again.
func (k *killings) round(t *testing.T, sizes map[string]int64, whens []moment, restarts bool) {
	root := t.TempDir()
	var done []string
	for _, when := range whens {
		done = append(done, k.killed(t, root, k.path, when)...)
	}
	if restarts { // as the store knows it
		done = nil
		if err := os.WriteFile(filepath.Join(root, "boot"), []byte("another"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	store := openStore(t, pull.Config{Root: root})
	if err := store.Reap(t.Context(), func(string) bool { return false }); err != nil {
		t.Fatal(err)
	}
	here, err := store.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	recorded := here.Images
	if restarts && len(recorded) == 0 {
		if err := store.Collect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(k.empty, inventory(t, root)); diff != "" {
			t.Errorf("what is left of a pull before the machine went down (-nothing +left):\n%s", diff)
		}
	}
	k.from(0, nil)
	img := mustPull(t, store, k.request(t))
	if len(recorded) > 0 && !img.Report.Warm() {
		t.Errorf("it was recorded, and yet: %+v", img.Report)
	}
	sent := k.sent()
	for layer, size := range sizes {
		if sent[layer] != 0 && sent[layer] != size {
			t.Errorf("%d of %d bytes of %s were sent, of a layer that is finished or not", sent[layer], size, layer)
		}
		if slices.Contains(done, layer) && sent[layer] != 0 {
			t.Errorf("%s was finished, and sent again", layer)
		}
	}
	wantSameTree(t, k.theirs, treeOf(t, store, img))
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(k.full, inventory(t, root)); diff != "" {
		t.Errorf("the store of a pull that was killed (-without it +with it):\n%s", diff)
	}
}
