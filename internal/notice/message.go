package notice

import (
	"time"

	"github.com/google/uuid"
)

// Message is one notice, or a digest of several, on its way to one receiver. Its
// id stays the same at every attempt, so that a receiver can tell what it has.
type Message struct {
	ID string // UUID

	// ChannelID is the channel's that it goes through; "" for a person's own.
	ChannelID string

	// Receiver is the e-mail address; "" for a webhook, and for a person, whose
	// address is looked up when it is sent.
	Receiver string

	// UserID is whom it goes to, where it goes through no channel.
	UserID string

	// Notices are those that it tells, in full; More were left out. One that is
	// no digest has one.
	Notices  []Notice
	More     int
	IsDigest bool

	State    MessageState
	Attempts int

	CreatedAt time.Time
	NextAt    time.Time // while it waits
	DoneAt    time.Time // zero while it waits

	// Code and Sentence are of what went wrong last.
	Code     string
	Sentence string
}

// MessageState says how a message stands.
type MessageState string

// The states.
const (
	Waiting   MessageState = "waiting"
	Delivered MessageState = "delivered"
	GivenUp   MessageState = "given_up"
)

// Target is what messages to the same receiver through the same channel share:
// they go one after the other.
func (m Message) Target() string {
	if m.ChannelID == "" {
		return "user/" + m.UserID
	}
	return m.ChannelID + "/" + m.Receiver
}

// Count is how many notices it stands for.
func (m Message) Count() int { return len(m.Notices) + m.More }

// messageSpace is the name space of messages' ids.
var messageSpace = uuid.MustParse("8b4d6b1c-5d0e-4c0e-9d0a-2f6c6d1f7a10")

// MessageID is the id of what tells a target of something: the same for the
// same, so that nothing is queued twice.
func MessageID(about, target string) string {
	return uuid.NewSHA1(messageSpace, []byte(about+"\n"+target)).String()
}
