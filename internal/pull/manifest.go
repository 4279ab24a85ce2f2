package pull

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// Bounds of what a registry's documents may say.
const (
	// maxLayers keeps the options of an overlay mount within the kernel's
	// one page, whatever the paths; Docker's own limit is 127.
	// https://docs.kernel.org/filesystems/overlayfs.html
	maxLayers = 256

	maxConfig    = 8 << 20 // what containerd reads of a configuration
	maxLayerSize = 1 << 40
	maxIndexes   = 3 // an index inside an index inside an index
	maxEntries   = 1024

	attestationKey  = "vnd.docker.reference.type" // https://docs.docker.com/build/metadata/attestations/attestation-storage/
	unknownPlatform = "unknown"
)

// layerTypes are the layers that can be unpacked.
var layerTypes = []string{
	ocispec.MediaTypeImageLayer,
	ocispec.MediaTypeImageLayerGzip,
	ocispec.MediaTypeImageLayerZstd,
	images.MediaTypeDockerSchema2Layer,
	images.MediaTypeDockerSchema2LayerGzip,
	images.MediaTypeDockerSchema2LayerZstd,
}

// document is a manifest or an index; the fields that a document has say
// which it is, and its media type must not say otherwise.
type document struct {
	SchemaVersion int                  `json:"schemaVersion"`
	MediaType     string               `json:"mediaType"`
	Config        ocispec.Descriptor   `json:"config"`
	Layers        []ocispec.Descriptor `json:"layers"`
	Manifests     []ocispec.Descriptor `json:"manifests"`
	FSLayers      json.RawMessage      `json:"fsLayers"` // of schema 1 alone
}

func (d document) isIndex() bool { return d.Manifests != nil }

// parseDocument reads and checks what a registry answered for an image or a
// part of it.
func parseDocument(ref image.Reference, mediaType string, body []byte) (document, error) {
	var d document
	if err := json.Unmarshal(body, &d); err != nil {
		return d, imageInvalid(ref, "manifest_invalid", "has a manifest that is no JSON document").WithCause(err)
	}
	if d.MediaType == "" {
		d.MediaType = mediaType
	}
	if d.SchemaVersion == 1 || d.FSLayers != nil || strings.HasPrefix(d.MediaType, "application/vnd.docker.distribution.manifest.v1") {
		return d, imageInvalid(ref, "manifest_schema1", "is stored in Docker's old format (schema 1), which is not supported").
			WithHint("Pull it with an old Docker and push it again with a present one, or build it anew.")
	}
	isManifest := d.Config.Digest != ""
	switch {
	case d.isIndex() == isManifest,
		d.isIndex() && images.IsManifestType(d.MediaType),
		isManifest && images.IsIndexType(d.MediaType):
		return d, imageInvalid(ref, "manifest_invalid", "has a manifest of type %s that is neither an image nor an index of images", foreign(d.MediaType))
	case d.isIndex():
		return d, d.checkIndex(ref)
	default:
		return d, d.checkManifest(ref)
	}
}

func (d document) checkIndex(ref image.Reference) error {
	if len(d.Manifests) > maxEntries {
		return imageInvalid(ref, "manifest_invalid", "has an index of %d entries, more than the %d that are read", len(d.Manifests), maxEntries)
	}
	for _, entry := range d.Manifests {
		if err := checkDescriptor(ref, "an index entry", entry, maxLayerSize); err != nil {
			return err
		}
	}
	return nil
}

func (d document) checkManifest(ref image.Reference) error {
	if err := checkDescriptor(ref, "the configuration", d.Config, maxConfig); err != nil {
		return err
	}
	if d.Config.MediaType != ocispec.MediaTypeImageConfig && d.Config.MediaType != images.MediaTypeDockerSchema2Config {
		return imageInvalid(ref, "not_an_image", "is no container image but something else in a registry: its configuration is of type %s", foreign(d.Config.MediaType)).
			WithHint("Name an image that a container can run.")
	}
	if len(d.Layers) > maxLayers {
		return imageInvalid(ref, "too_many_layers", "has %d layers, more than the %d that can be stacked to a root filesystem", len(d.Layers), maxLayers).
			WithHint("Build it with fewer steps, or squash it.")
	}
	for _, layer := range d.Layers {
		if err := checkLayer(ref, layer); err != nil {
			return err
		}
	}
	return nil
}

func checkLayer(ref image.Reference, layer ocispec.Descriptor) error {
	if err := checkDescriptor(ref, "a layer", layer, maxLayerSize); err != nil {
		return err
	}
	if images.IsNonDistributable(layer.MediaType) {
		return imageInvalid(ref, "layer_foreign", "has a layer, %s, that is kept outside the registry (a foreign layer), which is not fetched", layer.Digest).
			WithHint("Rebuild it on a base image whose layers are all in a registry.")
	}
	if !slices.Contains(layerTypes, layer.MediaType) {
		return imageInvalid(ref, "layer_type", "has a layer, %s, of a type that cannot be unpacked: %s", layer.Digest, foreign(layer.MediaType)).
			WithHint("Build it with layers that are tar archives, plain or compressed by gzip or zstd.")
	}
	return nil
}

func checkDescriptor(ref image.Reference, what string, d ocispec.Descriptor, most int64) error {
	if err := d.Digest.Validate(); err != nil {
		return imageInvalid(ref, "manifest_invalid", "has a manifest that names %s by a digest that is none: %s", what, foreign(d.Digest.String())).WithCause(err)
	}
	if d.Digest.Algorithm() != digest.SHA256 {
		return imageInvalid(ref, "digest_algorithm", "names %s by a digest of type %s, and only sha256 is supported", what, d.Digest.Algorithm())
	}
	if d.Size < 0 || d.Size > most {
		return imageInvalid(ref, "manifest_invalid", "has a manifest that says %s has %d bytes, which is not between 0 and %d", what, d.Size, most)
	}
	return nil
}

// choose picks the entry of an index that this platform runs best.
func (d document) choose(ref image.Reference, want ocispec.Platform) (ocispec.Descriptor, error) {
	runs := platforms.OnlyStrict(want)
	if want.Architecture == "arm64" || want.Architecture == "arm" {
		runs = platforms.Only(want) // for the variants below this one
	}
	var offers []ocispec.Platform
	var best *ocispec.Descriptor
	for i, entry := range d.Manifests {
		if isAttestation(entry) || !(images.IsManifestType(entry.MediaType) || images.IsIndexType(entry.MediaType)) {
			continue
		}
		if entry.Platform == nil { // its configuration will say
			if best == nil {
				best = &d.Manifests[i]
			}
			continue
		}
		platform := platforms.Normalize(*entry.Platform)
		offers = append(offers, platform)
		if platform.Architecture != want.Architecture || !runs.Match(platform) {
			continue
		}
		if best == nil || best.Platform == nil || runs.Less(platform, platforms.Normalize(*best.Platform)) {
			best = &d.Manifests[i]
		}
	}
	if best == nil {
		return ocispec.Descriptor{}, platformMismatch(ref, offers, want)
	}
	return *best, nil
}

func isAttestation(entry ocispec.Descriptor) bool {
	return entry.Annotations[attestationKey] != "" ||
		entry.Platform != nil && entry.Platform.OS == unknownPlatform && entry.Platform.Architecture == unknownPlatform
}

func platformMismatch(ref image.Reference, offers []ocispec.Platform, want ocispec.Platform) *fault.Error {
	const most = 8
	var names []string
	for _, offer := range offers {
		name := platforms.Format(offer)
		if quoted := foreign(name); quoted != `"`+name+`"` {
			name = quoted
		}
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if len(names) > most {
		names = append(names[:most], fmt.Sprintf("%d more", len(names)-most))
	}
	made := strings.Join(names, ", ")
	if made == "" {
		made = "no platform at all"
	}
	return imageInvalid(ref, "platform_mismatch", "is made for %s, and this worker is %s", made, platforms.Format(want)).
		WithHint("Build the image for %s (docker buildx build --platform), or run the step on another worker.", platforms.Format(want))
}

// configuration is an image's configuration.
type configuration struct {
	ocispec.Image

	digest digest.Digest
}

// directories is the name of the snapshot of those that the layers only imply.
func (c configuration) directories() string { return directoriesPrefix + c.digest.String() }

func parseConfiguration(ref image.Reference, manifest document, want ocispec.Platform, body []byte) (configuration, error) {
	c := configuration{digest: manifest.Config.Digest}
	if err := json.Unmarshal(body, &c.Image); err != nil {
		return c, imageInvalid(ref, "config_invalid", "has a configuration that cannot be read").WithCause(err)
	}
	if c.Architecture != "" && c.OS != "" {
		made := platforms.Normalize(c.Platform)
		if made.OS != want.OS || made.Architecture != want.Architecture {
			return c, platformMismatch(ref, []ocispec.Platform{made}, want)
		}
	}
	if len(c.RootFS.DiffIDs) != len(manifest.Layers) {
		return c, imageInvalid(ref, "config_invalid", "has %d layers in its manifest and %d in its configuration", len(manifest.Layers), len(c.RootFS.DiffIDs))
	}
	for _, id := range c.RootFS.DiffIDs {
		if err := id.Validate(); err != nil {
			return c, imageInvalid(ref, "config_invalid", "has a configuration that names a layer by a digest that is none: %s", foreign(id.String())).WithCause(err)
		}
	}
	return c, nil
}
