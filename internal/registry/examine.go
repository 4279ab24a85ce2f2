package registry

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/image"
)

// examinedMost bounds how many credentials are examined.
const examinedMost = 1000

// Everywhere are the first thousand credentials of the whole installation, those that are due to
// be checked first. Only an operator may.
func (s *Service) Everywhere(ctx context.Context, actor account.Actor) ([]Credential, error) {
	if err := actor.MayOperate(); err != nil {
		return nil, err
	}
	ever := s.now().AddDate(1000, 0, 0)
	return s.store.DueChecks(ctx, ever, examinedMost)
}

// Examine checks a credential of whatever organisation, as Check does. Only an
// operator may.
func (s *Service) Examine(ctx context.Context, actor account.Actor, credential Credential) (Credential, error) {
	if err := actor.MayOperate(); err != nil {
		return Credential{}, err
	}
	ctx, cancel := context.WithTimeout(ctx, examineMost)
	defer cancel()
	return s.check(ctx, actor, credential, image.Reference{}, nil)
}

// examineMost is how long one check may take.
const examineMost = 30 * time.Second
