package notice

import (
	"net/mail"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"fairlead.dev/fairlead/internal/fault"
)

// Way is how a channel's notices travel.
type Way string

// The ways.
const (
	Email   Way = "email"
	Webhook Way = "webhook"
)

// Channel is where notices go: the addresses of some people, or a program that
// listens.
type Channel struct {
	ID string // UUID

	// OrganizationID is whose it is; 0: the installation's.
	OrganizationID int64
	Name           string
	Way            Way

	// Addresses are an e-mail channel's, URL is a webhook's. What is behind the
	// host in a URL may be a secret of the receiver's.
	Addresses []string
	URL       string

	Events []Event

	// Projects are ids: executions of others are not told; empty: all of the
	// organisation.
	Projects []string

	// Statuses are those that an execution is told of with.
	Statuses []string

	Enabled bool

	// Version counts the signing secrets; the seal is bound to it.
	Version int
	Sealed  Sealed // of a webhook

	CreatedAt time.Time
	UpdatedAt time.Time

	// Last is what came of the last attempt; its zero value: there was none.
	Last Outcome
}

// Outcome is what came of an attempt to deliver.
type Outcome struct {
	At    time.Time
	State MessageState

	// Code and Sentence are of what went wrong; "" where nothing did.
	Code     string
	Sentence string
}

// Place is what a sealed signing secret is bound to.
type Place struct {
	ChannelID string
	Version   int
}

// Sealed is a signing secret at rest.
type Sealed struct {
	KeyID uint32
	Bytes []byte
}

// Kept is a sealed secret and where it belongs.
type Kept struct {
	Place  Place
	Sealed Sealed
}

// Place is where c's secret belongs.
func (c Channel) Place() Place { return Place{ChannelID: c.ID, Version: c.Version} }

// IsInstallations reports whether c is the installation's and no organisation's.
func (c Channel) IsInstallations() bool { return c.OrganizationID == 0 }

// Wants reports whether c is told of an event.
func (c Channel) Wants(event Event) bool { return c.Enabled && slices.Contains(c.Events, event) }

// WantsExecution reports whether c is told of an execution of the project that
// ended so.
func (c Channel) WantsExecution(projectID, status string) bool {
	return c.Wants(ExecutionEnds) && slices.Contains(c.Statuses, status) &&
		(len(c.Projects) == 0 || slices.Contains(c.Projects, projectID))
}

// Receivers are those that each get a message of their own: the addresses, or ""
// for a webhook.
func (c Channel) Receivers() []string {
	if c.Way == Email {
		return c.Addresses
	}
	return []string{""}
}

// Where is what of the target may be shown to everybody: the addresses, or a
// webhook's host.
func (c Channel) Where() string {
	if c.Way == Email {
		return strings.Join(c.Addresses, " ")
	}
	if address, err := url.Parse(c.URL); err == nil {
		return address.Host
	}
	return ""
}

// Bounds of a channel.
const (
	nameMost      = 100
	addressesMost = 20
	urlMost       = 2000
	projectsMost  = 1000
	channelsMost  = 100 // of one organisation
)

func validName(name string) error {
	if name == "" || len(name) > nameMost || strings.TrimSpace(name) != name || strings.ContainsFunc(name, unicode.IsControl) {
		return fault.InvalidField("name", "name", "%.80q is no name: it has 1 to %d bytes in one line, with no space around it", name, nameMost)
	}
	return nil
}

// validAddresses are plain addresses, each once.
func validAddresses(texts []string) ([]string, error) {
	var addresses []string
	for _, text := range texts {
		parsed, err := mail.ParseAddress(text)
		if err != nil || parsed.Address != strings.TrimSpace(text) || strings.ContainsFunc(text, unicode.IsControl) || len(text) > 254 {
			return nil, fault.InvalidField("addresses", "mail_address", "%.80q is no e-mail address", text).
				WithHint("Write each as name@host, without a name in front of it.")
		}
		if !slices.Contains(addresses, parsed.Address) {
			addresses = append(addresses, parsed.Address)
		}
	}
	switch {
	case len(addresses) == 0:
		return nil, fault.InvalidField("addresses", "blank", "say at least one e-mail address")
	case len(addresses) > addressesMost:
		return nil, fault.InvalidField("addresses", "many", "%d addresses; at most %d", len(addresses), addressesMost)
	}
	return addresses, nil
}

// validURL refuses what a webhook cannot be sent to. Whether the host may be
// reached is known when it is dialled.
func validURL(text string) error {
	const field = "url"
	address, err := url.Parse(text)
	switch {
	case text == "":
		return fault.InvalidField(field, "blank", "say where the webhook is, such as https://chat.example/hook")
	case len(text) > urlMost:
		return fault.InvalidField(field, "long", "has %d bytes; at most %d", len(text), urlMost)
	case err != nil || address.Host == "" || strings.ContainsFunc(text, unicode.IsControl): // the error would show the text
		return fault.InvalidField(field, "webhook_address", "cannot be read as an address")
	case address.Scheme != "https":
		return fault.InvalidField(field, "webhook_scheme", "is not https").
			WithHint("What is told must not be read on the way; give the receiver a certificate.")
	case address.User != nil:
		return fault.InvalidField(field, "webhook_login", "holds a login").
			WithHint("The signature says who sends; let the receiver check it.")
	case address.Fragment != "":
		return fault.InvalidField(field, "webhook_fragment", "has a part behind #, which is never sent")
	}
	return nil
}

// validEvents sorts out what a channel of the organisation asks for.
func validEvents(organizationID int64, asked []Event) ([]Event, error) {
	allowed := EventsOf(organizationID)
	var events []Event
	for _, event := range asked {
		if !slices.Contains(allowed, event) {
			names := make([]string, len(allowed))
			for i, e := range allowed {
				names[i] = string(e)
			}
			return nil, fault.InvalidField("events", "event_unknown", "%.40q is nothing that this channel can be told of: use %s", string(event), strings.Join(names, ", ")).
				WithHint("Lost workers are told to channels of the installation, all else to channels of an organisation.")
		}
		if !slices.Contains(events, event) {
			events = append(events, event)
		}
	}
	if len(events) == 0 {
		return nil, fault.InvalidField("events", "blank", "say at least one event")
	}
	return events, nil
}
