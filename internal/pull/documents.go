package pull

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"strconv"

	"github.com/containerd/containerd/v2/core/content"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"fairlead.dev/fairlead/internal/image"
)

// documents is all that an image says of itself.
type documents struct {
	manifests     []savedDocument // indexes from the outside in, and the manifest
	config        savedDocument
	manifest      document
	configuration configuration
}

type savedDocument struct {
	ocispec.Descriptor
	body []byte
}

// documentSource is where documents are read from: the registry, or the shelf.
type documentSource interface {
	// manifest gives a document and its descriptor, whose digest is checked.
	manifest(ctx context.Context, d ocispec.Descriptor) (found ocispec.Descriptor, body []byte, err error)

	// small gives a configuration, checked.
	small(ctx context.Context, d ocispec.Descriptor) (body []byte, err error)
}

// readDocuments follows an image's name to the manifest for a platform and its
// configuration.
func readDocuments(ctx context.Context, ref image.Reference, want ocispec.Platform, target ocispec.Descriptor, from documentSource) (documents, error) {
	var all documents
	for next := target; ; {
		if len(all.manifests) > maxIndexes {
			return all, imageInvalid(ref, "manifest_invalid", "is an index inside more than %d others", maxIndexes-1)
		}
		found, body, err := from.manifest(ctx, next)
		if err != nil {
			return all, err
		}
		if found.MediaType == "" {
			found.MediaType = next.MediaType
		}
		read, err := parseDocument(ref, found.MediaType, body)
		if err != nil {
			return all, err
		}
		found.MediaType = read.MediaType
		all.manifests = append(all.manifests, savedDocument{found, body})
		if !read.isIndex() {
			all.manifest = read
			break
		}
		if next, err = read.choose(ref, want); err != nil {
			return all, err
		}
	}
	body, err := from.small(ctx, all.manifest.Config)
	if err != nil {
		return all, err
	}
	all.config = savedDocument{all.manifest.Config, body}
	all.configuration, err = parseConfiguration(ref, all.manifest, want, body)
	return all, err
}

func (d documents) manifestDigest() digest.Digest {
	return d.manifests[len(d.manifests)-1].Digest
}

// size is the bytes of the manifest, configuration and layers.
func (d documents) size() int64 {
	total := d.manifests[len(d.manifests)-1].Size + d.config.Size
	for _, layer := range d.manifest.Layers {
		total += layer.Size
	}
	return total
}

// states are the layers, each at the same phase.
func (d documents) states(phase Phase) []LayerProgress {
	states := make([]LayerProgress, len(d.manifest.Layers))
	for i, layer := range d.manifest.Layers {
		states[i] = LayerProgress{Digest: layer.Digest, Phase: phase, Total: layer.Size}
		if phase == Exists {
			states[i].Done = layer.Size
		}
	}
	return states
}

// shelf is the store's own documents; what it holds was checked when it came.
type shelf struct{ content content.Provider }

func (s shelf) manifest(ctx context.Context, d ocispec.Descriptor) (ocispec.Descriptor, []byte, error) {
	body, err := s.small(ctx, d)
	d.Size = int64(len(body))
	return d, body, err
}

func (s shelf) small(ctx context.Context, d ocispec.Descriptor) ([]byte, error) {
	return content.ReadBlob(ctx, s.content, d)
}

// Labels by which the garbage collection finds what belongs to an image.
const (
	refContent  = "containerd.io/gc.ref.content.fairlead"
	refSnapshot = "containerd.io/gc.ref.snapshot." + snapshotter
)

// keepDocuments writes an image's documents down, each holding the next one,
// and the configuration holding the unpacked layers. The layers as the registry
// has them are not kept.
func (s *Store) keepDocuments(ctx context.Context, d documents) error {
	for i, saved := range d.manifests {
		next := d.config.Digest
		if i+1 < len(d.manifests) {
			next = d.manifests[i+1].Digest
		}
		if err := s.keepDocument(ctx, saved, map[string]string{refContent: next.String()}); err != nil {
			return err
		}
	}
	labels := map[string]string{refSnapshot + "/directories": d.configuration.directories()}
	for i, diffID := range d.configuration.RootFS.DiffIDs {
		labels[refSnapshot+"/"+strconv.Itoa(i)] = layerPrefix + diffID.String()
		if i == 0 {
			labels[refSnapshot+"/bottom"] = bottomPrefix + diffID.String()
		}
	}
	return s.keepDocument(ctx, d.config, labels)
}

func (s *Store) keepDocument(ctx context.Context, saved savedDocument, labels map[string]string) error {
	err := content.WriteBlob(ctx, s.content, "document "+saved.Digest.String(), bytes.NewReader(saved.body), saved.Descriptor, content.WithLabels(labels))
	if err != nil {
		return fmt.Errorf("writing %s: %w", saved.Digest, err)
	}
	info, err := s.content.Info(ctx, saved.Digest)
	if err != nil {
		return fmt.Errorf("writing %s: %w", saved.Digest, err)
	}
	var differ []string // of a document that was there already
	for key, value := range labels {
		if info.Labels[key] != value {
			differ = append(differ, "labels."+key)
		}
	}
	if len(differ) == 0 {
		return nil
	}
	info.Labels = maps.Clone(labels)
	if _, err := s.content.Update(ctx, info, differ...); err != nil {
		return fmt.Errorf("writing %s: %w", saved.Digest, err)
	}
	return nil
}
