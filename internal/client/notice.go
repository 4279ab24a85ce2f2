package client

import (
	"context"
	"net/http"
	"net/url"

	"fairlead.dev/fairlead/internal/wire"
)

// NoticeChannels are an organisation's, or those of all that the caller manages
// where it is ""; or the installation's alone.
func (c *Client) NoticeChannels(ctx context.Context, organization string, installation bool) ([]wire.NoticeChannel, error) {
	query := url.Values{}
	if organization != "" {
		query.Set("organization", organization)
	}
	if installation {
		query.Set("installation", "true")
	}
	return all[wire.NoticeChannel](ctx, c, "notice-channels/", query)
}

// CreateNoticeChannel makes a channel; a webhook's secret is in the answer.
func (c *Client) CreateNoticeChannel(ctx context.Context, draft wire.NewNoticeChannel) (created wire.NoticeChannel, err error) {
	return created, c.post(ctx, "notice-channels/", draft, &created)
}

// UpdateNoticeChannel changes a channel.
func (c *Client) UpdateNoticeChannel(ctx context.Context, id string, change wire.NoticeChannelChange) (changed wire.NoticeChannel, err error) {
	return changed, c.call(ctx, http.MethodPatch, path("notice-channels", id), nil, change, &changed)
}

// DeleteNoticeChannel forgets a channel, with what waits for it.
func (c *Client) DeleteNoticeChannel(ctx context.Context, id string) error {
	return c.delete(ctx, path("notice-channels", id))
}

// TestNoticeChannel sends a test through a channel, and tells what came of it
// for each receiver.
func (c *Client) TestNoticeChannel(ctx context.Context, id string) ([]wire.NoticeDelivery, error) {
	var list wire.List[wire.NoticeDelivery]
	err := c.post(ctx, path("notice-channels", id, "test"), struct{}{}, &list)
	return list.Results, err
}

// NoticeDeliveries are what a channel was told or is to be told, newest first.
func (c *Client) NoticeDeliveries(ctx context.Context, id string) ([]wire.NoticeDelivery, error) {
	return all[wire.NoticeDelivery](ctx, c, path("notice-channels", id, "deliveries"), nil)
}

// NoticeWish is what the caller is mailed of their own executions.
func (c *Client) NoticeWish(ctx context.Context) (wish wire.NoticeWish, err error) {
	return wish, c.get(ctx, "notice-wishes/me/", nil, &wish)
}

// SetNoticeWish changes it.
func (c *Client) SetNoticeWish(ctx context.Context, executions []string) (wish wire.NoticeWish, err error) {
	return wish, c.call(ctx, http.MethodPut, "notice-wishes/me/", nil, wire.NoticeWish{Executions: executions}, &wish)
}
