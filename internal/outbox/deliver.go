package outbox

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/courier"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

// Deliver sends what is due, and returns when all of it was tried once.
func (o *Outbox) Deliver(ctx context.Context) error {
	err := o.begin(ctx)
	o.sending.Wait()
	return err
}

// begin begins to send what is due, to each target one after the other.
func (o *Outbox) begin(ctx context.Context) error {
	targets, err := o.config.Store.DueTargets(ctx, o.config.Now(), batch)
	if err != nil {
		return err
	}
	for _, target := range targets {
		o.mu.Lock()
		busy := o.underWay[target]
		o.underWay[target] = true
		o.mu.Unlock()
		if busy {
			continue
		}
		o.sending.Go(func() {
			defer func() {
				o.mu.Lock()
				defer o.mu.Unlock()
				delete(o.underWay, target)
			}()
			select {
			case o.slots <- struct{}{}:
				defer func() { <-o.slots }()
			case <-ctx.Done():
				return
			}
			if err := o.deliver(ctx, target); err != nil && ctx.Err() == nil {
				o.config.Logger.LogAttrs(ctx, slog.LevelError, "delivering notices", slog.String("target", target), slog.String("error", err.Error()))
			}
		})
	}
	return nil
}

// deliver sends a target what is due, until one does not arrive: then the others
// wait as long as that one.
func (o *Outbox) deliver(ctx context.Context, target string) error {
	due, err := o.config.Store.DueMessages(ctx, target, o.config.Now(), batch)
	if err != nil {
		return err
	}
	for _, waiting := range due {
		m, ok, err := o.config.Store.Attempt(ctx, waiting.ID, waiting.Attempts, o.config.Now().Add(silence))
		if err != nil {
			return err
		}
		if !ok {
			continue
		}
		sendErr := o.send(ctx, m)
		if sendErr != nil && ctx.Err() != nil {
			return nil //nolint:nilerr // the server ends: nobody knows what became of it, and it is sent again
		}
		o.conclude(ctx, &m, sendErr)
		if err := o.config.Store.Conclude(context.WithoutCancel(ctx), m, o.config.Now()); err != nil {
			return err
		}
		if m.State == notice.Waiting {
			return o.config.Store.PostponeTarget(ctx, target, m.NextAt)
		}
	}
	return nil
}

// conclude says what becomes of a message after an attempt.
func (o *Outbox) conclude(ctx context.Context, m *notice.Message, err error) {
	now := o.config.Now()
	if err == nil {
		m.State, m.DoneAt, m.Code, m.Sentence = notice.Delivered, now, "", ""
		return
	}
	f := fault.From(err)
	m.Code, m.Sentence = f.Code, f.Sentence()
	o.config.Logger.LogAttrs(ctx, slog.LevelWarn, "a notice did not arrive", slog.String("message", m.ID), slog.String("channel", m.ChannelID),
		slog.Int("attempt", m.Attempts), slog.String("code", f.Code), slog.String("error", err.Error()))
	m.NextAt = now.Add(max(waitAfter(m.Attempts), f.RetryAfter))
	if f.Kind == fault.Invalid || f.Kind == fault.NotFound || m.NextAt.Sub(m.CreatedAt) > tryMost {
		m.State, m.DoneAt = notice.GivenUp, now
	}
}

// send sends a message once.
func (o *Outbox) send(ctx context.Context, m notice.Message) error {
	if m.ChannelID == "" {
		user, err := o.config.Store.UserByID(ctx, m.UserID)
		if err != nil {
			return err
		}
		if user.Email == "" {
			return fault.New(fault.Invalid, "mail_address", "the user %s has no e-mail address", user.Username).WithHint("An operator gives them one.")
		}
		return o.config.Mailer.Send(ctx, o.letter(m, user.Email, "You get this because you asked to be told how your executions end: `fairlead notice mine` changes it."))
	}
	channel, err := o.config.Store.ChannelByID(ctx, m.ChannelID)
	if err != nil {
		return err
	}
	if !channel.Enabled {
		return fault.New(fault.Invalid, "channel_disabled", "the channel was turned off before it was sent").WithHint("Turn it on: `fairlead notice update %s --enabled`.", channel.ID)
	}
	return o.through(ctx, channel, m)
}

// through sends a message through its channel.
func (o *Outbox) through(ctx context.Context, channel notice.Channel, m notice.Message) error {
	if channel.Way == notice.Email {
		return o.config.Mailer.Send(ctx, o.letter(m, m.Receiver, fmt.Sprintf("You get this because this address is in the notice channel %s; whoever manages it can take it out.", channel.Name)))
	}
	signing, err := o.config.Channels.Open(channel)
	if err != nil {
		return err
	}
	body, err := o.body(m)
	if err != nil {
		return err
	}
	return o.config.Hooks.Send(ctx, courier.Hook{ID: m.ID, URL: channel.URL, Secret: signing, At: o.config.Now(), Body: body})
}

// digestTitle is the one line of several notices.
func digestTitle(m notice.Message) string {
	return fmt.Sprintf("%s and %d more", m.Notices[0].Title, m.Count()-1)
}

// letter is a message as mail.
func (o *Outbox) letter(m notice.Message, to, why string) courier.Mail {
	letter := courier.Mail{ID: m.ID, To: []string{to}}
	if !m.IsDigest || m.Count() == 1 {
		n := m.Notices[0]
		letter.Subject, letter.Lines = "[Fairlead] "+n.Title, append([]string{n.Title + "."}, n.Lines...)
		letter.Link, letter.LinkText = o.link(n.Path), "See it in Fairlead"
	} else {
		letter.Subject = "[Fairlead] " + digestTitle(m)
		letter.Lines = []string{fmt.Sprintf("So much happened in a short time that %d notices come together.", m.Count())}
		for _, n := range m.Notices {
			line := n.At.UTC().Format("15:04:05 UTC") + ": " + n.Title
			if link := o.link(n.Path); link != "" {
				line += " (" + link + ")"
			}
			letter.Lines = append(letter.Lines, line)
		}
		if m.More > 0 {
			letter.Lines = append(letter.Lines, fmt.Sprintf("And %d more.", m.More))
		}
	}
	letter.Lines = append(letter.Lines, why)
	return letter
}

// payload is a notice as a webhook's body, of the form that the Standard
// Webhooks specification recommends.
type payload struct {
	Type      notice.Event `json:"type"`
	Timestamp string       `json:"timestamp"`
	Data      any          `json:"data"`
}

type payloadData struct {
	Title        string            `json:"title"`
	Lines        []string          `json:"lines"`
	URL          string            `json:"url,omitempty"`
	Organization string            `json:"organization,omitempty"`
	Details      map[string]string `json:"details"`
}

type digestData struct {
	Title   string    `json:"title"`
	Notices []payload `json:"notices"`
	More    int       `json:"more"`
}

func (o *Outbox) payload(n notice.Notice) payload {
	data := payloadData{Title: n.Title, Lines: n.Lines, URL: o.link(n.Path), Organization: n.Organization, Details: n.Details}
	if data.Lines == nil {
		data.Lines = []string{}
	}
	if data.Details == nil {
		data.Details = map[string]string{}
	}
	return payload{Type: n.Event, Timestamp: n.At.UTC().Format(time.RFC3339Nano), Data: data}
}

// body is a message as a webhook. It is the same at every attempt.
func (o *Outbox) body(m notice.Message) ([]byte, error) {
	whole := o.payload(m.Notices[0])
	if m.IsDigest {
		data := digestData{Title: digestTitle(m), More: m.More}
		for _, n := range m.Notices {
			data.Notices = append(data.Notices, o.payload(n))
		}
		whole = payload{Type: notice.Digest, Timestamp: m.CreatedAt.UTC().Format(time.RFC3339Nano), Data: data}
	}
	text, err := json.Marshal(whole)
	if err != nil {
		return nil, fmt.Errorf("encoding a webhook: %w", err)
	}
	return text, nil
}

// testsAtOnce bounds the mail of one test.
const testsAtOnce = 4

// Test sends a notice through a channel now, once, and returns what came of it
// for each receiver. Only who may change the channel may.
func (o *Outbox) Test(ctx context.Context, actor account.Actor, id string) ([]notice.Message, error) {
	channel, err := o.config.Channels.Get(ctx, actor, id)
	if err != nil {
		return nil, err
	}
	organization := ""
	if !channel.IsInstallations() {
		found, err := o.config.Store.OrganizationByID(ctx, channel.OrganizationID)
		if err != nil {
			return nil, err
		}
		organization = found.Name
	}
	now := o.config.Now()
	told := trial(now, channel, organization, actor.Name())
	var messages []notice.Message
	for _, receiver := range channel.Receivers() {
		m := notice.Message{
			ID: uuid.NewString(), ChannelID: channel.ID, Receiver: receiver, Notices: []notice.Notice{told},
			State: notice.GivenUp, Attempts: 1, CreatedAt: now, NextAt: now,
		}
		count, _, _, err := o.config.Store.Crowd(ctx, m.Target(), now.Add(-crowdWindow))
		if err != nil {
			return nil, err
		}
		if count >= crowdMost {
			return nil, fault.New(fault.Exhausted, "channel_busy", "%d messages wait for this channel or went through it in the last %d minutes", count, int(crowdWindow.Minutes())).
				WithHint("Wait a while, and see `fairlead notice deliveries %s`.", channel.ID).WithRetryAfter(crowdWindow)
		}
		messages = append(messages, m)
	}
	var wait sync.WaitGroup
	slots := make(chan struct{}, testsAtOnce)
	errs := make([]error, len(messages))
	for i := range messages {
		m := &messages[i]
		slots <- struct{}{}
		wait.Go(func() {
			defer func() { <-slots }()
			o.conclude(ctx, m, o.through(ctx, channel, *m))
			if m.State != notice.Delivered {
				m.State, m.DoneAt = notice.GivenUp, o.config.Now() // it is tried once
			}
			errs[i] = o.config.Store.KeepMessage(context.WithoutCancel(ctx), *m, o.config.Now())
		})
	}
	wait.Wait()
	event := audit.Event{
		Time: o.config.Now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: audit.ChannelTest, Result: audit.ResultOK, OrganizationID: channel.OrganizationID,
		ObjectID: channel.ID, ObjectName: channel.Name, Details: map[string]string{"kind": string(channel.Way), "where": channel.Where()},
	}
	for _, m := range messages {
		if m.Code != "" {
			event.Result = m.Code
		}
	}
	return messages, errors.Join(append(errs, o.config.Store.Record(context.WithoutCancel(ctx), event))...)
}
