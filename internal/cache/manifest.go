package cache

import (
	"encoding/json"
	"fmt"

	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
)

// mostDescriptors is how many descriptors one manifest may have; more fit into
// oci.MaxManifest only where they are made to waste memory.
const mostDescriptors = 10_000

// childrenOf are what a manifest or an index names: manifests, the configuration and
// layers, of Docker's form and OCI's. Its subject is none of them: it may be read
// without it. A manifest of another form leads to nothing.
func childrenOf(body []byte) ([]ocispec.Descriptor, error) {
	var document struct {
		Manifests []ocispec.Descriptor `json:"manifests"`
		Config    *ocispec.Descriptor  `json:"config"`
		Layers    []ocispec.Descriptor `json:"layers"`
		Blobs     []ocispec.Descriptor `json:"blobs"` // of an artifact manifest, as OCI had them for a while
	}
	if err := json.Unmarshal(body, &document); err != nil {
		return nil, fmt.Errorf("reading a manifest: %w", err)
	}
	children := document.Manifests
	if document.Config != nil {
		children = append(children, *document.Config)
	}
	children = append(append(children, document.Layers...), document.Blobs...)
	if len(children) > mostDescriptors {
		return nil, fmt.Errorf("reading a manifest: it names %d others, more than %d", len(children), mostDescriptors)
	}
	return children, nil
}
