package api

import (
	"context"

	"fairlead.dev/fairlead/internal/wire"
)

// devicePath is where a browser asks for the code that a machine shows.
const devicePath = "/device/"

func (d *door) beginDevice(ctx context.Context, v *visit, in *struct{ Body wire.NewDeviceLogin }) (wire.DeviceLogin, error) {
	request, err := d.config.Accounts.BeginDevice(ctx, in.Body.Name, v.remote)
	if err != nil {
		return wire.DeviceLogin{}, err
	}
	return wire.DeviceLogin{
		DeviceCode: request.DeviceCode.Reveal(), UserCode: request.UserCode, VerificationURI: v.origin + devicePath,
		ExpiresIn: seconds(request.ExpiresAt.Sub(d.config.Now())), Interval: seconds(request.Interval),
	}, nil
}

func (d *door) pollDevice(ctx context.Context, _ *visit, in *struct{ Body wire.DevicePoll }) (wire.GotToken, error) {
	_, text, err := d.config.Accounts.PollDevice(ctx, in.Body.DeviceCode.Text())
	return wire.GotToken{Token: text.Reveal()}, err
}

func (d *door) showDevice(ctx context.Context, v *visit, in *struct{ Body wire.DeviceCode }) (wire.DeviceQuestion, error) {
	asked, err := d.config.Accounts.DeviceRequest(ctx, v.actor, in.Body.UserCode)
	return wire.DeviceQuestion{
		Name: asked.Name, Remote: asked.Remote, CTime: wire.NewTime(asked.CreatedAt), ExpiresAt: wire.NewTime(asked.ExpiresAt),
	}, err
}

func (d *door) approveDevice(ctx context.Context, v *visit, in *struct{ Body wire.DeviceCode }) error {
	return d.config.Accounts.ApproveDevice(ctx, v.actor, in.Body.UserCode)
}

func (d *door) denyDevice(ctx context.Context, v *visit, in *struct{ Body wire.DeviceCode }) error {
	return d.config.Accounts.DenyDevice(ctx, v.actor, in.Body.UserCode)
}
