package gitfetch

import "time"

// ProofLives is told to tests.
const ProofLives = proofLives

// SetNow gives the Fetcher another clock.
func (f *Fetcher) SetNow(now func() time.Time) { f.now = now }
