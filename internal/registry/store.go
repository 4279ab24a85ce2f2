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

	// Generation changes whenever one of the organisation's credentials does;
	// it is cheap to ask.
	Generation(ctx context.Context, organizationID int64) (int64, error)

	// UpdateCredential replaces the credential if its stored version is
	// still previous; otherwise it is a Conflict and nothing changes.
	UpdateCredential(ctx context.Context, credential Credential, previous int, event audit.Event) error
	DeleteCredential(ctx context.Context, id string, event audit.Event) error

	// TouchCredential notes the last use.
	TouchCredential(ctx context.Context, id string, at time.Time) error

	// SealedBefore are up to limit credentials of the whole installation that
	// are sealed with another key than keyID.
	SealedBefore(ctx context.Context, keyID uint32, limit int) ([]Credential, error)

	// Reseal replaces the sealed bytes if they are still old, and reports
	// whether they were.
	Reseal(ctx context.Context, id string, old, fresh Sealed) (bool, error)
}

// Sealer seals secrets at rest. Open fails for bytes that were sealed for
// another place.
type Sealer interface {
	Seal(material Material, place Place) (Sealed, error)
	Open(sealed Sealed, place Place) (map[string]secret.Text, error)
}
