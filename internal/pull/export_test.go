package pull

import "time"

// PartsAhead is how many parts are in memory before their turn, and how many may be.
func (s *Store) PartsAhead() (held, most int64) {
	for s.memory.room.TryAcquire(1) {
		held++
	}
	s.memory.room.Release(held)
	return s.memory.parts - held, s.memory.parts
}

// BandwidthLeft is how many bytes may arrive at once now, and how many at most.
func (s *Store) BandwidthLeft() (left float64, most int) {
	return s.limits.bandwidth.Tokens(), s.limits.bandwidth.Burst()
}

// OnThreadTime calls f whenever the processor time of an unpacking is looked at.
func (s *Store) OnThreadTime(f func()) {
	s.limits.unpacking.used = func() time.Duration {
		f()
		return threadTime()
	}
}
