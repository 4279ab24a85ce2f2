package registry

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/image"
	"fairlead.dev/fairlead/internal/secret"
)

// Bounds of a credential, so that one row stays a row.
const (
	patternsMost = 1000
	nameMost     = 100
)

// Organizations finds organisations as an actor may see them; account.Service
// is one.
type Organizations interface {
	Organization(ctx context.Context, actor account.Actor, key string) (account.Organization, error)
	Organizations(ctx context.Context, actor account.Actor) ([]account.Membership, error)
}

// Service keeps an organisation's credentials. Only the organisation's admins
// may see or change them: a member is Denied, a stranger told NotFound. Make it
// with NewService; safe for concurrent use.
type Service struct {
	store         Store
	organizations Organizations
	kinds         Kinds
	sealer        Sealer
	now           func() time.Time

	sealing secret.Sealing
}

// NewService wires a service.
func NewService(store Store, organizations Organizations, kinds Kinds, sealer Sealer, now func() time.Time) *Service {
	return &Service{store: store, organizations: organizations, kinds: kinds, sealer: sealer, now: now}
}

// Draft is what a credential is made from. Name may be empty: then it is the
// first pattern. Organization is an id or a name.
type Draft struct {
	Organization string
	Name         string
	Kind         string
	Patterns     []string
	Material     Material
	ExpiresAt    time.Time

	// SkipCheck saves it without asking the registry.
	SkipCheck bool

	// CheckFirst saves it only if no step of its check fails. Otherwise nothing is
	// saved, and the error is an Invalid fault of code check_failed, with what the
	// registry said.
	CheckFirst bool

	// Tell, where it is not nil, is called with each step of the check as it is done.
	Tell func(CheckStep)
}

// Change is what to change of a credential; nil fields stay. New material
// replaces the fields that it names and keeps the others.
type Change struct {
	Name      *string
	Patterns  []string
	Material  *Material
	ExpiresAt *time.Time

	// SkipCheck saves it without asking the registry.
	SkipCheck bool

	// CheckFirst is a Draft's, for a change of patterns or material: another name must
	// not need a registry that answers.
	CheckFirst bool

	// Tell, where it is not nil, is called with each step of the check as it is done.
	Tell func(CheckStep)
}

// Kinds are the kinds of credential that there are.
func (s *Service) Kinds() []Kind { return s.kinds.Describe() }

// Paste finds a kind's fields in what its cloud gives in one piece. The error is an
// Invalid fault of the field pasted, and repeats nothing of the text.
func (s *Service) Paste(kind string, text secret.Text) (Pasted, error) {
	return s.kinds.Paste(kind, text)
}

// Policy is the least rights that a credential of that kind needs for the patterns,
// to paste at the registry before there is a secret; "" where nothing is to be said,
// as of patterns that are none.
func (s *Service) Policy(kind string, config map[string]string, patterns []string) string {
	parsed, err := parsePatterns(patterns)
	if err != nil {
		return ""
	}
	return s.kinds.Policy(kind, config, parsed)
}

// MayManage says whether actor may see and change the organisation's credentials: nil,
// or the fault that any of the other methods would give.
func (s *Service) MayManage(ctx context.Context, actor account.Actor, organization string) error {
	_, err := s.administered(ctx, actor, organization)
	return err
}

// Create registers a credential and returns it with warnings for the admin.
func (s *Service) Create(ctx context.Context, actor account.Actor, draft Draft) (Credential, []string, error) {
	organization, err := s.administered(ctx, actor, draft.Organization)
	if err != nil {
		return Credential{}, nil, err
	}
	patterns, patternErr := parsePatterns(draft.Patterns)
	if strings.TrimSpace(draft.Name) == "" && len(patterns) > 0 {
		draft.Name = patterns[0].String()
	}
	normalised, kindErr := s.kinds.Normalise(draft.Kind, draft.Patterns, draft.Material)
	if err := fault.Join(validName(draft.Name), patternErr, s.validExpiry(draft.ExpiresAt), kindErr); err != nil {
		return Credential{}, nil, err
	}
	now := s.now()
	credential := Credential{
		ID: uuid.NewString(), OrganizationID: organization.ID, Name: draft.Name,
		Kind: normalised.Kind, Patterns: patterns, Config: normalised.Material.Config,
		Version: 1, CreatedAt: now, UpdatedAt: now, ExpiresAt: draft.ExpiresAt,
	}
	var first *Check
	if draft.CheckFirst && !draft.SkipCheck {
		if first, err = s.checkDraft(ctx, credential, normalised.Material, draft.Tell); err != nil {
			return Credential{}, nil, err
		}
	}
	if err := s.sealAnd(&credential, normalised.Material, func() error {
		return s.store.CreateCredential(ctx, credential, s.event(actor, audit.CredentialCreate, credential))
	}); err != nil {
		return Credential{}, nil, err
	}
	credential, err = s.checkSaved(ctx, actor, credential, first, draft.SkipCheck, draft.Tell)
	return credential, normalised.Warnings, err
}

// sealAnd seals the material for the credential and has it stored.
func (s *Service) sealAnd(credential *Credential, material Material, store func() error) (err error) {
	defer s.sealing.Begin()()
	if credential.Sealed, err = s.sealer.Seal(material, credential.Place()); err != nil {
		return err
	}
	return store()
}

// List are the credentials of all organisations that actor administers, or of
// one, where organization is not empty; oldest first. A member of no
// administered organisation is Denied.
func (s *Service) List(ctx context.Context, actor account.Actor, organization string) ([]Credential, error) {
	if organization != "" {
		found, err := s.administered(ctx, actor, organization)
		if err != nil {
			return nil, err
		}
		return s.store.Credentials(ctx, found.ID)
	}
	memberships, err := s.organizations.Organizations(ctx, actor)
	if err != nil {
		return nil, err
	}
	var all []Credential
	denied := error(nil)
	administers := false
	for _, membership := range memberships {
		if err := actor.MayAdminister(membership.Organization); err != nil {
			denied = err
			continue
		}
		administers = true
		credentials, err := s.store.Credentials(ctx, membership.Organization.ID)
		if err != nil {
			return nil, err
		}
		all = append(all, credentials...)
	}
	if !administers && denied != nil {
		return nil, denied
	}
	return all, nil
}

// Get finds a credential by id. It tells a member that it is there and may not
// be seen, and a stranger nothing.
func (s *Service) Get(ctx context.Context, actor account.Actor, id string) (Credential, error) {
	credential, err := s.store.CredentialByID(ctx, id)
	if fault.Is(err, fault.NotFound) || err == nil && !actor.IsMember(credential.OrganizationID) {
		return Credential{}, fault.New(fault.NotFound, "credential_unknown", "there is no registry credential %.80q, or none that you may see", id).
			WithHint("`fairlead registry list` shows yours.")
	}
	if err != nil {
		return Credential{}, err
	}
	organization, err := s.organizations.Organization(ctx, actor, fmt.Sprint(credential.OrganizationID))
	if err != nil {
		return Credential{}, err
	}
	if err := actor.MayAdminister(organization); err != nil {
		return Credential{}, err
	}
	return credential, nil
}

// Update changes a credential and returns it with warnings for the admin. A
// change that clashes with another one under way is a Conflict.
func (s *Service) Update(ctx context.Context, actor account.Actor, id string, change Change) (Credential, []string, error) {
	credential, err := s.Get(ctx, actor, id)
	if err != nil {
		return Credential{}, nil, err
	}
	before := credential.Patterns
	var errs []error
	if change.Name != nil {
		credential.Name = strings.TrimSpace(*change.Name)
		errs = append(errs, validName(credential.Name))
		if credential.Name == "" {
			errs = append(errs, fault.InvalidField("name", "blank", "must not be empty"))
		}
	}
	if change.Patterns != nil {
		patterns, err := parsePatterns(change.Patterns)
		credential.Patterns = patterns
		errs = append(errs, err)
	}
	if change.ExpiresAt != nil {
		credential.ExpiresAt = *change.ExpiresAt
		errs = append(errs, s.validExpiry(credential.ExpiresAt))
	}
	if err := fault.Join(errs...); err != nil {
		return Credential{}, nil, err
	}
	normalised, err := s.changedMaterial(credential, change.Material)
	if err != nil {
		return Credential{}, nil, err
	}
	var first *Check
	if change.CheckFirst && !change.SkipCheck && (change.Material != nil || !slices.Equal(before, credential.Patterns)) {
		if first, err = s.checkDraft(ctx, credential, normalised.Material, change.Tell); err != nil {
			return Credential{}, nil, err
		}
	}
	previous := credential.Version
	credential.Config = normalised.Material.Config
	credential.Version++
	credential.UpdatedAt = s.now()
	if err := s.sealAnd(&credential, normalised.Material, func() error {
		return s.store.UpdateCredential(ctx, credential, previous, s.event(actor, audit.CredentialUpdate, credential))
	}); err != nil {
		return Credential{}, nil, err
	}
	credential, err = s.checkSaved(ctx, actor, credential, first, change.SkipCheck, change.Tell)
	return credential, normalised.Warnings, err
}

// changedMaterial lays the new fields over the old ones.
func (s *Service) changedMaterial(credential Credential, change *Material) (Normalised, error) {
	material, err := s.Open(credential)
	if err != nil {
		return Normalised{}, err
	}
	if change != nil {
		maps.Copy(material.Config, change.Config)
		maps.Copy(material.Secrets, change.Secrets)
	}
	return s.kinds.Normalise(credential.Kind, patternTexts(credential.Patterns), material)
}

// Delete forgets a credential; grants that it gave stay good until they end.
func (s *Service) Delete(ctx context.Context, actor account.Actor, id string) error {
	credential, err := s.Get(ctx, actor, id)
	if err != nil {
		return err
	}
	return s.store.DeleteCredential(ctx, id, s.event(actor, audit.CredentialDelete, credential))
}

// administered finds the organisation and says whether actor may manage its
// credentials. Without a key it is the only one that actor administers.
func (s *Service) administered(ctx context.Context, actor account.Actor, key string) (account.Organization, error) {
	if key == "" {
		return s.onlyAdministered(ctx, actor)
	}
	organization, err := s.organizations.Organization(ctx, actor, key)
	if err != nil {
		return account.Organization{}, err
	}
	return organization, actor.MayAdminister(organization)
}

func (s *Service) onlyAdministered(ctx context.Context, actor account.Actor) (account.Organization, error) {
	memberships, err := s.organizations.Organizations(ctx, actor)
	if err != nil {
		return account.Organization{}, err
	}
	return actor.OnlyAdministered(memberships)
}

func (s *Service) event(actor account.Actor, verb audit.Verb, credential Credential) audit.Event {
	return audit.Event{
		Time: s.now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: verb, Result: audit.ResultOK, OrganizationID: credential.OrganizationID,
		ObjectID: credential.ID, ObjectName: credential.Name,
		Details: map[string]string{
			"kind": credential.Kind, "patterns": strings.Join(patternTexts(credential.Patterns), " "),
			"version": fmt.Sprint(credential.Version),
		},
	}
}

func (s *Service) validExpiry(expires time.Time) error {
	if expires.IsZero() || expires.After(s.now()) {
		return nil
	}
	return fault.InvalidField("expires_at", "past", "%s is in the past", expires.Format(time.RFC3339))
}

func parsePatterns(texts []string) ([]image.Pattern, error) {
	if len(texts) == 0 {
		return nil, fault.InvalidField("image_patterns", "blank", "say at least one pattern, such as ghcr.io/acme/*")
	}
	if len(texts) > patternsMost {
		return nil, fault.InvalidField("image_patterns", "many", "%d patterns; at most %d", len(texts), patternsMost)
	}
	patterns := make([]image.Pattern, 0, len(texts))
	var errs []error
	for _, text := range texts {
		pattern, err := image.ParsePattern(text)
		errs = append(errs, err)
		if err == nil && !slices.ContainsFunc(patterns, func(p image.Pattern) bool { return p.String() == pattern.String() }) {
			patterns = append(patterns, pattern)
		}
	}
	return patterns, fault.Join(errs...)
}

func patternTexts(patterns []image.Pattern) []string {
	texts := make([]string, len(patterns))
	for i, pattern := range patterns {
		texts[i] = pattern.String()
	}
	return texts
}

func validName(name string) error {
	switch {
	case len(name) > nameMost:
		return fault.InvalidField("name", "long", "has %d bytes; at most %d", len(name), nameMost)
	case strings.ContainsFunc(name, func(r rune) bool { return r < ' ' || r == 0x7f }):
		return fault.InvalidField("name", "control", "%q holds a control character", name)
	}
	return nil
}
