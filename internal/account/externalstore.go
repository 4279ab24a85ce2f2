package account

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

// ExternalStore keeps whom providers elsewhere answer for, and the sessions that
// they do it in.
type ExternalStore interface {
	Identity(ctx context.Context, issuer, subject string) (Identity, error)

	// Identities are a user's, oldest first.
	Identities(ctx context.Context, userID string) ([]Identity, error)

	// CreateExternalUser stores a user without a password, and the identity of
	// that user. A Conflict where either is there, and then nothing is stored.
	CreateExternalUser(ctx context.Context, user User, identity Identity, event audit.Event) error

	// LinkIdentity is a Conflict where the identity is anybody's already.
	LinkIdentity(ctx context.Context, identity Identity, event audit.Event) error

	// UnlinkIdentity ends the identity's sessions too.
	UnlinkIdentity(ctx context.Context, userID, issuer, subject string, event audit.Event) error

	// ChangeRoles has decide say what is to change, given all that the user has
	// at that moment, and changes it in the same transaction, with its events.
	// decide does not call the store.
	ChangeRoles(ctx context.Context, userID string, decide func(have []Standing) []RoleChange) error

	// CreateExternalSession is CreateSession of SessionStore for one that a
	// provider answers for; it notes with the identity when it was used, and
	// what the provider tells of it now.
	CreateExternalSession(ctx context.Context, session Session, hash string, idleSince time.Time, external ExternalSession, identity Identity, event audit.Event) error

	// ExternalSessions are those of an issuer: of the subject, or where that is
	// "" of the issuer's session sid.
	ExternalSessions(ctx context.Context, issuer, subject, sid string) ([]ExternalSession, error)

	// ExternalSessionsOfOthers are those of all issuers but one.
	ExternalSessionsOfOthers(ctx context.Context, issuer string) ([]ExternalSession, error)

	// DueExternalSessions are up to limit sessions with a RefreshAt that has
	// come, the longest due first.
	DueExternalSessions(ctx context.Context, now time.Time, limit int) ([]ExternalSession, error)

	// AttemptRefresh moves RefreshAt from due to again, and returns the session
	// as it is then; mine is false where it was not due any more.
	AttemptRefresh(ctx context.Context, sessionID string, due, again time.Time) (session ExternalSession, mine bool, err error)

	// ConcludeRefresh keeps what came of asking: RefreshAt and AwaySince, and
	// Sealed with its Version if that is a later one.
	ConcludeRefresh(ctx context.Context, session ExternalSession) error

	// RefreshSecretsBefore are up to limit refresh tokens that are sealed with
	// another key than keyID.
	RefreshSecretsBefore(ctx context.Context, keyID uint32, limit int) ([]KeptRefresh, error)

	// ResealRefreshSecret replaces the sealed bytes at a place if they are still
	// old, and reports whether they were.
	ResealRefreshSecret(ctx context.Context, place RefreshPlace, old, fresh SealedRefresh) (bool, error)
}
