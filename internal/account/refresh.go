package account

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/secret"
)

// RefreshPlace is what a sealed refresh token is bound to.
type RefreshPlace struct {
	SessionID string
	Version   int
}

// SealedRefresh is a refresh token at rest.
type SealedRefresh struct {
	KeyID uint32
	Bytes []byte
}

// KeptRefresh is a sealed refresh token and where it belongs.
type KeptRefresh struct {
	Place  RefreshPlace
	Sealed SealedRefresh
}

// RefreshSealer seals refresh tokens at rest. OpenRefresh fails for bytes that
// were sealed for another place.
type RefreshSealer interface {
	SealRefresh(plain secret.Text, place RefreshPlace) (SealedRefresh, error)
	OpenRefresh(sealed SealedRefresh, place RefreshPlace) (secret.Text, error)
}

// Place is where the session's refresh token belongs.
func (s ExternalSession) Place() RefreshPlace {
	return RefreshPlace{SessionID: s.SessionID, Version: s.Version}
}

// Refreshed is what a provider says of a session that goes on.
type Refreshed struct {
	Subject      string // "": it does not say
	RefreshToken secret.Text
}

// Times of asking a provider about its sessions.
const (
	refreshEvery = time.Hour
	refreshAgain = 5 * time.Minute // after it was away, or this process died while it asked
	awayMost     = 24 * time.Hour
	refreshBatch = 100
)

// refreshAfter is about an hour, so that those who came together do not ask
// together.
func refreshAfter() time.Duration {
	return refreshEvery - refreshEvery/10 + rand.N(refreshEvery/5) //nolint:gosec // it spreads requests, and guards nothing
}

// RefreshDue asks the provider about every session whose time has come, with
// refresh, and returns how many it asked about. refresh tells with an
// Unauthenticated fault that the provider ended the session, which ends here too;
// with any other error that it could not be asked: then it is tried again, with
// the refresh token that came beside the error if one did, and the session ends
// when it has been so for a day.
func (f *Federation) RefreshDue(ctx context.Context, refresh func(ctx context.Context, token secret.Text) (Refreshed, error)) (int, error) {
	asked := 0
	var errs []error
	for {
		due, err := f.Accounts.store.DueExternalSessions(ctx, f.Accounts.now(), refreshBatch)
		if err != nil || len(due) == 0 {
			return asked, errors.Join(append(errs, err)...)
		}
		for _, session := range due {
			again := f.Accounts.now().Add(refreshAgain)
			session, mine, err := f.Accounts.store.AttemptRefresh(ctx, session.SessionID, session.RefreshAt, again)
			if err != nil {
				return asked, errors.Join(append(errs, err)...)
			}
			if !mine { // another was faster, or it has ended
				continue
			}
			asked++
			if err := f.refresh(ctx, session, refresh); err != nil {
				if ctx.Err() != nil {
					return asked, ctx.Err()
				}
				errs = append(errs, err)
			}
		}
	}
}

// refresh asks about one session. The error is of what went wrong here.
func (f *Federation) refresh(ctx context.Context, session ExternalSession, refresh func(context.Context, secret.Text) (Refreshed, error)) error {
	token, err := f.Sealer.OpenRefresh(session.Sealed, session.Place())
	if err != nil {
		err = fmt.Errorf("opening the refresh token of the session %s: %w", session.SessionID, err)
		_, endErr := f.end(ctx, session, "seal_broken")
		return errors.Join(err, endErr)
	}
	got, err := refresh(ctx, token)
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case fault.Is(err, fault.Unauthenticated):
		_, err := f.end(ctx, session, fault.From(err).Code)
		return err
	case err != nil:
		return f.away(ctx, session, got.RefreshToken)
	case got.Subject != "" && got.Subject != session.Subject:
		_, err := f.end(ctx, session, "subject_changed")
		return err
	}
	session.RefreshAt, session.AwaySince = f.Accounts.now().Add(refreshAfter()), time.Time{}
	return f.conclude(ctx, session, got.RefreshToken)
}

// away notes that the provider could not be asked, and ends what it could not be
// asked about for too long.
func (f *Federation) away(ctx context.Context, session ExternalSession, next secret.Text) error {
	now := f.Accounts.now()
	if session.AwaySince.IsZero() {
		session.AwaySince = now
	}
	if now.Sub(session.AwaySince) >= awayMost {
		_, err := f.end(ctx, session, "provider_away")
		return err
	}
	return f.conclude(ctx, session, next)
}

// conclude keeps what came of asking, and what to ask with next; empty: the same
// as before.
func (f *Federation) conclude(ctx context.Context, session ExternalSession, next secret.Text) (err error) {
	defer f.sealing.Begin()()
	if !next.IsEmpty() {
		session.Version++
		if session.Sealed, err = f.Sealer.SealRefresh(next, session.Place()); err != nil {
			return err
		}
	}
	err = f.Accounts.store.ConcludeRefresh(ctx, session)
	if fault.Is(err, fault.NotFound) { // it ended meanwhile
		return nil
	}
	return err
}

// Reseal seals every refresh token that another key than keyID sealed anew, a row
// at a time while the server is up, and returns how many there were. The sealer
// must seal with keyID.
func (f *Federation) Reseal(ctx context.Context, keyID uint32) (int, error) {
	left := func(ctx context.Context) ([]KeptRefresh, error) {
		return f.Accounts.store.RefreshSecretsBefore(ctx, keyID, refreshBatch)
	}
	return secret.Reseal(ctx, &f.sealing, left, func(ctx context.Context, old KeptRefresh) (bool, error) {
		plain, err := f.Sealer.OpenRefresh(old.Sealed, old.Place)
		if err != nil {
			return false, fmt.Errorf("opening the refresh token of the session %s: %w", old.Place.SessionID, err)
		}
		fresh, err := f.Sealer.SealRefresh(plain, old.Place)
		if err != nil {
			return false, err
		}
		if fresh.KeyID != keyID {
			return false, fmt.Errorf("sealing the refresh token of the session %s: used key %d, not %d", old.Place.SessionID, fresh.KeyID, keyID)
		}
		return f.Accounts.store.ResealRefreshSecret(ctx, old.Place, old.Sealed, fresh)
	})
}
