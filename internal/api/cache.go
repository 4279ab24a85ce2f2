package api

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/broker"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

// Readers know who may pull through a cache by what they log in with there. Its errors
// are faults.
type Readers interface {
	// Reader finds who logs in, for which project, and for which execution if it is a
	// worker.
	Reader(ctx context.Context, user string, token secret.Text, remote string) (account.Actor, account.Project, string, error)
}

func describeCacheReader(op *huma.Operation, registry huma.Registry) {
	takesJSON[wire.CacheLogin](op, registry, true)
	answersJSON[wire.CacheReader](op, registry)
}

// cacheReader tells a cache apart from the server who logs in there.
func (d *door) cacheReader(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.actor.MayMirror(); err != nil {
		return err
	}
	var login wire.CacheLogin
	if err := decode(w, r, grantRequestMost, &login); err != nil {
		return err
	}
	actor, project, execution, err := d.reader(r.Context(), login)
	if err != nil {
		return err
	}
	return writeJSON(w, http.StatusOK, wire.CacheReader{
		ID: actor.ID(), Name: actor.Name(), Operator: actor.Operator, Project: wire.NamedID{ID: project.ID, Name: project.Name},
		Organization: project.Owner.Name, ExecutionID: execution,
	})
}

// reader finds who logs in at a cache. That the login is unknown is told as a refusal,
// with its code: the cache's own token is good.
func (d *door) reader(ctx context.Context, login wire.CacheLogin) (account.Actor, account.Project, string, error) {
	actor, project, execution, err := d.config.Readers.Reader(ctx, login.User, login.Token.Text, login.Remote)
	if f, ok := errors.AsType[*fault.Error](err); ok && f.Kind == fault.Unauthenticated {
		refused := *f
		refused.Kind, refused.Code = fault.Denied, wire.CodeReaderUnknown
		err = &refused
	}
	return actor, project, execution, err
}

func describeCacheGrant(op *huma.Operation, registry huma.Registry) {
	takesJSON[wire.CacheGrantRequest](op, registry, true)
	answersJSON[wire.CacheGrant](op, registry)
}

// cacheGrant gives a cache apart from the server the grant of who logs in there. It is
// one that may leave the server: a password that cannot be traded is not among them.
func (d *door) cacheGrant(w http.ResponseWriter, r *http.Request, v *visit) error {
	if err := v.actor.MayMirror(); err != nil {
		return err
	}
	var request wire.CacheGrantRequest
	if err := decode(w, r, grantRequestMost, &request); err != nil {
		return err
	}
	actor, project, execution, err := d.reader(r.Context(), request.Login)
	if err != nil {
		return err
	}
	ref, err := image.ParseReference(request.Image)
	if err != nil {
		return err
	}
	asked := broker.Request{
		Actor: actor, Project: project, ExecutionID: execution, Image: ref, Refused: request.Refused.Or(), OnlyCovered: request.OnlyCovered,
	}
	if request.FreshMilliseconds > 0 {
		asked.Since = d.config.Now().Add(-time.Duration(request.FreshMilliseconds) * time.Millisecond)
	}
	given, err := d.config.Broker.Grant(r.Context(), asked)
	if err != nil {
		return d.refusedGrant(r, v, err)
	}
	answer := wire.CacheGrant{Grant: d.grantOf(given)}
	if given.Credential != nil {
		answer.CredentialID, answer.Version = given.Credential.ID, given.Credential.Version
	}
	return writeJSON(w, http.StatusOK, answer)
}
