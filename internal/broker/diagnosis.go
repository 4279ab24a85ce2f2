package broker

import (
	"context"
	"fmt"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/registry"
)

// credentialRequired is the issuer's code for an image that is not for
// everybody.
const credentialRequired = "credential_required"

// diagnose puts what is known of credentials in front of what the registry
// said: is the project owned by an organisation, is there a credential and
// which, does a pattern cover the image or almost, and may the credential read
// the repository.
func (b *Broker) diagnose(ctx context.Context, request Request, selection registry.Selection, err error) error {
	f := *fault.From(err)
	winner, covered := selection.Winner()
	switch {
	case covered:
		f.Message = fmt.Sprintf("the registry credential %s (%s, pattern %s) covers %s, but %s",
			winner.Name, winner.Kind, selection.Matches[0].Pattern, request.Image, f.Message)
		if others := otherNames(selection); len(others) > 0 {
			f.Message += fmt.Sprintf(" (not tried, though they cover it too: %s)", strings.Join(others, ", "))
		}
		return &f
	case f.Code != credentialRequired:
		return &f
	case request.Project.IsPersonal():
		return registry.PersonalProject(request.Project, request.Image).WithCause(err)
	default:
		return b.uncovered(ctx, request, err)
	}
}

// notCovered is the fault of an image that is for those alone who have a credential
// for it.
func notCovered(request Request) error {
	owner, ref := request.Project.Owner.Name, request.Image
	return fault.New(fault.Denied, "upstream_unknown", "no registry credential of %s covers %s, and %s is not one of the cache's upstreams for everybody", owner, ref.Name(), ref.Host()).
		WithHint("Register a credential with a pattern that covers it, or have the operator name the host with --cache-upstream.")
}

// uncovered is the fault of an image that no credential of the organisation
// covers and that is not for everybody.
func (b *Broker) uncovered(ctx context.Context, request Request, err error) error {
	organization := request.Project.Owner.Name
	f := fault.New(fault.Unauthenticated, "no_credential",
		"no registry credential of the organisation %s covers %s, so it was asked for without one, and %s does not give it to everybody: it is private, or it does not exist",
		organization, request.Image, request.Image.Host()).
		WithHint("An admin of %s can add one: `fairlead registry add KIND --pattern '%s/%s'`; `fairlead explain %s` shows what there is.",
			organization, request.Image.Host(), request.Image.Repository(), request.Image).
		WithCause(err)
	near, nearErr := b.config.Selector.Near(ctx, request.Project, request.Image)
	if nearErr == nil && len(near) > 0 {
		f.Message += fmt.Sprintf(". Almost: the pattern %s of %s, but %s", near[0].Pattern, near[0].Value.Name, near[0].Reason)
	}
	return f
}
