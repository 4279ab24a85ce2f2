package blobs

import "github.com/opencontainers/go-digest"

// Clients is how many read a blob that is on its way.
func (s *Store) Clients(d digest.Digest) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.fillings[way{digest: d}]
	if f == nil {
		return 0
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return len(f.clients)
}

// IsFilling reports whether a blob is on its way.
func (s *Store) IsFilling(d digest.Digest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.fillings[way{digest: d}] != nil
}
