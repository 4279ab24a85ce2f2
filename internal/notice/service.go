package notice

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Accounts finds organisations and projects as an actor may see them;
// account.Service is one.
type Accounts interface {
	Organization(ctx context.Context, actor account.Actor, key string) (account.Organization, error)
	Organizations(ctx context.Context, actor account.Actor) ([]account.Membership, error)
	Project(ctx context.Context, actor account.Actor, key string) (account.Project, error)
}

// Users finds users by id; a store is one.
type Users interface {
	UserByID(ctx context.Context, id string) (account.User, error)
}

// Config is what a Service is made of.
type Config struct {
	Store    ChannelStore
	Messages OutboxStore
	Accounts Accounts
	Users    Users
	Sealer   Sealer
	Now      func() time.Time

	// Mails tells whether this server can send mail.
	Mails bool
}

// Service keeps channels. Those of an organisation are its admins' to see and
// change: a member is Denied, a stranger told NotFound. Those of the
// installation are the operators'. Make it with NewService; safe for concurrent
// use.
type Service struct {
	config  Config
	sealing secret.Sealing
}

// NewService wires a service.
func NewService(config Config) *Service { return &Service{config: config} }

// Draft is what a channel is made from. Empty Events are all that there are for
// it, empty Statuses the default ones.
type Draft struct {
	// Organization is an id or a name; "" is the only one that the actor
	// administers. Installation asks for a channel of the installation instead.
	Organization string
	Installation bool

	Name      string
	Way       Way
	Addresses []string
	URL       string
	Events    []Event
	Projects  []string // ids, or OWNER/NAME
	Statuses  []string
}

// Change is what to change of a channel; nil leaves a value as it is.
type Change struct {
	Name      *string
	Addresses *[]string
	URL       *string
	Events    *[]Event
	Projects  *[]string
	Statuses  *[]string
	Enabled   *bool

	// NewSecret makes another signing secret; the old one is worth nothing from
	// then on.
	NewSecret bool
}

// Create makes a channel. A webhook's signing secret is returned, and shown
// nowhere else.
func (s *Service) Create(ctx context.Context, actor account.Actor, draft Draft) (Channel, secret.Text, error) {
	organizationID, err := s.managed(ctx, actor, draft.Organization, draft.Installation)
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	if len(draft.Events) == 0 {
		draft.Events = EventsOf(organizationID)
	}
	now := s.config.Now()
	channel := Channel{
		ID: uuid.NewString(), OrganizationID: organizationID, Way: draft.Way, Enabled: true, Statuses: DefaultStatuses(),
		Version: 1, CreatedAt: now, UpdatedAt: now,
	}
	change := Change{Name: &draft.Name, Events: &draft.Events, Projects: &draft.Projects}
	if len(draft.Statuses) > 0 {
		change.Statuses = &draft.Statuses
	}
	switch draft.Way {
	case Email:
		change.Addresses = &draft.Addresses
	case Webhook:
		change.URL, change.NewSecret = &draft.URL, true
	default:
		return Channel{}, secret.Text{}, fault.InvalidField("kind", "kind_unknown", "%.40q is no kind of channel: use email or webhook", string(draft.Way))
	}
	if channel, err = s.changed(ctx, actor, channel, change); err != nil {
		return Channel{}, secret.Text{}, err
	}
	others, err := s.config.Store.Channels(ctx, organizationID)
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	if len(others) >= channelsMost {
		return Channel{}, secret.Text{}, fault.New(fault.Exhausted, "channels_many", "there are %d channels already", len(others)).
			WithHint("Remove one that is not needed: `fairlead notice remove CHANNEL`.")
	}
	signing, err := s.sealAnd(&channel, change.NewSecret, func() error {
		return s.config.Store.CreateChannel(ctx, channel, s.event(actor, audit.ChannelCreate, channel))
	})
	return channel, signing, err
}

// List are the channels of an organisation, or of all that actor administers
// where organization is ""; or those of the installation.
func (s *Service) List(ctx context.Context, actor account.Actor, organization string, installation bool) ([]Channel, error) {
	if organization != "" || installation {
		id, err := s.managed(ctx, actor, organization, installation)
		if err != nil {
			return nil, err
		}
		return s.config.Store.Channels(ctx, id)
	}
	memberships, err := s.config.Accounts.Organizations(ctx, actor)
	if err != nil {
		return nil, err
	}
	var ids []int64
	for _, m := range memberships {
		if actor.MayAdminister(m.Organization) == nil {
			ids = append(ids, m.Organization.ID)
		}
	}
	if actor.Operator {
		ids = append(ids, 0)
	}
	if len(ids) == 0 && len(memberships) > 0 {
		return nil, actor.MayAdminister(memberships[0].Organization)
	}
	return s.config.Store.Channels(ctx, ids...)
}

// Get finds a channel by id.
func (s *Service) Get(ctx context.Context, actor account.Actor, id string) (Channel, error) {
	channel, err := s.config.Store.ChannelByID(ctx, id)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return Channel{}, err
	}
	if err != nil || channel.IsInstallations() && !actor.Operator || !channel.IsInstallations() && !actor.IsMember(channel.OrganizationID) {
		return Channel{}, fault.New(fault.NotFound, "channel_unknown", "there is no notice channel %.80q, or none that you may see", id).
			WithHint("`fairlead notice list` shows yours.")
	}
	if !channel.IsInstallations() {
		organization, err := s.config.Accounts.Organization(ctx, actor, fmt.Sprint(channel.OrganizationID))
		if err != nil {
			return Channel{}, err
		}
		if err := actor.MayAdminister(organization); err != nil {
			return Channel{}, err
		}
	}
	return channel, nil
}

// Update changes a channel. A new signing secret is returned, and shown nowhere
// else.
func (s *Service) Update(ctx context.Context, actor account.Actor, id string, change Change) (Channel, secret.Text, error) {
	channel, err := s.Get(ctx, actor, id)
	if err != nil {
		return Channel{}, secret.Text{}, err
	}
	previous := channel.Version
	if channel, err = s.changed(ctx, actor, channel, change); err != nil {
		return Channel{}, secret.Text{}, err
	}
	channel.UpdatedAt = s.config.Now()
	if change.NewSecret {
		channel.Version++
	}
	signing, err := s.sealAnd(&channel, change.NewSecret, func() error {
		return s.config.Store.UpdateChannel(ctx, channel, previous, s.event(actor, audit.ChannelUpdate, channel))
	})
	return channel, signing, err
}

// Delete forgets a channel, with what waits for it.
func (s *Service) Delete(ctx context.Context, actor account.Actor, id string) error {
	channel, err := s.Get(ctx, actor, id)
	if err != nil {
		return err
	}
	return s.config.Store.DeleteChannel(ctx, id, s.event(actor, audit.ChannelDelete, channel))
}

// Bounds of a list of deliveries.
const (
	deliveriesDefault = 100
	deliveriesMost    = 1000
)

// Deliveries are what a channel was told, or is to be told, newest first, and
// the count of all that are kept.
func (s *Service) Deliveries(ctx context.Context, actor account.Actor, id string, limit, offset int) ([]Message, int, error) {
	if _, err := s.Get(ctx, actor, id); err != nil {
		return nil, 0, err
	}
	if limit <= 0 {
		limit = deliveriesDefault
	}
	return s.config.Messages.Messages(ctx, id, min(limit, deliveriesMost), offset)
}

// Wish is what actor wants to be mailed of their own executions.
func (s *Service) Wish(ctx context.Context, actor account.Actor) (Wish, error) {
	if err := isPerson(actor); err != nil {
		return Wish{}, err
	}
	wish, err := s.config.Store.Wish(ctx, actor.UserID)
	if err != nil {
		return Wish{}, err
	}
	user, err := s.config.Users.UserByID(ctx, actor.UserID)
	wish.Address = user.Email
	return wish, err
}

// SetWish changes it; no statuses are no mail.
func (s *Service) SetWish(ctx context.Context, actor account.Actor, asked []string) (Wish, error) {
	if err := isPerson(actor); err != nil {
		return Wish{}, err
	}
	wanted, err := validStatuses("executions", asked)
	if err != nil {
		return Wish{}, err
	}
	if len(wanted) > 0 && !s.config.Mails {
		return Wish{}, noMail()
	}
	wish := Wish{UserID: actor.UserID, Statuses: wanted}
	event := s.event(actor, audit.WishSet, Channel{ID: actor.UserID, Name: actor.Username})
	event.Details = map[string]string{"executions": strings.Join(wanted, " ")}
	if err := s.config.Store.SetWish(ctx, wish, event); err != nil {
		return Wish{}, err
	}
	return s.Wish(ctx, actor)
}

func isPerson(actor account.Actor) error {
	if actor.UserID != "" {
		return nil
	}
	return fault.New(fault.Denied, "not_user", "only a user has mail of their own").WithHint("Use a user's token.")
}

// NoMail is said where mail is to be sent and the server cannot.
func noMail() *fault.Error {
	return fault.New(fault.Conflict, "smtp_missing", "this server sends no mail").
		WithHint("The operator gives it a mail server: `fairlead serve --smtp-address HOST:PORT --smtp-from ADDRESS`.")
}

// Open is a channel's signing secret. Only what signs may call it.
func (s *Service) Open(channel Channel) (secret.Text, error) {
	if channel.Way != Webhook {
		return secret.Text{}, nil
	}
	opened, err := s.config.Sealer.OpenChannel(channel.Sealed, channel.Place())
	if err != nil {
		err = fault.New(fault.Internal, "seal_broken", "the signing secret of the notice channel %s does not open", channel.Name).
			WithHint("It was sealed with a key that this server does not have, or its row was altered. Put the key file back, or make another with `fairlead notice update %s --new-secret`.", channel.ID).
			WithCause(err)
	}
	return opened, err
}

// changed is the channel with the change, checked.
func (s *Service) changed(ctx context.Context, actor account.Actor, c Channel, change Change) (Channel, error) {
	var errs []error
	misplaced := func(field string) error {
		return fault.InvalidField(field, "kind", "a channel of the kind %s has none", c.Way)
	}
	if change.Name != nil {
		c.Name = *change.Name
		errs = append(errs, validName(c.Name))
	}
	if change.Addresses != nil {
		addresses, err := validAddresses(*change.Addresses)
		if c.Way != Email {
			err = misplaced("addresses")
		}
		c.Addresses, errs = addresses, append(errs, err)
	}
	if change.URL != nil {
		err := validURL(*change.URL)
		if c.Way != Webhook {
			err = misplaced("url")
		}
		c.URL, errs = *change.URL, append(errs, err)
	}
	if change.NewSecret && c.Way != Webhook {
		errs = append(errs, misplaced("new_secret"))
	}
	if change.Events != nil {
		events, err := validEvents(c.OrganizationID, *change.Events)
		c.Events, errs = events, append(errs, err)
	}
	if change.Statuses != nil {
		wanted, err := validStatuses("statuses", *change.Statuses)
		if err == nil && len(wanted) == 0 {
			wanted = DefaultStatuses()
		}
		c.Statuses, errs = wanted, append(errs, err)
	}
	if change.Projects != nil {
		projects, err := s.projects(ctx, actor, c, *change.Projects)
		c.Projects, errs = projects, append(errs, err)
	}
	if change.Enabled != nil {
		c.Enabled = *change.Enabled
	}
	if err := fault.Join(errs...); err != nil {
		return Channel{}, err
	}
	if c.Way == Email && c.Enabled && !s.config.Mails {
		return Channel{}, noMail()
	}
	return c, nil
}

// projects are the ids of those that the keys name, which must be the
// organisation's.
func (s *Service) projects(ctx context.Context, actor account.Actor, c Channel, keys []string) ([]string, error) {
	if len(keys) > projectsMost {
		return nil, fault.InvalidField("projects", "many", "%d projects; at most %d", len(keys), projectsMost)
	}
	var ids []string
	for _, key := range keys {
		project, err := s.config.Accounts.Project(ctx, actor, key)
		if fault.Is(err, fault.NotFound) || err == nil && (project.IsPersonal() || project.Owner.OrganizationID != c.OrganizationID) {
			err = fault.InvalidField("projects", "project_unknown", "there is no project %.80q in the channel's organisation", key).
				WithHint("`fairlead project list` shows them.")
		}
		if err != nil {
			return nil, err
		}
		if !slices.Contains(ids, project.ID) {
			ids = append(ids, project.ID)
		}
	}
	return ids, nil
}

// secretBytes is the length of a signing secret, within what the Standard
// Webhooks specification allows (24 to 64).
const secretBytes = 32

// secretPrefix begins a signing secret's text; base64 follows.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
const secretPrefix = "whsec_"

// sealAnd has the channel stored, with a new signing secret where one is asked
// for.
func (s *Service) sealAnd(channel *Channel, fresh bool, store func() error) (signing secret.Text, err error) {
	defer s.sealing.Begin()()
	if fresh {
		raw := make([]byte, secretBytes)
		_, _ = rand.Read(raw) // never fails
		signing = secret.New(secretPrefix + base64.StdEncoding.EncodeToString(raw))
		if channel.Sealed, err = s.config.Sealer.SealChannel(signing, channel.Place()); err != nil {
			return secret.Text{}, err
		}
	}
	if err := store(); err != nil {
		return secret.Text{}, err
	}
	return signing, nil
}

// resealBatch is how many rows are read at a time.
const resealBatch = 100

// Reseal seals every signing secret that another key than keyID sealed anew, a
// row at a time while the server is up, and returns how many there were. The
// sealer must seal with keyID.
func (s *Service) Reseal(ctx context.Context, keyID uint32) (int, error) {
	left := func(ctx context.Context) ([]Kept, error) {
		return s.config.Store.ChannelSecretsBefore(ctx, keyID, resealBatch)
	}
	return secret.Reseal(ctx, &s.sealing, left, func(ctx context.Context, old Kept) (bool, error) {
		plain, err := s.config.Sealer.OpenChannel(old.Sealed, old.Place)
		if err != nil {
			return false, fmt.Errorf("opening the signing secret of the notice channel %s: %w", old.Place.ChannelID, err)
		}
		fresh, err := s.config.Sealer.SealChannel(plain, old.Place)
		if err != nil {
			return false, err
		}
		if fresh.KeyID != keyID {
			return false, fmt.Errorf("sealing the signing secret of the notice channel %s: used key %d, not %d", old.Place.ChannelID, fresh.KeyID, keyID)
		}
		return s.config.Store.ResealChannelSecret(ctx, old.Place, old.Sealed, fresh)
	})
}

// managed is the organisation that actor manages channels of; 0 for the
// installation.
func (s *Service) managed(ctx context.Context, actor account.Actor, key string, installation bool) (int64, error) {
	switch {
	case installation && key != "":
		return 0, fault.InvalidField("owner", "installation", "a channel is an organisation's or the installation's, not both")
	case installation:
		return 0, actor.MayOperate()
	case key != "":
		organization, err := s.config.Accounts.Organization(ctx, actor, key)
		if err != nil {
			return 0, err
		}
		return organization.ID, actor.MayAdminister(organization)
	}
	memberships, err := s.config.Accounts.Organizations(ctx, actor)
	if err != nil {
		return 0, err
	}
	organization, err := actor.OnlyAdministered(memberships)
	return organization.ID, err
}

func (s *Service) event(actor account.Actor, verb audit.Verb, channel Channel) audit.Event {
	events := make([]string, len(channel.Events))
	for i, event := range channel.Events {
		events[i] = string(event)
	}
	return audit.Event{
		Time: s.config.Now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: verb, Result: audit.ResultOK, OrganizationID: channel.OrganizationID,
		ObjectID: channel.ID, ObjectName: channel.Name,
		Details: map[string]string{
			"kind": string(channel.Way), "where": channel.Where(), "events": strings.Join(events, " "),
			"version": fmt.Sprint(channel.Version), "enabled": fmt.Sprint(channel.Enabled),
		},
	}
}
