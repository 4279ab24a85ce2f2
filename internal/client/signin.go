package client

import (
	"context"

	"fairlead.dev/fairlead/internal/wire"
)

// Sessions are the caller's own in browsers, the last used first.
func (c *Client) Sessions(ctx context.Context) ([]wire.Session, error) {
	return all[wire.Session](ctx, c, "sessions/", nil)
}

// EndSession ends one of the caller's sessions.
func (c *Client) EndSession(ctx context.Context, id string) error {
	return c.delete(ctx, path("sessions", id))
}

// EndOtherSessions ends all of the caller's sessions; a client with a token has
// none of its own.
func (c *Client) EndOtherSessions(ctx context.Context) error {
	return c.delete(ctx, "sessions/")
}

// TOTPState tells whether the caller has a second factor.
func (c *Client) TOTPState(ctx context.Context) (state wire.TOTPState, err error) {
	return state, c.get(ctx, "totp/", nil, &state)
}

// BeginTOTP makes the key of a second factor, which is on after ConfirmTOTP.
func (c *Client) BeginTOTP(ctx context.Context) (made wire.TOTPEnrolment, err error) {
	return made, c.post(ctx, "totp/", nil, &made)
}

// ConfirmTOTP turns the second factor on with a code of its key.
func (c *Client) ConfirmTOTP(ctx context.Context, code wire.TOTPCode) (done wire.TOTPConfirmed, err error) {
	return done, c.post(ctx, path("totp", "confirm"), code, &done)
}

// DisableTOTP turns the caller's second factor off.
func (c *Client) DisableTOTP(ctx context.Context, ask wire.TOTPDisable) error {
	return c.post(ctx, path("totp", "disable"), ask, nil)
}

// ResetTOTP turns another user's second factor off; for operators.
func (c *Client) ResetTOTP(ctx context.Context, username string) error {
	return c.delete(ctx, path("users", username, "totp"))
}
