package account

import (
	"context"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// SignIn is what somebody shows to sign in.
type SignIn struct {
	Username string
	Password secret.Text

	// Code is of the second factor, or a recovery code; "" where none was asked
	// for yet.
	Code string

	// Agent is what the browser says that it is, and Remote the address that
	// the request came from.
	Agent, Remote string
}

// prove finds the user whose password was shown, and whose second factor where
// they have one, as what comes back beside them. The codes of its faults are
// sign_in_refused, code_required for a right password without a code,
// code_refused, and sign_in_throttled; see throttle for how often it may be
// tried.
func (s *Service) prove(ctx context.Context, in SignIn) (user User, factor string, err error) {
	attempt, err := s.throttle.admit(in.Username, in.Remote, s.now())
	if err != nil {
		return User{}, "", err
	}
	user, hash, err := s.store.UserByName(ctx, in.Username)
	if err != nil && !fault.Is(err, fault.NotFound) {
		attempt.withdraw()
		return User{}, "", err
	}
	// Of a user who is not there the name is not written down: people type
	// passwords there.
	event := s.event(Actor{Remote: in.Remote}, audit.UserSignIn, 0, user.ID, user.Username)
	if !s.passwords.Matches(hash, in.Password) {
		return User{}, "", s.refuse(ctx, event,
			fault.New(fault.Unauthenticated, "sign_in_refused", "the user name or the password is wrong"))
	}
	kept, err := s.totpOf(ctx, user.ID)
	if err == nil && kept.IsOn() && in.Code == "" {
		err = fault.New(fault.Unauthenticated, "code_required", "this user has a second factor: its code is needed as well").
			WithHint("Enter the code that the app shows, or a recovery code.")
	}
	if err == nil && kept.IsOn() {
		factor, err = s.useCode(ctx, Actor{UserID: user.ID, Username: user.Username, Remote: in.Remote}, kept, in.Code)
	}
	if err != nil {
		attempt.withdraw()
		return User{}, "", err
	}
	if kept.IsOn() && factor == "" {
		return User{}, "", s.refuse(ctx, event,
			fault.New(fault.Unauthenticated, "code_refused", "the code is wrong, or was used already").
				WithHint("Enter the code that the app shows now, or a recovery code; each is good once."))
	}
	if s.operatorsOnly && !user.Operator {
		attempt.withdraw()
		return User{}, "", s.refuse(ctx, event, fault.New(fault.Denied, "password_sign_in_off", "passwords are for operators alone here").
			WithHint("Sign in with the provider, in a browser; a token for programs is made there."))
	}
	attempt.succeed(s.now())
	return user, factor, nil
}

// ChangePassword replaces actor's own password, for who shows the one that it was,
// and ends their other sessions: a browser that was left open is not enough to take
// an account over. A wrong one is Invalid, and throttled like a sign-in.
func (s *Service) ChangePassword(ctx context.Context, actor Actor, current, fresh secret.Text) error {
	if actor.UserID == "" {
		return fault.New(fault.Denied, "not_user", "only a user has a password")
	}
	attempt, err := s.throttle.admit(actor.Username, actor.Remote, s.now())
	if err != nil {
		return err
	}
	user, hash, err := s.store.UserByName(ctx, actor.Username)
	if err != nil {
		attempt.withdraw()
		return err
	}
	if !s.passwords.Matches(hash, current) {
		return s.refuse(ctx, s.event(actor, audit.UserPassword, 0, user.ID, user.Username), fault.InvalidField("current_password", "password_refused", "the password is wrong"))
	}
	attempt.withdraw() // it is right, and no sign-in
	return s.setPassword(ctx, actor, actor.Username, fresh, true)
}

// refuse writes down that it was refused, and returns the refusal.
func (s *Service) refuse(ctx context.Context, event audit.Event, refusal *fault.Error) error {
	event.Result = refusal.Code
	if err := s.store.Record(ctx, event); err != nil {
		return err
	}
	return refusal
}

// withFactor notes with what a second factor was shown.
func withFactor(event audit.Event, factor string) audit.Event {
	if factor != "" {
		event.Details = map[string]string{"second_factor": factor}
	}
	return event
}
