package execution

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// Bounds of a look at what was run lately.
const (
	recentProjects = 20
	recentEach     = 25 // executions of a project
)

// RecentImages are up to limit images of an organisation's newest executions, each
// once, that of the newest first. A name that no registry knows is left out. Who does
// not belong to the organisation is told NotFound.
func (s *Service) RecentImages(ctx context.Context, actor account.Actor, organizationID int64, limit int) ([]image.Reference, error) {
	if !actor.IsMember(organizationID) {
		return nil, fault.New(fault.NotFound, "organization_missing", "there is no organisation %d, or you do not belong to it", organizationID).
			WithHint("`fairlead organization list` shows yours.")
	}
	names, err := s.store.RecentImages(ctx, organizationID, recentProjects, recentEach)
	if err != nil {
		return nil, err
	}
	var images []image.Reference
	for _, name := range names {
		ref, err := image.ParseReference(name)
		if err == nil && len(images) < limit {
			images = append(images, ref)
		}
	}
	return images, nil
}
