package registry

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/secret"
)

// Store keeps credentials. Its methods may be called concurrently. A credential
// that is not there is a NotFound fault, a name that its organisation has
// already a Conflict. A method that takes an audit event writes it in the same
// transaction as the change.
type Store interface {
	CreateCredential(ctx context.Context, credential Credential, event audit.Event) error
	CredentialByID(ctx context.Context, id string) (Credential, error)

	// Credentials are one organisation's, oldest first.
	Credentials(ctx context.Context, organizationID int64) ([]Credential, error)

	// FindCredentials are those of one organisation that have the text in their name
	// or a pattern, or are of one of the kinds; with no text all. The newest come
	// first, and Fit and All count them without the limit. Only gets of each but its
	// id, name, kind, version, ExpiresAt, LastUsedAt, and the Brief of its check.
	FindCredentials(ctx context.Context, organizationID int64, lookup Lookup) (Found, error)

	// Generation changes whenever one of the organisation's credentials does;
	// it is cheap to ask.
	Generation(ctx context.Context, organizationID int64) (int64, error)

	// UpdateCredential replaces the credential if its stored version is
	// still previous; otherwise it is a Conflict and nothing changes.
	UpdateCredential(ctx context.Context, credential Credential, previous int, event audit.Event) error
	DeleteCredential(ctx context.Context, id string, event audit.Event) error

	// TouchCredential notes the last use, and until when the grant holds that
	// it gave; a grant that ends earlier than one before changes nothing.
	TouchCredential(ctx context.Context, id string, at, until time.Time) error

	// SaveCheck keeps what a check found, if the credential's version is still
	// the check's, and when it is due again; otherwise it changes nothing.
	SaveCheck(ctx context.Context, id string, check Check, next time.Time, event audit.Event) error

	// PostponeCheck sets when the credential is checked again.
	PostponeCheck(ctx context.Context, id string, next time.Time) error

	// DueChecks are up to limit credentials of the whole installation whose
	// check is due, the longest due first.
	DueChecks(ctx context.Context, now time.Time, limit int) ([]Credential, error)

	// RotateCredential replaces the credential, as UpdateCredential does, and
	// keeps the retired secret, which was its stored one.
	RotateCredential(ctx context.Context, credential Credential, retired Retired, event audit.Event) error

	// Retired are the replaced secrets of a credential, the latest first.
	Retired(ctx context.Context, credentialID string) ([]Retired, error)

	// DueRetired are up to limit replaced secrets whose time has come.
	DueRetired(ctx context.Context, now time.Time, limit int) ([]Retired, error)
	PostponeRetired(ctx context.Context, credentialID string, version int, until time.Time) error
	ForgetRetired(ctx context.Context, credentialID string, version int, event audit.Event) error

	// SealedBefore are up to limit secrets of the whole installation, present
	// and retired, that are sealed with another key than keyID.
	SealedBefore(ctx context.Context, keyID uint32, limit int) ([]Kept, error)

	// Reseal replaces the sealed bytes at a place if they are still old, and
	// reports whether they were.
	Reseal(ctx context.Context, place Place, old, fresh Sealed) (bool, error)
}

// Kept is a sealed secret and where it belongs.
type Kept struct {
	Place  Place
	Sealed Sealed
}

// Sealer seals secrets at rest. Open fails for bytes that were sealed for
// another place.
type Sealer interface {
	Seal(material Material, place Place) (Sealed, error)
	Open(sealed Sealed, place Place) (map[string]secret.Text, error)
}
