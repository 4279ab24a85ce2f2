package pull_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// mega is the size of the one file in each of these images, which nothing else
// shares.
const mega = 1 << 20

// clock is a time that goes on by a second whenever it is looked at.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(time.Second)
	return c.now
}

// pushMegas pushes images acme/a, acme/b… of a megabyte each, above a small layer
// that all have.
func pushMegas(t *testing.T, far *farSide, names ...string) {
	t.Helper()
	base := layer(t, file("base", "base"))
	for _, name := range names {
		far.push(t, "acme/"+name+":v1", imageOf(t, base, layer(t, file("own", noise(mega)))))
	}
}

// stored are the names of the images in the store, the latest used first.
func stored(t *testing.T, store *pull.Store) []string {
	t.Helper()
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := store.Inventory(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{}
	for _, img := range all.Images {
		name, _, _ := strings.Cut(strings.TrimPrefix(img.Name, host+"/acme/"), "@")
		names = append(names, name)
	}
	return names
}

func wantStored(t *testing.T, store *pull.Store, want ...string) {
	t.Helper()
	if diff := cmp.Diff(want, stored(t, store), cmpopts.EquateEmpty()); diff != "" {
		t.Errorf("images (-want +got):\n%s", diff)
	}
}

func TestTheLeastRecentlyUsedImageGoesWhenTheStoreHoldsMoreThanItMay(t *testing.T) {
	far := newFarSide(t)
	pushMegas(t, far, "a", "b", "c", "d")
	store := openStore(t, pull.Config{MaxStored: 3*mega + mega/2, Now: newClock().Now})
	for _, name := range []string{"a", "b", "c"} {
		store.Release(mustPull(t, store, far.request(t, "acme/"+name+":v1")))
	}
	wantStored(t, store, "c", "b", "a")
	store.Release(mustPull(t, store, far.request(t, "acme/a:v1"))) // is used again
	store.Release(mustPull(t, store, far.request(t, "acme/d:v1")))
	wantStored(t, store, "d", "a", "c")
	store.Release(mustPull(t, store, far.request(t, "acme/b:v1"))) // comes back whole
	wantStored(t, store, "b", "d", "a")
}

func TestWhatIsInUseStaysHoweverMuchTheStoreHolds(t *testing.T) {
	far := newFarSide(t)
	pushMegas(t, far, "a", "b", "c")
	root := t.TempDir()
	config := pull.Config{Root: root, MaxStored: mega, Now: newClock().Now}
	store := openStore(t, config)
	mounted := mustPull(t, store, far.request(t, "acme/a:v1"))
	rootfs := mustMount(t, store, mounted, "k")
	held := mustPull(t, store, far.request(t, "acme/b:v1"))
	store.Release(mustPull(t, store, far.request(t, "acme/c:v1")))
	wantStored(t, store, "b", "a")
	if tree := readTree(t, rootfs); tree["base"] != "base" || len(tree["own"]) != mega {
		t.Error("the mounted image has lost files")
	}
	if tree := readTree(t, mustMount(t, store, held, "later")); tree["base"] != "base" || len(tree["own"]) != mega {
		t.Error("the image that was pulled and mounted later has lost files")
	}
	if err := store.Unmount(t.Context(), "later"); err != nil {
		t.Fatal(err)
	}
	wantStored(t, store, "a")

	if err := store.Close(); err != nil { // what another process left mounted counts too
		t.Fatal(err)
	}
	config.MaxStored = 1
	store = openStore(t, config)
	wantStored(t, store, "a")
	if err := store.Unmount(t.Context(), "k"); err != nil {
		t.Fatal(err)
	}
	wantStored(t, store)
}

func TestAFullDiskLosesUnusedImagesBeforeAPullFails(t *testing.T) {
	far := newFarSide(t)
	pushMegas(t, far, "a", "b", "c", "d")
	far.push(t, "acme/large:v1", imageOf(t, layer(t, file("own", noise(11*mega)))))
	far.push(t, "acme/huge:v1", imageOf(t, layer(t, file("own", noise(15*mega)))))
	store := openStore(t, pull.Config{Root: smallDisk(t, "16m"), FloorFree: 2 * mega, Now: newClock().Now})
	inUse := mustMount(t, store, mustPull(t, store, far.request(t, "acme/a:v1")), "k")
	for _, name := range []string{"b", "c", "d"} {
		store.Release(mustPull(t, store, far.request(t, "acme/"+name+":v1")))
	}
	wantStored(t, store, "d", "c", "b", "a")
	store.Release(mustPull(t, store, far.request(t, "acme/large:v1")))
	if got := stored(t, store); got[0] != "large" || got[len(got)-1] != "a" || len(got) > 4 {
		t.Errorf("images = %q: the one in use and the new one, and not all of the others", got)
	}

	_, err := store.Pull(t.Context(), far.request(t, "acme/huge:v1"))
	f := wantFault(t, err, fault.Exhausted, "disk_full")
	if !strings.Contains(f.Message, "in use") || !strings.Contains(f.Message, "1.1 MB") {
		t.Errorf("sentence = %q", f.Sentence())
	}
	wantStored(t, store, "a")
	if len(readTree(t, inUse)["own"]) != mega {
		t.Error("the image in use has lost files")
	}
}

func TestWhatABrokenPullLeftGoesFirst(t *testing.T) {
	far := newFarSide(t)
	pushMegas(t, far, "a")
	first, second := layer(t, file("first", noise(4*mega))), layer(t, file("second", noise(mega)))
	far.push(t, "acme/train:v1", imageOf(t, first, second))
	store := openStore(t, pull.Config{MaxStored: 2 * mega, Parallel: 1, ProgressEvery: time.Millisecond, Now: newClock().Now})
	store.Release(mustPull(t, store, far.request(t, "acme/a:v1")))
	wantStored(t, store, "a") // while nothing is under way, which counts too
	interrupted(t, store, far, second, mega/2)
	wantStored(t, store, "a")
	all, err := store.Inventory(t.Context())
	if err != nil || all.Occupied >= 2*mega {
		t.Errorf("%d bytes are kept, %v", all.Occupied, err)
	}
}

func TestPullsAndEvictionsAtTheSameTimeNeverTakeAnImageFromAnybody(t *testing.T) {
	far := newFarSide(t)
	names := []string{"a", "b", "c", "d", "e"}
	pushMegas(t, far, names...)
	store := openStore(t, pull.Config{MaxStored: 1}) // everything goes as soon as it can
	var all sync.WaitGroup
	for worker := range 4 {
		all.Go(func() {
			for i := range 2 * len(names) {
				name := names[(worker+i)%len(names)]
				img, err := store.Pull(t.Context(), far.request(t, "acme/"+name+":v1"))
				if err != nil {
					t.Error(err)
					return
				}
				key := fmt.Sprint(worker, "-", i)
				rootfs, err := store.Mount(t.Context(), img, key)
				if err != nil {
					t.Error(err)
					return
				}
				if tree := readTree(t, rootfs); tree["base"] != "base" || len(tree["own"]) != mega {
					t.Errorf("%s is not whole", name)
				}
				if err := store.Unmount(context.WithoutCancel(t.Context()), key); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	wantStored(t, store)
}

func TestTheInventoryIsThereForWhoeverDoesNotHaveTheStoreOpen(t *testing.T) {
	far := newFarSide(t)
	pushMegas(t, far, "a", "b")
	root := t.TempDir()
	_, err := pull.ReadInventory(root)
	wantFault(t, err, fault.NotFound, "store_missing")
	store := openStore(t, pull.Config{Root: root, MaxStored: 1 << 40, Now: newClock().Now})
	mustMount(t, store, mustPull(t, store, far.request(t, "acme/a:v1")), "k")
	store.Release(mustPull(t, store, far.request(t, "acme/b:v1")))
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	all, err := pull.ReadInventory(root)
	if err != nil {
		t.Fatal(err)
	}
	const small = 4096 // of the layer that both have
	if len(all.Images) != 2 || all.Limit != 1<<40 || all.Occupied != all.Images[0].Occupies+all.Images[1].Alone {
		t.Fatalf("inventory: %+v", all)
	}
	for i, users := range []int{0, 1} {
		if img := all.Images[i]; img.Occupies != img.Alone+small || img.Users != users {
			t.Errorf("image %d: %+v", i, img)
		}
	}
}
