package pull

// PartsAhead is how many parts are in memory before their turn, and how many may be.
func (s *Store) PartsAhead() (held, most int64) {
	for s.memory.room.TryAcquire(1) {
		held++
	}
	s.memory.room.Release(held)
	return s.memory.parts - held, s.memory.parts
}
