package pull

import (
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/image"
)

// Image is a pulled image: every digest checked, every layer unpacked.
type Image struct {
	// Reference is the name that was asked for.
	Reference image.Reference

	// Digest is what the registry answered for the name: the digest of the
	// index where the image is made for several platforms.
	Digest digest.Digest

	// ManifestDigest is the manifest for this platform; Digest itself where
	// there is no index.
	ManifestDigest digest.Digest

	// Config is the image's configuration: its command, user, environment.
	Config ocispec.Image

	// Size is the bytes of the manifest, configuration and layers as the
	// registry has them, and Unpacked the bytes of the files.
	Size     int64
	Unpacked int64

	// Report says what this pull did and took.
	Report Report

	name      string   // repository and digest
	snapshots []string // the topmost first; none for an image without layers
	hold      string   // keeps them until the first Mount or Release
}
