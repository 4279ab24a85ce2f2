package account

import (
	"context"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// prove finds the user whose password was shown. See throttle for how often it
// may be tried.
func (s *Service) prove(ctx context.Context, in SignIn) (User, error) {
	attempt, err := s.throttle.admit(in.Username, in.Remote, s.now())
	if err != nil {
		return User{}, err
	}
	user, hash, err := s.store.UserByName(ctx, in.Username)
	if err != nil && !fault.Is(err, fault.NotFound) {
		attempt.withdraw()
		return User{}, err
	}
	if !s.passwords.Matches(hash, in.Password) {
		refusal := fault.New(fault.Unauthenticated, "sign_in_refused", "the user name or the password is wrong")
		return User{}, s.refuse(ctx, user, in.Remote, refusal)
	}
	attempt.succeed(s.now())
	return user, nil
}

// refuse writes down that a sign-in was refused, and returns the refusal. Of a
// user who is not there the name is not written: people type passwords there.
func (s *Service) refuse(ctx context.Context, user User, remote string, refusal *fault.Error) error {
	event := s.event(Actor{Remote: remote}, audit.UserSignIn, 0, user.ID, user.Username)
	event.Result = refusal.Code
	if err := s.store.Record(ctx, event); err != nil {
		return err
	}
	return refusal
}
