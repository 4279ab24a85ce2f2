package cache

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/blobs"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// pinsName is what pins are noted under, for all who share the place.
const pinsName = "pinned images"

// Pin is an image that stays, whatever the limit: what its name stood for when it was
// pinned.
type Pin struct {
	Image  string        `json:"image"`
	Digest digest.Digest `json:"digest"`
}

func pinKey(ref image.Reference) digest.Digest { return digest.FromString(ref.String()) }

// Pins are all pins, by image.
func (c *Cache) Pins(ctx context.Context) ([]Pin, error) {
	keys, err := c.config.Content.Hints(ctx, pinsName)
	if err != nil {
		return nil, err
	}
	var pins []Pin
	for _, key := range keys {
		pin, found, err := c.pin(ctx, key)
		if err != nil {
			return nil, err
		}
		if found { // and was not taken back just now
			pins = append(pins, pin)
		}
	}
	slices.SortFunc(pins, func(a, b Pin) int { return strings.Compare(a.Image, b.Image) })
	return pins, nil
}

func (c *Cache) pin(ctx context.Context, key digest.Digest) (pin Pin, found bool, err error) {
	text, err := c.config.Content.HintText(ctx, pinsName, key)
	if errors.Is(err, blobs.ErrNotFound) {
		return pin, false, nil
	}
	if err == nil {
		err = json.Unmarshal([]byte(text), &pin)
	}
	return pin, err == nil, err
}

// setPin notes that an image stays as what its name stands for now. What it stood for
// before is let go.
func (c *Cache) setPin(ctx context.Context, ref image.Reference, root digest.Digest) error {
	before, was, err := c.pin(ctx, pinKey(ref))
	if err != nil {
		return err
	}
	text, err := json.Marshal(Pin{ref.String(), root})
	if err != nil {
		return fmt.Errorf("writing a pin: %w", err)
	}
	if err := c.config.Content.Hint(ctx, pinsName, pinKey(ref), string(text)); err != nil {
		return err
	}
	if was && before.Digest != root {
		return c.release(ctx, before.Digest)
	}
	return nil
}

// Unpin lets an image go when room is needed, but for what other pins lead to. A
// NotFound fault says that it was not pinned.
func (c *Cache) Unpin(ctx context.Context, ref image.Reference) error {
	pin, found, err := c.pin(ctx, pinKey(ref))
	if err != nil {
		return err
	}
	if !found {
		return fault.New(fault.NotFound, "pin_unknown", "%s is not pinned", ref).
			WithHint("`fairlead cache status` shows what is.")
	}
	if err := c.config.Content.Forget(ctx, pinsName, pinKey(ref)); err != nil {
		return err
	}
	return c.release(ctx, pin.Digest)
}

// release unpins what a manifest leads to and no pin does any more.
func (c *Cache) release(ctx context.Context, root digest.Digest) error {
	pins, err := c.Pins(ctx)
	if err != nil {
		return err
	}
	held := make(map[digest.Digest]bool)
	for _, pin := range pins {
		below, err := c.below(ctx, ocispec.Descriptor{Digest: pin.Digest}, deepest)
		if err != nil {
			return err
		}
		for _, d := range below {
			held[d] = true
		}
	}
	below, err := c.below(ctx, ocispec.Descriptor{Digest: root}, deepest)
	if err != nil {
		return err
	}
	var errs []error
	for _, d := range below {
		if !held[d] {
			errs = append(errs, c.config.Content.Unpin(ctx, d))
		}
	}
	return errors.Join(errs...)
}

// below is a manifest and all that it leads to, as far as it is kept.
func (c *Cache) below(ctx context.Context, from ocispec.Descriptor, depth int) ([]digest.Digest, error) {
	all := []digest.Digest{from.Digest}
	isBlob := from.MediaType != "" && !strings.Contains(from.MediaType, "manifest") && !strings.Contains(from.MediaType, "index")
	if depth == 0 || isBlob {
		return all, nil
	}
	if err := c.study(ctx, from.Digest); err != nil {
		if errors.Is(err, blobs.ErrNotFound) { // of an index, an image that was not wanted
			return all, nil
		}
		return nil, err
	}
	children, _ := c.rights.children.Get(from.Digest)
	for _, child := range children {
		below, err := c.below(ctx, child, depth-1)
		if err != nil {
			return nil, err
		}
		all = append(all, below...)
	}
	return all, nil
}
