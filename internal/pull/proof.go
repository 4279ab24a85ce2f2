package pull

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/containerd/containerd/v2/core/snapshots"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/oci"
)

// The store's bytes are shared, rights to them are not: who only knows the
// digests of somebody's layers must not get them. A layer that is here is used
// for an image only if
//
//   - the image's own registry gave that very blob before, which a label on
//     what was made of it says (a registry of somebody's own may claim to have
//     anything), and
//   - that registry says, asked with this execution's grant, that the image's
//     repository has it.
//
// Otherwise the layer is fetched as if it were not here: its bytes are the
// proof. What is here already is then compared with them, not written again.
//
// A pull-through cache is asked in the registry's place, and checks the rights of the
// same execution. It answers by the manifests that the registry has shown, so what came
// through it counts for what comes through it alone, and is no proof to the registry.

// proofsAtOnce is how many layers a registry is asked for at once: a question is a
// round trip, and no work.
const proofsAtOnce = 16

// fromLabel says which blob of a registry a snapshot was made of.
func (p *puller) fromLabel() string { return "fairlead.dev/from/" + p.request.Route.Source() }

// proven are the layers that are here, and this image's by right.
func (p *puller) proven(ctx context.Context) ([]bool, error) {
	proven := make([]bool, len(p.documents.manifest.Layers))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(proofsAtOnce)
	for i := range proven {
		group.Go(func() error {
			found, held, err := p.hold(ctx, i)
			if err != nil || !held {
				return err
			}
			proven[i], err = p.given(ctx, i, found)
			return err
		})
	}
	return proven, group.Wait()
}

// given reports whether a layer that is here may be used for this image.
func (p *puller) given(ctx context.Context, index int, found unpackedLayer) (bool, error) {
	layer := p.documents.manifest.Layers[index]
	if found.labels[p.fromLabel()] != layer.Digest.String() {
		return false, nil
	}
	has, err := p.registry.has(ctx, layer)
	return has, p.registry.explain(err)
}

// has asks whether the repository has a blob. A redirect says so too: a registry
// sends one only for what may be had, and it need not be good for HEAD. A cache sends
// none.
func (r *registry) has(ctx context.Context, d ocispec.Descriptor) (has bool, err error) {
	defer r.timeline.enter(waiting)()
	err = r.try(ctx, func(authorization oci.Authorization) error {
		path := r.route.Repository(r.ref.Repository(), "blobs", d.Digest.String())
		request, err := http.NewRequestWithContext(ctx, http.MethodHead, r.route.URL(path).String(), http.NoBody)
		if err != nil {
			return fmt.Errorf("making a request for %s: %w", path, err)
		}
		authorization.Apply(request)
		response, err := r.route.RoundTrip(request)
		if err != nil {
			return oci.RedactError(err)
		}
		defer func() { _ = response.Body.Close() }() // the answer to HEAD has none
		least := http.StatusBadRequest
		if r.route.Cache() != "" {
			least = http.StatusMultipleChoices
		}
		if has = response.StatusCode < least; has {
			return nil
		}
		return oci.ReadError(response, r.ref.Repository())
	})
	if answer, ok := errors.AsType[*oci.Error](err); ok && !answer.Temporary() {
		return false, nil // fetching it will tell what is wrong
	}
	return has, err
}

// labelSnapshot notes of which blob of the image's registry an unpacked layer
// can be made.
func (p *puller) labelSnapshot(ctx context.Context, index int, found unpackedLayer) error {
	label := p.fromLabel()
	info := snapshots.Info{
		Name:   found.snapshot,
		Labels: map[string]string{label: p.documents.manifest.Layers[index].Digest.String()},
	}
	if _, err := p.store.snapshots.Update(ctx, info, "labels."+label); err != nil {
		return p.storing(err)
	}
	return nil
}
