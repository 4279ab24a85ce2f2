package account_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// guess tries a wrong password and returns how long to wait; 0 where it was let
// in and refused as wrong.
func (s *town) guess(name, remote string) time.Duration {
	s.t.Helper()
	_, _, err := s.StartSession(s.t.Context(), account.SignIn{Username: name, Password: secret.New("a-wrong-password"), Remote: remote})
	f := fault.From(err)
	if f == nil || f.Code != "sign_in_refused" && (f.Code != "sign_in_throttled" || f.Kind != fault.Exhausted || f.RetryAfter <= 0) {
		s.t.Fatalf("a wrong password came to %v", err)
	}
	return f.RetryAfter
}

// owner signs in with the right password.
func (s *town) owner(name, remote string) error {
	_, _, err := s.StartSession(s.t.Context(), account.SignIn{Username: name, Password: password, Remote: remote})
	return err
}

const (
	home     = "192.0.2.1"
	stranger = "198.51.100.7"
)

func TestWhoGuessesWaitsLongerEveryTimeAndTheOwnerElsewhereDoesNot(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	for i := range 5 {
		if wait := s.guess("ada", stranger); wait != 0 {
			t.Fatalf("the attempt %d waits %v", i, wait)
		}
	}
	for _, want := range []time.Duration{time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second} {
		if got := s.guess("ada", stranger); got != want {
			t.Fatalf("waits %v, want %v", got, want)
		}
		s.ahead += want
		if got := s.guess("ada", stranger); got != 0 {
			t.Fatalf("waits %v after it waited", got)
		}
	}
	s.must(s.owner("ada", home))
	code(t, "sign_in_throttled", s.owner("ada", stranger))
	s.ahead += time.Hour
	s.must(s.owner("ada", stranger))
}

func TestAnUnknownNameIsThrottledLikeAKnownOne(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	for i := range 20 {
		remote := fmt.Sprintf("198.51.100.%d", i/2)
		known, unknown := s.guess("ada", remote), s.guess("nobody", remote)
		if known != unknown {
			t.Fatalf("after %d failures the user waits %v, and nobody %v", i, known, unknown)
		}
		s.ahead += time.Second
	}
}

func TestAStrangerMakesTheOwnerWaitForHalfAMinuteAtMost(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	attack := func() {
		for i := range 20 {
			s.guess("ada", fmt.Sprintf("198.51.100.%d", i))
		}
	}
	for range 2 {
		attack()
		s.ahead += 31 * time.Second
	}
	attack()
	const cafe = "203.0.113.9"
	err := s.owner("ada", cafe)
	code(t, "sign_in_throttled", err)
	if wait := fault.From(err).RetryAfter; wait > 30*time.Second {
		t.Fatalf("the owner is to wait %v", wait)
	}
	for range 10 { // the attack goes on while the owner waits
		s.ahead += 3 * time.Second
		attack()
	}
	s.must(s.owner("ada", cafe))
	for range 3 { // the address is trusted from now on
		attack()
		s.must(s.owner("ada", cafe))
	}
}

func TestATrustedAddressStillWaitsForItsOwnFailures(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	s.must(s.owner("ada", home))
	for range 5 {
		s.guess("ada", home)
	}
	if wait := s.guess("ada", home); wait != time.Second {
		t.Errorf("waits %v", wait)
	}
	s.ahead += time.Second
	s.must(s.owner("ada", home))
	if wait := s.guess("ada", home); wait != 0 {
		t.Errorf("after a sign-in waits %v", wait)
	}
}

func TestAnAddressThatTriesManyNamesWaits(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	s.user("eve", "")
	s.must(s.owner("ada", stranger))
	for i := range 30 {
		if wait := s.guess(fmt.Sprint("name-", i), stranger); wait != 0 {
			t.Fatalf("the name %d waits %v", i, wait)
		}
	}
	if wait := s.guess("another", stranger); wait != time.Second {
		t.Errorf("waits %v", wait)
	}
	code(t, "sign_in_throttled", s.owner("eve", stranger))
	s.must(s.owner("ada", stranger)) // who was there before
	s.must(s.owner("eve", home))
}

func TestASuccessOfOnesOwnForgivesNoFailuresForOthers(t *testing.T) {
	s := newTown(t)
	s.user("eve", "")
	for i := range 30 {
		s.guess(fmt.Sprint("name-", i), stranger)
		s.must(s.owner("eve", stranger))
	}
	if wait := s.guess("ada", stranger); wait == 0 {
		t.Error("signing in as oneself makes room for more guesses")
	}
}

func TestTheNeighboursInANetworkOfIPv6AreOneAddress(t *testing.T) {
	s := newTown(t)
	for i := range 5 {
		s.guess("ada", fmt.Sprintf("2001:db8:0:1::%x", i))
	}
	if wait := s.guess("ada", "2001:db8:0:1:ffff::1"); wait != time.Second {
		t.Errorf("waits %v", wait)
	}
	if wait := s.guess("ada", "2001:db8:0:2::1"); wait != 0 {
		t.Errorf("another network waits %v", wait)
	}
	for range 5 {
		s.guess("ben", "::ffff:198.51.100.7")
	}
	if wait := s.guess("ben", stranger); wait != time.Second {
		t.Errorf("an address of IPv4 in IPv6 is another: waits %v", wait)
	}
}

func TestManyGuessesAtOnceAreNoWayAround(t *testing.T) {
	s := newTown(t)
	codes := make(chan string)
	for range 40 {
		go func() {
			_, _, err := s.StartSession(context.Background(), account.SignIn{Username: "root", Password: secret.New("a-wrong-password"), Remote: stranger})
			codes <- fault.From(err).Code
		}()
	}
	count := make(map[string]int)
	for range 40 {
		count[<-codes]++
	}
	if count["sign_in_refused"] != 5 || count["sign_in_throttled"] != 35 {
		t.Errorf("%v", count)
	}
}

func TestASignInForATokenIsThrottledWithThatOfABrowser(t *testing.T) {
	s := newTown(t)
	s.user("ada", "")
	for range 5 {
		_, _, err := s.SignIn(t.Context(), "ADA", secret.New("a-wrong-password"), "test", stranger)
		code(t, "sign_in_refused", err)
	}
	code(t, "sign_in_throttled", s.owner("ada", stranger))
	_, _, err := s.SignIn(t.Context(), "ada", password, "test", stranger)
	code(t, "sign_in_throttled", err)
}

func TestAnAttemptThatIsThrottledIsNotWrittenDown(t *testing.T) {
	s := newTown(t)
	before := len(s.trail(audit.UserSignIn))
	for range 50 {
		s.guess("root", stranger)
	}
	if rows := len(s.trail(audit.UserSignIn)) - before; rows != 5 {
		t.Errorf("%d rows", rows)
	}
}
