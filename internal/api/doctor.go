package api

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/wire"
)

// Doctor looks at the server: app.Server is one. Only operators may have it look.
type Doctor interface {
	Examine(ctx context.Context, actor account.Actor, credentials bool) (wire.Doctor, error)
}

type doctorInput struct {
	Credentials bool `query:"credentials" doc:"Ask the registries what the credentials are good for"`
}

// examine has the server look at itself.
func (d *door) examine(ctx context.Context, v *visit, in *doctorInput) (wire.Doctor, error) {
	if err := v.actor.MayOperate(); err != nil {
		return wire.Doctor{}, err
	}
	if d.config.Doctor == nil {
		return wire.Doctor{}, fault.New(fault.Unavailable, "doctor_missing", "this server cannot look at itself").
			WithHint("Run `fairlead doctor --data-dir DIR` on its machine.")
	}
	return d.config.Doctor.Examine(ctx, v.actor, in.Credentials)
}
