package app

import (
	"context"
	"errors"
	"strconv"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
	"fairlead.dev/fairlead/internal/project"
	"fairlead.dev/fairlead/internal/registry"
	"fairlead.dev/fairlead/internal/store"
	"fairlead.dev/fairlead/internal/vault"
	"fairlead.dev/fairlead/internal/wire"
)

// keys rotates the sealing keys while the server is up.
type keys struct {
	vault      *vault.Vault
	accounts   *account.Service
	federation *account.Federation
	registries *registry.Service
	projects   *project.Service
	channels   *notice.Service
	audit      audit.Store
	now        func() time.Time
}

// Rotate makes a new key, seals every secret anew with it and retires the old
// keys; only an operator may. Broken off at any point it can be called again. It
// leaves a row of the audit trail also where it failed with the new key made.
func (k keys) Rotate(ctx context.Context, actor account.Actor) (done wire.KeyRotation, err error) {
	if err := actor.MayOperate(); err != nil {
		return wire.KeyRotation{}, err
	}
	old, err := k.vault.KeyIDs()
	if err != nil {
		return wire.KeyRotation{}, err
	}
	if done.KeyID, err = k.vault.Rotate(); err != nil {
		return wire.KeyRotation{}, err
	}
	err = k.reseal(ctx, old, &done)
	event := audit.Event{
		Time: k.now(), Actor: actor.Name(), ActorID: actor.ID(), Remote: actor.Remote,
		Verb: audit.KeysRotate, Result: audit.ResultOK,
		Details: map[string]string{
			"key": strconv.FormatUint(uint64(done.KeyID), 10), "resealed": strconv.Itoa(done.Resealed), "retired": strconv.Itoa(done.Retired),
		},
	}
	if err != nil {
		event.Result = fault.From(err).Code
		done = wire.KeyRotation{}
	}
	// Who asked may be gone, and the new key is there.
	return done, errors.Join(err, k.audit.Record(context.WithoutCancel(ctx), event))
}

// reseal seals every secret anew and retires the old keys, and counts both as far
// as it gets.
func (k keys) reseal(ctx context.Context, old []uint32, done *wire.KeyRotation) error {
	for _, reseal := range []func(context.Context, uint32) (int, error){k.registries.Reseal, k.projects.Reseal, k.channels.Reseal, k.accounts.Reseal, k.federation.Reseal} {
		n, err := reseal(ctx, done.KeyID)
		done.Resealed += n
		if err != nil {
			return err
		}
	}
	for _, id := range old {
		if err := k.vault.Retire(id); err != nil {
			return err
		}
		done.Retired++
	}
	return nil
}

// requireKeys refuses to start where secrets are sealed with keys that the key
// file does not have.
func requireKeys(ctx context.Context, store *store.Store, v *vault.Vault) error {
	const look = 1000
	primary, err := v.PrimaryKeyID()
	if err != nil {
		return err
	}
	credentials, err := store.SealedBefore(ctx, primary, look)
	if err != nil {
		return err
	}
	projects, err := store.ProjectSecretsBefore(ctx, primary, look)
	if err != nil {
		return err
	}
	channels, err := store.ChannelSecretsBefore(ctx, primary, look)
	if err != nil {
		return err
	}
	factors, err := store.TOTPKeysBefore(ctx, primary, look)
	if err != nil {
		return err
	}
	sessions, err := store.RefreshSecretsBefore(ctx, primary, look)
	if err != nil {
		return err
	}
	var needed []uint32
	for _, kept := range credentials {
		needed = append(needed, kept.Sealed.KeyID)
	}
	for _, kept := range projects {
		needed = append(needed, kept.Sealed.KeyID)
	}
	for _, kept := range channels {
		needed = append(needed, kept.Sealed.KeyID)
	}
	for _, kept := range factors {
		needed = append(needed, kept.Sealed.KeyID)
	}
	for _, kept := range sessions {
		needed = append(needed, kept.Sealed.KeyID)
	}
	return v.Require(needed...)
}
