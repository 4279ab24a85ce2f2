package api

import (
	"errors"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/wire"
)

// grantRequestMost bounds a request for a grant, in bytes.
const grantRequestMost = 4 << 10

func describeGrant(op *huma.Operation, registry huma.Registry) {
	takesJSON[wire.GrantRequest](op, registry, true)
	answersJSON[wire.Grant](op, registry)
}

// pullGrant gives a worker the grant for the image of the execution that it
// holds. It does not go through huma: ten thousand come in a second.
func (d *door) pullGrant(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.actor.MayWork(); err != nil {
		return err
	}
	var request wire.GrantRequest
	if err := decode(w, r, grantRequestMost, &request); err != nil {
		return err
	}
	e, project, err := d.config.Dispatch.Holding(r.Context(), v.actor, request.Lease)
	if err != nil {
		return err
	}
	ref, err := image.ParseReference(e.Work.Image)
	if err != nil {
		return err
	}
	given, err := d.config.Broker.Grant(r.Context(), broker.Request{
		Actor: v.actor, Project: project, ExecutionID: e.ID, Image: ref, Refused: request.Refused.Or(),
	})
	if err != nil {
		return d.refusedGrant(r, v, err)
	}
	return writeJSON(w, http.StatusOK, d.grantOf(given))
}

// refusedGrant answers with the reason why there is no grant. Where the registry
// did not accept the credential, that is no doubt about who asks us: the status
// is that of a denial, and the kind says what it was.
func (d *door) refusedGrant(r *http.Request, v *visit, err error) error {
	f, ok := errors.AsType[*fault.Error](err)
	if !ok || f.Kind != fault.Unauthenticated {
		return err
	}
	p := d.problem(r.Context(), v, err)
	p.Status, p.Title = http.StatusForbidden, http.StatusText(http.StatusForbidden)
	p.header.Del("WWW-Authenticate")
	return p
}

func (d *door) grantOf(given broker.Answer) wire.Grant {
	shown := wire.Grant{
		Host: given.Grant.Host, Repository: given.Grant.Repository,
		Scheme: given.Grant.Scheme, User: given.Grant.User, Secret: wire.OpenSecret{Text: given.Grant.Secret},
		IssuedAt: wire.NewTime(given.Grant.IssuedAt), ExpiresAt: wire.NewTime(given.Grant.ExpiresAt), Narrow: given.Grant.Narrow,
		Others: given.Others,
	}
	if given.Credential != nil {
		shown.Credential, shown.Kind, shown.Pattern = given.Credential.Name, given.Credential.Kind, given.Pattern.String()
	}
	shown.HeldVersion = given.Grant.HeldVersion
	if given.Grant.Through {
		shown.Through = new(wire.GrantThrough) // this server
	}
	if role := given.Grant.Role; role != nil {
		shown.Role = (*wire.GrantRole)(role)
	}
	if reach := wire.RegistryReach(given.Grant.Reach); reach != (wire.RegistryReach{}) {
		shown.Reach = &reach
	}
	if d.config.Route != nil {
		shown.Route = d.config.Route(given.Grant.Host)
	}
	return shown
}
