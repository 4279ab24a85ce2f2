package notice

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/secret"
)

// Store keeps what this package decides on. Its methods may be called
// concurrently. A thing that is not there is a NotFound fault, a name that its
// owner has already a Conflict. A method that takes an audit event writes it in
// the same transaction as the change.
type Store interface {
	ChannelStore
	OutboxStore
}

// ChannelStore keeps channels, and what people want for themselves.
type ChannelStore interface {
	CreateChannel(ctx context.Context, channel Channel, event audit.Event) error
	ChannelByID(ctx context.Context, id string) (Channel, error)

	// Channels are those of the organisations, oldest first; 0 stands for the
	// installation.
	Channels(ctx context.Context, organizationIDs ...int64) ([]Channel, error)

	// UpdateChannel replaces the channel if its stored version is still
	// previous; otherwise it is a Conflict and nothing changes. What came of the
	// last attempt stays.
	UpdateChannel(ctx context.Context, channel Channel, previous int, event audit.Event) error

	// DeleteChannel takes its messages along.
	DeleteChannel(ctx context.Context, id string, event audit.Event) error

	// Wish is what a user wants to be mailed of their own executions; who never
	// said wants nothing.
	Wish(ctx context.Context, userID string) (Wish, error)
	SetWish(ctx context.Context, wish Wish, event audit.Event) error

	// ChannelSecretsBefore are up to limit signing secrets that are sealed with
	// another key than keyID.
	ChannelSecretsBefore(ctx context.Context, keyID uint32, limit int) ([]Kept, error)

	// ResealChannelSecret replaces the sealed bytes at a place if they are still
	// old, and reports whether they were.
	ResealChannelSecret(ctx context.Context, place Place, old, fresh Sealed) (bool, error)
}

// OutboxStore keeps what happened until it was seen to, and messages until they
// were delivered and for a while after.
type OutboxStore interface {
	// Happenings are up to limit, in their order. (They are written by the
	// stores of what they tell of, in the same transaction.)
	Happenings(ctx context.Context, limit int) ([]Happening, error)

	// AllChannels are the enabled ones of everybody.
	AllChannels(ctx context.Context) ([]Channel, error)

	// Told is what was last told under a key; "" for nothing.
	Told(ctx context.Context, key string) (string, error)

	// Settle writes all of it or nothing. A happening that is not there any
	// more, and a digest of which an attempt was made meanwhile, is a Conflict.
	// A message that is there already is left as it is.
	Settle(ctx context.Context, settlement Settlement) error

	// Crowd is how many messages of the target wait or were made since then, and
	// the last digest of which no attempt was made yet; ok is false where there
	// is none.
	Crowd(ctx context.Context, target string, since time.Time) (count int, digest Message, ok bool, err error)

	// DueTargets are up to limit targets with messages that are to be sent, the
	// longest due first.
	DueTargets(ctx context.Context, now time.Time, limit int) ([]string, error)

	// DueMessages are a target's, in their order.
	DueMessages(ctx context.Context, target string, now time.Time, limit int) ([]Message, error)

	// Attempt counts one more attempt of a message that waits with so many, and
	// makes it due again at again, in case nothing is heard of the attempt. It
	// returns the message as it is to be sent; ok is false where another was
	// faster.
	Attempt(ctx context.Context, id string, attempts int, again time.Time) (m Message, ok bool, err error)

	// Conclude keeps what came of an attempt, with the message and with its
	// channel.
	Conclude(ctx context.Context, message Message, at time.Time) error

	// PostponeTarget makes what waits for a target due no earlier than then.
	PostponeTarget(ctx context.Context, target string, until time.Time) error

	// KeepMessage stores a message that was delivered at once or not at all.
	KeepMessage(ctx context.Context, message Message, at time.Time) error

	// Messages are a channel's, newest first, and the count of all.
	Messages(ctx context.Context, channelID string, limit, offset int) ([]Message, int, error)

	// Prune forgets messages that were done with before then, and what was told
	// before then under keys that are so old.
	Prune(ctx context.Context, messagesBefore, toldBefore time.Time) error
}

// Settlement is what comes of some happenings.
type Settlement struct {
	// Happenings are the positions of those that are seen to.
	Happenings []int64

	// Told is what is told now, by key; "" takes the key away.
	Told map[string]string
	At   time.Time

	Messages []Message

	// Digests are messages with more in them than before.
	Digests []Message
}

// Wish is what a user wants to be mailed of the executions that they start.
type Wish struct {
	UserID   string
	Statuses []string

	// Address is the user's, where the mail goes; it is not kept here.
	Address string
}

// Sealer seals signing secrets at rest. OpenChannel fails for bytes that were
// sealed for another place.
type Sealer interface {
	SealChannel(plain secret.Text, place Place) (Sealed, error)
	OpenChannel(sealed Sealed, place Place) (secret.Text, error)
}
