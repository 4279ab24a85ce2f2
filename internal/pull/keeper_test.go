package pull

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/opencontainers/go-digest"
)

// heldByNothing is an image whose one snapshot only a mount can hold.
func heldByNothing(t *testing.T, s *Store) Image {
	t.Helper()
	ctx := s.context(t.Context())
	const name = layerPrefix + "x"
	mounts, err := s.snapshots.Prepare(ctx, unpackPrefix+"x", "", snapshots.WithLabels(map[string]string{"containerd.io/gc.root": "1"}))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(mounts[0].Source, "file"), []byte("content"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.snapshots.Commit(ctx, name, unpackPrefix+"x"); err != nil {
		t.Fatal(err)
	}
	return Image{snapshots: []string{name}}
}

func openTemporary(t *testing.T, root string) *Store {
	t.Helper()
	s, err := Open(Config{Root: root})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func closeStore(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
}

func collect(t *testing.T, s *Store) {
	t.Helper()
	if err := s.Collect(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestLayersBelowAMountStayUntilItIsUnmountedAlsoInTheNextProcess(t *testing.T) {
	root := t.TempDir()
	s := openTemporary(t, root)
	rootfs, err := s.Mount(t.Context(), heldByNothing(t, s), "k")
	if err != nil {
		t.Fatal(err)
	}
	layers := filepath.Join(root, "overlay", "snapshots")
	for range 2 {
		collect(t, s)
		if content, err := os.ReadFile(filepath.Join(rootfs, "file")); err != nil || string(content) != "content" {
			t.Errorf("the file of the layer is %q, %v", content, err)
		}
		if left, err := os.ReadDir(layers); err != nil || len(left) != 1 {
			t.Errorf("layers = %v, %v; want one", left, err)
		}
		closeStore(t, s)
		s = openTemporary(t, root)
	}
	if err := s.Unmount(context.Background(), "k"); err != nil {
		t.Fatal(err)
	}
	collect(t, s)
	if left, err := os.ReadDir(layers); err != nil || len(left) != 0 {
		t.Errorf("layers after unmounting = %v, %v; want none", left, err)
	}
	closeStore(t, s)
}

func TestWhatAKilledProcessWasUnpackingIsRemoved(t *testing.T) {
	root := t.TempDir()
	s := openTemporary(t, root)
	if _, err := s.snapshots.Prepare(s.context(t.Context()), unpackPrefix+"half", ""); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)
	s = openTemporary(t, root)
	defer closeStore(t, s)
	collect(t, s)
	if left, err := os.ReadDir(filepath.Join(root, "overlay", "snapshots")); err != nil || len(left) != 0 {
		t.Errorf("layers = %v, %v; want none", left, err)
	}
}

func TestADirectoryThatAKilledProcessHadMadeForALayerIsInNobodysWay(t *testing.T) {
	root := t.TempDir()
	for _, unnoted := range []string{"1", "2"} { // before there was any layer, and after
		if err := os.MkdirAll(filepath.Join(root, "overlay", "snapshots", unnoted, "fs"), directory); err != nil {
			t.Fatal(err)
		}
		s := openTemporary(t, root)
		if _, err := s.snapshots.Prepare(s.context(t.Context()), "layer "+unnoted, ""); err != nil {
			t.Error(err)
		}
		closeStore(t, s)
	}
}

func TestAfterTheMachineWentDownOnlyWhatIsRecordedIsBelieved(t *testing.T) {
	root := t.TempDir()
	s := openTemporary(t, root)
	if _, err := s.leaseFor(s.context(t.Context()), digest.FromString("manifest")); err != nil {
		t.Fatal(err)
	}
	closeStore(t, s)

	s = openTemporary(t, root)
	if held, err := s.leases.List(s.context(t.Context())); err != nil || len(held) != 1 {
		t.Errorf("leases after a restart of the process = %v, %v; want one", held, err)
	}
	closeStore(t, s)

	if err := os.WriteFile(filepath.Join(root, bootFile), []byte(strings.Repeat("0", 36)), 0o600); err != nil {
		t.Fatal(err)
	}
	s = openTemporary(t, root)
	defer closeStore(t, s)
	if held, err := s.leases.List(s.context(t.Context())); err != nil || len(held) != 0 {
		t.Errorf("leases after a restart of the machine = %v, %v; want none", held, err)
	}
}
