package project

import (
	"context"
	"fmt"
)

// resealBatch is how many rows are read at a time.
const resealBatch = 100

// Reseal seals every secret that another key than keyID sealed anew, a row at a
// time while the server is up, and returns how many there were. The sealer must
// seal with keyID. A row that a change overtakes is left to that change.
func (s *Service) Reseal(ctx context.Context, keyID uint32) (int, error) {
	// A change that sealed with the old key and has not stored it yet is waited
	// for; whatever seals from now on uses the new key.
	s.sealing.Lock()
	s.sealing.Unlock() //nolint:staticcheck // an empty critical section is the point: it is a barrier
	resealed := 0
	for {
		kept, err := s.store.ProjectSecretsBefore(ctx, keyID, resealBatch)
		if err != nil || len(kept) == 0 {
			return resealed, err
		}
		for _, old := range kept {
			plain, err := s.sealer.OpenSecret(old.Sealed, old.Place)
			if err != nil {
				return resealed, fmt.Errorf("opening the secret %s of the project %s: %w", old.Place.Name, old.Place.ProjectID, err)
			}
			fresh, err := s.sealer.SealSecret(plain, old.Place)
			if err != nil {
				return resealed, err
			}
			changed, err := s.store.ResealProjectSecret(ctx, old.Place, old.Sealed, fresh)
			if err != nil {
				return resealed, err
			}
			if changed {
				resealed++
			}
		}
	}
}
