package pull

import (
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

func TestOfManyWhoWantALockOneHasItAndNoneIsLeftBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var locks keyedLock
		var users sync.WaitGroup
		inside, most := 0, 0
		for range 10 {
			users.Go(func() {
				unlock, err := locks.lock(t.Context(), "key")
				if err != nil {
					t.Error(err)
					return
				}
				defer unlock()
				inside++
				most = max(most, inside)
				time.Sleep(time.Second)
				inside--
			})
		}
		users.Wait()
		if most != 1 || len(locks.held) != 0 {
			t.Errorf("%d had the lock at once, %d keys are left", most, len(locks.held))
		}
	})
}
