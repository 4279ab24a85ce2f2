package registry

import (
	"context"
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/image"
)

// Explanation is why an image is pulled with a credential in a project, or with none.
type Explanation struct {
	Image   image.Reference
	Project account.Project

	// Candidates are the credentials that cover the image, the winner first.
	Candidates []Candidate

	// NearMisses are patterns that almost cover it, the nearest first; told only
	// where there is no candidate.
	NearMisses []image.NearMiss[Credential]
}

// Candidate is a credential that covers an image, with its best pattern.
type Candidate struct {
	Credential Credential
	Pattern    image.Pattern

	// Reason is why it goes before the next one.
	Reason string
}

// Explain says what Select selects, and why.
func (s *Selector) Explain(ctx context.Context, project account.Project, ref image.Reference) (Explanation, error) {
	selection, err := s.Select(ctx, project, ref)
	if err != nil {
		return Explanation{}, err
	}
	explanation := Explanation{Image: ref, Project: project, Candidates: candidatesOf(selection.Matches)}
	if len(explanation.Candidates) == 0 {
		explanation.NearMisses, err = s.Near(ctx, project, ref)
	}
	return explanation, err
}

// candidatesOf are the credentials that cover an image, each once with its best
// pattern, and why each goes before the next.
func candidatesOf(matches []image.Match[Credential]) []Candidate {
	var best []image.Match[Credential]
	for _, match := range matches {
		if !slices.ContainsFunc(best, func(m image.Match[Credential]) bool { return m.Value.ID == match.Value.ID }) {
			best = append(best, match)
		}
	}
	candidates := make([]Candidate, len(best))
	for i, match := range best {
		reason := image.ByNothingBehind
		if i+1 < len(best) {
			_, reason = image.Compare(match.Pattern, match.Order, best[i+1].Pattern, best[i+1].Order)
		}
		candidates[i] = Candidate{Credential: match.Value, Pattern: match.Pattern, Reason: reason.Words()}
	}
	return candidates
}

// Sentence is the explanation for a person.
func (e Explanation) Sentence() string {
	switch {
	case e.Project.IsPersonal():
		return fmt.Sprintf("%s is pulled without a credential: the project %s is personal, and personal projects can never use an organisation's.", e.Image, e.Project.Name)
	case len(e.Candidates) == 1:
		first := e.Candidates[0]
		return fmt.Sprintf("%s is pulled with the registry credential %s (%s), whose pattern %s covers it.", e.Image, first.Credential.Name, first.Credential.Kind, first.Pattern)
	case len(e.Candidates) > 1:
		first, second := e.Candidates[0], e.Candidates[1]
		return fmt.Sprintf("%s is pulled with the registry credential %s (%s), whose pattern %s goes before %s of %s because %s.",
			e.Image, first.Credential.Name, first.Credential.Kind, first.Pattern, second.Pattern, second.Credential.Name, first.Reason)
	case len(e.NearMisses) > 0:
		near := e.NearMisses[0]
		return fmt.Sprintf("%s is pulled without a credential: none of the organisation %s covers it. Almost: the pattern %s of %s, but %s.",
			e.Image, e.Project.Owner.Name, near.Pattern, near.Value.Name, near.Reason)
	default:
		return fmt.Sprintf("%s is pulled without a credential: none of the organisation %s covers it.", e.Image, e.Project.Owner.Name)
	}
}
