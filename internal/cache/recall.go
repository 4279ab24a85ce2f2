package cache

import (
	"context"
	"errors"
	"io"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/oci"
)

// hints tell other processes, and later ones, which manifests a repository has: those of
// a client may be asked for here, and its blobs there. They are no rights: whoever finds
// one asks the registry for the manifest, with the reader's own credential.
type hints struct {
	noted *lru.Cache[hint, struct{}] // that this process has noted
}

// hint is a manifest of a repository, as one way to the registry has it.
type hint struct {
	name   string
	digest digest.Digest
}

func newHints() hints {
	noted, _ := lru.New[hint, struct{}](mostChildren) // its only error is a size below one
	return hints{noted}
}

// hintName is the repository that hints are of.
func hintName(q question) string { return q.access.Route.Source() + " " + q.ref.Repository() }

// noteManifest has others know of a manifest that was given. That it cannot is logged and
// fails nobody.
func (c *Cache) noteManifest(ctx context.Context, q question, d digest.Digest) {
	h := hint{hintName(q), d}
	if known, _ := c.hints.noted.ContainsOrAdd(h, struct{}{}); known {
		return
	}
	if err := c.config.Content.Hint(ctx, h.name, d, ""); err != nil {
		c.hints.noted.Remove(h)
		c.config.Logger.Warn("another cache would not know of a manifest", "image", q.ref.Name(), "digest", d, "error", err)
	}
}

// recall finds how a reader comes to a blob of which no manifest was asked for here: by
// one that was asked for elsewhere, or before a restart, which the registry then shows
// to this reader now.
func (c *Cache) recall(ctx context.Context, q question) (found way, ok bool) {
	name := hintName(q)
	manifests, err := c.config.Content.Hints(ctx, name)
	if err != nil {
		c.config.Logger.Warn("manifests that other caches were asked for are not known", "image", q.ref.Name(), "error", err)
		return found, false
	}
	for _, d := range manifests {
		if err := c.study(ctx, d); errors.Is(err, blobs.ErrNotFound) { // it was removed to make room
			err = c.config.Content.Forget(ctx, name, d)
			c.hints.noted.Remove(hint{name, d})
			if err != nil {
				c.config.Logger.Warn("a manifest that is not kept stays noted", "image", q.ref.Name(), "digest", d, "error", err)
			}
		}
	}
	for _, d := range manifests {
		if _, leads := c.rights.leads(ocispec.Descriptor{Digest: d}, q.ref.Digest(), deepest); !leads {
			continue
		}
		root := q
		root.ref = q.ref.WithDigest(d)
		if _, _, _, err := c.shown(ctx, root); err == nil {
			return c.rights.find(q.place, q.ref.Digest())
		}
	}
	return found, false
}

// study learns what a kept manifest leads to, whoever brought it: that is the same for
// everybody, and gives nobody a right.
func (c *Cache) study(ctx context.Context, d digest.Digest) error {
	if c.rights.children.Contains(d) {
		return nil
	}
	content, err := c.config.Content.Open(ctx, d)
	if err != nil {
		return err
	}
	defer func() { _ = content.Close() }() // it was read
	body, err := io.ReadAll(io.LimitReader(content, oci.MaxManifest))
	if err != nil {
		return err
	}
	return c.learn(ocispec.Descriptor{Digest: d}, body)
}
