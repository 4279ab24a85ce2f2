package registry

import (
	"context"
	"sync"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// Selection is which of an organisation's credentials an image is pulled with.
type Selection struct {
	Image image.Reference

	// Matches are all credentials that cover the image, the winner first,
	// each with the pattern that won for it. Empty: none does, and the image
	// is pulled without one.
	Matches []image.Match[Credential]
}

// Winner is the credential to use; ok is false where none covers the image.
func (s Selection) Winner() (winner Credential, ok bool) {
	if len(s.Matches) == 0 {
		return Credential{}, false
	}
	return s.Matches[0].Value, true
}

// Selector answers which credential serves an image. It keeps one index for
// each organisation that was asked for, and builds it anew when one of its
// credentials changed. Make it with NewSelector; safe for concurrent use.
type Selector struct {
	store Store

	mu      sync.Mutex
	indexes map[int64]*organizationIndex
}

// organizationIndex is one organisation's patterns at one generation.
type organizationIndex struct {
	generation int64
	index      *image.Index[Credential]
}

// NewSelector returns a selector over store.
func NewSelector(store Store) *Selector {
	return &Selector{store: store, indexes: make(map[int64]*organizationIndex)}
}

// Select finds every credential that project may use for ref, the one that is
// used first. There is none where the project's organisation has none that
// covers ref, and for every personal project: those can never use an
// organisation's credentials.
func (s *Selector) Select(ctx context.Context, project account.Project, ref image.Reference) (Selection, error) {
	selection := Selection{Image: ref}
	if project.IsPersonal() {
		return selection, nil
	}
	index, err := s.index(ctx, project.Owner.OrganizationID)
	if err != nil {
		return Selection{}, err
	}
	selection.Matches = index.Matches(ref)
	return selection, nil
}

// Near are the patterns that almost cover ref, the nearest first.
func (s *Selector) Near(ctx context.Context, project account.Project, ref image.Reference) ([]image.NearMiss[Credential], error) {
	if project.IsPersonal() {
		return nil, nil
	}
	index, err := s.index(ctx, project.Owner.OrganizationID)
	if err != nil {
		return nil, err
	}
	return index.Near(ref), nil
}

// index is the organisation's current index.
func (s *Selector) index(ctx context.Context, organizationID int64) (*image.Index[Credential], error) {
	generation, err := s.store.Generation(ctx, organizationID)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	current := s.indexes[organizationID]
	s.mu.Unlock()
	if current != nil && current.generation == generation {
		return current.index, nil
	}
	credentials, err := s.store.Credentials(ctx, organizationID)
	if err != nil {
		return nil, err
	}
	fresh := &organizationIndex{generation: generation, index: image.NewIndex[Credential]()}
	for age, credential := range credentials {
		for _, pattern := range credential.Patterns {
			fresh.index.Add(pattern, int64(age), credential)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.indexes[organizationID] = fresh
	return fresh.index, nil
}

// PersonalProject is the fault of an image that needs a credential in a project
// that may use none.
func PersonalProject(project account.Project, ref image.Reference) *fault.Error {
	return fault.New(fault.Denied, "personal_project",
		"the project %s is personal, and personal projects can never use an organisation's registry credentials, so %s was asked for without one",
		project.Name, ref).
		WithHint("Move the work to a project of an organisation: `fairlead project create NAME --owner ORGANIZATION`.")
}
