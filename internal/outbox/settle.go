package outbox

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

// Bounds of what one receiver gets, so that what goes wrong a thousand times is
// no flood: after crowdMost messages within crowdWindow, or as many that wait,
// further notices are put together in a digest that is sent a while later. It
// tells digestMost in full, and how many more there were.
const (
	crowdMost   = 20
	crowdWindow = 10 * time.Minute
	digestMost  = 20

	// lostAgain is how long a worker that was lost is not told again: it held
	// several executions, and each tells of it.
	lostAgain = 10 * time.Minute
)

// Settle makes notices of what happened, oldest first, until nothing is left.
func (o *Outbox) Settle(ctx context.Context) error {
	for {
		happenings, err := o.config.Store.Happenings(ctx, batch)
		if err != nil || len(happenings) == 0 {
			return err
		}
		channels, err := o.config.Store.AllChannels(ctx)
		if err != nil {
			return err
		}
		pass := &pass{Outbox: o, channels: channels, batch: happenings, seen: make(map[int64]bool)}
		if err := pass.run(ctx); err != nil {
			return err
		}
	}
}

// pass goes once through some happenings.
type pass struct {
	*Outbox
	channels []notice.Channel
	batch    []notice.Happening
	seen     map[int64]bool // that went with an earlier one
}

func (p *pass) run(ctx context.Context) error {
	var idle []int64 // of which nothing is to be told
	for _, h := range p.batch {
		if p.seen[h.Position] {
			continue
		}
		settlement := notice.Settlement{Happenings: []int64{h.Position}, Told: make(map[string]string), At: p.config.Now()}
		var err error
		switch h.Kind {
		case notice.CredentialChecked:
			err = p.checked(ctx, h, &settlement)
		case notice.ExecutionEnded:
			err = p.ended(ctx, h, &settlement)
		case notice.LeaseLost:
			err = p.lost(ctx, h, &settlement)
		}
		switch {
		case fault.Is(err, fault.NotFound): // it is gone, and nothing is to be told of it
			idle = append(idle, h.Position)
			continue
		case fault.Is(err, fault.Unavailable) || ctx.Err() != nil:
			return fmt.Errorf("telling of %s %s: %w", h.Kind, h.ObjectID, err)
		case err != nil: // a broken row must not keep the others from being told
			p.config.Logger.LogAttrs(ctx, slog.LevelError, "telling what happened", slog.String("kind", string(h.Kind)),
				slog.String("id", h.ObjectID), slog.String("error", err.Error()))
			idle = append(idle, h.Position)
			continue
		}
		if len(settlement.Messages)+len(settlement.Digests)+len(settlement.Told) == 0 {
			idle = append(idle, settlement.Happenings...)
			continue
		}
		if err := p.config.Store.Settle(ctx, settlement); err != nil {
			return passed(err)
		}
	}
	if len(idle) == 0 {
		return nil
	}
	return passed(p.config.Store.Settle(ctx, notice.Settlement{Happenings: idle, At: p.config.Now()}))
}

// passed lets a settlement pass that another was faster with: the next look
// finds what is left.
func passed(err error) error {
	if fault.Is(err, fault.Conflict) {
		return nil
	}
	return err
}

// checked tells that a credential begins to fail, and that it works again; in
// between it tells nothing.
func (p *pass) checked(ctx context.Context, h notice.Happening, s *notice.Settlement) error {
	key := "credential/" + h.ObjectID
	was, err := p.config.Store.Told(ctx, key)
	if err != nil {
		return err
	}
	fails := h.Details[notice.DetailCode] != "" || h.Details[notice.DetailSentence] != ""
	if fails == (was != "") {
		return nil
	}
	credential, err := p.config.Store.CredentialByID(ctx, h.ObjectID)
	if err != nil {
		return err
	}
	organization, err := p.config.Store.OrganizationByID(ctx, credential.OrganizationID)
	if err != nil {
		return err
	}
	told, event := works(h, credential, organization), notice.CredentialWorks
	s.Told[key] = ""
	if fails {
		told, event = failing(h, credential, organization), notice.CredentialFails
		s.Told[key] = h.At.Format(time.RFC3339)
	}
	for _, channel := range p.channels {
		if channel.OrganizationID == credential.OrganizationID && channel.Wants(event) {
			if err := p.address(ctx, s, happened(h), channel, told); err != nil {
				return err
			}
		}
	}
	return nil
}

// happened is what messages of a happening are about.
func happened(h notice.Happening) string { return fmt.Sprintf("happening/%d", h.Position) }

// ended tells how an execution ended: to channels of the project's organisation,
// and to who started it.
func (p *pass) ended(ctx context.Context, h notice.Happening, s *notice.Settlement) error {
	e, err := p.config.Store.ExecutionByID(ctx, h.ObjectID)
	if err != nil {
		return err
	}
	project, err := p.config.Store.ProjectByID(ctx, e.ProjectID)
	if err != nil {
		return err
	}
	told := over(e, project)
	if !project.IsPersonal() {
		for _, channel := range p.channels {
			if channel.OrganizationID == project.Owner.OrganizationID && channel.WantsExecution(project.ID, string(e.Status)) {
				if err := p.address(ctx, s, happened(h), channel, told); err != nil {
					return err
				}
			}
		}
	}
	if e.CreatedBy == "" || !p.config.Mailer.IsConfigured() {
		return nil
	}
	wish, err := p.config.Store.Wish(ctx, e.CreatedBy)
	if err != nil || !slices.Contains(wish.Statuses, string(e.Status)) {
		return err
	}
	// Who has left the organisation meanwhile is told nothing of it.
	if project.IsPersonal() && project.Owner.UserID != e.CreatedBy {
		return nil
	}
	if !project.IsPersonal() {
		memberships, err := p.config.Store.Memberships(ctx, e.CreatedBy)
		if err != nil {
			return err
		}
		if !slices.ContainsFunc(memberships, func(m account.Membership) bool { return m.Organization.ID == project.Owner.OrganizationID }) {
			return nil
		}
	}
	return p.queue(ctx, s, happened(h), notice.Message{UserID: e.CreatedBy}, told)
}

// lost tells that a worker was lost, once for all that it held.
func (p *pass) lost(ctx context.Context, h notice.Happening, s *notice.Settlement) error {
	var executions []string
	for _, other := range p.batch {
		if other.Kind == notice.LeaseLost && other.ObjectID == h.ObjectID && !p.seen[other.Position] {
			p.seen[other.Position] = true
			executions = append(executions, other.Details[notice.DetailExecution])
			if other.Position != h.Position {
				s.Happenings = append(s.Happenings, other.Position)
			}
		}
	}
	key := "worker/" + h.ObjectID
	was, err := p.config.Store.Told(ctx, key)
	if err != nil {
		return err
	}
	if before, err := time.Parse(time.RFC3339, was); err == nil && h.At.Sub(before) < lostAgain {
		return nil
	}
	s.Told[key] = h.At.Format(time.RFC3339)
	told := gone(h, executions)
	for _, channel := range p.channels {
		if channel.IsInstallations() && channel.Wants(notice.WorkerLost) {
			if err := p.address(ctx, s, happened(h), channel, told); err != nil {
				return err
			}
		}
	}
	return nil
}

// address gives the notice to each receiver of a channel.
func (o *Outbox) address(ctx context.Context, s *notice.Settlement, about string, channel notice.Channel, told notice.Notice) error {
	for _, receiver := range channel.Receivers() {
		if err := o.queue(ctx, s, about, notice.Message{ChannelID: channel.ID, Receiver: receiver}, told); err != nil {
			return err
		}
	}
	return nil
}

// queue makes a message of the notice, or a part of a digest where there are many.
func (o *Outbox) queue(ctx context.Context, s *notice.Settlement, about string, m notice.Message, told notice.Notice) error {
	target, now := m.Target(), o.config.Now()
	count, digest, open, err := o.config.Store.Crowd(ctx, target, now.Add(-crowdWindow))
	if err != nil {
		return err
	}
	m.ID, m.Notices, m.State, m.CreatedAt, m.NextAt = notice.MessageID(about, target), []notice.Notice{told}, notice.Waiting, now, now
	switch {
	case count < crowdMost:
		s.Messages = append(s.Messages, m)
	case open:
		if len(digest.Notices) < digestMost {
			digest.Notices = append(digest.Notices, told)
		} else {
			digest.More++
		}
		s.Digests = append(s.Digests, digest)
	default:
		m.ID, m.IsDigest, m.NextAt = notice.MessageID("digest/"+about, target), true, now.Add(crowdWindow)
		s.Messages = append(s.Messages, m)
	}
	return nil
}
