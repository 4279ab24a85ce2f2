// Package notice knows what people and programs are told without asking: that
// a credential fails its check, works again or ends soon, that an execution has
// ended, that a worker was lost. It knows who wants to know of what, which way
// (a channel), and what is kept until it was told. How a notice leaves the house
// is the trade of package outbox and the tool of package courier.
package notice

import (
	"slices"
	"strings"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// Event is a sort of thing that a notice tells of, as noun.verb.
type Event string

// The events.
const (
	CredentialFails   Event = "credential.fails"
	CredentialWorks   Event = "credential.works"
	CredentialExpires Event = "credential.expires"
	ExecutionEnds     Event = "execution.ends"
	WorkerLost        Event = "worker.lost"

	// Test is what a channel is tried with, Digest what several notices are put
	// together in. No channel asks for them.
	Test   Event = "notice.test"
	Digest Event = "notice.digest"
)

// organizationEvents and installationEvents are what the channels of an
// organisation, and those of the installation, may ask for.
var (
	organizationEvents = []Event{CredentialFails, CredentialWorks, CredentialExpires, ExecutionEnds}
	installationEvents = []Event{WorkerLost}
)

// EventsOf are what a channel of the organisation may ask for; 0 stands for the
// installation.
func EventsOf(organizationID int64) []Event {
	if organizationID == 0 {
		return slices.Clone(installationEvents)
	}
	return slices.Clone(organizationEvents)
}

// Notice is what is told, complete: it needs nothing else to be understood. It
// holds no secret.
type Notice struct {
	Event Event     `json:"event"`
	At    time.Time `json:"at"`

	// Organization is the name; "" for what belongs to none.
	Organization string `json:"organization,omitempty"`

	// Title is one line, Lines are sentences behind it.
	Title string   `json:"title"`
	Lines []string `json:"lines,omitempty"`

	// Path is the page about it, below the server's address; "" for none.
	Path string `json:"path,omitempty"`

	// Details are names, numbers and codes for programs.
	Details map[string]string `json:"details,omitempty"`
}

// Happening is the fact that a notice may come of. It is written down in the
// same transaction as what it tells of, and stays until it was seen to.
type Happening struct {
	// Position is its place in the order of all; 0 until it is stored.
	Position int64

	Kind Kind

	// ObjectID is the execution, the credential or the worker.
	ObjectID string
	At       time.Time

	// Details are what the object itself does not tell later.
	Details map[string]string
}

// Kind is a sort of happening.
type Kind string

// The kinds.
const (
	// CredentialChecked has the code, sentence and hint of the step that failed,
	// where one did, and the version that was checked.
	CredentialChecked Kind = "credential.checked"

	// ExecutionEnded is an execution with a final status.
	ExecutionEnded Kind = "execution.ended"

	// LeaseLost has the worker's name and the execution that it held.
	LeaseLost Kind = "lease.lost"
)

// Names of a happening's details.
const (
	DetailCode      = "code"
	DetailSentence  = "sentence"
	DetailHint      = "hint"
	DetailVersion   = "version"
	DetailWorker    = "worker"
	DetailExecution = "execution"
)

// statuses are what a channel may ask for of executions; all are final.
var statuses = []string{"complete", "error", "stopped", "crashed"}

// Statuses are all that a channel, or a person, may ask for.
func Statuses() []string { return slices.Clone(statuses) }

// DefaultStatuses are those that a channel is told of where it says nothing.
func DefaultStatuses() []string { return []string{"error", "crashed"} }

// validStatuses sorts out what is asked for.
func validStatuses(field string, asked []string) ([]string, error) {
	var wanted []string
	for _, status := range asked {
		if !slices.Contains(statuses, status) {
			return nil, fault.InvalidField(field, "status_unknown", "%.40q is no way for an execution to end: use %s", status, strings.Join(statuses, ", "))
		}
		if !slices.Contains(wanted, status) {
			wanted = append(wanted, status)
		}
	}
	return wanted, nil
}
