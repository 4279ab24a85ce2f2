// Package audit knows what is written down of every change and every pull
// grant: who, what, for which execution, from where, with what result. An
// event never holds a secret: its details are names, numbers and codes.
//
// Stores take the event of a change together with the change and write both
// in one transaction, so that neither can be without the other.
//
// The rows are a chain: each has the hash of itself and of the row before it, so
// that Verify finds what was changed, taken out or put in behind the product's
// back.
package audit

import "time"

// Verb is what was done, as noun.verb.
type Verb string

// The verbs in use.
const (
	UserCreate         Verb = "user.create"
	UserPassword       Verb = "user.password"
	UserSignIn         Verb = "user.sign-in"
	UserOperator       Verb = "user.operator"
	IdentityLink       Verb = "identity.link"
	IdentityUnlink     Verb = "identity.unlink"
	SessionStart       Verb = "session.start"
	SessionEnd         Verb = "session.end"
	TOTPBegin          Verb = "totp.begin"
	TOTPEnable         Verb = "totp.enable"
	TOTPDisable        Verb = "totp.disable"
	TOTPRecover        Verb = "totp.recover"
	TokenCreate        Verb = "token.create"
	TokenDelete        Verb = "token.delete"
	OrganizationCreate Verb = "organization.create"
	MemberSet          Verb = "member.set"
	MemberRemove       Verb = "member.remove"
	InvitationCreate   Verb = "invitation.create"
	InvitationRevoke   Verb = "invitation.revoke"
	InvitationAccept   Verb = "invitation.accept"
	DeviceApprove      Verb = "device.approve"
	DeviceDeny         Verb = "device.deny"
	ProjectCreate      Verb = "project.create"
	ProjectUpdate      Verb = "project.update"
	ProjectLink        Verb = "project.link"
	ProjectUnlink      Verb = "project.unlink"
	ProjectVariable    Verb = "project.variable"
	ProjectFetch       Verb = "project.fetch"
	EnvironmentCreate  Verb = "environment.create"
	EnvironmentUpdate  Verb = "environment.update"
	EnvironmentDelete  Verb = "environment.delete"
	CredentialCreate   Verb = "credential.create"
	CredentialUpdate   Verb = "credential.update"
	CredentialDelete   Verb = "credential.delete"
	CredentialCheck    Verb = "credential.check"
	CredentialRotate   Verb = "credential.rotate"
	CredentialForget   Verb = "credential.forget"
	KeysRotate         Verb = "keys.rotate"
	CommitImport       Verb = "commit.import"
	ExecutionCreate    Verb = "execution.create"
	ExecutionStop      Verb = "execution.stop"
	ExecutionTag       Verb = "execution.tag"
	ExecutionDelete    Verb = "execution.delete"
	DatumCreate        Verb = "datum.create"
	DatumPurge         Verb = "datum.purge"
	GrantIssue         Verb = "grant.issue"
	TrailExpire        Verb = "audit.expire"
	ChannelCreate      Verb = "notice-channel.create"
	ChannelUpdate      Verb = "notice-channel.update"
	ChannelDelete      Verb = "notice-channel.delete"
	ChannelTest        Verb = "notice-channel.test"
	WishSet            Verb = "notice-wish.set"
)

// ResultOK is the result of what came out right; any other result is the code
// of the fault that came instead.
const ResultOK = "ok"

// Event is one row of the trail.
type Event struct {
	// ID grows with every event of the installation; 0 until it is stored.
	ID   int64
	Time time.Time

	// Who did it: a user's or worker's name and id, and the address they
	// called from.
	Actor   string
	ActorID string
	Remote  string

	Verb   Verb
	Result string

	// What it was done to. OrganizationID is 0 for what belongs to none.
	OrganizationID int64
	ObjectID       string
	ObjectName     string

	// ExecutionID is the execution that it was done for, or "".
	ExecutionID string

	// Details are further names, numbers and codes, such as the repository
	// of a grant.
	Details map[string]string

	// Hash is the row's link of the chain, and Previous that of the row before
	// it; set when it is stored. See Digest.
	Hash, Previous Hash
}
