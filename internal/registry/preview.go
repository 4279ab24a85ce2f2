package registry

import (
	"context"
	"fmt"
	"slices"

	"fairlead.dev/fairlead/internal/image"
)

// Effect is what a credential with other patterns would change for one image.
type Effect struct {
	Image image.Reference

	// Now and Then are what serves the image at present and after the change; nil:
	// no credential does.
	Now, Then *Candidate

	// Draft tells that Then is the credential that is changed or made.
	Draft bool

	// Beaten is the credential's best pattern for the image where another one goes
	// first; zero: none covers it.
	Beaten image.Pattern

	// Reason is why Then goes before the next one, or before Beaten.
	Reason string
}

// Changes reports whether another credential serves the image than before.
func (e Effect) Changes() bool {
	switch {
	case e.Now == nil || e.Then == nil:
		return e.Now != e.Then
	default:
		return e.Now.Credential.ID != e.Then.Credential.ID
	}
}

// Sentence is the effect for a person, of the image's name alone left out.
func (e Effect) Sentence() string {
	switch {
	case e.Draft && e.Now == nil:
		return fmt.Sprintf("would use this, by the pattern %s; at present it is pulled without a credential", e.Then.Pattern)
	case e.Draft && !e.Changes() && e.Reason == "":
		return fmt.Sprintf("uses this, by the pattern %s", e.Then.Pattern)
	case e.Draft && e.Changes():
		return fmt.Sprintf("would use this in place of %s, because the pattern %s goes before %s: %s",
			e.Now.Credential.Name, e.Then.Pattern, e.Now.Pattern, e.Reason)
	case e.Draft:
		return fmt.Sprintf("uses this, by the pattern %s: %s", e.Then.Pattern, e.Reason)
	case e.Then != nil && !e.Beaten.IsZero():
		return fmt.Sprintf("stays with %s, whose pattern %s goes before %s: %s", e.Then.Credential.Name, e.Then.Pattern, e.Beaten, e.Reason)
	case e.Then != nil && e.Changes():
		return fmt.Sprintf("would be pulled with %s, by its pattern %s", e.Then.Credential.Name, e.Then.Pattern)
	case e.Then != nil:
		return fmt.Sprintf("is not covered, and stays with %s", e.Then.Credential.Name)
	case e.Now != nil:
		return "would be pulled without a credential"
	default:
		return "is not covered, and is pulled without a credential"
	}
}

// Preview says what would serve images if the organisation's credential of that id, or
// a new one where id is "", had these patterns; with none, it is as if it were deleted.
// The images keep their order. It asks no registry; it costs a look at the
// organisation's index for each image.
func (s *Selector) Preview(ctx context.Context, organizationID int64, id string, patterns []image.Pattern, images []image.Reference) ([]Effect, error) {
	index, err := s.index(ctx, organizationID)
	if err != nil {
		return nil, err
	}
	effects := make([]Effect, len(images))
	for i, ref := range images {
		effects[i] = effectOf(ref, id, patterns, index.Matches(ref))
	}
	return effects, nil
}

// youngest is the order of a credential that is not made yet.
const youngest = 1<<63 - 1

func effectOf(ref image.Reference, id string, patterns []image.Pattern, matches []image.Match[Credential]) Effect {
	effect := Effect{Image: ref}
	draft := Credential{ID: id}
	order := int64(youngest)
	others := matches
	if id != "" {
		others = slices.DeleteFunc(slices.Clone(matches), func(m image.Match[Credential]) bool { return m.Value.ID == id })
		if at := slices.IndexFunc(matches, func(m image.Match[Credential]) bool { return m.Value.ID == id }); at >= 0 {
			draft, order = matches[at].Value, matches[at].Order
		}
	}
	if len(matches) > 0 {
		effect.Now = &Candidate{Credential: matches[0].Value, Pattern: matches[0].Pattern}
	}
	var best image.Pattern
	for _, pattern := range patterns {
		if !pattern.Match(ref) {
			continue
		}
		if c, _ := image.Compare(pattern, order, best, order); best.IsZero() || c < 0 {
			best = pattern
		}
	}
	switch {
	case best.IsZero() && len(others) > 0:
		effect.Then = &Candidate{Credential: others[0].Value, Pattern: others[0].Pattern}
	case best.IsZero():
	case len(others) == 0:
		effect.Then, effect.Draft = &Candidate{Credential: draft, Pattern: best}, true
	default:
		rival := others[0]
		c, reason := image.Compare(best, order, rival.Pattern, rival.Order)
		effect.Reason = reason.Words()
		if c < 0 {
			effect.Then, effect.Draft = &Candidate{Credential: draft, Pattern: best}, true
		} else {
			effect.Then, effect.Beaten = &Candidate{Credential: rival.Value, Pattern: rival.Pattern}, best
		}
	}
	return effect
}
