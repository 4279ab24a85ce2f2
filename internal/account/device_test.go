package account_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

func (s *town) beginDevice(remote string) account.DeviceRequest {
	s.t.Helper()
	request, err := s.BeginDevice(s.t.Context(), "login-laptop", remote)
	s.must(err)
	return request
}

// pollDevice asks for the token, five seconds after the last time, and wants a fault of
// that code.
func (s *town) pollDevice(code secret.Text, want string) {
	s.t.Helper()
	s.ahead += 5 * time.Second
	if _, _, err := s.PollDevice(s.t.Context(), code); err == nil || fault.From(err).Code != want || fault.From(err).Hint == "" {
		s.t.Errorf("got %v, want %s with a hint", err, want)
	}
}

func TestAMachineIsSignedInByWhoTypesItsCode(t *testing.T) {
	s := newTown(t)
	bob := s.user("bob", account.Member)
	request := s.beginDevice("192.0.2.7")
	if !regexp.MustCompile(`^[B-DF-HJ-NP-TV-XZ]{4}-[B-DF-HJ-NP-TV-XZ]{4}$`).MatchString(request.UserCode) ||
		request.Interval != 5*time.Second || !strings.HasPrefix(request.DeviceCode.Reveal(), "fld_") {
		t.Errorf("the request is %+v", request)
	}
	s.pollDevice(request.DeviceCode, "authorization_pending")
	asked, err := s.DeviceRequest(t.Context(), bob, strings.ToLower(strings.ReplaceAll(request.UserCode, "-", " ")))
	s.must(err)
	if asked.Name != "login-laptop" || asked.Remote != "192.0.2.7" || asked.CreatedAt.IsZero() {
		t.Errorf("it is asked %+v", asked)
	}
	s.must(s.ApproveDevice(t.Context(), bob, request.UserCode))
	s.ahead += 5 * time.Second
	token, text, err := s.PollDevice(t.Context(), request.DeviceCode)
	s.must(err)
	if token.Name != "login-laptop" || token.UserID != bob.UserID || token.ExpiresAt.Sub(token.CreatedAt) != 90*24*time.Hour {
		t.Errorf("the token is %+v", token)
	}
	actor, err := s.Authenticate(t.Context(), text, "192.0.2.7")
	s.must(err)
	if actor.Username != "bob" {
		t.Errorf("it acts as %q", actor.Username)
	}
	s.pollDevice(request.DeviceCode, "expired_token") // it is used
	refused(t, fault.NotFound, s.ApproveDevice(t.Context(), bob, request.UserCode))
	if got := fmt.Sprint(s.verbs(2)); got != "[user.sign-in device.approve]" {
		t.Errorf("the trail is %s", got)
	}
	events, _, err := s.store.Events(t.Context(), audit.Filter{OrganizationIDs: []int64{0}, Verb: audit.UserSignIn, Limit: 1})
	s.must(err)
	if events[0].Actor != "bob" || events[0].Remote != "192.0.2.7" || events[0].Details["way"] != "device" {
		t.Errorf("the sign-in is %+v", events[0])
	}
}

func TestAMachineThatIsDeniedIsTold(t *testing.T) {
	s := newTown(t)
	request := s.beginDevice("192.0.2.7")
	s.must(s.DenyDevice(t.Context(), s.root, request.UserCode))
	s.pollDevice(request.DeviceCode, "access_denied")
	s.pollDevice(request.DeviceCode, "access_denied")
	refused(t, fault.NotFound, s.ApproveDevice(t.Context(), s.root, request.UserCode))
	if got := fmt.Sprint(s.verbs(1)); got != "[device.deny]" {
		t.Errorf("the trail is %s", got)
	}
}

func TestAMachineHasTenMinutes(t *testing.T) {
	s := newTown(t)
	request := s.beginDevice("192.0.2.7")
	s.must(s.ApproveDevice(t.Context(), s.root, request.UserCode))
	late := s.beginDevice("192.0.2.7")
	s.ahead = 10 * time.Minute
	s.pollDevice(request.DeviceCode, "expired_token")
	refused(t, fault.NotFound, s.ApproveDevice(t.Context(), s.root, late.UserCode))
	s.pollDevice(secret.New("fld_nonsense"), "expired_token")
	s.pollDevice(secret.Text{}, "expired_token")
}

func TestWhoAsksTooOftenIsToldToSlowDownFromThenOn(t *testing.T) {
	s := newTown(t)
	request := s.beginDevice("192.0.2.7")
	s.pollDevice(request.DeviceCode, "authorization_pending")
	s.ahead -= 2 * time.Second // the next comes after three seconds
	s.pollDevice(request.DeviceCode, "slow_down")
	s.pollDevice(request.DeviceCode, "slow_down") // five are too few now
	_, _, err := s.PollDevice(t.Context(), request.DeviceCode)
	if f := fault.From(err); f.Kind != fault.Exhausted || f.RetryAfter != 20*time.Second {
		t.Errorf("got %v and a wait of %s", err, f.RetryAfter)
	}
	s.ahead += 15 * time.Second
	s.pollDevice(request.DeviceCode, "authorization_pending")
}

func TestWrongCodesAreCountedForTheUserAndForTheNetwork(t *testing.T) {
	s := newTown(t)
	request := s.beginDevice("192.0.2.7")
	guess := func(who account.Actor, remote string, times int) {
		who.Remote = remote
		for range times {
			_, err := s.DeviceRequest(t.Context(), who, "BBBB-BBBB")
			refused(t, fault.NotFound, err)
		}
	}
	guess(s.root, "192.0.2.1", 9)
	for range 5 { // right ones are not counted
		_, err := s.DeviceRequest(t.Context(), s.root, request.UserCode)
		s.must(err)
	}
	guess(s.root, "192.0.2.1", 1)
	err := s.ApproveDevice(t.Context(), s.root, request.UserCode)
	refused(t, fault.Exhausted, err)
	if wait := fault.From(err).RetryAfter; wait <= 0 || wait > 10*time.Minute {
		t.Errorf("the wait is %s", wait)
	}
	bob := s.user("bob", "")
	_, err = s.DeviceRequest(t.Context(), bob, request.UserCode)
	s.must(err)

	for i := range 3 {
		guess(s.user(fmt.Sprintf("u%d", i), ""), fmt.Sprintf("2001:db8::%d", i), 10)
	}
	bob.Remote = "2001:db8::ffff"
	_, err = s.DeviceRequest(t.Context(), bob, request.UserCode)
	refused(t, fault.Exhausted, err)
	s.ahead = 10*time.Minute + time.Second
	fresh := s.beginDevice("192.0.2.7")
	_, err = s.DeviceRequest(t.Context(), bob, fresh.UserCode)
	s.must(err)
	s.must(s.ApproveDevice(t.Context(), s.root, fresh.UserCode))
}

func TestANetworkHasFiftyMachinesThatWait(t *testing.T) {
	s := newTown(t)
	for i := range 50 {
		s.beginDevice(fmt.Sprintf("2001:db8::%d", i))
	}
	_, err := s.BeginDevice(t.Context(), "login-laptop", "2001:db8::1:2")
	refused(t, fault.Exhausted, err)
	s.beginDevice("2001:db8:0:1::1")
	s.beginDevice("::ffff:192.0.2.1")
	s.ahead = 10 * time.Minute
	s.beginDevice("2001:db8::1")
}

func TestOnlyUsersSignMachinesIn(t *testing.T) {
	s := newTown(t)
	request := s.beginDevice("192.0.2.7")
	for _, actor := range []account.Actor{{}, {WorkerID: "w"}, {CacheID: "c"}} {
		_, err := s.DeviceRequest(t.Context(), actor, request.UserCode)
		refused(t, fault.Denied, err)
		refused(t, fault.Denied, s.ApproveDevice(t.Context(), actor, request.UserCode))
		refused(t, fault.Denied, s.DenyDevice(t.Context(), actor, request.UserCode))
	}
	_, err := s.BeginDevice(t.Context(), "no name", "192.0.2.7")
	refused(t, fault.Invalid, err)
	_, err = s.DeviceRequest(t.Context(), s.root, "AEIO-UAEI")
	refused(t, fault.Invalid, err)
}
