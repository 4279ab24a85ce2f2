package grant

import (
	"context"

	"fairlead.dev/fairlead/internal/image"
)

// check is the check of a registry that speaks the distribution specification,
// asked as who.
func (x exchange) check(ctx context.Context, request CheckRequest, who login, checkup *Checkup) {
	for _, ref := range probes(request) {
		if _, err := x.issue(ctx, Request{Image: ref, Material: request.Material}, who); err != nil {
			checkup.Failed(AskSecret, err)
			return
		}
	}
	checkup.Passed(AskSecret, "The registry accepts the secret")
}

// probes are images to ask with: the one that is to be tried, or else the
// repositories that patterns name without a wildcard.
func probes(request CheckRequest) []image.Reference {
	if !request.Image.IsZero() {
		return []image.Reference{request.Image}
	}
	var refs []image.Reference
	for _, pattern := range request.Patterns {
		if ref, err := image.ParseReference(pattern.Host() + "/" + pattern.Path()); err == nil {
			refs = append(refs, ref)
		}
	}
	return refs
}
