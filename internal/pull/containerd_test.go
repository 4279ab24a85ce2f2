package pull_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/diff"
	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/archive"
	"github.com/containerd/containerd/v2/pkg/archive/compression"
	"github.com/containerd/containerd/v2/pkg/rootfs"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// daemon is what containerd's daemon unpacks with, without the daemon: a content
// store, the snapshotter for overlays, and what applies one layer after the other.
type daemon struct {
	root      string
	content   content.Store
	snapshots snapshots.Snapshotter
	applier   diff.Applier
	from      time.Time // when it began
	roots     int       // that were mounted
}

// reference is what containerd makes of an image, and the span in which it did.
type reference struct {
	tree     tree
	from, to time.Time
}

// newDaemon unpacks as containerd does where it may mount overlays: into the
// directory of a layer alone, with whiteouts as overlays have them.
func newDaemon(t testing.TB, root string) *daemon {
	t.Helper()
	d := &daemon{root: root}
	var err error
	if d.content, err = local.NewStore(filepath.Join(d.root, "content")); err != nil {
		t.Fatal(err)
	}
	if d.snapshots, err = overlay.NewSnapshotter(filepath.Join(d.root, "overlay")); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := d.snapshots.Close(); err != nil {
			t.Error(err)
		}
	})
	d.applier = apply.NewFileSystemApplier(d.content)
	d.from = d.moment(t)
	return d
}

// newMergingDaemon unpacks as containerd does with any other snapshotter: upon
// the merged tree of the layers below, from which whiteouts remove files.
func newMergingDaemon(t testing.TB, root string) *daemon {
	t.Helper()
	d := newDaemon(t, root)
	d.applier = merging{d.content}
	return d
}

// merging applies a layer to what is mounted.
type merging struct{ content content.Provider }

func (m merging) Apply(ctx context.Context, layer ocispec.Descriptor, mounts []mount.Mount, _ ...diff.ApplyOpt) (applied ocispec.Descriptor, err error) {
	blob, err := m.content.ReaderAt(ctx, layer)
	if err != nil {
		return applied, err
	}
	defer blob.Close()
	plain, err := compression.DecompressStream(content.NewReader(blob))
	if err != nil {
		return applied, err
	}
	defer plain.Close()
	digester := digest.Canonical.Digester()
	stream := io.TeeReader(plain, digester.Hash())
	err = mount.WithTempMount(ctx, mounts, func(root string) error {
		if _, err := archive.Apply(ctx, root, stream); err != nil {
			return err
		}
		_, err := io.Copy(io.Discard, stream)
		return err
	})
	return ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digester.Digest()}, err
}

// unpack gives the tree that a container would have.
func (d *daemon) unpack(t testing.TB, img v1.Image) (reference, error) {
	t.Helper()
	ctx := t.Context()
	made := reference{from: d.from} // a layer may have been unpacked for an earlier image
	var chain digest.Digest
	if layers := d.layers(t, img); len(layers) > 0 {
		var err error
		if chain, err = rootfs.ApplyLayers(ctx, layers, d.snapshots, d.applier); err != nil {
			return made, err
		}
	}
	d.roots++
	key := fmt.Sprint("root ", d.roots)
	mounts, err := d.snapshots.Prepare(ctx, key, chain.String())
	if err != nil {
		t.Fatal(err)
	}
	root := filepath.Join(d.root, key)
	if err := os.Mkdir(root, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := mount.All(mounts, root); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := errors.Join(mount.UnmountAll(root, 0), d.snapshots.Remove(ctx, key)); err != nil {
			t.Error(err)
		}
	}()
	made.to = d.moment(t)
	made.tree = wholeTree(t, root)
	return made, nil
}

// moment is the present as files have it, whose clock is not as fine as ours.
func (d *daemon) moment(t testing.TB) time.Time {
	t.Helper()
	path := filepath.Join(d.root, "now")
	if err := os.WriteFile(path, []byte("now"), 0o600); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.ModTime()
}

// layers puts an image's layers into the content store.
func (d *daemon) layers(t testing.TB, img v1.Image) (layers []rootfs.Layer) {
	t.Helper()
	manifest, err := img.Manifest()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	for i, described := range manifest.Layers {
		layer, err := img.LayerByDigest(described.Digest)
		if err != nil {
			t.Fatal(err)
		}
		stream, err := layer.Compressed()
		if err != nil {
			t.Fatal(err)
		}
		blob, err := io.ReadAll(stream)
		if err != nil {
			t.Fatal(err)
		}
		if err := stream.Close(); err != nil {
			t.Fatal(err)
		}
		descriptor := ocispec.Descriptor{
			MediaType: string(described.MediaType), Digest: digest.Digest(described.Digest.String()), Size: described.Size,
		}
		if err := content.WriteBlob(t.Context(), d.content, descriptor.Digest.String(), bytes.NewReader(blob), descriptor); err != nil {
			t.Fatal(err)
		}
		plain := ocispec.Descriptor{MediaType: ocispec.MediaTypeImageLayer, Digest: digest.Digest(config.RootFS.DiffIDs[i].String())}
		layers = append(layers, rootfs.Layer{Diff: plain, Blob: descriptor})
	}
	return layers
}
