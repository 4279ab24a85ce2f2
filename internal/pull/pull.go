package pull

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// AuthorizeFunc gives the authorization of this moment. refused tells that the
// registry no longer takes the last one, so that a fresh one is wanted.
type AuthorizeFunc func(ctx context.Context, refused bool) (oci.Authorization, error)

// Request asks for an image.
type Request struct {
	Image image.Reference
	Route *oci.Route

	// Authorize may be nil for an image that everybody may pull. It is called
	// concurrently.
	Authorize AuthorizeFunc

	// Resolved is called once, as soon as the digest is known; Progress whenever
	// a layer went on, from one goroutine. Both may be nil.
	Resolved func(digest.Digest)
	Progress func(Progress)
}

// Labels by which the garbage collection knows what belongs together.
// https://github.com/containerd/containerd/blob/v2.0.0/docs/garbage-collection.md
const (
	labelContent  = "containerd.io/gc.ref.content."
	labelSnapshot = "containerd.io/gc.ref.snapshot." + snapshotter
	labelRoot     = "containerd.io/gc.root"
)

// Pull gets an image onto this machine: it asks the registry what the image is
// now, with the request's own authorization, fetches and unpacks what is
// missing, and checks every digest. An image that is here already costs the one
// request. Every error is a fault, and leaves nothing behind that is wrong; what
// was fetched right is kept for the next try.
func (s *Store) Pull(ctx context.Context, request Request) (Image, error) {
	p := &puller{
		store: s, request: request, registry: newRegistry(request, s.config),
		board: &board{now: s.config.Now}, begin: s.config.Now(),
	}
	ctx = s.context(ctx)
	found, err := p.registry.resolve(ctx)
	if err != nil {
		return Image{}, p.registry.explain(err)
	}
	p.target = found
	if request.Resolved != nil {
		request.Resolved(found.Digest)
	}
	if pulled, ok := p.warm(ctx); ok {
		return pulled, nil
	}
	return p.pull(ctx)
}

// puller is one pull under way.
type puller struct {
	store    *Store
	request  Request
	registry *registry
	board    *board
	begin    time.Time

	target   ocispec.Descriptor // what the registry answered
	platform ocispec.Descriptor // the manifest for this platform
	manifest document
	config   configuration
	read     time.Time // when manifest and configuration had been read

	unpacked int64 // bytes of files, in this pull
}

// name is what the image's record is called.
func (p *puller) name() string {
	return p.request.Image.Name() + "@" + p.target.Digest.String()
}

// warm is the image if it is here whole.
func (p *puller) warm(ctx context.Context) (Image, bool) {
	record, err := p.store.records.Get(ctx, p.name())
	if err != nil || p.documents(ctx, p.local) != nil {
		return Image{}, false
	}
	if top := p.config.top(); top != "" {
		if _, err := p.store.snapshots.Stat(ctx, top.String()); err != nil {
			return Image{}, false
		}
	}
	p.startBoard(len(p.manifest.Layers))
	if p.store.config.Now().Sub(record.UpdatedAt) > useResolution {
		p.store.keeper.keep(pulled{name: p.name(), target: p.target})
	}
	return p.image(0, 0), true
}

// pull fetches and unpacks what is missing, under a lease that keeps it.
func (p *puller) pull(ctx context.Context) (Image, error) {
	lease, err := p.store.leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseLifetime))
	if err != nil {
		return Image{}, p.failed(err)
	}
	ctx = leases.WithLease(ctx, lease.ID)
	if err := p.documents(ctx, p.fetchDocument); err != nil {
		return Image{}, p.failed(err)
	}
	waited, unpacking, err := p.layers(ctx, lease)
	if err != nil {
		return Image{}, p.failed(err)
	}
	// Written last, and from the bottom up: the labels of each name what it
	// needs, and that is all there now.
	if err := p.keepDocuments(ctx); err != nil {
		return Image{}, p.failed(err)
	}
	p.store.keeper.keep(pulled{name: p.name(), target: p.target, lease: &lease})
	return p.image(waited, unpacking), nil
}

// failed makes a fault of an error of the registry or of the disk.
func (p *puller) failed(err error) error {
	if isDiskFull(err) {
		return p.store.disk.full(0, err)
	}
	return p.registry.explain(err)
}

// readDocument reads a manifest or a configuration by its descriptor.
type readDocument func(ctx context.Context, d ocispec.Descriptor, isManifest bool) (mediaType string, body []byte, err error)

// documents reads the manifest for this platform and its configuration.
func (p *puller) documents(ctx context.Context, read readDocument) error {
	ref := p.request.Image
	p.platform = p.target
	for depth := 0; ; depth++ {
		mediaType, body, err := read(ctx, p.platform, true)
		if err != nil {
			return err
		}
		if p.manifest, err = parseDocument(ref, mediaType, body); err != nil {
			return err
		}
		if !p.manifest.isIndex() {
			break
		}
		if depth == maxIndexes {
			return imageInvalid(ref, "manifest_invalid", "has an index inside an index, more than %d deep", maxIndexes)
		}
		if p.platform, err = p.manifest.choose(ref, p.store.config.Platform); err != nil {
			return err
		}
	}
	_, body, err := read(ctx, p.manifest.Config, false)
	if err != nil {
		return err
	}
	p.config, err = parseConfiguration(ref, p.manifest, p.store.config.Platform, body)
	p.read = p.store.config.Now()
	return err
}

// local reads what is in the store.
func (p *puller) local(ctx context.Context, d ocispec.Descriptor, _ bool) (string, []byte, error) {
	const most = maxConfig
	info, err := p.store.content.Info(ctx, d.Digest)
	if err != nil {
		return "", nil, err
	}
	if info.Size > most {
		return "", nil, fmt.Errorf("%s has %d bytes", d.Digest, info.Size)
	}
	d.Size = info.Size
	body, err := content.ReadBlob(ctx, p.store.content, d)
	return d.MediaType, body, err
}

// fetchDocument reads what is in the store, or else asks the registry.
func (p *puller) fetchDocument(ctx context.Context, d ocispec.Descriptor, isManifest bool) (string, []byte, error) {
	if mediaType, body, err := p.local(ctx, d, isManifest); err == nil {
		return mediaType, body, nil
	}
	if isManifest {
		found, body, err := p.registry.manifest(ctx, d)
		return found.MediaType, body, err
	}
	body, err := p.registry.small(ctx, d)
	return d.MediaType, body, err
}

// keepDocuments writes configuration, manifest and index into the store. They
// are small, so that they are read again rather than carried along.
func (p *puller) keepDocuments(ctx context.Context) error {
	snapshot := map[string]string{}
	if top := p.config.top(); top != "" {
		snapshot[labelSnapshot] = top.String()
	}
	if err := p.keepDocument(ctx, p.manifest.Config, false, snapshot); err != nil {
		return err
	}
	err := p.keepDocument(ctx, p.platform, true, map[string]string{labelContent + "config": p.manifest.Config.Digest.String()})
	if err != nil || p.platform.Digest == p.target.Digest {
		return err
	}
	// An index inside an index is not kept: such an image is read again from
	// the registry, which is rare and right.
	return p.keepDocument(ctx, p.target, true, map[string]string{labelContent + "m.0": p.platform.Digest.String()})
}

func (p *puller) keepDocument(ctx context.Context, d ocispec.Descriptor, isManifest bool, labels map[string]string) error {
	_, body, err := p.fetchDocument(ctx, d, isManifest)
	if err != nil {
		return err
	}
	d.Size = int64(len(body))
	err = content.WriteBlob(ctx, p.store.content, "document-"+d.Digest.String(), bytes.NewReader(body), d, content.WithLabels(labels))
	if err != nil && !errdefs.IsAlreadyExists(err) {
		return fmt.Errorf("keeping %s: %w", d.Digest, err)
	}
	return nil
}

// startBoard tells of the layers, of which the first existing ones are here.
func (p *puller) startBoard(existing int) {
	states := make([]LayerProgress, len(p.manifest.Layers))
	for i, layer := range p.manifest.Layers {
		states[i] = LayerProgress{Digest: layer.Digest, Total: layer.Size, Phase: Waiting}
		if i < existing {
			states[i].Phase, states[i].Done = Exists, layer.Size
		}
	}
	p.board.start(states)
}

// image is what the pull came to. waited is the time that nothing was done but
// wait for layers to come, unpacking what it took to unpack them.
func (p *puller) image(waited, unpacking time.Duration) Image {
	layers := p.board.layers()
	report := Report{
		Total: p.store.config.Now().Sub(p.begin), Token: p.registry.tokenTime(), Unpack: unpacking,
		Rate: rateOf(layers), Unpacked: p.unpacked, Layers: layers,
	}
	report.Manifest = max(0, p.read.Sub(p.begin)-report.Token)
	var waits, transfers time.Duration
	for _, layer := range layers {
		report.Fetched += layer.Fetched
		waits += layer.Wait
		transfers += layer.Transfer
	}
	if sum := waits + transfers; sum > 0 {
		report.Wait = time.Duration(float64(waited) * float64(waits) / float64(sum))
	}
	report.Transfer = waited - report.Wait
	report.Size = p.target.Size + p.manifest.Config.Size
	if p.platform.Digest != p.target.Digest {
		report.Size += p.platform.Size
	}
	for _, layer := range p.manifest.Layers {
		report.Size += layer.Size
	}
	return Image{
		Reference: p.request.Image, Digest: p.target.Digest, ManifestDigest: p.platform.Digest,
		Config: p.config.Image, Size: report.Size, Unpacked: p.unpacked, Report: report, chain: p.config.top(),
	}
}

// errStalled is a download that brings nothing any more.
var errStalled = errors.New("the registry sends nothing any more")
