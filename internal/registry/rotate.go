package registry

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// Retired is a secret that another one has taken the place of. It is kept until
// no grant that it gave can be in use any more, and then forgotten.
type Retired struct {
	CredentialID string
	Version      int
	Config       map[string]string
	Sealed       Sealed

	// Until is when it is forgotten.
	Until time.Time

	// AtRegistry tells that it is then ended at the registry too, since
	// Fairlead had the registry make it, or the one after it.
	AtRegistry bool
}

// Rotation says what takes a secret's place. It is one of: New, the fields
// given; Renew, a secret that the registry makes; Back, the one that was
// replaced last and is still held.
type Rotation struct {
	New   *Material
	Renew bool
	Back  bool

	// SkipCheck uses the new secret though it was not checked.
	SkipCheck bool

	ExpiresAt *time.Time // nil: unknown
}

// Rotate replaces a credential's secret without a failed pull: the new one is
// checked first, and nothing changes if the registry does not accept it. The
// old one is held until the longest grant that it gave has ended. The error is
// an Invalid fault of code rotation_refused where the check failed, with what
// the registry said.
func (s *Service) Rotate(ctx context.Context, actor account.Actor, id string, rotation Rotation, tell func(CheckStep)) (Credential, []string, error) {
	current, err := s.Get(ctx, actor, id)
	if err != nil {
		return Credential{}, nil, err
	}
	old, err := s.Open(current)
	if err != nil {
		return Credential{}, nil, err
	}
	fresh, ends, err := s.successor(ctx, current, old, rotation)
	if err != nil {
		return Credential{}, nil, err
	}
	credential, warnings, err := s.replace(ctx, actor, current, fresh, ends, rotation, tell)
	if err != nil && rotation.Renew {
		// The key that the registry made is of no use to anybody.
		err = errors.Join(err, s.kinds.Retire(context.WithoutCancel(ctx), current.Kind, fresh, old))
	}
	return credential, warnings, err
}

// successor is the material that takes the old one's place, and whether the old
// secret is to be ended at the registry: Fairlead made the one after it there,
// or made the old one itself, and the one before it comes back.
func (s *Service) successor(ctx context.Context, current Credential, old Material, rotation Rotation) (_ Material, ends bool, _ error) {
	switch {
	case rotation.Renew && rotation.New == nil && !rotation.Back:
		fresh, err := s.kinds.Renew(ctx, current.Kind, old)
		return fresh, true, err
	case rotation.Back && rotation.New == nil && !rotation.Renew:
		held, err := s.store.Retired(ctx, current.ID)
		if err != nil {
			return Material{}, false, err
		}
		if len(held) == 0 {
			return Material{}, false, fault.InvalidField("back", "nothing_held", "no replaced secret of %s is held any more", current.Name).
				WithHint("Give the old secret itself: `fairlead registry rotate %s`.", current.ID)
		}
		back, err := s.openRetired(current, held[0])
		return back, held[0].AtRegistry, err
	case rotation.New != nil && !rotation.Renew && !rotation.Back:
		fresh := Material{Config: maps.Clone(old.Config), Secrets: maps.Clone(old.Secrets)}
		maps.Copy(fresh.Config, rotation.New.Config)
		maps.Copy(fresh.Secrets, rotation.New.Secrets)
		return fresh, false, nil
	default:
		return Material{}, false, fault.InvalidField("configuration", "rotation_what", "give either the new secret, or `renew`, or `back`")
	}
}

// replace checks fresh and puts it in the place of current's material, which
// ends at the registry too when it is forgotten, or not.
func (s *Service) replace(ctx context.Context, actor account.Actor, current Credential, fresh Material, ends bool, rotation Rotation, tell func(CheckStep)) (Credential, []string, error) {
	normalised, err := s.kinds.Normalise(current.Kind, patternTexts(current.Patterns), fresh)
	if err != nil {
		return Credential{}, nil, err
	}
	var check Check
	if !rotation.SkipCheck {
		check, err = s.kinds.Check(ctx, CheckRequest{
			Kind: current.Kind, Material: normalised.Material, Patterns: current.Patterns, Tell: tell,
		})
		if err != nil {
			return Credential{}, nil, err
		}
		if failed, any := check.Failed(); any {
			return Credential{}, nil, fault.InvalidField("configuration", "rotation_refused",
				"the new secret is not used, and nothing has changed: %s", failed.Sentence).WithHint("%s", failed.Hint)
		}
	}
	now := s.now()
	credential := current
	credential.Config = normalised.Material.Config
	credential.Version++
	credential.UpdatedAt = now
	credential.ExpiresAt = time.Time{}
	if rotation.ExpiresAt != nil {
		if err := s.validExpiry(*rotation.ExpiresAt); err != nil {
			return Credential{}, nil, err
		}
		credential.ExpiresAt = *rotation.ExpiresAt
	}
	retired := Retired{
		CredentialID: current.ID, Version: current.Version, Config: current.Config, Sealed: current.Sealed,
		Until: latest(current.GrantsUntil.Add(holdMargin), now.Add(holdLeast)), AtRegistry: ends,
	}
	if err := s.sealAnd(&credential, normalised.Material, func() error {
		return s.store.RotateCredential(ctx, credential, retired, s.event(actor, audit.CredentialRotate, credential))
	}); err != nil {
		return Credential{}, nil, err
	}
	if !rotation.SkipCheck {
		credential, err = s.keepCheck(ctx, actor, credential, check)
	}
	return credential, normalised.Warnings, err
}

// holdLeast is how long a replaced secret is held at least: an exchange with it
// may be under way. holdMargin is for clocks that differ.
const (
	holdLeast  = 5 * time.Minute
	holdMargin = time.Minute
)

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// Held are the replaced secrets of a credential that are not forgotten yet, the
// latest first.
func (s *Service) Held(ctx context.Context, credential Credential) ([]Retired, error) {
	return s.store.Retired(ctx, credential.ID)
}

// OpenHeld is the material that was replaced last, where it is held still. Only
// the broker may call it.
func (s *Service) OpenHeld(ctx context.Context, credential Credential) (material Material, version int, found bool, err error) {
	held, err := s.store.Retired(ctx, credential.ID)
	if err != nil || len(held) == 0 || held[0].Version != credential.Version-1 || !s.now().Before(held[0].Until) {
		return Material{}, 0, false, err
	}
	material, err = s.openRetired(credential, held[0])
	return material, held[0].Version, err == nil, err
}

func (s *Service) openRetired(credential Credential, held Retired) (Material, error) {
	credential.Version, credential.Sealed, credential.Config = held.Version, held.Sealed, held.Config
	return s.Open(credential)
}

// ForgetHeld forgets the replaced secrets whose time has come, and ends at the
// registry those that Fairlead had it replace. It returns how many it forgot;
// one that the registry could not end is tried again later.
func (s *Service) ForgetHeld(ctx context.Context) (forgotten int, err error) {
	due, err := s.store.DueRetired(ctx, s.now(), checksBatch)
	if err != nil {
		return 0, err
	}
	var errs []error
	for _, held := range due {
		if err := s.forget(ctx, held); err != nil {
			errs = append(errs, fmt.Errorf("forgetting a replaced secret of %s: %w", held.CredentialID, err))
			errs = append(errs, s.store.PostponeRetired(ctx, held.CredentialID, held.Version, s.now().Add(checkFailed)))
			continue
		}
		forgotten++
	}
	return forgotten, errors.Join(errs...)
}

func (s *Service) forget(ctx context.Context, held Retired) error {
	credential, err := s.store.CredentialByID(ctx, held.CredentialID)
	if err != nil {
		return err
	}
	if held.AtRegistry {
		old, err := s.openRetired(credential, held)
		if err != nil {
			return err
		}
		present, err := s.Open(credential)
		if err != nil {
			return err
		}
		if err := s.kinds.Retire(ctx, credential.Kind, old, present); err != nil {
			return err
		}
	}
	event := s.event(self, audit.CredentialForget, credential)
	event.Details["version"] = fmt.Sprint(held.Version)
	return s.store.ForgetRetired(ctx, held.CredentialID, held.Version, event)
}
