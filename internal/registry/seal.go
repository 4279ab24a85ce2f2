package registry

import (
	"context"
	"fmt"
	"maps"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Open gives a credential's fields in the clear. Only the broker, and a change
// of the credential, may call it.
func (s *Service) Open(credential Credential) (Material, error) {
	opened, err := s.sealer.Open(credential.Sealed, credential.Place())
	if err != nil {
		return Material{}, sealBroken(credential.Name, credential.ID, err)
	}
	material := Material{Config: maps.Clone(credential.Config), Secrets: opened}
	if material.Config == nil {
		material.Config = make(map[string]string)
	}
	return material, nil
}

func sealBroken(name, id string, err error) *fault.Error {
	return fault.New(fault.Internal, "seal_broken", "the secret of the registry credential %s does not open", name).
		WithHint("It was sealed with a key that this server does not have, or its row was altered. Put the key file back, or give the secret anew with `fairlead registry update %s`.", id).
		WithCause(err)
}

// Touch notes that the credential was used for a grant that holds until then.
func (s *Service) Touch(ctx context.Context, credential Credential, until time.Time) error {
	return s.store.TouchCredential(ctx, credential.ID, s.now(), until)
}

// resealBatch is how many rows are read at a time.
const resealBatch = 100

// Reseal seals every secret that another key than keyID sealed anew, a row at a
// time while the server is up, and returns how many there were. Sealer must
// seal with keyID. A row that a change overtakes is left to that change.
func (s *Service) Reseal(ctx context.Context, keyID uint32) (int, error) {
	left := func(ctx context.Context) ([]Kept, error) { return s.store.SealedBefore(ctx, keyID, resealBatch) }
	return secret.Reseal(ctx, &s.sealing, left, func(ctx context.Context, old Kept) (bool, error) {
		secrets, err := s.sealer.Open(old.Sealed, old.Place)
		if err != nil {
			return false, sealBroken(old.Place.CredentialID, old.Place.CredentialID, err)
		}
		fresh, err := s.sealer.Seal(Material{Secrets: secrets}, old.Place)
		if err != nil {
			return false, err
		}
		if fresh.KeyID != keyID {
			return false, fmt.Errorf("sealing %s: used key %d, not %d", old.Place.CredentialID, fresh.KeyID, keyID)
		}
		return s.store.Reseal(ctx, old.Place, old.Sealed, fresh)
	})
}
