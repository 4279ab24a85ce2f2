package account

import (
	"context"
	"strings"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// Identities are those that a user signs in with, oldest first: one's own, or as
// an operator anybody's.
func (f *Federation) Identities(ctx context.Context, actor Actor, username string) ([]Identity, error) {
	user, err := f.owner(ctx, actor, username)
	if err != nil {
		return nil, err
	}
	return f.Accounts.store.Identities(ctx, user.ID)
}

// LinkIdentity has a subject of a provider be a user who is there already; only
// an operator may, since no provider was asked. One that is anybody's is a
// Conflict.
func (f *Federation) LinkIdentity(ctx context.Context, actor Actor, username, issuer, subject string) error {
	if err := actor.MayOperate(); err != nil {
		return err
	}
	if err := fault.Join(validIdentity("issuer", issuer), validIdentity("subject", subject)); err != nil {
		return err
	}
	user, err := f.owner(ctx, actor, username)
	if err != nil {
		return err
	}
	return f.link(ctx, actor, user, External{Issuer: issuer, Subject: subject})
}

// LinkOwn has who was answered for just now be actor, who asked for it while
// signed in. One that is somebody else's is a Conflict; one's own already is
// fine.
func (f *Federation) LinkOwn(ctx context.Context, actor Actor, in External) error {
	user, err := f.Accounts.Me(ctx, actor)
	if err != nil {
		return err
	}
	identity, err := f.Accounts.store.Identity(ctx, in.Issuer, in.Subject)
	if err == nil && identity.UserID == user.ID {
		return nil
	}
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	return f.link(ctx, actor, user, in)
}

func (f *Federation) link(ctx context.Context, actor Actor, user User, in External) error {
	event := f.Accounts.event(actor, audit.IdentityLink, 0, user.ID, user.Username)
	event.Details = map[string]string{"issuer": in.Issuer, "subject": in.Subject}
	err := f.Accounts.store.LinkIdentity(ctx, f.identity(in, user.ID), event)
	if fault.Is(err, fault.Conflict) {
		err = fault.New(fault.Conflict, "identity_taken", "this identity of the provider is another user here").
			WithHint("An operator takes it from that user first, or you sign in as that one.").WithCause(err)
	}
	return err
}

// UnlinkIdentity takes an identity from a user, and ends its sessions: one's own,
// or as an operator anybody's. The user stays, with a password if there is one.
// Who comes with the identity again is a new user.
func (f *Federation) UnlinkIdentity(ctx context.Context, actor Actor, username, issuer, subject string) error {
	user, err := f.owner(ctx, actor, username)
	if err != nil {
		return err
	}
	event := f.Accounts.event(actor, audit.IdentityUnlink, 0, user.ID, user.Username)
	event.Details = map[string]string{"issuer": issuer, "subject": subject}
	defer f.Accounts.forget()
	return f.Accounts.store.UnlinkIdentity(ctx, user.ID, issuer, subject, event)
}

// owner is the user whose identities actor may see and change.
func (f *Federation) owner(ctx context.Context, actor Actor, username string) (User, error) {
	if actor.UserID == "" || !strings.EqualFold(username, actor.Username) {
		if err := actor.MayOperate(); err != nil {
			return User{}, err
		}
	}
	user, _, err := f.Accounts.store.UserByName(ctx, username)
	return user, err
}

func validIdentity(field, text string) error {
	const most = 1024
	if text == "" || len(text) > most || strings.ContainsAny(text, "\r\n\x00") {
		return fault.InvalidField(field, "identity", "has 1 to %d bytes in one line", most)
	}
	return nil
}
