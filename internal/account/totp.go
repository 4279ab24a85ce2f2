package account

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/pquerna/otp/hotp"
	"github.com/pquerna/otp/totp"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// TOTP is a user's second factor (RFC 6238): an app on their phone makes codes
// of a key that it shares with the server. It is asked for after the password.
type TOTP struct {
	ID     string // UUID; another key is another one
	UserID string
	Sealed Sealed // the key

	CreatedAt time.Time

	// ConfirmedAt is when a code of it was shown; zero: it was begun only, and
	// is not asked for.
	ConfirmedAt time.Time

	// LastStep is the time step of the last code that was used; codes of it and
	// of those before are no longer good.
	LastStep int64

	// RecoveryCodes are how many of them are left.
	RecoveryCodes int
}

// IsOn reports whether the second factor is asked for.
func (t TOTP) IsOn() bool { return !t.ConfirmedAt.IsZero() }

// Place is what the key is sealed for.
func (t TOTP) Place() TOTPPlace { return TOTPPlace{UserID: t.UserID, ID: t.ID} }

// Sealed is a second factor's key at rest.
type Sealed struct {
	KeyID uint32 // the key that sealed it
	Bytes []byte
}

// TOTPPlace is where a sealed key belongs; in another place it does not open.
type TOTPPlace struct{ UserID, ID string }

// KeptTOTP is a sealed key with its place.
type KeptTOTP struct {
	Place  TOTPPlace
	Sealed Sealed
}

// Sealer seals keys of second factors at rest. OpenTOTP fails for bytes that were
// not sealed for that place. Safe for concurrent use.
type Sealer interface {
	SealTOTP(plain secret.Text, place TOTPPlace) (Sealed, error)
	OpenTOTP(sealed Sealed, place TOTPPlace) (secret.Text, error)
}

// WithSealer gives the service what second factors need; without it there are
// none. It is called before the service is used, and returns it.
func (s *Service) WithSealer(sealer Sealer) *Service {
	s.sealer = sealer
	return s
}

const (
	totpIssuer  = "Fairlead"
	totpPeriod  = 30        // seconds, as every app has it
	totpSkew    = 1         // steps before and behind the present one that are taken
	enrolLife   = time.Hour // from the key to its first code
	codesCount  = 10        // recovery codes
	codeBytes   = 10        // of chance in each: nothing that could be guessed, so that SHA-256 is enough of a hash
	codeGroup   = 4         // letters between dashes
	codeLetters = codeBytes * 8 / 5
)

// TOTPState is what a user may know of their second factor.
type TOTPState struct {
	On            bool
	Since         time.Time // zero: it is off
	RecoveryCodes int       // how many are left
}

// TOTPEnrolment is a new key, shown once: as an otpauth:// address, which apps
// read as a QR code, and as the letters to type.
type TOTPEnrolment struct{ URL, Key secret.Text }

// TOTPState tells whether actor has a second factor.
func (s *Service) TOTPState(ctx context.Context, actor Actor) (TOTPState, error) {
	if err := actor.mayHaveTOTP(); err != nil {
		return TOTPState{}, err
	}
	kept, err := s.totpOf(ctx, actor.UserID)
	if err != nil || !kept.IsOn() {
		return TOTPState{}, err
	}
	return TOTPState{On: true, Since: kept.ConfirmedAt, RecoveryCodes: kept.RecoveryCodes}, nil
}

// BeginTOTP makes a key for actor. It is asked for from ConfirmTOTP on, within an
// hour; beginning again makes another key. A Conflict where it is on.
func (s *Service) BeginTOTP(ctx context.Context, actor Actor) (TOTPEnrolment, error) {
	if err := actor.mayHaveTOTP(); err != nil {
		return TOTPEnrolment{}, err
	}
	if s.sealer == nil {
		return TOTPEnrolment{}, fault.New(fault.Unavailable, "totp_unavailable", "this Fairlead keeps no keys of second factors")
	}
	switch kept, err := s.totpOf(ctx, actor.UserID); {
	case err != nil:
		return TOTPEnrolment{}, err
	case kept.IsOn():
		return TOTPEnrolment{}, ErrTOTPOn()
	}
	key, err := totp.Generate(totp.GenerateOpts{Issuer: totpIssuer, AccountName: actor.Username, Period: totpPeriod})
	if err != nil {
		return TOTPEnrolment{}, fmt.Errorf("making the key of a second factor: %w", err)
	}
	made := TOTPEnrolment{URL: secret.New(key.URL()), Key: secret.New(key.Secret())}
	fresh := TOTP{ID: uuid.NewString(), UserID: actor.UserID, CreatedAt: s.now()}
	defer s.sealing.Begin()()
	if fresh.Sealed, err = s.sealer.SealTOTP(made.Key, fresh.Place()); err != nil {
		return TOTPEnrolment{}, err
	}
	return made, s.store.BeginTOTP(ctx, fresh, s.event(actor, audit.TOTPBegin, 0, actor.UserID, actor.Username))
}

// ConfirmTOTP turns the second factor on, with a code of the key that BeginTOTP
// made, and returns the recovery codes, which are shown this once. Each stands
// in for a code, once. A wrong code is Invalid.
func (s *Service) ConfirmTOTP(ctx context.Context, actor Actor, code string) ([]secret.Text, error) {
	if err := actor.mayHaveTOTP(); err != nil {
		return nil, err
	}
	kept, err := s.totpOf(ctx, actor.UserID)
	now := s.now()
	switch {
	case err != nil:
		return nil, err
	case kept.IsOn():
		return nil, ErrTOTPOn()
	case kept.ID == "" || now.Sub(kept.CreatedAt) >= enrolLife:
		return nil, fault.New(fault.Conflict, "totp_not_begun", "there is no new key to confirm, or it is older than an hour").
			WithHint("Begin again: `fairlead totp enable`.")
	}
	step, err := s.stepOf(kept, normalCode(code), now)
	if err != nil {
		return nil, err
	}
	if step == 0 {
		return nil, fault.InvalidField("code", "code_refused", "this is not the code of the new key").
			WithHint("Enter the six digits that the app shows now, and check the clock of the phone.")
	}
	kept.ConfirmedAt, kept.LastStep = now, step
	codes, hashes := make([]secret.Text, codesCount), make([]string, codesCount)
	for i := range codes {
		codes[i] = newRecoveryCode()
		hashes[i] = hashRecoveryCode(actor.UserID, normalCode(codes[i].Reveal()))
	}
	return codes, s.store.ConfirmTOTP(ctx, kept, hashes, s.event(actor, audit.TOTPEnable, 0, actor.UserID, actor.Username))
}

// DisableTOTP turns actor's second factor off; it takes the password and a code,
// or a recovery code. Wrong ones are Invalid, and throttled like a sign-in.
func (s *Service) DisableTOTP(ctx context.Context, actor Actor, password secret.Text, code string) error {
	if err := actor.mayHaveTOTP(); err != nil {
		return err
	}
	attempt, err := s.throttle.admit(actor.Username, actor.Remote, s.now())
	if err != nil {
		return err
	}
	kept, err := s.totpOf(ctx, actor.UserID)
	if err == nil && !kept.IsOn() {
		err = errTOTPOff(actor.Username)
	}
	var hash string
	if err == nil {
		_, hash, err = s.store.UserByName(ctx, actor.Username)
	}
	if err != nil {
		attempt.withdraw()
		return err
	}
	event := s.event(actor, audit.TOTPDisable, 0, actor.UserID, actor.Username)
	if !s.passwords.Matches(hash, password) {
		return s.refuse(ctx, event,
			fault.InvalidField("password", "password_refused", "the password is wrong"))
	}
	factor, err := s.useCode(ctx, actor, kept, code)
	if err != nil {
		attempt.withdraw()
		return err
	}
	if factor == "" {
		return s.refuse(ctx, event,
			fault.InvalidField("code", "code_refused", "the code is wrong, or was used already"))
	}
	attempt.succeed(s.now())
	return s.store.DeleteTOTP(ctx, actor.UserID, event)
}

// ResetTOTP turns the second factor of another user off, who has neither the
// phone nor a recovery code; only an operator may.
func (s *Service) ResetTOTP(ctx context.Context, actor Actor, username string) error {
	if err := actor.MayOperate(); err != nil {
		return err
	}
	user, _, err := s.store.UserByName(ctx, username)
	if err != nil {
		return err
	}
	if user.ID == actor.UserID {
		return fault.New(fault.Denied, "totp_own", "nobody turns their own second factor off without a code").
			WithHint("Use `fairlead totp disable` with a code or a recovery code, or ask another operator.")
	}
	err = s.store.DeleteTOTP(ctx, user.ID, s.event(actor, audit.TOTPDisable, 0, user.ID, user.Username))
	if fault.Is(err, fault.NotFound) {
		return errTOTPOff(user.Username)
	}
	return err
}

func (a Actor) mayHaveTOTP() error {
	if a.UserID != "" {
		return nil
	}
	return fault.New(fault.Denied, "not_user", "only a user has a second factor")
}

// ErrTOTPOn is the Conflict where there is a second factor already.
func ErrTOTPOn() error {
	return fault.New(fault.Conflict, "totp_on", "the second factor is on already").
		WithHint("For another phone turn it off first: `fairlead totp disable`.")
}

func errTOTPOff(username string) error {
	return fault.New(fault.Conflict, "totp_off", "%s has no second factor", username).WithHint("`fairlead totp status` shows yours.")
}

// totpOf is a user's second factor; the zero TOTP where there is none.
func (s *Service) totpOf(ctx context.Context, userID string) (TOTP, error) {
	kept, err := s.store.TOTP(ctx, userID)
	if fault.Is(err, fault.NotFound) {
		return TOTP{}, nil
	}
	return kept, err
}

// What a second factor was shown with, for the audit trail.
const (
	factorTOTP     = "totp"
	factorRecovery = "recovery-code"
)

// useCode uses a code up and returns what it was; "" for one that is wrong, or
// was used before.
func (s *Service) useCode(ctx context.Context, actor Actor, kept TOTP, code string) (factor string, err error) {
	code = normalCode(code)
	if len(code) == codeLetters {
		err := s.store.UseRecoveryCode(ctx, actor.UserID, hashRecoveryCode(actor.UserID, code),
			s.event(actor, audit.TOTPRecover, 0, actor.UserID, actor.Username))
		if fault.Is(err, fault.NotFound) {
			return "", nil
		}
		return factorRecovery, err
	}
	step, err := s.stepOf(kept, code, s.now())
	if err != nil || step == 0 {
		return "", err
	}
	err = s.store.UseTOTPStep(ctx, kept.Place(), step)
	if fault.Is(err, fault.NotFound) {
		return "", nil
	}
	return factorTOTP, err
}

// stepOf is the time step whose code this is, among those that are good at now;
// 0 for none.
func (s *Service) stepOf(kept TOTP, code string, now time.Time) (int64, error) {
	if s.sealer == nil {
		return 0, fmt.Errorf("the second factor of %s: nothing opens its key", kept.UserID)
	}
	key, err := s.sealer.OpenTOTP(kept.Sealed, kept.Place())
	if err != nil {
		return 0, fmt.Errorf("opening the second factor of %s: %w", kept.UserID, err)
	}
	var found int64
	present := now.Unix() / totpPeriod
	for step := present - totpSkew; step <= present+totpSkew; step++ {
		want, err := hotp.GenerateCode(key.Reveal(), uint64(step))
		if err != nil {
			return 0, fmt.Errorf("the second factor of %s: %w", kept.UserID, err)
		}
		if subtle.ConstantTimeCompare([]byte(want), []byte(code)) == 1 && step > kept.LastStep {
			found = step
		}
	}
	return found, nil
}

// normalCode is a code without what people type around and between its letters;
// "" for what is none by its length.
func normalCode(text string) string {
	const most = 64
	if len(text) > most {
		return ""
	}
	return strings.ToLower(strings.Map(func(r rune) rune {
		if r == ' ' || r == '-' || r == '\t' {
			return -1
		}
		return r
	}, text))
}

func newRecoveryCode() secret.Text {
	random := make([]byte, codeBytes)
	_, _ = rand.Read(random) // never fails, see crypto/rand
	letters := strings.ToLower(base32.StdEncoding.EncodeToString(random))
	var groups []string
	for ; letters != ""; letters = letters[codeGroup:] {
		groups = append(groups, letters[:codeGroup])
	}
	return secret.New(strings.Join(groups, "-"))
}

// hashRecoveryCode is what a code is kept as: with whose it is, so that the same
// code of two users would not look the same.
func hashRecoveryCode(userID, code string) string {
	sum := sha256.Sum256([]byte(userID + "/" + code))
	return hex.EncodeToString(sum[:])
}

// resealBatch is how many rows are read at a time.
const resealBatch = 100

// Reseal seals every key of a second factor that another key than keyID sealed
// anew, a row at a time while the server is up, and returns how many there were.
// The sealer must seal with keyID.
func (s *Service) Reseal(ctx context.Context, keyID uint32) (int, error) {
	left := func(ctx context.Context) ([]KeptTOTP, error) { return s.store.TOTPKeysBefore(ctx, keyID, resealBatch) }
	return secret.Reseal(ctx, &s.sealing, left, func(ctx context.Context, old KeptTOTP) (bool, error) {
		plain, err := s.sealer.OpenTOTP(old.Sealed, old.Place)
		if err != nil {
			return false, fmt.Errorf("opening the second factor of %s: %w", old.Place.UserID, err)
		}
		fresh, err := s.sealer.SealTOTP(plain, old.Place)
		if err != nil {
			return false, err
		}
		if fresh.KeyID != keyID {
			return false, fmt.Errorf("sealing the second factor of %s: used key %d, not %d", old.Place.UserID, fresh.KeyID, keyID)
		}
		return s.store.ResealTOTP(ctx, old.Place, old.Sealed, fresh)
	})
}
