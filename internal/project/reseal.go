package project

import (
	"context"
	"fmt"

	"fairlead.dev/fairlead/internal/secret"
)

// resealBatch is how many rows are read at a time.
const resealBatch = 100

// Reseal seals every secret that another key than keyID sealed anew, a row at a
// time while the server is up, and returns how many there were. The sealer must
// seal with keyID. A row that a change overtakes is left to that change.
func (s *Service) Reseal(ctx context.Context, keyID uint32) (int, error) {
	left := func(ctx context.Context) ([]Kept, error) {
		return s.store.ProjectSecretsBefore(ctx, keyID, resealBatch)
	}
	return secret.Reseal(ctx, &s.sealing, left, func(ctx context.Context, old Kept) (bool, error) {
		plain, err := s.sealer.OpenSecret(old.Sealed, old.Place)
		if err != nil {
			return false, fmt.Errorf("opening the secret %s of the project %s: %w", old.Place.Name, old.Place.ProjectID, err)
		}
		fresh, err := s.sealer.SealSecret(plain, old.Place)
		if err != nil {
			return false, err
		}
		if fresh.KeyID != keyID {
			return false, fmt.Errorf("sealing the secret %s of the project %s: used key %d, not %d", old.Place.Name, old.Place.ProjectID, fresh.KeyID, keyID)
		}
		return s.store.ResealProjectSecret(ctx, old.Place, old.Sealed, fresh)
	})
}
