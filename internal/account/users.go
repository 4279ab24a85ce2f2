package account

import (
	"context"
	"strings"

	"fairlead.dev/fairlead/internal/fault"
)

// Bounds of a list of users.
const (
	usersDefault = 100
	usersMost    = 1000
)

// Users are those whose name begins with prefix, whatever its case, by name, and the
// count of all of them; only an operator may see them. limit 0 is 100, and the most
// is 1000.
func (s *Service) Users(ctx context.Context, actor Actor, prefix string, limit, offset int) ([]User, int, error) {
	if err := actor.MayOperate(); err != nil {
		return nil, 0, err
	}
	if limit <= 0 {
		limit = usersDefault
	}
	return s.store.Users(ctx, strings.ToLower(prefix), min(limit, usersMost), max(offset, 0))
}

// User is one, by name, with what there is of their second factor; only an operator
// may see them.
func (s *Service) User(ctx context.Context, actor Actor, username string) (User, TOTPState, error) {
	if err := actor.MayOperate(); err != nil {
		return User{}, TOTPState{}, err
	}
	user, _, err := s.store.UserByName(ctx, username)
	if fault.Is(err, fault.NotFound) {
		err = fault.New(fault.NotFound, "user_unknown", "there is no user %.80q", username).
			WithHint("An operator makes users with `fairlead user create`.")
	}
	if err != nil {
		return User{}, TOTPState{}, err
	}
	kept, err := s.totpOf(ctx, user.ID)
	if err != nil || !kept.IsOn() {
		return user, TOTPState{}, err
	}
	return user, TOTPState{On: true, Since: kept.ConfirmedAt, RecoveryCodes: kept.RecoveryCodes}, nil
}
