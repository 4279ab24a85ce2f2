package api

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/wire"
)

type identitiesInput struct {
	Username string `path:"username"`
	Page
}

func (d *door) listIdentities(ctx context.Context, v *visit, in *identitiesInput) (list wire.List[wire.Identity], err error) {
	identities, err := d.config.Federation.Identities(ctx, v.actor, in.Username)
	if err != nil {
		return list, err
	}
	return pageOf(v, in.Page, each(identities, identityOf)), nil
}

type newIdentityInput struct {
	Username string `path:"username"`
	Body     wire.NewIdentity
}

func (d *door) linkIdentity(ctx context.Context, v *visit, in *newIdentityInput) error {
	return d.config.Federation.LinkIdentity(ctx, v.actor, in.Username, in.Body.Issuer, in.Body.Subject)
}

type identityKey struct {
	Username string `path:"username"`
	Issuer   string `query:"issuer" required:"true" doc:"The provider's name of itself"`
	Subject  string `query:"subject" required:"true" doc:"What the provider knows the person by"`
}

func (d *door) unlinkIdentity(ctx context.Context, v *visit, in *identityKey) error {
	return d.config.Federation.UnlinkIdentity(ctx, v.actor, in.Username, in.Issuer, in.Subject)
}

func identityOf(i account.Identity) wire.Identity {
	shown := wire.Identity{Issuer: i.Issuer, Subject: i.Subject, Username: i.Username, Email: i.Email, CreatedAt: i.CreatedAt}
	if !i.LastUsedAt.IsZero() {
		shown.LastUsedAt = &i.LastUsedAt
	}
	return shown
}
