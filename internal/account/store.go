package account

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

// Store keeps what this package decides on. Its methods may be called
// concurrently. A thing that is not there is a NotFound fault, a name that is
// taken a Conflict. A method that takes an audit event writes it in the same
// transaction as the change: both are there afterwards, or neither.
type Store interface {
	UserStore
	OrganizationStore
	ProjectStore
	EnvironmentStore
	TokenStore
	SessionStore
	SignInStore
	ExternalStore
	TOTPStore
	InvitationStore
	DeviceStore
}

// UserStore keeps users and the hashes of their passwords.
type UserStore interface {
	CountUsers(ctx context.Context) (int, error)
	CreateUser(ctx context.Context, user User, passwordHash string, event audit.Event) error

	// Bootstrap creates the first user and the organisation they are admin
	// of, together; a Conflict if there is any user.
	Bootstrap(ctx context.Context, user User, passwordHash string, organization Organization, event audit.Event) error
	SetPassword(ctx context.Context, userID, passwordHash string, event audit.Event) error
	UserByID(ctx context.Context, id string) (User, error)

	// Users are those whose name in small letters begins with prefix, ordered by it,
	// and the count of all of them.
	Users(ctx context.Context, prefix string, limit, offset int) ([]User, int, error)

	// UserByName ignores case and also returns the password's hash.
	UserByName(ctx context.Context, username string) (user User, passwordHash string, err error)
}

// OrganizationStore keeps organisations and who belongs to them.
type OrganizationStore interface {
	// CreateOrganization stores the organisation with its first admin and
	// returns it with its id.
	CreateOrganization(ctx context.Context, organization Organization, adminID string, event audit.Event) (Organization, error)
	OrganizationByID(ctx context.Context, id int64) (Organization, error)

	// OrganizationByName ignores case.
	OrganizationByName(ctx context.Context, name string) (Organization, error)

	// Memberships are one user's, ordered by the organisation's name.
	Memberships(ctx context.Context, userID string) ([]Membership, error)

	// Members are one organisation's, ordered by username.
	Members(ctx context.Context, organizationID int64) ([]Membership, error)

	// SetMember adds the user or changes their role. A change that would
	// leave the organisation without an admin is a Conflict and changes
	// nothing; so for RemoveMember.
	SetMember(ctx context.Context, organizationID int64, userID string, role Role, event audit.Event) error
	RemoveMember(ctx context.Context, organizationID int64, userID string, event audit.Event) error
}

// ProjectStore keeps projects. A project's name is unique, without case, among
// those of its owner.
type ProjectStore interface {
	CreateProject(ctx context.Context, project Project, event audit.Event) error
	ProjectByID(ctx context.Context, id string) (Project, error)

	// Projects are those of the organisations and the user's own, ordered by
	// owner and name.
	Projects(ctx context.Context, organizationIDs []int64, userID string) ([]Project, error)
}

// EnvironmentStore keeps environments. Their names, without case, and their
// slugs are unique.
type EnvironmentStore interface {
	// Environments are all, ordered by name. One with DefaultEnvironmentID is
	// always among them.
	Environments(ctx context.Context) ([]Environment, error)
	CreateEnvironment(ctx context.Context, environment Environment, event audit.Event) error
	UpdateEnvironment(ctx context.Context, environment Environment, event audit.Event) error

	// DeleteEnvironment is a Conflict where a token or an unfinished execution
	// names the environment.
	DeleteEnvironment(ctx context.Context, id string, event audit.Event) error
}

// TokenStore keeps tokens by the hash of their text.
type TokenStore interface {
	CreateToken(ctx context.Context, token Token, hash string, event audit.Event) error
	TokenByHash(ctx context.Context, hash string) (Token, error)

	// Tokens are a user's, or with "" the workers' and caches', newest first.
	Tokens(ctx context.Context, userID string) ([]Token, error)
	DeleteToken(ctx context.Context, id string, event audit.Event) error

	// TouchToken notes the last use.
	TouchToken(ctx context.Context, id string, at time.Time) error
}

// SessionStore keeps the sessions of browsers by the hash of their text.
type SessionStore interface {
	// CreateSession stores the session, and forgets the sessions of anybody
	// whose time was over when it was made: those past their ExpiresAt, and
	// those last used at idleSince or before. Of the user's own, the newest
	// SessionsMost are left.
	CreateSession(ctx context.Context, session Session, hash string, idleSince time.Time, event audit.Event) error
	SessionByHash(ctx context.Context, hash string) (Session, error)

	// Sessions are a user's, the last used first.
	Sessions(ctx context.Context, userID string) ([]Session, error)

	// TouchSession notes the last use, and the address that it came from.
	TouchSession(ctx context.Context, id string, at time.Time, remote string) error

	// DeleteSession ends one of the user's sessions.
	DeleteSession(ctx context.Context, userID, id string, event audit.Event) error

	// DeleteOtherSessions ends all of the user's sessions but the one of the id
	// keep.
	DeleteOtherSessions(ctx context.Context, userID, keep string, event audit.Event) error

	// SetPasswordAndEndSessions replaces the password and ends all of the
	// user's sessions but the one of the id keep.
	SetPasswordAndEndSessions(ctx context.Context, userID, passwordHash, keep string, event audit.Event) error
}

// SignInStore keeps what came of attempts to sign in.
type SignInStore interface {
	// Record writes what changed nothing, such as a refusal.
	Record(ctx context.Context, events ...audit.Event) error
}

// TOTPStore keeps the second factors of users, and the hashes of their recovery
// codes.
type TOTPStore interface {
	// TOTP is a user's, also one that was begun only.
	TOTP(ctx context.Context, userID string) (TOTP, error)

	// BeginTOTP stores one in the place of another that was begun only; ErrTOTPOn
	// where there is one that was confirmed.
	BeginTOTP(ctx context.Context, totp TOTP, event audit.Event) error

	// ConfirmTOTP sets ConfirmedAt and LastStep of the one that was begun, and
	// stores the recovery codes.
	ConfirmTOTP(ctx context.Context, totp TOTP, recoveryHashes []string, event audit.Event) error

	// UseTOTPStep sets LastStep; a NotFound fault where it was not below step,
	// so that of many who use a step's code at once one does.
	UseTOTPStep(ctx context.Context, place TOTPPlace, step int64) error

	// UseRecoveryCode removes the code.
	UseRecoveryCode(ctx context.Context, userID, hash string, event audit.Event) error

	// DeleteTOTP takes the recovery codes along.
	DeleteTOTP(ctx context.Context, userID string, event audit.Event) error

	// TOTPKeysBefore are up to limit keys that were sealed with another key than
	// keyID.
	TOTPKeysBefore(ctx context.Context, keyID uint32, limit int) ([]KeptTOTP, error)

	// ResealTOTP replaces what is sealed there if it is still old, and says
	// whether it was.
	ResealTOTP(ctx context.Context, place TOTPPlace, old, fresh Sealed) (bool, error)
}
