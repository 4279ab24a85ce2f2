package api

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/wire"
)

func (d *door) listSessions(ctx context.Context, v *visit, in *Page) (list wire.List[wire.Session], err error) {
	sessions, err := d.config.Accounts.Sessions(ctx, v.actor)
	if err != nil {
		return list, err
	}
	return pageOf(v, *in, each(sessions, func(s account.Session) wire.Session {
		return wire.Session{
			ID: s.ID, Agent: s.Agent, Remote: s.Remote, CTime: wire.NewTime(s.CreatedAt),
			LastUsedAt: wire.NewTime(s.LastUsedAt), EndsAt: wire.NewTime(s.EndsAt()), URL: v.resource("sessions", s.ID),
		}
	})), nil
}

type sessionKey struct {
	Session string `path:"session" doc:"The session's id"`
}

func (d *door) endSession(ctx context.Context, v *visit, in *sessionKey) error {
	return d.config.Accounts.EndSession(ctx, v.actor, in.Session)
}

func (d *door) endOtherSessions(ctx context.Context, v *visit, _ *nothing) error {
	return d.config.Accounts.EndOtherSessions(ctx, v.actor)
}

func (d *door) totpState(ctx context.Context, v *visit, _ *nothing) (wire.TOTPState, error) {
	state, err := d.config.Accounts.TOTPState(ctx, v.actor)
	return wire.TOTPState{On: state.On, Since: wire.NewTime(state.Since), RecoveryCodes: state.RecoveryCodes}, err
}

func (d *door) beginTOTP(ctx context.Context, v *visit, _ *nothing) (wire.TOTPEnrolment, error) {
	made, err := d.config.Accounts.BeginTOTP(ctx, v.actor)
	return wire.TOTPEnrolment{Key: made.Key.Reveal(), OTPAuthURL: made.URL.Reveal()}, err
}

func (d *door) confirmTOTP(ctx context.Context, v *visit, in *struct{ Body wire.TOTPCode }) (wire.TOTPConfirmed, error) {
	codes, err := d.config.Accounts.ConfirmTOTP(ctx, v.actor, string(in.Body.Code))
	return wire.TOTPConfirmed{RecoveryCodes: each(codes, secret.Text.Reveal)}, err
}

func (d *door) disableTOTP(ctx context.Context, v *visit, in *struct{ Body wire.TOTPDisable }) error {
	return d.config.Accounts.DisableTOTP(ctx, v.actor, in.Body.Password.Text(), string(in.Body.Code))
}

type userKey struct {
	Username string `path:"username"`
}

func (d *door) resetTOTP(ctx context.Context, v *visit, in *userKey) error {
	return d.config.Accounts.ResetTOTP(ctx, v.actor, in.Username)
}
