package pull_test

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/pull"
)

// smallDisk is a filesystem of its own with room for a size such as 16m.
func smallDisk(t *testing.T, size string) (root string) {
	t.Helper()
	root = t.TempDir()
	if err := unix.Mount("tmpfs", root, "tmpfs", 0, "size="+size); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(root, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	return root
}

func mounted(t *testing.T, root string) (n int) {
	t.Helper()
	table, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(table), " "+root+"/")
}

func TestUnmountTakesAwayWhatWasWrittenAndMayBeRepeated(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	rootfs := mustMount(t, store, img, "k")
	if err := os.WriteFile(filepath.Join(rootfs, "written"), []byte("w"), 0o600); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := store.Unmount(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := os.Stat(rootfs); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the root filesystem is still there: %v", err)
	}
	if err := store.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"rootfs", "writable", "rubbish"} {
		if entries, err := os.ReadDir(filepath.Join(root, dir)); err != nil || len(entries) > 0 {
			t.Errorf("%s holds %v, %v", dir, entries, err)
		}
	}
	if _, err := os.Stat(filepath.Join(mustMount(t, store, img, "k"), "written")); err == nil {
		t.Error("the next root filesystem of that key has the file")
	}
}

func TestAKeyThatIsMountedOrNoFileNameIsRefused(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	rootfs := mustMount(t, store, img, "k")
	_, err := store.Mount(t.Context(), img, "k")
	wantFault(t, err, fault.Conflict, "mount_exists")
	if _, err := os.Stat(filepath.Join(rootfs, "hello")); err != nil {
		t.Errorf("the first one is gone: %v", err)
	}
	for _, key := range []string{"", ".", "..", "a/b", "../k", "a,b", "a:b", strings.Repeat("a", 200)} {
		_, err := store.Mount(t.Context(), img, key)
		wantFault(t, err, fault.Invalid, "mount_key")
		if err := store.Unmount(t.Context(), key); err != nil {
			t.Errorf("unmounting %q: %v", key, err)
		}
	}
	if n := mounted(t, root); n != 1 {
		t.Errorf("%d mounts, want 1", n)
	}
}

func TestReapTakesWhatAnEarlierProcessLeft(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	kept := mustMount(t, store, img, "kept")
	mustMount(t, store, img, "left")
	if err := store.Close(); err != nil {
		t.Fatal(err)
	}

	store = openStore(t, pull.Config{Root: root})
	if n := mounted(t, root); n != 2 {
		t.Errorf("%d mounts after opening again, want 2", n)
	}
	if err := store.Reap(t.Context(), func(key string) bool { return key == "kept" }); err != nil {
		t.Fatal(err)
	}
	if n := mounted(t, root); n != 1 {
		t.Errorf("%d mounts after reaping, want 1", n)
	}
	if diff := cmp.Diff(map[string]string{"hello": "hello"}, readTree(t, kept)); diff != "" {
		t.Errorf("the kept one (-want +got):\n%s", diff)
	}
	_, err := store.Mount(t.Context(), img, "kept")
	wantFault(t, err, fault.Conflict, "mount_exists")
}

func TestAnImageOfManyLayersIsMounted(t *testing.T) {
	far := newFarSide(t)
	var layers []testLayer
	want := make(map[string]string)
	for i := range 128 {
		name := fmt.Sprintf("f%d", i)
		layers = append(layers, layer(t, file(name, name)))
		want[name] = name
	}
	far.push(t, "acme/deep:v1", imageOf(t, layers...))
	store := openStore(t, pull.Config{})
	rootfs := mustMount(t, store, mustPull(t, store, far.request(t, "acme/deep:v1")), "k")
	if diff := cmp.Diff(want, readTree(t, rootfs)); diff != "" {
		t.Errorf("tree (-want +got):\n%s", diff)
	}
}

func TestAStoreIsOpenOnce(t *testing.T) {
	root := t.TempDir()
	openStore(t, pull.Config{Root: root})
	_, err := pull.Open(pull.Config{Root: root})
	wantFault(t, err, fault.Conflict, "store_in_use")
	_, err = pull.Open(pull.Config{Root: "relative"})
	wantFault(t, err, fault.Invalid, "store_root")
}

func BenchmarkWarmPullAndMount(b *testing.B) {
	far := newFarSide(b)
	var layers []testLayer
	for i := range 20 {
		layers = append(layers, layer(b, file(fmt.Sprint(i), "x")))
	}
	far.push(b, "acme/train:v1", imageOf(b, layers...))
	store := openStore(b, pull.Config{})
	request := far.request(b, "acme/train:v1")
	mustPull(b, store, request)
	for b.Loop() {
		if _, err := store.Mount(b.Context(), mustPull(b, store, request), "k"); err != nil {
			b.Fatal(err)
		}
		if err := store.Unmount(context.Background(), "k"); err != nil {
			b.Fatal(err)
		}
	}
}

func TestWhatIsUnmountedWhileTheStoreIsTidiedLeavesNothing(t *testing.T) {
	far := newFarSide(t)
	far.push(t, "acme/train:v1", imageOf(t, layer(t, file("hello", "hello"))))
	root := t.TempDir()
	store := openStore(t, pull.Config{Root: root})
	img := mustPull(t, store, far.request(t, "acme/train:v1"))
	ended := make(chan struct{})
	var tidying sync.WaitGroup
	tidying.Go(func() {
		for {
			select {
			case <-ended:
				return
			default:
				if err := store.Collect(t.Context()); err != nil {
					t.Error(err)
					return
				}
			}
		}
	})
	for range 200 {
		mustMount(t, store, img, "k")
		if err := store.Unmount(t.Context(), "k"); err != nil {
			t.Fatal(err)
		}
	}
	close(ended)
	tidying.Wait()
	if left, err := os.ReadDir(filepath.Join(root, "writable")); err != nil || len(left) != 0 {
		t.Errorf("left are %v, %v", left, err)
	}
}
