package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/pkg/reference"
	"github.com/containerd/errdefs"
	"github.com/containerd/stargz-snapshotter/estargz"
	"github.com/containerd/stargz-snapshotter/fs"
	"github.com/containerd/stargz-snapshotter/fs/config"
	"github.com/containerd/stargz-snapshotter/fs/layer"
	"github.com/containerd/stargz-snapshotter/fs/source"
	rhttp "github.com/hashicorp/go-retryablehttp"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sys/unix"

	"fairlead.dev/fairlead/bench/far"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
	"fairlead.dev/fairlead/internal/pull"
)

// way is how one comes to a root filesystem.
type way struct {
	Name string
	Tag  string // of the image

	Lazy  bool // mounted before it is there
	Quiet bool // and nothing is fetched in the background
	Tuned bool // with settings that are better here than the library's defaults
}

var ways = []way{
	{Name: "whole, gzip", Tag: gzipTag},
	{Name: "whole, eStargz", Tag: stargzTag},
	{Name: "lazy", Tag: stargzTag, Lazy: true},
	{Name: "lazy, no background", Tag: stargzTag, Lazy: true, Quiet: true},
	{Name: "lazy, tuned", Tag: stargzTag, Lazy: true, Tuned: true},
	{Name: "lazy, prioritized", Tag: prioritizedTag, Lazy: true},
	{Name: "lazy, prioritized, no background", Tag: prioritizedTag, Lazy: true, Quiet: true},
}

// The tags of the images.
const (
	gzipTag        = "gzip"
	stargzTag      = "estargz"
	prioritizedTag = "prioritized"
)

// traffic is what a lazy mount asked the registry for.
type traffic struct {
	under    http.RoundTripper
	requests atomic.Int64
	bytes    atomic.Int64
}

func (t *traffic) RoundTrip(request *http.Request) (*http.Response, error) {
	t.requests.Add(1)
	response, err := t.under.RoundTrip(request)
	if err == nil {
		response.Body = &countedBody{response.Body, &t.bytes}
	}
	return response, err
}

type countedBody struct {
	io.ReadCloser
	bytes *atomic.Int64
}

func (b *countedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.bytes.Add(int64(n))
	return n, err
}

// whole pulls the image and mounts it, as a worker does, with the product's own
// store.
func whole(ctx context.Context, j job, to *far.Client) (root string, close func() error, err error) {
	igzip, _ := exec.LookPath("igzip") // as a worker does
	store, err := pull.Open(pull.Config{Root: filepath.Join(j.Dir, "images"), Igzip: igzip})
	if err != nil {
		return "", nil, err
	}
	ref, err := image.ParseReference(j.Image)
	if err != nil {
		return "", store.Close, err
	}
	pulled, err := store.Pull(ctx, pull.Request{
		Image: ref, Route: to.Route, Progress: func(pull.Progress) {}, Authorize: to.Once(),
	})
	if err != nil {
		return "", store.Close, err
	}
	const key = "cold"
	root, err = store.Mount(ctx, pulled, key)
	return root, func() error { return errors.Join(store.Unmount(ctx, key), store.Close()) }, err
}

// bearer lets the library's requests have the worker's grant.
type bearer struct{ give pull.AuthorizeFunc }

func (b bearer) Authorize(ctx context.Context, request *http.Request) error {
	authorization, err := b.give(ctx, false)
	if err == nil {
		authorization.Apply(request)
	}
	return err
}

func (b bearer) AddResponses(context.Context, []*http.Response) error {
	return errdefs.ErrNotImplemented
}

// lazy mounts the layers by FUSE and an overlay of them, as stargz-snapshotter
// and containerd do, with the former's defaults: it checks each piece of a file
// by the digest in the layer's table of contents, whose own digest is in the
// manifest.
func lazy(ctx context.Context, j job, to *far.Client, counted *traffic) (root string, close func() error, err error) {
	close = func() error { return nil }
	give := to.Once()
	manifest, err := fetchManifest(ctx, j.Image, to, give)
	if err != nil {
		return "", close, err
	}
	spec, err := reference.Parse(j.Image)
	if err != nil {
		return "", close, err
	}
	counted.under = to.Route.SideBySide()
	hosts := func(reference.Spec) ([]docker.RegistryHost, error) {
		retrying := rhttp.NewClient() // as the snapshotter's own, for each layer, which sets its retries
		retrying.Logger, retrying.HTTPClient = nil, &http.Client{Transport: counted}
		return []docker.RegistryHost{{
			Client: &http.Client{Transport: &rhttp.RoundTripper{Client: retrying}}, Authorizer: bearer{give},
			Host: to.Route.Host(), Scheme: to.Route.Scheme(), Path: "/v2", Capabilities: docker.HostCapabilityPull,
		}}, nil
	}
	const number = "layer" // of the label that says which layer is meant
	settings := config.Config{
		NoBackgroundFetch: j.Quiet, NoPrometheus: true,
		DirectoryCacheConfig: config.DirectoryCacheConfig{Direct: true},
	}
	if j.Tuned {
		settings.ChunkSize = 1_000_000 // fetched at once, at least: 50,000 by default
		settings.SyncAdd = true        // or the next read may come before a piece is kept, and unpack it once more
	}
	filesystem, err := fs.NewFilesystem(filepath.Join(j.Dir, "stargz"), settings, fs.WithOverlayOpaqueType(layer.OverlayOpaqueTrusted), fs.WithGetSources(func(labels map[string]string) ([]source.Source, error) {
		for _, l := range manifest.Layers {
			if l.Digest.String() == labels[number] {
				return []source.Source{{Hosts: hosts, Name: spec, Target: l, Manifest: manifest}}, nil
			}
		}
		return nil, errors.New("no such layer")
	}))
	if err != nil {
		return "", close, err
	}
	lowers := make([]string, len(manifest.Layers))
	var group errgroup.Group
	for i, l := range manifest.Layers {
		lowers[len(lowers)-1-i] = filepath.Join(j.Dir, fmt.Sprint(i)) // the topmost first
		group.Go(func() error {
			at := lowers[len(lowers)-1-i]
			if err := os.Mkdir(at, 0o755); err != nil {
				return err
			}
			labels := map[string]string{number: l.Digest.String(), estargz.TOCJSONDigestAnnotation: l.Annotations[estargz.TOCJSONDigestAnnotation]}
			if err := filesystem.Mount(ctx, at, labels); err != nil {
				return err
			}
			return filesystem.Check(ctx, at, labels) // waits for what is prioritized, as before a container starts
		})
	}
	if err := errors.Join(group.Wait(), keepDevices()); err != nil {
		return "", close, err
	}
	root = filepath.Join(j.Dir, "rootfs")
	upper, work := filepath.Join(j.Dir, "upper"), filepath.Join(j.Dir, "work")
	for _, dir := range []string{root, upper, work} {
		if err := os.Mkdir(dir, 0o755); err != nil {
			return "", close, err
		}
	}
	options := "lowerdir=" + strings.Join(lowers, ":") + ",upperdir=" + upper + ",workdir=" + work
	close = func() error {
		errs := []error{unix.Unmount(root, 0)}
		for _, lower := range lowers {
			errs = append(errs, filesystem.Unmount(ctx, lower))
		}
		return errors.Join(errs...)
	}
	return root, close, unix.Mount("overlay", root, "overlay", 0, options)
}

// keepDevices keeps the mounts' devices from the programs that this process
// starts: the library leaves them open for those, and one that has them and waits
// for a file hangs in the kernel, beyond any signal, if this process is killed.
func keepDevices() error {
	const own = "/proc/self/fd"
	entries, err := os.ReadDir(own)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if target, _ := os.Readlink(filepath.Join(own, e.Name())); target == "/dev/fuse" {
			fd, err := strconv.Atoi(e.Name())
			if err != nil {
				return err
			}
			unix.CloseOnExec(fd)
		}
	}
	return nil
}

func fetchManifest(ctx context.Context, name string, to *far.Client, give pull.AuthorizeFunc) (m ocispec.Manifest, err error) {
	ref, err := image.ParseReference(name)
	if err != nil {
		return m, err
	}
	authorization, err := give(ctx, false)
	if err != nil {
		return m, err
	}
	_, text, err := oci.NewClient(to.Route).Manifest(ctx, ref, authorization)
	if err != nil {
		return m, err
	}
	return m, json.Unmarshal(text, &m)
}
