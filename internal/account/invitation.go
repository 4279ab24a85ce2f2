package account

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/google/uuid"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// Invitation lets whoever has its text become a member of an organisation, once.
// It is good until it is used or revoked, until its end, and for as long as who
// made it is an admin of the organisation.
type Invitation struct {
	ID           string // UUID
	Organization Organization

	// Email is whom it is for; "" where that was not said. Whoever has the text
	// may use it all the same.
	Email string
	Role  Role

	// InvitedBy and InvitedByID are the admin who made it.
	InvitedBy   string
	InvitedByID string

	CreatedAt time.Time
	ExpiresAt time.Time
}

// NewInvitation is what an invitation is made from.
type NewInvitation struct {
	Email string // "": for anybody who has the text
	Role  Role   // "": Member

	// Expires is when it ends, at most 30 days ahead; zero: in seven days.
	Expires time.Time
}

// Bounds of invitations: their life, and how many of one organisation may be open
// at once.
const (
	invitationLife     = 7 * 24 * time.Hour
	invitationLifeMost = 30 * 24 * time.Hour
	invitationsMost    = 200
)

const invitationPrefix = "fli_"

// InvitationStore keeps invitations by the hash of their text. One whose end is
// past, or whose maker is no longer an admin of the organisation, is as good as
// none: no method finds it.
type InvitationStore interface {
	// CreateInvitation is Exhausted where the organisation has most open ones. It
	// also removes those of all organisations that have ended.
	CreateInvitation(ctx context.Context, invitation Invitation, hash string, most int, event audit.Event) error
	InvitationByHash(ctx context.Context, hash string, at time.Time) (Invitation, error)

	// Invitations are the open ones of one organisation, newest first.
	Invitations(ctx context.Context, organizationID int64, at time.Time) ([]Invitation, error)
	DeleteInvitation(ctx context.Context, organizationID int64, id string, event audit.Event) error

	// AcceptInvitation uses the invitation up and makes the user, who is stored
	// first where newcomer is set, a member with its role. Who is a member already
	// is a Conflict, and the invitation stays good. Of many at once one gets
	// through.
	AcceptInvitation(ctx context.Context, hash string, at time.Time, user User, newcomer *Newcomer, events ...audit.Event) error
}

// Newcomer is what is stored with a user who is new.
type Newcomer struct{ PasswordHash string }

// Invite makes an invitation to the organisation; only its admins may. The text is
// returned once and kept nowhere.
func (s *Service) Invite(ctx context.Context, actor Actor, organization string, draft NewInvitation) (Invitation, secret.Text, error) {
	found, err := s.administered(ctx, actor, organization)
	if err != nil {
		return Invitation{}, secret.Text{}, err
	}
	now := s.now()
	role, roleErr := ParseRole(string(cmp.Or(draft.Role, Member)))
	if draft.Expires.IsZero() {
		draft.Expires = now.Add(invitationLife)
	}
	if err := fault.Join(validEmail(draft.Email), roleErr, validInvitationEnd(draft.Expires, now)); err != nil {
		return Invitation{}, secret.Text{}, err
	}
	invitation := Invitation{
		ID: uuid.NewString(), Organization: found, Email: draft.Email, Role: role,
		InvitedBy: actor.Username, InvitedByID: actor.UserID, CreatedAt: now, ExpiresAt: draft.Expires.UTC(),
	}
	text := newTokenText(invitationPrefix)
	err = s.store.CreateInvitation(ctx, invitation, HashToken(text), invitationsMost, s.invitationEvent(actor, audit.InvitationCreate, invitation))
	return invitation, text, err
}

// Invitations are the organisation's open ones, newest first; only its admins may
// see them.
func (s *Service) Invitations(ctx context.Context, actor Actor, organization string) ([]Invitation, error) {
	found, err := s.administered(ctx, actor, organization)
	if err != nil {
		return nil, err
	}
	return s.store.Invitations(ctx, found.ID, s.now())
}

// RevokeInvitation ends an open invitation; only the organisation's admins may.
func (s *Service) RevokeInvitation(ctx context.Context, actor Actor, organization, id string) error {
	open, err := s.Invitations(ctx, actor, organization)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(open, func(i Invitation) bool { return i.ID == id })
	if at < 0 {
		return fault.New(fault.NotFound, "invitation_unknown", "there is no open invitation %.80q", id).
			WithHint("`fairlead invitation list` shows an organisation's.")
	}
	return s.store.DeleteInvitation(ctx, open[at].Organization.ID, id, s.invitationEvent(actor, audit.InvitationRevoke, open[at]))
}

// Invitation is the one that a text stands for, for who is to decide whether to
// accept it. A text that is none, and one whose invitation was used or revoked or
// has ended, look the same: NotFound.
func (s *Service) Invitation(ctx context.Context, text secret.Text) (Invitation, error) {
	found, err := s.store.InvitationByHash(ctx, HashToken(text), s.now())
	return found, asNoInvitation(err)
}

// AcceptInvitation makes a user, who is no operator, and makes them a member. The
// user has the invitation's address where the draft has none. What Invitation
// does not find is NotFound, a name that is taken a Conflict; the invitation stays
// good then. remote is the address that the request came from.
func (s *Service) AcceptInvitation(ctx context.Context, text secret.Text, draft NewUser, remote string) (User, error) {
	// Before the password is hashed, so that nobody has the server work for nothing.
	invitation, err := s.Invitation(ctx, text)
	if err != nil {
		return User{}, err
	}
	hash, passwordErr := s.passwords.Hash(draft.Password)
	if err := fault.Join(validName("username", draft.Username), validEmail(draft.Email), passwordErr); err != nil {
		return User{}, err
	}
	user := User{
		ID: uuid.NewString(), Username: draft.Username, Email: cmp.Or(draft.Email, invitation.Email), CreatedAt: s.now(),
	}
	actor := Actor{UserID: user.ID, Username: user.Username, Remote: remote}
	created := s.event(actor, audit.UserCreate, 0, user.ID, user.Username)
	return user, s.join(ctx, actor, text, invitation, user, &Newcomer{PasswordHash: hash}, created)
}

// AcceptInvitationAs makes actor a member. Who is one already is a Conflict, and
// the invitation stays good for somebody else.
func (s *Service) AcceptInvitationAs(ctx context.Context, actor Actor, text secret.Text) (Membership, error) {
	user, err := s.Me(ctx, actor)
	if err != nil {
		return Membership{}, err
	}
	invitation, err := s.Invitation(ctx, text)
	if err != nil {
		return Membership{}, err
	}
	joined := Membership{Organization: invitation.Organization, UserID: user.ID, Username: user.Username, Role: invitation.Role}
	return joined, s.join(ctx, actor, text, invitation, user, nil)
}

func (s *Service) join(ctx context.Context, actor Actor, text secret.Text, invitation Invitation, user User, newcomer *Newcomer, events ...audit.Event) error {
	member := s.event(actor, audit.MemberSet, invitation.Organization.ID, user.ID, user.Username)
	member.Details = map[string]string{"role": string(invitation.Role), "invitation": invitation.ID}
	events = append(events, s.invitationEvent(actor, audit.InvitationAccept, invitation), member)
	err := s.store.AcceptInvitation(ctx, HashToken(text), s.now(), user, newcomer, events...)
	s.forget()
	return asNoInvitation(err)
}

// administered finds an organisation that actor administers.
func (s *Service) administered(ctx context.Context, actor Actor, organization string) (Organization, error) {
	found, err := s.Organization(ctx, actor, organization)
	if err != nil {
		return Organization{}, err
	}
	return found, actor.MayAdminister(found)
}

func (s *Service) invitationEvent(actor Actor, verb audit.Verb, invitation Invitation) audit.Event {
	event := s.event(actor, verb, invitation.Organization.ID, invitation.ID, invitation.Email)
	event.Details = map[string]string{"role": string(invitation.Role)}
	return event
}

// asNoInvitation gives every way of not being there the same words.
func asNoInvitation(err error) error {
	if !fault.Is(err, fault.NotFound) {
		return err
	}
	return fault.New(fault.NotFound, "invitation_unknown", "this invitation is not good: it was used or revoked, has expired, or is mistyped").
		WithHint("Ask whoever invited you for a new one.")
}

func validInvitationEnd(expires, now time.Time) error {
	switch {
	case !expires.After(now):
		return fault.InvalidField("expires_at", "past", "%s is in the past", expires.Format(time.RFC3339))
	case expires.After(now.Add(invitationLifeMost)):
		return fault.InvalidField("expires_at", "far", "%s is more than 30 days away", expires.Format(time.RFC3339)).
			WithHint("Invite anew later, or leave it out for seven days.")
	}
	return nil
}
