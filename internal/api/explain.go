package api

import (
	"context"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/wire"
)

type explainQuery struct {
	Image   string `query:"image" required:"true" doc:"Name of the image, as a step has it"`
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
	why, err := d.config.Selector.Explain(ctx, project, ref)
	if err != nil {
		return wire.Explanation{}, err
	}
	return wire.Explanation{
		Image: ref.String(), Project: project.Name, Personal: project.IsPersonal(), Sentence: why.Sentence(),
		Candidates: each(why.Candidates, func(c registry.Candidate) wire.Candidate {
			return wire.Candidate{ID: c.Credential.ID, Name: c.Credential.Name, Type: c.Credential.Kind, Pattern: c.Pattern.String(), Reason: c.Reason}
		}),
		NearMisses: each(why.NearMisses, func(miss image.NearMiss[registry.Credential]) wire.NearMiss {
			return wire.NearMiss{ID: miss.Value.ID, Name: miss.Value.Name, Type: miss.Value.Kind, Pattern: miss.Pattern.String(), Reason: miss.Reason}
		}),
	}, nil
}
