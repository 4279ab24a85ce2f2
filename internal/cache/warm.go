package cache

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"runtime"
	"strings"
	"sync"

	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/errgroup"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// warmedAtOnce is how many blobs of an image Warm reads at the same time.
const warmedAtOnce = 4

// AllPlatforms has Warm take every image of an index.
const AllPlatforms = "all"

// Warmed tells of one blob that Warm has seen to.
type Warmed struct {
	Digest digest.Digest
	Size   int64 // bytes
	Kept   bool  // it was kept already
}

// Wish is what Warm is to do.
type Wish struct {
	// Platforms are those whose images are taken of an index, such as linux/arm64, or
	// AllPlatforms; this machine's where none is named.
	Platforms []string

	// Pin has them stay, whatever the limit: for whoever runs the installation.
	Pin bool
}

// Warm has what an image is made of be kept, as a pull by this reader would. Report is
// called for each blob, one at a time. It gives the digest that the reference names.
// Errors are faults.
func (c *Cache) Warm(ctx context.Context, reader Reader, ref image.Reference, wish Wish, report func(Warmed)) (digest.Digest, error) {
	matcher, err := matcherOf(wish.Platforms)
	if err != nil {
		return "", err
	}
	if wish.Pin {
		if err := reader.Actor.MayOperate(); err != nil {
			return "", err
		}
	}
	w := warming{cache: c, reader: reader, ref: ref, wanted: matcher, pins: wish.Pin, report: report, seen: make(map[digest.Digest]bool)}
	top, err := w.take(ctx, ref, deepest)
	if err == nil && w.images == 0 {
		return "", fault.InvalidField("platform", "platform_mismatch", "%s has no image for %s", ref, platformNames(wish.Platforms)).
			WithHint("Name a platform that it has, or %s.", AllPlatforms)
	}
	return top, err
}

func platformNames(wanted []string) string {
	if len(wanted) == 0 {
		return platforms.Format(ours())
	}
	return strings.Join(wanted, " or ")
}

func ours() ocispec.Platform {
	return platforms.Normalize(ocispec.Platform{OS: "linux", Architecture: runtime.GOARCH})
}

// matcherOf says which platforms are wanted; nil is all.
func matcherOf(wanted []string) (platforms.Matcher, error) {
	if len(wanted) == 0 {
		return platforms.OnlyStrict(ours()), nil
	}
	var all []ocispec.Platform
	for _, text := range wanted {
		if text == AllPlatforms {
			return nil, nil
		}
		p, err := platforms.Parse(text)
		if err != nil {
			return nil, fault.InvalidField("platform", "platform", "%.100q is no platform", text).
				WithHint("Write it as linux/amd64, or %s.", AllPlatforms)
		}
		all = append(all, platforms.Normalize(p))
	}
	return platforms.Any(all...), nil
}

// imagesOf are the images of an index that are wanted, if it is one.
func imagesOf(m Manifest, wanted platforms.Matcher) (images []ocispec.Descriptor, isIndex bool, err error) {
	var index struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
	}
	if err := json.Unmarshal(m.Body, &index); err != nil {
		return nil, false, fault.New(fault.Invalid, "manifest_invalid", "the manifest %s cannot be read", m.Digest).WithCause(err)
	}
	for _, d := range index.Manifests {
		if wanted == nil || d.Platform == nil || wanted.Match(platforms.Normalize(*d.Platform)) {
			images = append(images, d)
		}
	}
	return images, index.Manifests != nil, nil
}

// warming is one call of Warm.
type warming struct {
	cache  *Cache
	reader Reader
	ref    image.Reference
	wanted platforms.Matcher // nil: all
	pins   bool
	report func(Warmed)
	seen   map[digest.Digest]bool
	images int
}

// take has what a manifest or an index leads to be kept.
func (w *warming) take(ctx context.Context, ref image.Reference, depth int) (digest.Digest, error) {
	m, err := w.cache.Manifest(ctx, w.reader, ref)
	if err != nil {
		return "", err
	}
	if w.pins && depth == deepest { // noted first, so that whatever comes of it can be taken back
		if err := w.cache.setPin(ctx, w.ref, m.Digest); err != nil {
			return "", err
		}
	}
	if err := w.pin(ctx, m.Digest); err != nil {
		return "", err
	}
	images, isIndex, err := imagesOf(m, w.wanted)
	if err != nil || !isIndex || depth == 0 {
		if err == nil {
			w.images++
			err = w.blobs(ctx, m)
		}
		return m.Digest, err
	}
	for _, d := range images {
		if _, err := w.take(ctx, w.ref.WithDigest(d.Digest), depth-1); err != nil {
			return "", err
		}
	}
	return m.Digest, nil
}

// blobs has the blobs of an image be kept.
func (w *warming) blobs(ctx context.Context, m Manifest) error {
	children, err := childrenOf(m.Body)
	if err != nil {
		return fault.New(fault.Invalid, "manifest_invalid", "the manifest %s cannot be read", m.Digest).WithCause(err)
	}
	var reporting sync.Mutex
	group, reading := errgroup.WithContext(ctx)
	group.SetLimit(warmedAtOnce)
	for _, d := range children {
		if w.seen[d.Digest] {
			continue
		}
		w.seen[d.Digest] = true
		if err := w.pin(ctx, d.Digest); err != nil {
			return errors.Join(err, group.Wait())
		}
		group.Go(func() error {
			warmed, err := w.blob(reading, d)
			if err == nil {
				reporting.Lock()
				defer reporting.Unlock()
				w.report(warmed)
			}
			return err
		})
	}
	return group.Wait()
}

// pin has a blob stay, before it comes, if that is wished.
func (w *warming) pin(ctx context.Context, d digest.Digest) error {
	if !w.pins {
		return nil
	}
	return w.cache.config.Content.Pin(ctx, d)
}

// blob has a blob be kept, by reading it to its end.
func (w *warming) blob(ctx context.Context, d ocispec.Descriptor) (Warmed, error) {
	content, err := w.cache.Blob(ctx, w.reader, w.ref.WithDigest(d.Digest))
	if err != nil {
		return Warmed{}, err
	}
	kept := content.opened != nil
	if !kept {
		_, err = io.Copy(io.Discard, content)
	}
	if closeErr := content.Close(); err == nil {
		err = closeErr
	}
	return Warmed{d.Digest, content.Size(), kept}, err
}
