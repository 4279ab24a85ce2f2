package registry

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
)

// CheckRequest says what is to be checked of a credential.
type CheckRequest struct {
	Kind     string
	Material Material
	Patterns []image.Pattern

	// Image is tried to be pulled, without downloading it; none where zero.
	Image image.Reference

	// Tell, where it is not nil, is called with each step as it is done.
	Tell func(CheckStep)
}

// Check is what the registry answered when it was asked what a credential is
// good for. It holds no secret.
type Check struct {
	// Version is the credential's when it was checked: a check of another
	// version says nothing of the present secret.
	Version int `json:"version"`

	At   time.Time     `json:"at"`
	Took time.Duration `json:"took"`

	Steps []CheckStep `json:"steps"`

	// Identity is who the registry says that the credential is.
	Identity string `json:"identity,omitempty"`

	// Repositories can be read and are covered by a pattern; Listed tells that
	// the registry has a list to ask.
	Repositories []string `json:"repositories,omitempty"`
	Listed       bool     `json:"listed,omitempty"`

	SecretExpiresAt time.Time  `json:"secret_expires_at,omitzero"`
	SecretCreatedAt time.Time  `json:"secret_created_at,omitzero"`
	RateLimit       *RateLimit `json:"rate_limit,omitempty"`
}

// RateLimit is how much a registry still gives to a credential.
type RateLimit struct {
	Limit     int           `json:"limit"`
	Remaining int           `json:"remaining"`
	Window    time.Duration `json:"window,omitempty"`
	Source    string        `json:"source,omitempty"`
}

// CheckStep is one question of a check and its answer.
type CheckStep struct {
	Question string        `json:"question"`
	Result   CheckResult   `json:"result"`
	Code     string        `json:"code,omitempty"`
	Sentence string        `json:"sentence"`
	Hint     string        `json:"hint,omitempty"`
	Policy   string        `json:"policy,omitempty"`
	Took     time.Duration `json:"took"`
}

// CheckResult is how a step came out.
type CheckResult string

// The results.
const (
	CheckPassed  CheckResult = "passed"
	CheckWarning CheckResult = "warning"
	CheckFailed  CheckResult = "failed"
	CheckUnknown CheckResult = "unknown"
)

// Failed is the first step that failed; false where none did.
func (c Check) Failed() (CheckStep, bool) { return c.first(CheckFailed) }

// Brief is what a State is made of and no more: the results without their words, each
// once.
func (c Check) Brief() Check {
	brief := Check{Version: c.Version, At: c.At, SecretExpiresAt: c.SecretExpiresAt}
	for _, step := range c.Steps {
		if _, known := brief.first(step.Result); !known {
			brief.Steps = append(brief.Steps, CheckStep{Result: step.Result})
		}
	}
	return brief
}

func (c Check) first(result CheckResult) (CheckStep, bool) {
	for _, step := range c.Steps {
		if step.Result == result {
			return step, true
		}
	}
	return CheckStep{}, false
}

// State is a credential's standing at a glance.
type State string

// The states.
const (
	StateUnchecked State = "unchecked" // never, or not since it was changed
	StateWorks     State = "works"
	StateWarning   State = "warning" // works, and something is unwise
	StateExpiring  State = "expiring"
	StateFails     State = "fails"
)

// soon is how long before its end a secret counts as expiring, so that there is
// time to make another.
const soon = 14 * 24 * time.Hour

// State is how the credential stands at a moment.
func (c Credential) State(now time.Time) State {
	ends := c.Ends()
	switch {
	case !ends.IsZero() && !now.Before(ends):
		return StateFails
	case c.Check == nil || c.Check.Version != c.Version:
		return StateUnchecked
	}
	if _, failed := c.Check.Failed(); failed {
		return StateFails
	}
	if !ends.IsZero() && ends.Sub(now) < soon {
		return StateExpiring
	}
	if _, warned := c.Check.first(CheckWarning); warned {
		return StateWarning
	}
	return StateWorks
}

// Ends is when the credential's secret ends: what the admin entered or what the
// last check found, whichever is earlier; zero: never, or not known.
func (c Credential) Ends() time.Time {
	if c.Check == nil || c.Check.Version != c.Version || c.Check.SecretExpiresAt.IsZero() {
		return c.ExpiresAt
	}
	if found := c.Check.SecretExpiresAt; c.ExpiresAt.IsZero() || found.Before(c.ExpiresAt) {
		return found
	}
	return c.ExpiresAt
}

// Check asks the registry now what a credential is good for, and keeps the
// answer with it. tell, where it is not nil, gets each step as it is done. A
// step that failed is no error; it is in the check.
func (s *Service) Check(ctx context.Context, actor account.Actor, id string, ref image.Reference, tell func(CheckStep)) (Credential, error) {
	credential, err := s.Get(ctx, actor, id)
	if err != nil {
		return Credential{}, err
	}
	return s.check(ctx, actor, credential, ref, tell)
}

func (s *Service) check(ctx context.Context, actor account.Actor, credential Credential, ref image.Reference, tell func(CheckStep)) (Credential, error) {
	material, err := s.Open(credential)
	if err != nil {
		return Credential{}, err
	}
	check, err := s.kinds.Check(ctx, CheckRequest{
		Kind: credential.Kind, Material: material, Patterns: credential.Patterns, Image: ref, Tell: tell,
	})
	if err != nil {
		return Credential{}, err
	}
	if ctx.Err() != nil {
		return Credential{}, ctx.Err() // what was broken off is no answer of the registry
	}
	return s.keepCheck(ctx, actor, credential, check)
}

// keepCheck stores what a check of the credential found.
func (s *Service) keepCheck(ctx context.Context, actor account.Actor, credential Credential, check Check) (Credential, error) {
	check.Version = credential.Version
	credential.Check = &check
	event := s.event(actor, audit.CredentialCheck, credential)
	if failed, any := check.Failed(); any {
		event.Result = failed.Code
	}
	return credential, s.store.SaveCheck(ctx, credential.ID, check, s.nextCheck(credential), event)
}

// Times of checks that nobody asked for.
const (
	checkEvery      = 24 * time.Hour
	checkFailed     = time.Hour       // after which one that failed is asked again
	checkMost       = 2 * time.Minute // for one check
	checksAtOnce    = 2
	checksBatch     = 20
	beforeEnd       = time.Hour
	checkSpreadPart = 10 // of checkEvery, so that a thousand credentials do not come due in one second
)

// nextCheck is when a credential that was just checked, or is not to be checked
// now, is checked again: within a day, and shortly before its end.
func (s *Service) nextCheck(credential Credential) time.Time {
	now := s.now()
	next := now.Add(checkEvery - rand.N(checkEvery/checkSpreadPart)) //nolint:gosec // chance that spreads checks is no secret
	if credential.State(now) == StateFails {
		next = now.Add(checkFailed)
	}
	if ends := credential.Ends(); !ends.IsZero() {
		if last := ends.Add(-beforeEnd); last.After(now) && last.Before(next) {
			next = last
		}
	}
	return next
}

// self is who does what nobody asked for.
var self = account.Actor{Username: "fairlead", Operator: true}

// CheckDue checks every credential of the installation whose time has come, a
// few at a time, and returns how many it checked. An error of one does not keep
// the others from being checked.
func (s *Service) CheckDue(ctx context.Context) (checked int, err error) {
	due, err := s.store.DueChecks(ctx, s.now(), checksBatch)
	if err != nil {
		return 0, err
	}
	var wait sync.WaitGroup
	turn := make(chan struct{}, checksAtOnce)
	errs := make([]error, len(due))
	for i, credential := range due {
		turn <- struct{}{}
		wait.Go(func() {
			defer func() { <-turn }()
			ctx, cancel := context.WithTimeout(ctx, checkMost)
			defer cancel()
			if _, err := s.check(ctx, self, credential, image.Reference{}, nil); err != nil {
				errs[i] = fmt.Errorf("checking %s: %w", credential.ID, err)
				errs[i] = errors.Join(errs[i], s.store.PostponeCheck(context.WithoutCancel(ctx), credential.ID, s.now().Add(checkFailed)))
			}
		})
	}
	wait.Wait()
	return len(due), errors.Join(errs...)
}

// checkNew checks a credential that was just made or changed, for the answer to
// whoever did it. That the check itself could not be made is no reason to take
// back the change: it is then unchecked, and comes due by itself.
func (s *Service) checkNew(ctx context.Context, actor account.Actor, credential Credential, skip bool, tell func(CheckStep)) (Credential, error) {
	if skip {
		return credential, s.store.PostponeCheck(ctx, credential.ID, s.nextCheck(credential))
	}
	ctx, cancel := context.WithTimeout(ctx, checkNewMost)
	defer cancel()
	checked, err := s.check(ctx, actor, credential, image.Reference{}, tell)
	if err != nil {
		return credential, nil // see above
	}
	return checked, nil
}

// checkDraft checks what is not saved yet, and refuses it where a step fails.
func (s *Service) checkDraft(ctx context.Context, draft Credential, material Material, tell func(CheckStep)) (*Check, error) {
	ctx, cancel := context.WithTimeout(ctx, checkMost)
	defer cancel()
	check, err := s.kinds.Check(ctx, CheckRequest{Kind: draft.Kind, Material: material, Patterns: draft.Patterns, Tell: tell})
	if err != nil {
		return nil, err
	}
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if failed, any := check.Failed(); any {
		return nil, fault.New(fault.Invalid, "check_failed", "nothing is saved: %s", failed.Sentence).WithHint("%s", failed.Hint)
	}
	return &check, nil
}

// checkSaved keeps the check that was made first of what is saved now, or checks it now.
func (s *Service) checkSaved(ctx context.Context, actor account.Actor, credential Credential, first *Check, skip bool, tell func(CheckStep)) (Credential, error) {
	if first != nil {
		return s.keepCheck(ctx, actor, credential, *first)
	}
	return s.checkNew(ctx, actor, credential, skip, tell)
}

// checkNewMost is how long whoever saves a credential waits for its check;
// clients of the API commonly give up after 30 seconds.
const checkNewMost = 20 * time.Second
