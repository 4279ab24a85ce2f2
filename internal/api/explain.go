package api

import (
	"context"
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/wire"
)

type explainQuery struct {
	Image   string `query:"image" required:"true"`
	Project string `query:"project" required:"true" doc:"Id, name or OWNER/NAME"`
}

func (d *door) explain(ctx context.Context, v *visit, in *explainQuery) (wire.Explanation, error) {
	project, err := d.config.Accounts.Project(ctx, v.actor, in.Project)
	if err != nil {
		return wire.Explanation{}, err
	}
	ref, err := image.ParseReference(in.Image)
	if err != nil {
		return wire.Explanation{}, err
	}
	selection, err := d.config.Selector.Select(ctx, project, ref)
	if err != nil {
		return wire.Explanation{}, err
	}
	explanation := wire.Explanation{
		Image: ref.String(), Project: project.Name, Personal: project.IsPersonal(),
		Candidates: candidatesOf(selection.Matches), NearMisses: []wire.NearMiss{},
	}
	if len(explanation.Candidates) == 0 {
		near, err := d.config.Selector.Near(ctx, project, ref)
		if err != nil {
			return wire.Explanation{}, err
		}
		explanation.NearMisses = each(near, func(miss image.NearMiss[registry.Credential]) wire.NearMiss {
			return wire.NearMiss{ID: miss.Value.ID, Name: miss.Value.Name, Type: miss.Value.Kind, Pattern: miss.Pattern.String(), Reason: miss.Reason}
		})
	}
	explanation.Sentence = sentenceOf(explanation, project)
	return explanation, nil
}

// candidatesOf are the credentials that cover an image, each once with its best
// pattern, and why each goes before the next.
func candidatesOf(matches []image.Match[registry.Credential]) []wire.Candidate {
	var best []image.Match[registry.Credential]
	for _, match := range matches {
		if !slices.ContainsFunc(best, func(m image.Match[registry.Credential]) bool { return m.Value.ID == match.Value.ID }) {
			best = append(best, match)
		}
	}
	candidates := make([]wire.Candidate, len(best))
	for i, match := range best {
		reason := image.ByNothingBehind
		if i+1 < len(best) {
			_, reason = image.Compare(match.Pattern, match.Order, best[i+1].Pattern, best[i+1].Order)
		}
		candidates[i] = wire.Candidate{
			ID: match.Value.ID, Name: match.Value.Name, Type: match.Value.Kind, Pattern: match.Pattern.String(), Reason: reason.Words(),
		}
	}
	return candidates
}

// sentenceOf is the explanation for a person.
func sentenceOf(e wire.Explanation, project account.Project) string {
	switch {
	case e.Personal:
		return fmt.Sprintf("%s is pulled without a credential: the project %s is personal, and personal projects can never use an organisation's.", e.Image, e.Project)
	case len(e.Candidates) == 1:
		first := e.Candidates[0]
		return fmt.Sprintf("%s is pulled with the registry credential %s (%s), whose pattern %s covers it.", e.Image, first.Name, first.Type, first.Pattern)
	case len(e.Candidates) > 1:
		first, second := e.Candidates[0], e.Candidates[1]
		return fmt.Sprintf("%s is pulled with the registry credential %s (%s), whose pattern %s goes before %s of %s because %s.",
			e.Image, first.Name, first.Type, first.Pattern, second.Pattern, second.Name, first.Reason)
	case len(e.NearMisses) > 0:
		near := e.NearMisses[0]
		return fmt.Sprintf("%s is pulled without a credential: none of the organisation %s covers it. Almost: the pattern %s of %s, but %s.",
			e.Image, project.Owner.Name, near.Pattern, near.Name, near.Reason)
	default:
		return fmt.Sprintf("%s is pulled without a credential: none of the organisation %s covers it.", e.Image, project.Owner.Name)
	}
}
