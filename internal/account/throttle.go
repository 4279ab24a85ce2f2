package account

import (
	"crypto/sha256"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"fairlead.dev/fairlead/internal/fault"
)

// How attempts to sign in are slowed down. From the free one on, each failure
// doubles the wait for the next attempt, from a second up to the longest.
const (
	pairFree      = 5 // by one user name and one address
	pairLongest   = 5 * time.Minute
	remoteFree    = 30 // by one address, whatever the name
	remoteLongest = time.Minute
	nameFree      = 10 // by one name, whatever the address
	nameLongest   = 30 * time.Second

	failuresLife = time.Hour           // failures are forgotten after so long without another
	turnLife     = 10 * time.Minute    // a turn is kept for who was told to wait for it
	trustLife    = 30 * 24 * time.Hour // an address is trusted after a sign-in
	talliesMost  = 20_000              // of each sort; the ones used longest ago go first
)

// throttle slows down who guesses passwords and codes. The rule:
//
//   - Failures are counted by user name and address together, by address, and by
//     user name. A name that nobody has is counted like any other.
//   - An address that fails for a name waits: after five failures a second, two,
//     four, up to five minutes. One that fails for many names waits after thirty
//     failures, up to a minute.
//   - A name that had ten failures from anywhere is guarded: every address has to
//     wait for its turn before each attempt, 30 seconds at most. Who waited gets
//     the turn, however many others try meanwhile; so a stranger makes the owner
//     wait for 30 seconds at another address, and no longer.
//   - An address that the owner signed in from in the last 30 days waits for its
//     own failures for that name alone, and for nobody else's.
//
// Addresses are whole in IPv4, and the first 64 bits in IPv6, which one customer
// has. An attempt counts as failed from its beginning, so that many at once are
// no way around.
//
// All of it is in memory, and bounded: on the disk every guess of a stranger
// would be a write of three rows, and nobody outside can restart the server. A
// restart forgives the failures, which are five guesses more for an address.
type throttle struct {
	mu      sync.Mutex
	pairs   *simplelru.LRU[tallyKey, *tally]
	remotes *simplelru.LRU[tallyKey, *tally]
	names   *simplelru.LRU[tallyKey, *tally]
	trusted *simplelru.LRU[tallyKey, time.Time] // pairs, by the last success
}

// tallyKey is a hash, so that a long name takes no more room than a short one.
type tallyKey [sha256.Size]byte

// tally is the failures of one key.
type tally struct {
	failures int
	last     time.Time // when the last one began
	next     time.Time // no attempt before
	turn     time.Time // of a pair: when it may try a guarded name; zero: it was not told to wait
}

func newThrottle() *throttle {
	return &throttle{pairs: newTallies[*tally](), remotes: newTallies[*tally](), names: newTallies[*tally](), trusted: newTallies[time.Time]()}
}

func newTallies[V any]() *simplelru.LRU[tallyKey, V] {
	tallies, err := simplelru.NewLRU[tallyKey, V](talliesMost, nil)
	if err != nil {
		panic(err) // the size is positive
	}
	return tallies
}

// attempt is one try that was let in. One of its methods is called once, or none
// where it failed.
type attempt struct {
	of     *throttle
	pair   tallyKey
	counts [3]counted
}

// counted is what an attempt changed of a tally.
type counted struct {
	tally    *tally
	failures int // with this attempt
	before   time.Time
}

// admit lets an attempt in, as a failure until it is said to be none, or refuses
// it as Exhausted with how long to wait.
func (t *throttle) admit(username, remote string, now time.Time) (*attempt, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	address := networkOf(remote)
	nameKey, remoteKey := keyOf(strings.ToLower(username)), keyOf(address)
	pairKey := keyOf(string(nameKey[:]) + address)
	since, trusted := t.trusted.Get(pairKey)
	trusted = trusted && now.Sub(since) < trustLife
	pair, from, name := current(t.pairs, pairKey, now), current(t.remotes, remoteKey, now), current(t.names, nameKey, now)

	wait := pair.next.Sub(now)
	if !trusted {
		wait = max(wait, from.next.Sub(now))
		if wait <= 0 && name.failures >= nameFree {
			wait = pair.awaitTurn(waitAfter(name.failures, nameFree, nameLongest), now)
			t.pairs.Add(pairKey, pair)
		}
	}
	if wait > 0 {
		return nil, errThrottled(wait)
	}
	t.pairs.Add(pairKey, pair)
	t.remotes.Add(remoteKey, from)
	t.names.Add(nameKey, name)
	pair.turn = time.Time{}
	return &attempt{of: t, pair: pairKey, counts: [3]counted{
		pair.count(now, pairFree, pairLongest),
		from.count(now, remoteFree, remoteLongest),
		name.count(now, nameFree, 0), // its wait is that of a turn
	}}, nil
}

// succeed says that the attempt was the owner's.
func (a *attempt) succeed(now time.Time) {
	a.withdraw()
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	a.counts[0].tally.failures, a.counts[0].tally.next = 0, time.Time{}
	a.of.trusted.Add(a.pair, now)
}

// withdraw says that the attempt was neither right nor wrong: everything is as
// it was before.
func (a *attempt) withdraw() {
	a.of.mu.Lock()
	defer a.of.mu.Unlock()
	for _, c := range a.counts {
		if c.tally.failures == c.failures { // no other attempt was counted meanwhile
			c.tally.next = c.before
		}
		c.tally.failures = max(0, c.tally.failures-1)
	}
}

// current is the tally of the key, empty where it is old or not there. It is not
// kept by that: attempts that are refused take no room from others.
func current(tallies *simplelru.LRU[tallyKey, *tally], key tallyKey, now time.Time) *tally {
	found, there := tallies.Get(key)
	if !there {
		return &tally{last: now}
	}
	if now.Sub(found.last) >= failuresLife {
		*found = tally{last: now, turn: found.turn}
	}
	return found
}

// count adds a failure, after which the next attempt waits.
func (t *tally) count(now time.Time, free int, longest time.Duration) counted {
	before := t.next
	t.failures++
	t.last, t.next = now, now.Add(waitAfter(t.failures, free, longest))
	return counted{tally: t, failures: t.failures, before: before}
}

// awaitTurn is how long it is to the pair's turn: that which it was told to wait
// for, or a new one.
func (t *tally) awaitTurn(wait time.Duration, now time.Time) time.Duration {
	if t.turn.IsZero() || now.Sub(t.turn) >= turnLife {
		t.turn = now.Add(wait)
	}
	return t.turn.Sub(now)
}

// waitAfter is how long to wait after so many failures.
func waitAfter(failures, free int, longest time.Duration) time.Duration {
	const doublings = 20 // more than any longest
	if failures < free {
		return 0
	}
	return min(time.Second<<min(failures-free, doublings), longest)
}

func errThrottled(wait time.Duration) error {
	wait = (wait + time.Second - 1).Truncate(time.Second)
	return fault.New(fault.Exhausted, "sign_in_throttled", "there were too many wrong passwords or codes").
		WithHint("Try again in %s.", wait).WithRetryAfter(wait)
}

func keyOf(text string) tallyKey { return sha256.Sum256([]byte(text)) }

// networkOf is what of an address one customer has.
func networkOf(remote string) string {
	address, err := netip.ParseAddr(remote)
	if err != nil {
		return remote
	}
	const customer = 64
	if address = address.Unmap().WithZone(""); address.Is6() {
		if prefix, err := address.Prefix(customer); err == nil {
			return prefix.String()
		}
	}
	return address.String()
}
