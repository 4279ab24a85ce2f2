package pull

import (
	"context"
	"fmt"

	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/go-digest"
)

// manifestLabel says of a lease which image it is for.
const manifestLabel = "fairlead.dev/manifest"

// leaseFor gives a lease of full length that keeps what a pull of the image
// brings, and what earlier pulls of it left. Its caller has the image's lock.
func (s *Store) leaseFor(ctx context.Context, manifest digest.Digest) (leases.Lease, error) {
	fresh, err := s.leases.Create(ctx, leases.WithRandomID(), leases.WithExpiration(leaseLifetime),
		leases.WithLabel(manifestLabel, manifest.String()))
	if err != nil {
		return fresh, fmt.Errorf("taking a lease for %s: %w", manifest, err)
	}
	earlier, err := s.leases.List(ctx, fmt.Sprintf("labels.%q==%q", manifestLabel, manifest))
	if err != nil {
		return fresh, fmt.Errorf("looking for what is here of %s: %w", manifest, err)
	}
	for _, lease := range earlier {
		if lease.ID == fresh.ID {
			continue
		}
		if err := s.takeOver(ctx, fresh, lease); err != nil && !errdefs.IsNotFound(err) {
			return fresh, fmt.Errorf("taking over what is here of %s: %w", manifest, err)
		}
	}
	return fresh, nil
}

// takeOver moves what one lease keeps to another.
func (s *Store) takeOver(ctx context.Context, to, from leases.Lease) error {
	kept, err := s.leases.ListResources(ctx, from)
	if err != nil {
		return err
	}
	for _, resource := range kept {
		if err := s.leases.AddResource(ctx, to, resource); err != nil {
			return err
		}
	}
	return s.leases.Delete(ctx, from)
}
