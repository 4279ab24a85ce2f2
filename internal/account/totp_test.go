package account_test

import (
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/pquerna/otp/totp"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/app/adapter"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
	"fairlead.dev/fairlead/internal/vault"
)

// sealed gives a town what keys are sealed with.
func (s *town) sealed() *vault.Vault {
	s.t.Helper()
	opened, err := vault.Open(filepath.Join(s.t.TempDir(), "keys.json"))
	s.must(err)
	s.WithSealer(adapter.Sealer{Vault: opened})
	return opened
}

// guarded is a town whose ada has a second factor.
type guarded struct {
	*town
	ada      account.Actor
	key      secret.Text
	recovery []secret.Text
}

func newGuarded(t *testing.T) *guarded {
	t.Helper()
	g := &guarded{town: newTown(t)}
	g.sealed()
	g.ada = g.user("ada", "")
	made, err := g.BeginTOTP(t.Context(), g.ada)
	g.must(err)
	g.key = made.Key
	g.recovery, err = g.ConfirmTOTP(t.Context(), g.ada, g.code(0))
	g.must(err)
	g.ahead += 30 * time.Second
	return g
}

// code is what the app shows that many steps ahead.
func (g *guarded) code(steps int) string {
	g.t.Helper()
	text, err := totp.GenerateCode(g.key.Reveal(), g.begun.Add(g.ahead+time.Duration(steps)*30*time.Second))
	g.must(err)
	return text
}

func (g *guarded) enterWith(code string) error {
	_, _, err := g.StartSession(g.t.Context(), account.SignIn{Username: "ada", Password: password, Code: code, Remote: home})
	return err
}

func TestASecondFactorIsAskedForAfterTheRightPasswordAlone(t *testing.T) {
	g := newGuarded(t)
	code(t, "code_required", g.enterWith(""))
	code(t, "sign_in_refused", func() error {
		_, _, err := g.StartSession(t.Context(), account.SignIn{Username: "ada", Password: secret.New("a-wrong-password"), Code: g.code(0), Remote: home})
		return err
	}())
	g.must(g.enterWith(g.code(0)))
	if got := g.trail(audit.SessionStart)[0]; got.Details["second_factor"] != "totp" {
		t.Errorf("written down as %+v", got)
	}
	g.user("ben", "")
	_, _, err := g.StartSession(t.Context(), account.SignIn{Username: "ben", Password: password, Code: "123456"})
	g.must(err) // who has none need not know that
}

func TestACodeIsGoodOnceAndOneStepAround(t *testing.T) {
	g := newGuarded(t)
	g.ahead += 10 * time.Minute
	earlier, now, next, far := g.code(-1), g.code(0), g.code(1), g.code(2)
	code(t, "code_refused", g.enterWith(far))
	code(t, "code_refused", g.enterWith(g.code(-2)))
	g.must(g.enterWith(earlier[:3] + " " + earlier[3:]))
	code(t, "code_refused", g.enterWith(earlier))
	g.must(g.enterWith(next))
	code(t, "code_refused", g.enterWith(now)) // it was passed by
	code(t, "code_refused", g.enterWith(next))
	if got := g.trail(audit.UserSignIn)[0]; got.Result != "code_refused" || got.ObjectName != "ada" || len(got.Details) != 0 {
		t.Errorf("written down as %+v", got)
	}
}

func TestTheCodeThatConfirmedASecondFactorIsUsed(t *testing.T) {
	g := newGuarded(t)
	g.ahead -= 30 * time.Second
	code(t, "code_refused", g.enterWith(g.code(0)))
}

func TestARecoveryCodeStandsInOnce(t *testing.T) {
	g := newGuarded(t)
	if len(g.recovery) != 10 || len(g.recovery[0].Reveal()) != len("abcd-efgh-ijkl-mnop") {
		t.Fatalf("%d recovery codes", len(g.recovery))
	}
	first := g.recovery[0].Reveal()
	g.must(g.enterWith(" " + strings.ToUpper(strings.ReplaceAll(first, "-", "")) + " "))
	code(t, "code_refused", g.enterWith(first))
	g.must(g.enterWith(g.recovery[1].Reveal()))
	state, err := g.TOTPState(t.Context(), g.ada)
	g.must(err)
	if !state.On || state.RecoveryCodes != 8 || state.Since.IsZero() {
		t.Errorf("state %+v", state)
	}
	if got := g.trail(audit.TOTPRecover); len(got) != 2 || got[0].Actor != "ada" {
		t.Errorf("written down %+v", got)
	}
	g.must(g.store.UseRecoveryCode(t.Context(), g.ada.UserID, account.HashRecoveryCode(g.ada.UserID, strings.ReplaceAll(g.recovery[2].Reveal(), "-", "")), audit.Event{}))
	code(t, "code_refused", g.enterWith(g.recovery[2].Reveal()))
}

func TestATokenForAPasswordNeedsTheCodeAsWell(t *testing.T) {
	g := newGuarded(t)
	_, _, err := g.SignIn(t.Context(), "ada", password, "test", home)
	code(t, "code_required", err)
	_, _, err = g.SignInForToken(t.Context(), account.SignIn{Username: "ada", Password: password, Code: "000000x", Remote: home}, "test")
	code(t, "code_refused", err)
	one := g.code(0)
	_, _, err = g.SignInForToken(t.Context(), account.SignIn{Username: "ada", Password: password, Code: one, Remote: home}, "no name")
	refused(t, fault.Invalid, err) // and the code is not used up
	_, text, err := g.SignInForToken(t.Context(), account.SignIn{Username: "ada", Password: password, Code: one, Remote: home}, "test")
	g.must(err)
	_, err = g.Authenticate(t.Context(), text, home)
	g.must(err)
	if got := g.trail(audit.UserSignIn)[0]; got.Result != audit.ResultOK || got.Details["second_factor"] != "totp" || got.ObjectName != "test" {
		t.Errorf("written down as %+v", got)
	}
}

func TestCodesAreThrottledAndAskingForOneIsNoWayAround(t *testing.T) {
	g := newGuarded(t)
	for range 5 {
		code(t, "code_refused", g.enterWith("12345x"))
		code(t, "code_required", func() error {
			_, _, err := g.SignIn(t.Context(), "ada", password, "test", "192.0.2.77") // elsewhere
			return err
		}())
	}
	code(t, "sign_in_throttled", g.enterWith("12345x"))
	code(t, "sign_in_throttled", g.enterWith(""))
	g.ahead += time.Second
	code(t, "code_required", g.enterWith("")) // neither right nor wrong
	code(t, "code_refused", g.enterWith("12345x"))
	code(t, "sign_in_throttled", g.enterWith(""))
	g.ahead += time.Second
	code(t, "sign_in_throttled", g.enterWith(""))
	g.ahead += time.Second
	g.must(g.enterWith(g.code(0)))
}

func TestASecondFactorIsBegunConfirmedAndTurnedOff(t *testing.T) {
	s := newTown(t)
	ada := s.user("ada", "")
	_, err := s.BeginTOTP(t.Context(), ada)
	refused(t, fault.Unavailable, err)
	s.sealed()
	_, err = s.ConfirmTOTP(t.Context(), ada, "123456")
	code(t, "totp_not_begun", err)
	first, err := s.BeginTOTP(t.Context(), ada)
	s.must(err)
	second, err := s.BeginTOTP(t.Context(), ada)
	s.must(err)
	address, err := url.Parse(second.URL.Reveal())
	s.must(err)
	if address.Scheme != "otpauth" || address.Host != "totp" || address.Path != "/Fairlead:ada" || address.Query().Get("secret") != second.Key.Reveal() || len(second.Key.Reveal()) != 32 {
		t.Error("the address is none that apps read")
	}
	s.must(s.owner("ada", home)) // it is not asked for yet
	g := &guarded{town: s, ada: ada, key: first.Key}
	_, err = s.ConfirmTOTP(t.Context(), ada, g.code(0))
	refused(t, fault.Invalid, err)
	code(t, "code_refused", err)
	g.key = second.Key
	state, err := s.TOTPState(t.Context(), ada)
	s.must(err)
	if state.On {
		t.Error("it is on before a code was shown")
	}
	_, err = s.ConfirmTOTP(t.Context(), ada, g.code(1))
	s.must(err)
	_, err = s.ConfirmTOTP(t.Context(), ada, g.code(1))
	code(t, "totp_on", err)
	_, err = s.BeginTOTP(t.Context(), ada)
	code(t, "totp_on", err)

	s.ahead += time.Minute
	code(t, "password_refused", s.DisableTOTP(t.Context(), ada, secret.New("a-wrong-password"), g.code(0)))
	code(t, "code_refused", s.DisableTOTP(t.Context(), ada, password, "12345x"))
	s.must(s.DisableTOTP(t.Context(), ada, password, g.code(0)))
	code(t, "totp_off", s.DisableTOTP(t.Context(), ada, password, g.code(0)))
	s.must(s.owner("ada", home))
	for verb, want := range map[audit.Verb]int{audit.TOTPBegin: 2, audit.TOTPEnable: 1, audit.TOTPDisable: 3} {
		if got := s.trail(verb); len(got) != want || got[0].Actor != "ada" {
			t.Errorf("%s: written down %+v", verb, got)
		}
	}
	if got := s.trail(audit.TOTPDisable); got[0].Result != audit.ResultOK || got[1].Result != "code_refused" || got[2].Result != "password_refused" {
		t.Errorf("written down %+v", got)
	}
}

func TestAKeyThatWasNotConfirmedIsGoodForAnHour(t *testing.T) {
	s := newTown(t)
	s.sealed()
	ada := s.user("ada", "")
	made, err := s.BeginTOTP(t.Context(), ada)
	s.must(err)
	s.ahead = time.Hour
	g := &guarded{town: s, ada: ada, key: made.Key}
	_, err = s.ConfirmTOTP(t.Context(), ada, g.code(0))
	code(t, "totp_not_begun", err)
}

func TestWhoHasTheSessionAndGuessesPasswordAndCodeIsThrottled(t *testing.T) {
	g := newGuarded(t)
	for range 5 {
		code(t, "password_refused", g.DisableTOTP(t.Context(), g.ada, secret.New("a-wrong-password"), "123456"))
	}
	code(t, "sign_in_throttled", g.DisableTOTP(t.Context(), g.ada, password, g.code(0)))
}

func TestAnOperatorTurnsTheSecondFactorOfAnotherOff(t *testing.T) {
	g := newGuarded(t)
	ben := g.user("ben", account.Admin)
	refused(t, fault.Denied, g.ResetTOTP(t.Context(), ben, "ada"))
	refused(t, fault.Denied, g.ResetTOTP(t.Context(), g.root, "root"))
	code(t, "totp_off", g.ResetTOTP(t.Context(), g.root, "ben"))
	refused(t, fault.NotFound, g.ResetTOTP(t.Context(), g.root, "nobody"))
	g.must(g.ResetTOTP(t.Context(), g.root, "ada"))
	g.must(g.enterWith(""))
	if got := g.trail(audit.TOTPDisable); len(got) != 1 || got[0].Actor != "root" || got[0].ObjectName != "ada" {
		t.Errorf("written down %+v", got)
	}
}

func TestTheKeysOfSecondFactorsAreSealedAnew(t *testing.T) {
	s := newTown(t)
	keys := s.sealed()
	ada, ben := s.user("ada", ""), s.user("ben", "")
	made, err := s.BeginTOTP(t.Context(), ada)
	s.must(err)
	_, err = s.BeginTOTP(t.Context(), ben)
	s.must(err)
	old, err := keys.PrimaryKeyID()
	s.must(err)
	if _, err = s.Reseal(t.Context(), old+1); err == nil {
		t.Error("a sealer that seals with another key is not noticed")
	}
	fresh, err := keys.Rotate()
	s.must(err)
	for _, want := range []int{2, 0} {
		if n, err := s.Reseal(t.Context(), fresh); err != nil || n != want {
			t.Errorf("%d sealed anew, %v; want %d", n, err, want)
		}
	}
	s.must(keys.Retire(old))
	g := &guarded{town: s, ada: ada, key: made.Key}
	_, err = s.ConfirmTOTP(t.Context(), ada, g.code(0))
	s.must(err)
}

func TestAMachineHasNoSecondFactor(t *testing.T) {
	s := newTown(t)
	s.sealed()
	_, err := s.BeginTOTP(t.Context(), account.Actor{WorkerID: "w"})
	refused(t, fault.Denied, err)
	_, err = s.ConfirmTOTP(t.Context(), account.Actor{}, "123456")
	refused(t, fault.Denied, err)
	_, err = s.TOTPState(t.Context(), account.Actor{CacheID: "c"})
	refused(t, fault.Denied, err)
	refused(t, fault.Denied, s.DisableTOTP(t.Context(), account.Actor{}, password, "123456"))
}

func FuzzACode(f *testing.F) {
	for _, text := range []string{"123456", "123 456", "abcd-efgh-ijkl-mnop", "", "\xff\x00", strings.Repeat("-", 100), "İ234567"} {
		f.Add(text)
	}
	f.Fuzz(func(t *testing.T, text string) {
		once := account.NormalCode(text)
		if again := account.NormalCode(once); again != once {
			t.Errorf("%q is %q, and then %q", text, once, again)
		}
		if strings.ContainsAny(once, " -\t") {
			t.Errorf("%q is %q", text, once)
		}
	})
}
