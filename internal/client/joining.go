package client

import (
	"context"

	"fairlead.dev/fairlead/internal/wire"
)

// Invitations are an organisation's open ones; for its admins.
func (c *Client) Invitations(ctx context.Context, organization string) ([]wire.Invitation, error) {
	return all[wire.Invitation](ctx, c, path("organizations", organization, "invitations"), nil)
}

// CreateInvitation makes an invitation; its text is in the answer, this once.
func (c *Client) CreateInvitation(ctx context.Context, organization string, draft wire.NewInvitation) (created wire.CreatedInvitation, err error) {
	return created, c.post(ctx, path("organizations", organization, "invitations"), draft, &created)
}

// RevokeInvitation ends an open invitation.
func (c *Client) RevokeInvitation(ctx context.Context, organization, id string) error {
	return c.delete(ctx, path("organizations", organization, "invitations", id))
}

// ShowInvitation tells what a text invites to; it needs no token.
func (c *Client) ShowInvitation(ctx context.Context, text wire.InvitationText) (shown wire.Invitation, err error) {
	return shown, c.post(ctx, "invitations/show/", text, &shown)
}

// AcceptInvitation makes a new user a member; it needs no token.
func (c *Client) AcceptInvitation(ctx context.Context, draft wire.AcceptInvitation) (user wire.User, err error) {
	return user, c.post(ctx, "invitations/accept/", draft, &user)
}

// JoinByInvitation makes the caller a member.
func (c *Client) JoinByInvitation(ctx context.Context, text wire.InvitationText) (joined wire.JoinedOrganization, err error) {
	return joined, c.post(ctx, "invitations/join/", text, &joined)
}

// BeginDeviceLogin asks to sign this machine in; it needs no token.
func (c *Client) BeginDeviceLogin(ctx context.Context, ask wire.NewDeviceLogin) (begun wire.DeviceLogin, err error) {
	return begun, c.post(ctx, "device-logins/", ask, &begun)
}

// PollDeviceLogin asks for the token. Until it was approved, the fault's code is
// authorization_pending or slow_down.
func (c *Client) PollDeviceLogin(ctx context.Context, ask wire.DevicePoll) (got wire.GotToken, err error) {
	return got, c.post(ctx, "device-logins/token/", ask, &got)
}

// ShowDeviceLogin tells what a machine that shows the code asks.
func (c *Client) ShowDeviceLogin(ctx context.Context, code wire.DeviceCode) (asked wire.DeviceQuestion, err error) {
	return asked, c.post(ctx, "device-logins/show/", code, &asked)
}

// ApproveDeviceLogin gives the machine a token of the caller's.
func (c *Client) ApproveDeviceLogin(ctx context.Context, code wire.DeviceCode) error {
	return c.post(ctx, "device-logins/approve/", code, nil)
}

// DenyDeviceLogin refuses the machine.
func (c *Client) DenyDeviceLogin(ctx context.Context, code wire.DeviceCode) error {
	return c.post(ctx, "device-logins/deny/", code, nil)
}
