package registry

import (
	"context"
	"fmt"
	"maps"

	"fairlead.dev/fairlead/internal/fault"
)

// Open gives a credential's fields in the clear. Only the broker, and a change
// of the credential, may call it.
func (s *Service) Open(credential Credential) (Material, error) {
	opened, err := s.sealer.Open(credential.Sealed, credential.Place())
	if err != nil {
		return Material{}, fault.New(fault.Internal, "seal_broken", "the secret of the registry credential %s does not open", credential.Name).
			WithHint("It was sealed with a key that this server does not have, or its row was altered. Put the key file back, or give the secret anew with `fairlead registry update %s`.", credential.ID).
			WithCause(err)
	}
	material := Material{Config: maps.Clone(credential.Config), Secrets: opened}
	if material.Config == nil {
		material.Config = make(map[string]string)
	}
	return material, nil
}

// Touch notes that the credential was used.
func (s *Service) Touch(ctx context.Context, credential Credential) error {
	return s.store.TouchCredential(ctx, credential.ID, s.now())
}

// resealBatch is how many rows are read at a time.
const resealBatch = 100

// Reseal seals every secret that another key than keyID sealed anew, a row at a
// time while the server is up, and returns how many there were. Sealer must
// seal with keyID. A row that a change overtakes is left to that change.
func (s *Service) Reseal(ctx context.Context, keyID uint32) (int, error) {
	// A change that sealed with the old key and has not stored it yet is waited
	// for; whatever seals from now on uses the new key.
	s.sealing.Lock()
	s.sealing.Unlock() //nolint:staticcheck // an empty critical section is the point: it is a barrier
	resealed := 0
	for {
		credentials, err := s.store.SealedBefore(ctx, keyID, resealBatch)
		if err != nil || len(credentials) == 0 {
			return resealed, err
		}
		for _, credential := range credentials {
			material, err := s.Open(credential)
			if err != nil {
				return resealed, err
			}
			fresh, err := s.sealer.Seal(material, credential.Place())
			if err != nil {
				return resealed, err
			}
			if fresh.KeyID != keyID {
				return resealed, fmt.Errorf("sealing %s: used key %d, not %d", credential.ID, fresh.KeyID, keyID)
			}
			changed, err := s.store.Reseal(ctx, credential.ID, credential.Sealed, fresh)
			if err != nil {
				return resealed, err
			}
			if changed {
				resealed++
			}
		}
	}
}
