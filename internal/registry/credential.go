// Package registry knows an organisation's registry credentials: what they are
// made of, which image each one serves, and how they are kept and changed.
// It knows no protocol: how a secret is traded for a pull grant is the trade
// of package grant, and how it is sealed that of package vault.
package registry

import (
	"time"

	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

// Credential is what an admin registered once for an organisation. The secret
// itself is sealed; no value of this type shows it.
type Credential struct {
	ID             string // UUID
	OrganizationID int64
	Name           string

	// Kind is the kind's own name, such as docker-hub.
	Kind string

	// Patterns say which images the credential serves; at least one.
	Patterns []image.Pattern

	// Config are the kind's fields that are no secret, by name.
	Config map[string]string

	// Version counts the changes of the secret; the seal is bound to it.
	Version int
	Sealed  Sealed

	CreatedAt  time.Time
	UpdatedAt  time.Time
	ExpiresAt  time.Time // zero: unknown or never
	LastUsedAt time.Time // zero: never

	// GrantsUntil is when the last grant ends that was given with this or an
	// earlier version.
	GrantsUntil time.Time

	// Check is what the registry answered last; nil: it was never asked.
	Check *Check
}

// Sealed is a secret at rest: of use only with the key that sealed it, and only
// in the row that it was sealed for.
type Sealed struct {
	KeyID uint32
	Bytes []byte
}

// Material are the fields of a credential in the clear, by name, as the kind
// describes them.
type Material struct {
	Config  map[string]string
	Secrets map[string]secret.Text
}

// Place is what a sealed secret is bound to: moved to another row, or put back
// from an older version, it does not open.
type Place struct {
	OrganizationID int64
	CredentialID   string
	Version        int
}

// Place is where c's secret belongs.
func (c Credential) Place() Place {
	return Place{OrganizationID: c.OrganizationID, CredentialID: c.ID, Version: c.Version}
}
