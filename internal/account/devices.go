package account

import (
	"math"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/fault"
)

// devices is what is remembered of machines that ask to be signed in, and of who
// types their codes, in memory alone: a restart forgets no more than how fast
// somebody was. Safe for concurrent use.
type devices struct {
	mu      sync.Mutex
	paces   map[string]pace     // by hash of the device code; of open requests alone
	guesses map[string]guessing // by user, and by network
}

// pace is how often a machine asks.
type pace struct {
	last     time.Time
	interval time.Duration
	ends     time.Time
}

// guessing is how many codes somebody typed in a window of time that were wrong.
type guessing struct {
	count int
	ends  time.Time
}

func newDevices() *devices {
	return &devices{paces: make(map[string]pace), guesses: make(map[string]guessing)}
}

// early reports whether a machine asks too soon, and how long it is to wait from
// then on.
func (d *devices) early(hash string, now, ends time.Time) (time.Duration, bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	was, known := d.paces[hash]
	is := pace{last: now, interval: was.interval, ends: ends}
	if !known {
		is.interval = deviceInterval
	}
	early := known && now.Sub(was.last) < was.interval-deviceSlack
	if early {
		is.interval += deviceSlower
	}
	d.paces[hash] = is
	return is.interval, early
}

// forget forgets a machine that has its token.
func (d *devices) forget(hash string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	delete(d.paces, hash)
}

// forgetEnded forgets machines whose time is over.
func (d *devices) forgetEnded(now time.Time) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for hash, p := range d.paces {
		if !now.Before(p.ends) {
			delete(d.paces, hash)
		}
	}
}

// guess counts a code of actor's as wrong, until right is called. It is Exhausted
// where the user or the network has typed too many.
func (d *devices) guess(now time.Time, actor Actor) (right func(), err error) {
	bounds := map[string]int{"user " + actor.UserID: guessesOfActor, "network " + networkOf(actor.Remote): guessesOfNetwork}
	d.mu.Lock()
	defer d.mu.Unlock()
	for whom, most := range bounds {
		if g := d.guesses[whom]; g.count >= most && now.Before(g.ends) {
			wait := g.ends.Sub(now)
			return nil, fault.New(fault.Exhausted, "user_code_guesses", "too many wrong codes were typed").
				WithHint("Try again in %d minutes.", int(math.Ceil(wait.Minutes()))).WithRetryAfter(wait)
		}
	}
	for whom := range bounds {
		d.count(now, whom)
	}
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		for whom := range bounds {
			if g := d.guesses[whom]; g.count > 1 {
				g.count--
				d.guesses[whom] = g
			} else {
				delete(d.guesses, whom)
			}
		}
	}, nil
}

// count counts one for whom, and keeps no more of them than guessersMost.
func (d *devices) count(now time.Time, whom string) {
	g, known := d.guesses[whom]
	if !now.Before(g.ends) {
		g = guessing{ends: now.Add(guessesWindow)}
	}
	if !known && len(d.guesses) >= guessersMost {
		for other, g := range d.guesses {
			if !now.Before(g.ends) {
				delete(d.guesses, other)
			}
		}
		for other := range d.guesses { // any one, where all are still counted
			if len(d.guesses) < guessersMost {
				break
			}
			delete(d.guesses, other)
		}
	}
	g.count++
	d.guesses[whom] = g
}
