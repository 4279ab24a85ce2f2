package storetest

import (
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

func (h *house) channel(name string, organizationID int64) notice.Channel {
	h.Helper()
	channel := notice.Channel{
		ID: "channel-" + name, OrganizationID: organizationID, Name: name, Way: notice.Webhook, URL: "https://hooks.example/x",
		Events: []notice.Event{notice.ExecutionEnds}, Projects: []string{h.vision.ID}, Statuses: []string{"error"}, Enabled: true,
		Version: 1, Sealed: notice.Sealed{KeyID: 7, Bytes: []byte(name)}, CreatedAt: noon, UpdatedAt: noon,
	}
	h.check(h.CreateChannel(h.ctx, channel, event(audit.ChannelCreate, name)))
	return channel
}

func message(id string, channel notice.Channel, at time.Time) notice.Message {
	return notice.Message{
		ID: id, ChannelID: channel.ID, Notices: []notice.Notice{{Event: notice.Test, At: noon, Title: id, Details: map[string]string{"a": "b"}}},
		State: notice.Waiting, CreatedAt: at, NextAt: at,
	}
}

var notices = []sentence{
	{"channels are an organisation's or the installation's, and a change clashes with another", func(h *house) {
		var mine, others notice.Channel
		h.audits(audit.ChannelCreate, 2, func() { mine, others = h.channel("mine", h.acme.ID), h.channel("ops", 0) })
		got, err := h.Channels(h.ctx, h.acme.ID)
		h.check(err)
		h.same([]notice.Channel{mine}, got)
		got, err = h.Channels(h.ctx, 0, h.acme.ID)
		h.check(err)
		h.same([]notice.Channel{mine, others}, got)
		h.refused(fault.Conflict, h.CreateChannel(h.ctx, notice.Channel{ID: "other", OrganizationID: h.acme.ID, Name: "mine"}, event(audit.ChannelCreate, "mine")))
		mine.Version, mine.Enabled, mine.URL = 2, false, "https://hooks.example/y"
		h.audits(audit.ChannelUpdate, 1, func() { h.check(h.UpdateChannel(h.ctx, mine, 1, event(audit.ChannelUpdate, "mine"))) })
		h.refused(fault.Conflict, h.UpdateChannel(h.ctx, mine, 1, event(audit.ChannelUpdate, "mine")))
		h.restart()
		one, err := h.ChannelByID(h.ctx, mine.ID)
		h.check(err)
		h.same(mine, one)
		got, err = h.AllChannels(h.ctx)
		h.check(err)
		h.same([]notice.Channel{others}, got)
		h.audits(audit.ChannelDelete, 1, func() { h.check(h.DeleteChannel(h.ctx, mine.ID, event(audit.ChannelDelete, "mine"))) })
		h.refused(fault.NotFound, h.DeleteChannel(h.ctx, mine.ID, event(audit.ChannelDelete, "mine")))
		h.refused(fault.NotFound, h.UpdateChannel(h.ctx, mine, 2, event(audit.ChannelUpdate, "mine")))
	}},
	{"signing secrets that another key sealed are found and sealed anew, but for those that changed", func(h *house) {
		one, two := h.channel("one", h.acme.ID), h.channel("two", 0)
		fresh := notice.Sealed{KeyID: 9, Bytes: []byte("fresh")}
		kept, err := h.ChannelSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same(2, len(kept))
		done, err := h.ResealChannelSecret(h.ctx, one.Place(), one.Sealed, fresh)
		h.check(err)
		h.same(true, done)
		done, err = h.ResealChannelSecret(h.ctx, two.Place(), fresh, fresh)
		h.check(err)
		h.same(false, done)
		kept, err = h.ChannelSecretsBefore(h.ctx, 9, 10)
		h.check(err)
		h.same([]notice.Kept{{Place: two.Place(), Sealed: two.Sealed}}, kept)
	}},
	{"who never said what to be mailed wants nothing", func(h *house) {
		wish, err := h.Wish(h.ctx, h.ada.ID)
		h.check(err)
		h.same(notice.Wish{UserID: h.ada.ID}, wish)
		for _, statuses := range [][]string{{"error"}, {"complete", "crashed"}, nil} {
			h.check(h.SetWish(h.ctx, notice.Wish{UserID: h.ada.ID, Statuses: statuses}, event(audit.WishSet, "ada")))
			wish, err = h.Wish(h.ctx, h.ada.ID)
			h.check(err)
			h.same(statuses, wish.Statuses)
		}
	}},
	{"what is settled is settled once, with all that came of it or nothing", func(h *house) {
		channel := h.channel("mine", h.acme.ID)
		e := h.queue("one")
		_, err := h.RequestStop(h.ctx, e.ID, noon, nil, event(audit.ExecutionStop, "one"))
		h.check(err)
		happenings, err := h.Happenings(h.ctx, 10)
		h.check(err)
		h.same(1, len(happenings))
		h.same(notice.Happening{Position: happenings[0].Position, Kind: notice.ExecutionEnded, ObjectID: e.ID, At: noon}, happenings[0])
		settlement := notice.Settlement{
			Happenings: []int64{happenings[0].Position}, Told: map[string]string{"a": "b"}, At: noon,
			Messages: []notice.Message{message("m1", channel, noon)},
		}
		h.check(h.Settle(h.ctx, settlement))
		settlement.Told, settlement.Messages = map[string]string{"a": "c"}, []notice.Message{message("m2", channel, noon)}
		h.refused(fault.Conflict, h.Settle(h.ctx, settlement))
		h.restart()
		told, err := h.Told(h.ctx, "a")
		h.check(err)
		h.same("b", told)
		h.check(h.Settle(h.ctx, notice.Settlement{Told: map[string]string{"a": ""}, Messages: []notice.Message{message("m1", channel, noon)}}))
		told, err = h.Told(h.ctx, "a")
		h.check(err)
		h.same("", told)
		messages, count, err := h.Messages(h.ctx, channel.ID, 10, 0)
		h.check(err)
		h.same(1, count)
		h.same([]notice.Message{message("m1", channel, noon)}, messages)
	}},
	{"an attempt is one sender's, and what came of it is with the message and its channel", func(h *house) {
		channel := h.channel("mine", h.acme.ID)
		m := message("m1", channel, noon)
		h.check(h.Settle(h.ctx, notice.Settlement{Messages: []notice.Message{m, message("m2", channel, noon.Add(time.Hour))}}))
		targets, err := h.DueTargets(h.ctx, noon, 10)
		h.check(err)
		h.same([]string{m.Target()}, targets)
		due, err := h.DueMessages(h.ctx, m.Target(), noon, 10)
		h.check(err)
		h.same([]notice.Message{m}, due)
		won := make(chan bool, 8)
		together(8, func(int) {
			_, ok, err := h.Attempt(h.ctx, m.ID, 0, noon.Add(time.Minute))
			won <- ok && err == nil
		})
		close(won)
		winners := 0
		for ok := range won {
			if ok {
				winners++
			}
		}
		h.same(1, winners)
		m.Attempts, m.State, m.Code, m.Sentence, m.NextAt = 1, notice.Waiting, "webhook_refused", "It said no.", noon.Add(2*time.Minute)
		h.check(h.Conclude(h.ctx, m, noon))
		got, err := h.ChannelByID(h.ctx, channel.ID)
		h.check(err)
		h.same(notice.Outcome{At: noon, State: notice.Waiting, Code: "webhook_refused", Sentence: "It said no."}, got.Last)
		h.check(h.PostponeTarget(h.ctx, m.Target(), noon.Add(90*time.Minute)))
		targets, err = h.DueTargets(h.ctx, noon.Add(80*time.Minute), 10)
		h.check(err)
		h.same(0, len(targets))
		m.State, m.DoneAt = notice.Delivered, noon
		h.check(h.Conclude(h.ctx, m, noon))
		h.check(h.Prune(h.ctx, noon.Add(time.Hour), noon))
		messages, _, err := h.Messages(h.ctx, channel.ID, 10, 0)
		h.check(err)
		h.same(1, len(messages))
		h.same("m2", messages[0].ID)
	}},
	{"a digest grows until an attempt of it is made", func(h *house) {
		channel := h.channel("mine", h.acme.ID)
		digest := message("digest", channel, noon)
		digest.IsDigest = true
		h.check(h.Settle(h.ctx, notice.Settlement{Messages: []notice.Message{message("m1", channel, noon), digest}}))
		count, open, ok, err := h.Crowd(h.ctx, digest.Target(), noon.Add(time.Hour))
		h.check(err)
		h.same(2, count)
		h.same(true, ok)
		h.same(digest, open)
		digest.More = 5
		h.check(h.Settle(h.ctx, notice.Settlement{Digests: []notice.Message{digest}}))
		got, ok, err := h.Attempt(h.ctx, digest.ID, 0, noon)
		h.check(err)
		h.same(true, ok)
		h.same(5, got.More)
		h.refused(fault.Conflict, h.Settle(h.ctx, notice.Settlement{Digests: []notice.Message{digest}}))
		_, _, ok, err = h.Crowd(h.ctx, digest.Target(), noon)
		h.check(err)
		h.same(false, ok)
	}},
	{"a lost lease is written down once, and none that holds", func(h *house) {
		h.queue("one")
		e := h.take("lease-1")
		after := e.Lease.ExpiresAt.Add(time.Second)
		h.refused(fault.NotFound, h.NoteLost(h.ctx, e.Lease.ID, e.Lease.ExpiresAt))
		h.check(h.NoteLost(h.ctx, e.Lease.ID, after))
		h.check(h.NoteLost(h.ctx, e.Lease.ID, after))
		happenings, err := h.Happenings(h.ctx, 10)
		h.check(err)
		h.same(1, len(happenings))
		h.same(notice.LeaseLost, happenings[0].Kind)
		h.same(e.ID, happenings[0].Details[notice.DetailExecution])
	}},
}
