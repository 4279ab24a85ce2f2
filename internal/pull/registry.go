package pull

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/diagnosis"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// registry is the far side of one pull: one repository, asked with one
// execution's authorization, with the retries that a network needs.
type registry struct {
	ref       image.Reference
	route     *oci.Route
	client    *oci.Client
	parts     *oci.Client   // for requests that go on side by side
	wait      time.Duration // before the first retry
	authorize AuthorizeFunc

	timeline *timeline

	shown digest.Digest // of the manifest that was fetched last, before any layer is

	renewing  sync.Mutex
	undivided atomic.Bool // it was seen to send no parts of blobs
}

func newRegistry(request Request, config Config, timeline *timeline) *registry {
	return &registry{
		ref:       request.Image,
		route:     request.Route,
		client:    oci.NewClient(request.Route),
		parts:     oci.NewClient(request.Route.SideBySide()),
		wait:      config.RetryWait,
		authorize: request.Authorize,
		timeline:  timeline,
	}
}

// tries is how often a small request is made before its error stands.
const tries = 3

// resolve asks what the image is now, with one HEAD request.
func (r *registry) resolve(ctx context.Context) (found ocispec.Descriptor, err error) {
	err = r.try(ctx, func(authorization oci.Authorization) error {
		found, err = r.client.ResolveManifest(ctx, r.ref, authorization)
		return err
	})
	return found, err
}

// manifest fetches a manifest by its digest.
func (r *registry) manifest(ctx context.Context, d ocispec.Descriptor) (found ocispec.Descriptor, body []byte, err error) {
	err = r.try(ctx, func(authorization oci.Authorization) error {
		found, body, err = r.client.Manifest(ctx, r.ref.WithDigest(d.Digest), authorization)
		return err
	})
	r.shown = d.Digest
	return found, body, err
}

// small fetches a blob that fits into memory and checks it.
func (r *registry) small(ctx context.Context, d ocispec.Descriptor) (body []byte, err error) {
	err = r.try(ctx, func(authorization oci.Authorization) error {
		stream, err := r.open(ctx, d, 0, 0, authorization)
		if err != nil {
			return err
		}
		defer func() { _ = stream.Close() }()
		if body, err = io.ReadAll(io.LimitReader(stream, d.Size+1)); err != nil {
			return oci.RedactError(err)
		}
		if int64(len(body)) != d.Size || d.Digest.Algorithm().FromBytes(body) != d.Digest {
			return fault.New(fault.Unavailable, "digest_mismatch", "the configuration of %s, %s, arrived truncated or altered", r.ref, d.Digest).
				WithHint("Try again; if it stays so, push the image again, or look for a proxy in between that changes what it passes on.")
		}
		return nil
	})
	return body, err
}

// try makes a request with the authorization of this moment: once more with a
// fresh one if that is refused, and a few times where the failure may pass.
func (r *registry) try(ctx context.Context, request func(oci.Authorization) error) error {
	for n := 0; ; n++ {
		err := r.authorized(ctx, request)
		if err == nil || n+1 >= tries || !isPassing(err) {
			return err
		}
		if err := r.pause(ctx, n, err); err != nil {
			return err
		}
	}
}

// authorized makes a request, and makes it again with a fresh authorization if
// the registry no longer takes the first one.
func (r *registry) authorized(ctx context.Context, request func(oci.Authorization) error) error {
	authorization, err := r.authorization(ctx, false)
	if err != nil {
		return err
	}
	err = request(authorization)
	if !isRefused(err) {
		return err
	}
	fresh, renewErr := r.renew(ctx, authorization)
	switch {
	case renewErr != nil:
		return renewErr
	case sameAuthorization(fresh, authorization):
		return err
	default:
		return request(fresh)
	}
}

// renew gives the authorization that came after the refused one. Layers that
// are refused at the same time cause one renewal.
func (r *registry) renew(ctx context.Context, refused oci.Authorization) (oci.Authorization, error) {
	r.renewing.Lock()
	defer r.renewing.Unlock()
	present, err := r.authorization(ctx, false)
	if err != nil || !sameAuthorization(present, refused) {
		return present, err
	}
	fresh, err := r.authorization(ctx, true)
	if err == nil && sameAuthorization(fresh, refused) {
		return refused, nil
	}
	return fresh, err
}

func sameAuthorization(a, b oci.Authorization) bool {
	return a.Scheme() == b.Scheme() && a.User() == b.User() && a.Secret().Equal(b.Secret())
}

func (r *registry) authorization(ctx context.Context, refused bool) (oci.Authorization, error) {
	if r.authorize == nil {
		return oci.Anonymous, nil
	}
	defer r.timeline.enter(authorizing)()
	return r.authorize(ctx, refused)
}

// open asks for a blob from offset on, up to its end or, if end is not 0, for that part
// beside others.
func (r *registry) open(ctx context.Context, d ocispec.Descriptor, offset, end int64, authorization oci.Authorization) (oci.Blob, error) {
	client := r.client
	if end > 0 {
		client = r.parts
	}
	opened, err := client.OpenBlob(ctx, r.ref.Repository(), d, offset, end, authorization)
	if answer, ok := errors.AsType[*oci.Error](err); !ok || answer.Status != http.StatusNotFound || r.route.Cache() == "" || r.shown == "" {
		return opened, err
	}
	// A cache that was started anew does not know any more what leads to the blob.
	if _, _, shownErr := r.client.Manifest(ctx, r.ref.WithDigest(r.shown), authorization); shownErr != nil {
		return opened, shownErr
	}
	return client.OpenBlob(ctx, r.ref.Repository(), d, offset, end, authorization)
}

// explain makes a fault of an error met on the way to the registry, or to the cache in
// its place.
func (r *registry) explain(err error) error {
	if err == nil {
		return nil
	}
	service := diagnosis.At(r.ref.Host())
	if r.route.Cache() != "" {
		service = diagnosis.Cache
	}
	return diagnosis.Of(err, diagnosis.Subject{Service: service, Image: r.ref})
}

// IsCacheAway reports whether a pull through a cache failed because the cache is not
// there, or has no way to the image: who may ask the registry itself can do that.
func IsCacheAway(err error) bool { return diagnosis.IsCacheAway(err) }

// interrupted makes a fault of err where it is the end of the pull's context.
func (r *registry) interrupted(err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return r.explain(err)
	}
	return err
}

func isRefused(err error) bool {
	answer, ok := errors.AsType[*oci.Error](err)
	return ok && answer.Status == http.StatusUnauthorized
}

// isPassing reports whether the same request may well succeed in a moment: a
// connection that broke, a registry that is overloaded for now. Whoever is not
// there, not trusted or not allowed is told at once.
func isPassing(err error) bool {
	if _, known := errors.AsType[*fault.Error](err); known {
		return false
	}
	if answer, ok := errors.AsType[*oci.Error](err); ok {
		const longestPause = 10 * time.Second
		if answer.Status == http.StatusTooManyRequests || answer.RetryAfter > 0 {
			return answer.RetryAfter > 0 && answer.RetryAfter <= longestPause
		}
		return answer.Temporary()
	}
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}

// isPassingForLayers adds what is worth waiting for once a pull is under way:
// a registry that restarts or has enough of us for a while, and a connection that
// hangs.
func isPassingForLayers(err error) bool {
	if _, known := errors.AsType[*fault.Error](err); known {
		return false
	}
	if answer, ok := errors.AsType[*oci.Error](err); ok && answer.Temporary() {
		const longestPause = 2 * time.Minute
		return answer.RetryAfter <= longestPause
	}
	if failed, ok := errors.AsType[net.Error](err); ok && failed.Timeout() {
		return true
	}
	return isPassing(err) || errors.Is(err, syscall.ECONNREFUSED)
}

// pause waits before the try after the nth (from 0): twice as long each time,
// and as long as the registry asked for in its answer. The error is that of
// ctx.
func (r *registry) pause(ctx context.Context, n int, failure error) error {
	wait := r.wait << n
	if answer, ok := errors.AsType[*oci.Error](failure); ok {
		wait = max(wait, answer.RetryAfter)
	}
	defer r.timeline.enter(pausing)()
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
