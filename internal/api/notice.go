package api

import (
	"context"

	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/wire"
)

type channelsQuery struct {
	Organization string `query:"organization" doc:"Name or number; absent: of all that I administer, and the installation's for an operator"`
	Installation bool   `query:"installation" doc:"Those of the installation alone (operators)"`
	Page
}

func (d *door) listChannels(ctx context.Context, v *visit, in *channelsQuery) (list wire.List[wire.NoticeChannel], err error) {
	channels, err := d.config.Channels.List(ctx, v.actor, in.Organization, in.Installation)
	if err != nil {
		return list, err
	}
	return pageOf(v, in.Page, each(channels, v.channel)), nil
}

func (d *door) createChannel(ctx context.Context, v *visit, in *struct{ Body wire.NewNoticeChannel }) (wire.NoticeChannel, error) {
	owner, err := ownerOf(in.Body.Owner)
	if err != nil {
		return wire.NoticeChannel{}, err
	}
	created, signing, err := d.config.Channels.Create(ctx, v.actor, notice.Draft{
		Organization: owner, Installation: in.Body.Installation, Name: in.Body.Name, Way: notice.Way(in.Body.Kind),
		Addresses: in.Body.Addresses, URL: in.Body.WebhookURL, Events: eventsOf(in.Body.Events),
		Projects: in.Body.Projects, Statuses: in.Body.Statuses,
	})
	if err != nil {
		return wire.NoticeChannel{}, err
	}
	shown := v.channel(created)
	shown.Secret = signing.Reveal()
	return shown, nil
}

type channelKey struct {
	Channel string `path:"channel"`
}

func (d *door) getChannel(ctx context.Context, v *visit, in *channelKey) (wire.NoticeChannel, error) {
	channel, err := d.config.Channels.Get(ctx, v.actor, in.Channel)
	return v.channel(channel), err
}

type channelUpdate struct {
	Channel string `path:"channel"`
	Body    wire.NoticeChannelChange
}

func (d *door) changeChannel(ctx context.Context, v *visit, in *channelUpdate) (wire.NoticeChannel, error) {
	change := notice.Change{
		Name: in.Body.Name, Addresses: in.Body.Addresses, URL: in.Body.WebhookURL, Projects: in.Body.Projects,
		Statuses: in.Body.Statuses, Enabled: in.Body.Enabled, NewSecret: in.Body.NewSecret,
	}
	if in.Body.Events != nil {
		events := eventsOf(*in.Body.Events)
		change.Events = &events
	}
	changed, signing, err := d.config.Channels.Update(ctx, v.actor, in.Channel, change)
	if err != nil {
		return wire.NoticeChannel{}, err
	}
	shown := v.channel(changed)
	shown.Secret = signing.Reveal()
	return shown, nil
}

func (d *door) deleteChannel(ctx context.Context, v *visit, in *channelKey) error {
	return d.config.Channels.Delete(ctx, v.actor, in.Channel)
}

func (d *door) testChannel(ctx context.Context, v *visit, in *channelKey) (list wire.List[wire.NoticeDelivery], err error) {
	messages, err := d.config.Outbox.Test(ctx, v.actor, in.Channel)
	if err != nil {
		return list, err
	}
	return listOf(v, Page{}, each(messages, delivery), len(messages)), nil
}

type deliveriesQuery struct {
	Channel string `path:"channel"`
	Page
}

func (d *door) listDeliveries(ctx context.Context, v *visit, in *deliveriesQuery) (list wire.List[wire.NoticeDelivery], err error) {
	messages, count, err := d.config.Channels.Deliveries(ctx, v.actor, in.Channel, in.Limit, in.Offset)
	if err != nil {
		return list, err
	}
	return listOf(v, in.Page, each(messages, delivery), count), nil
}

func (d *door) getWish(ctx context.Context, v *visit, _ *struct{}) (wire.NoticeWish, error) {
	wish, err := d.config.Channels.Wish(ctx, v.actor)
	if err != nil {
		return wire.NoticeWish{}, err
	}
	return shownWish(wish), nil
}

func (d *door) setWish(ctx context.Context, v *visit, in *struct{ Body wire.NoticeWish }) (wire.NoticeWish, error) {
	wish, err := d.config.Channels.SetWish(ctx, v.actor, in.Body.Executions)
	if err != nil {
		return wire.NoticeWish{}, err
	}
	return shownWish(wish), nil
}

func shownWish(wish notice.Wish) wire.NoticeWish {
	return wire.NoticeWish{Executions: orEmpty(wish.Statuses), Address: wish.Address}
}

func (v *visit) channel(c notice.Channel) wire.NoticeChannel {
	shown := wire.NoticeChannel{
		ID: c.ID, URL: v.resource("notice-channels", c.ID), Name: c.Name, Kind: string(c.Way), Owner: c.OrganizationID,
		Addresses: orEmpty(c.Addresses), WebhookURL: c.URL, Events: each(c.Events, func(e notice.Event) string { return string(e) }),
		Projects: orEmpty(c.Projects), Statuses: orEmpty(c.Statuses), Enabled: c.Enabled,
		CTime: wire.NewTime(c.CreatedAt), MTime: wire.NewTime(c.UpdatedAt),
	}
	if !c.Last.At.IsZero() {
		shown.LastDelivery = &wire.NoticeOutcome{At: wire.NewTime(c.Last.At), State: string(c.Last.State), Code: c.Last.Code, Message: c.Last.Sentence}
	}
	return shown
}

func eventsOf(names []string) []notice.Event {
	return each(names, func(name string) notice.Event { return notice.Event(name) })
}

func delivery(m notice.Message) wire.NoticeDelivery {
	shown := wire.NoticeDelivery{
		ID: m.ID, Receiver: m.Receiver, Notices: m.Count(), State: string(m.State), Attempts: m.Attempts,
		Code: m.Code, Message: m.Sentence, CTime: wire.NewTime(m.CreatedAt), DoneAt: wire.NewTime(m.DoneAt),
	}
	if m.State == notice.Waiting {
		shown.NextAt = wire.NewTime(m.NextAt)
	}
	if len(m.Notices) > 0 {
		shown.Event, shown.Title = string(m.Notices[0].Event), m.Notices[0].Title
	}
	if m.IsDigest {
		shown.Event = string(notice.Digest)
	}
	return shown
}
