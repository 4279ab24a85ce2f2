package pull

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// AuthorizeFunc gives what a request shows to the registry at this moment.
// Refused says that the registry did not take the last one, so that a fresh
// one is needed; giving the same again makes the registry's refusal stand. It
// is called by several goroutines at once. Its error ends the pull and should
// be a fault.
type AuthorizeFunc func(ctx context.Context, refused bool) (oci.Authorization, error)

// Request is one execution's wish for an image. Image and Route are required.
type Request struct {
	Image image.Reference

	// Route is the guarded way to the image's registry, or to a pull-through cache in its
	// place.
	Route *oci.Route

	// Authorize gives this execution's own authorization; nil asks as anybody
	// may.
	Authorize AuthorizeFunc

	// Resolved is called once, as soon as the registry has said what the
	// image is now; nil: nobody asks.
	Resolved func(digest.Digest)

	// Progress is called with each new state, never twice at once and not
	// after Pull has returned; nil: nobody asks.
	Progress func(Progress)
}

// Pull makes an image ready to be mounted. It always asks the registry first,
// with the request's own authorization; an image that this repository has
// given before and that is still here costs that one HEAD request. Otherwise
// it fetches, checks and unpacks what is missing. Two pulls that want the same
// layer fetch and unpack it once.
//
// The error is a *fault.Error for everything that the image, the registry or
// the disk is to blame for; its codes are those of diagnosis.Of and
// manifest_invalid, manifest_schema1, not_an_image, config_invalid,
// digest_algorithm, platform_mismatch, too_many_layers, layer_foreign,
// layer_type, layer_device, layer_missing, layer_corrupt, image_too_large and disk_full.
// An image stays, whatever else needs room, until it is mounted or released.
//
// Nothing wrong is kept. Layers that are whole are kept for a day, for the next try
// to go on from. Of a pull that filled the disk nothing is kept. Of the image there
// is then nothing but its Report, of what was done until then.
func (s *Store) Pull(ctx context.Context, request Request) (Image, error) {
	ctx = s.context(ctx)
	p := &puller{
		store: s, request: request,
		board:    &board{now: s.config.Now, source: sourceOf(request)},
		timeline: &timeline{now: s.config.Now},
		begin:    s.config.Now(),
	}
	p.registry = newRegistry(request, s.config, p.timeline)
	defer p.tellProgress(ctx)()
	pulled, err := p.pull(ctx)
	if err != nil {
		report := p.report()
		report.Unfinished = true
		return Image{Report: report}, err
	}
	return pulled, nil
}

// Release says that a pulled image will not be mounted (any more), so that it may be
// removed to make room. Mount says so by itself; more calls do nothing.
func (s *Store) Release(img Image) { s.mounted.remove(img.hold) }

// puller is one pull under way.
type puller struct {
	store    *Store
	request  Request
	registry *registry
	board    *board
	timeline *timeline
	begin    time.Time

	name      string       // repository and digest
	kept      string       // keeps what the image is mounted of, once it is here
	documents documents    // set once they are read
	lease     leases.Lease // of a pull that is not warm
	files     atomic.Int64 // bytes of the image's files so far, of layers that are not finished too
}

// nameOf is what a complete image is recorded under. A registry that a credential
// reaches in a way of its own is another one, and says so behind the digest.
func nameOf(request Request, d digest.Digest) string {
	name := request.Image.Name() + "@" + d.String()
	if way, is := strings.CutPrefix(request.Route.Source(), request.Route.Host()); is && way != "" {
		name += way
	}
	return name
}

// tellProgress starts telling; what it returns tells the last state and ends
// it.
func (p *puller) tellProgress(ctx context.Context) (stop func()) {
	if p.request.Progress == nil {
		return func() {}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	done := make(chan struct{})
	go func() {
		defer close(done)
		p.board.tell(ctx, p.store.config.ProgressEvery, p.request.Progress)
	}()
	return func() { cancel(); <-done }
}

func (p *puller) pull(ctx context.Context) (Image, error) {
	target, err := p.resolve(ctx)
	if err != nil {
		return Image{}, err
	}
	if p.request.Resolved != nil {
		p.request.Resolved(target.Digest)
	}
	p.name = nameOf(p.request, target.Digest)
	if whole, warm := p.warm(ctx, target); warm {
		return p.image(target, whole), nil
	}
	whole, err := p.cold(ctx, target)
	if err != nil {
		p.store.mounted.remove(p.kept)
		return Image{}, err
	}
	return p.image(target, whole), nil
}

func (p *puller) resolve(ctx context.Context) (ocispec.Descriptor, error) {
	defer p.timeline.enter(resolving)()
	target, err := p.registry.resolve(ctx)
	if err != nil {
		return target, p.registry.explain(err)
	}
	return target, checkDescriptor(p.request.Image, "the image", target, oci.MaxManifest)
}

// warm reports whether all of the image is here. It counts only if this very
// repository gave it: knowing the digest of an image elsewhere gives nobody
// that image. Whatever is missing or unreadable makes it cold, which mends it.
func (p *puller) warm(ctx context.Context, target ocispec.Descriptor) (whole stack, warm bool) {
	_, known := p.store.keeper.lastUse(ctx, p.name)
	if !known {
		return stack{}, false
	}
	found, err := readDocuments(ctx, p.request.Image, p.store.config.Platform, target, shelf{p.store.content})
	if err != nil {
		return stack{}, false
	}
	whole, here, err := p.store.mountable(ctx, found.configuration)
	if err != nil || !here {
		return stack{}, false
	}
	p.kept = p.store.mounted.hold(held{p.name, whole.snapshots})
	// A collection may have been faster.
	if _, here, err = p.store.mountable(ctx, found.configuration); err != nil || !here {
		p.store.mounted.remove(p.kept)
		return stack{}, false
	}
	p.documents = found
	p.board.start(found.states(Exists))
	if p.store.keeper.touch(p.name) {
		p.store.keeper.keep(pulled{name: p.name, target: target, size: found.size()})
	}
	return whole, true
}

// cold fetches and unpacks what is missing.
func (p *puller) cold(ctx context.Context, target ocispec.Descriptor) (whole stack, err error) {
	leave := p.timeline.enter(resolving)
	p.documents, err = readDocuments(ctx, p.request.Image, p.store.config.Platform, target, p.registry)
	leave()
	if err != nil {
		return stack{}, p.registry.explain(err)
	}
	p.board.start(p.documents.states(Waiting))

	// One pull of an image at a time: the next one finds everything done, or
	// goes on where this one failed.
	unlock, err := p.lock(ctx, imageLock(p.documents.manifestDigest()))
	if err != nil {
		return stack{}, err
	}
	defer unlock()
	if p.lease, err = p.store.leaseFor(ctx, p.documents.manifestDigest()); err != nil {
		return stack{}, err
	}
	ctx = leases.WithLease(ctx, p.lease.ID)
	if err := p.store.keepDocuments(ctx, p.documents); err != nil {
		return stack{}, p.storing(err)
	}
	if whole, err = p.layers(ctx); err != nil {
		return stack{}, errors.Join(err, p.makeRoom(ctx, err))
	}
	p.kept = p.store.mounted.hold(held{p.name, whole.snapshots})
	p.store.keeper.keep(pulled{name: p.name, target: target, size: p.documents.size(), lease: &p.lease})
	return whole, nil
}

// imageLock is the key of the lock that a pull of an image holds.
func imageLock(manifest digest.Digest) string { return "image " + manifest.String() }

// makeRoom keeps nothing of a pull that failed because the disk is full.
func (p *puller) makeRoom(ctx context.Context, failure error) error {
	if fault.From(failure).Code != diskFull {
		return nil
	}
	p.store.keeper.nudge()
	return p.store.leases.Delete(context.WithoutCancel(ctx), p.lease)
}

// layers fetches the layers that are missing and unpacks each while it arrives,
// some at once and the largest first, so that none is left to the end alone.
func (p *puller) layers(ctx context.Context) (stack, error) {
	proven, err := p.proven(ctx)
	if err != nil {
		return stack{}, p.registry.interrupted(err)
	}
	var missing []int
	for i, here := range proven {
		if !here {
			missing = append(missing, i)
			continue
		}
		p.board.enter(i, Exists)
	}
	configuration, sizes := p.documents.configuration, p.documents.manifest.Layers
	slices.SortStableFunc(missing, func(a, b int) int { return cmp.Compare(sizes[b].Size, sizes[a].Size) })
	group, working := errgroup.WithContext(ctx)
	group.SetLimit(p.store.config.Parallel)
	for _, i := range missing {
		group.Go(func() error {
			err := p.layer(working, i)
			if err != nil && working.Err() == nil { // the others only end with it
				p.board.report(i, func(l *LayerReport) { l.Failed = true })
			}
			return err
		})
	}
	if err = group.Wait(); err == nil {
		err = ctx.Err() // it may have ended before the last layer was begun
	}
	if err != nil {
		return stack{}, p.registry.interrupted(err)
	}
	whole, layers, here, err := p.store.assemble(ctx, configuration)
	if err == nil && !here {
		err = errors.New("a layer is gone that the pull's lease keeps")
	}
	if err == nil && whole.bytes > p.store.config.MaxUnpacked {
		err = imageTooLarge(p.request.Image, p.store.config.MaxUnpacked)
	}
	if err == nil && len(whole.snapshots) > len(layers) {
		err = p.mend(ctx, layers)
	}
	return whole, err
}

// lock waits for the right to work on something.
func (p *puller) lock(ctx context.Context, key string) (unlock func(), err error) {
	defer p.timeline.enter(queueing)()
	unlock, err = p.store.busy.lock(ctx, key)
	return unlock, p.registry.interrupted(err)
}

// storing makes a fault of an error met while writing, where the disk is full.
func (p *puller) storing(err error) error {
	if isDiskFull(err) {
		return p.store.disk.full(0, err)
	}
	return fmt.Errorf("keeping a part of %s: %w", p.request.Image, err)
}

// image is the answer to the request.
func (p *puller) image(target ocispec.Descriptor, whole stack) Image {
	return Image{
		Reference:      p.request.Image,
		Digest:         target.Digest,
		ManifestDigest: p.documents.manifestDigest(),
		Config:         p.documents.configuration.Image,
		Size:           p.documents.size(),
		Unpacked:       whole.bytes,
		Report:         p.report(),
		name:           p.name,
		snapshots:      whole.snapshots,
		hold:           p.kept,
	}
}
