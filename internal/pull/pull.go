package pull

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"
	"golang.org/x/sync/semaphore"

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

	// Route is the guarded way to the image's registry.
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
// layer_type, layer_missing, layer_corrupt, image_too_large and disk_full.
// Nothing wrong is kept. Layers that are whole, with all below them, are kept for
// a day, for the next try to go on from. Of a pull that filled the disk nothing is
// kept.
func (s *Store) Pull(ctx context.Context, request Request) (Image, error) {
	ctx = s.context(ctx)
	p := &puller{
		store: s, request: request,
		board:    &board{now: s.config.Now},
		timeline: &timeline{now: s.config.Now},
		begin:    s.config.Now(),
	}
	p.registry = newRegistry(request, s.config, p.timeline)
	defer p.tellProgress(ctx)()
	return p.pull(ctx)
}

// puller is one pull under way.
type puller struct {
	store    *Store
	request  Request
	registry *registry
	board    *board
	timeline *timeline
	begin    time.Time

	documents documents    // set once they are read
	lease     leases.Lease // of a pull that is not warm
	stack     *stack
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
	name := p.request.Image.Name() + "@" + target.Digest.String()
	if unpacked, warm := p.warm(ctx, name, target); warm {
		return p.image(target, unpacked), nil
	}
	unpacked, err := p.cold(ctx, name, target)
	if err != nil {
		return Image{}, err
	}
	return p.image(target, unpacked), nil
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
func (p *puller) warm(ctx context.Context, name string, target ocispec.Descriptor) (unpacked int64, warm bool) {
	used, known := p.store.keeper.lastUse(ctx, name)
	if !known {
		return 0, false
	}
	found, err := readDocuments(ctx, p.request.Image, p.store.config.Platform, target, shelf{p.store.content})
	if err != nil {
		return 0, false
	}
	unpacked, present, err := p.store.unpacked(ctx, found.configuration.top())
	if err != nil || !present {
		return 0, false
	}
	p.documents = found
	p.board.start(found.states(Exists))
	if p.store.config.Now().Sub(used) >= useResolution {
		p.store.keeper.keep(pulled{name: name, target: target, size: found.size()})
	}
	return unpacked, true
}

// cold fetches and unpacks what is missing.
func (p *puller) cold(ctx context.Context, name string, target ocispec.Descriptor) (unpacked int64, err error) {
	leave := p.timeline.enter(resolving)
	p.documents, err = readDocuments(ctx, p.request.Image, p.store.config.Platform, target, p.registry)
	leave()
	if err != nil {
		return 0, p.registry.explain(err)
	}
	p.board.start(p.documents.states(Waiting))

	// One pull of an image at a time: the next one finds everything done, or
	// goes on where this one failed.
	unlock, err := p.lock(ctx, "image "+p.documents.manifestDigest().String())
	if err != nil {
		return 0, err
	}
	defer unlock()
	if p.lease, err = p.store.leaseFor(ctx, p.documents.manifestDigest()); err != nil {
		return 0, err
	}
	ctx = leases.WithLease(ctx, p.lease.ID)
	if err := p.store.keepDocuments(ctx, p.documents); err != nil {
		return 0, p.storing(err)
	}
	if unpacked, err = p.layers(ctx); err != nil {
		return 0, errors.Join(err, p.makeRoom(ctx, err))
	}
	p.store.keeper.keep(pulled{name: name, target: target, size: p.documents.size(), lease: &p.lease})
	return unpacked, nil
}

// makeRoom keeps nothing of a pull that failed because the disk is full.
func (p *puller) makeRoom(ctx context.Context, failure error) error {
	if fault.From(failure).Code != diskFull {
		return nil
	}
	p.store.keeper.nudge()
	return p.store.leases.Delete(context.WithoutCancel(ctx), p.lease)
}

// layers fetches the layers that are missing and unpacks each while it arrives,
// some at once, whatever becomes of those below it; only their putting together
// goes from the bottom up.
func (p *puller) layers(ctx context.Context) (unpacked int64, err error) {
	chain := p.documents.configuration.chain
	first, err := p.proven(ctx)
	if err != nil {
		return 0, err
	}
	if first > 0 { // the topmost holds all below it
		held, total, err := p.hold(ctx, chain[first-1])
		if err != nil {
			return 0, err
		}
		if unpacked = total; !held { // it was removed just now
			first, unpacked = 0, 0
		}
	}
	for i := range first {
		p.board.enter(i, Exists)
	}
	p.stack = newStack(len(chain), first, unpacked)
	fetching := semaphore.NewWeighted(int64(p.store.config.Parallel))
	group, working := errgroup.WithContext(ctx)
	for i := first; i < len(chain) && fetching.Acquire(working, 1) == nil; i++ {
		group.Go(func() error {
			return p.layer(working, i, sync.OnceFunc(func() { fetching.Release(1) }))
		})
	}
	if err = group.Wait(); err == nil {
		err = ctx.Err() // it may have ended before the last layer was begun
	}
	if err != nil {
		return 0, p.registry.interrupted(err)
	}
	return p.stack.total(len(chain) - 1), nil
}

// lock waits for the right to work on something.
func (p *puller) lock(ctx context.Context, key string) (unlock func(), err error) {
	defer p.timeline.enter(waiting)()
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
func (p *puller) image(target ocispec.Descriptor, unpacked int64) Image {
	return Image{
		Reference:      p.request.Image,
		Digest:         target.Digest,
		ManifestDigest: p.documents.manifestDigest(),
		Config:         p.documents.configuration.Image,
		Size:           p.documents.size(),
		Unpacked:       unpacked,
		Report:         p.report(),
		chain:          p.documents.configuration.top(),
	}
}

func (p *puller) report() Report {
	r := Report{
		Total:    p.store.config.Now().Sub(p.begin),
		Token:    p.timeline.of(authorizing),
		Manifest: p.timeline.of(resolving),
		Wait:     p.timeline.of(waiting),
		Transfer: p.timeline.of(transferring),
		Unpack:   p.timeline.of(unpacking),
		Size:     p.documents.size(),
		Layers:   p.board.layers(),
		registry: registryTitle(p.request.Image),
	}
	if limit, told := p.registry.client.LastLimit(); told {
		r.RateLimit = &limit
	}
	r.Rate = rateOf(r.Layers)
	for _, layer := range r.Layers {
		r.Fetched += layer.Fetched
		r.Unpacked += layer.Unpacked
	}
	return r
}
