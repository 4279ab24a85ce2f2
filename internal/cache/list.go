package cache

import (
	"context"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/oci"
)

// Tags lists at most so many tags of a repository after one, as the registry lists
// them to this reader now: nothing of it is kept. Errors are faults.
func (c *Cache) Tags(ctx context.Context, reader Reader, repository image.Reference, most int, last string) (names []string, more bool, err error) {
	q, err := c.question(ctx, reader, repository)
	if err != nil {
		return nil, false, err
	}
	err = c.ask(ctx, q, func(client *oci.Client, a oci.Authorization) (err error) {
		names, more, err = client.TagPage(ctx, repository.Repository(), most, last, a)
		return err
	})
	if err != nil {
		return nil, false, c.explain(q, err)
	}
	return names, more, nil
}

// Referrers lists the manifests whose subject the reference's digest is, as the
// registry lists them to this reader now. Next is "" at first, and then what the page
// before gave. Errors are faults.
func (c *Cache) Referrers(ctx context.Context, reader Reader, ref image.Reference, next string) (manifests []ocispec.Descriptor, more string, err error) {
	q, err := c.question(ctx, reader, ref)
	if err != nil {
		return nil, "", err
	}
	err = c.ask(ctx, q, func(client *oci.Client, a oci.Authorization) (err error) {
		manifests, more, err = client.Referrers(ctx, ref.Repository(), ref.Digest(), next, a)
		return err
	})
	if err != nil {
		return nil, "", c.explain(q, err)
	}
	return manifests, more, nil
}
