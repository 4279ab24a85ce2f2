package pull

import (
	"context"
	"sync/atomic"
)

// stack is how far the layers of one pull are put upon each other. They are
// unpacked in any order, each into a directory of its own, and committed from
// the bottom up.
type stack struct {
	committed []chan struct{} // closed when the layer is there with all below it
	totals    []int64         // bytes of its files and of those below it; written before the close

	// files are the bytes of all files so far, of layers that are still being
	// unpacked too.
	files atomic.Int64
}

// newStack is of count layers, of which the lowest are there already with below
// bytes.
func newStack(count, there int, below int64) *stack {
	s := &stack{committed: make([]chan struct{}, count), totals: make([]int64, count)}
	for i := range s.committed {
		s.committed[i] = make(chan struct{})
		if i < there {
			s.commit(i, below)
		}
	}
	s.files.Store(below)
	return s
}

// commit says that a layer is there. It is called once for each.
func (s *stack) commit(index int, total int64) {
	s.totals[index] = total
	close(s.committed[index])
}

// below waits for the layers below one and returns the bytes of their files.
func (s *stack) below(ctx context.Context, index int) (int64, error) {
	if index == 0 {
		return 0, nil
	}
	select {
	case <-s.committed[index-1]:
		return s.totals[index-1], nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
}

// total are the bytes of the files of a layer that is there and those below it;
// 0 for index -1.
func (s *stack) total(index int) int64 {
	if index < 0 {
		return 0
	}
	return s.totals[index]
}
