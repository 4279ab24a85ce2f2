package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

var deviceNoun = noun{"device", "machine that waits", "`fairlead login` begins a sign-in."}

// selectDevice lists a machine's request as scanDevice reads it.
const selectDevice = `SELECT name, remote, created_at, expires_at, state, COALESCE(user_id, '') FROM device_logins`

func scanDevice(row scanner) (d account.DeviceLogin, err error) {
	err = row.Scan(&d.Name, &d.Remote, instant{&d.CreatedAt}, instant{&d.ExpiresAt}, &d.State, &d.UserID)
	return d, err
}

// CreateDeviceLogin implements account.DeviceStore.
func (s *Store) CreateDeviceLogin(ctx context.Context, login account.DeviceLogin, hashes account.DeviceHashes, network string, ofNetwork, most int) error {
	return s.write(ctx, deviceNoun.named(login.Name), func(ctx context.Context, tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM device_logins WHERE expires_at <= $1`, micros(login.CreatedAt)); err != nil {
			return err
		}
		var here, all int
		err := tx.row(ctx, `SELECT (SELECT count(*) FROM device_logins WHERE network = $1), (SELECT count(*) FROM device_logins)`, network).
			Scan(&here, &all)
		if err != nil {
			return err
		}
		if here >= ofNetwork || all >= most {
			return fault.New(fault.Exhausted, "device_requests_many", "too many machines wait to be signed in").
				WithHint("Try again in a few minutes, or use `fairlead login --username NAME`.").WithRetryAfter(time.Minute)
		}
		_, err = tx.exec(ctx, `
			INSERT INTO device_logins (hash, user_hash, name, remote, network, created_at, expires_at, state)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8)`,
			hashes.Device, hashes.User, login.Name, login.Remote, network, micros(login.CreatedAt), micros(login.ExpiresAt), string(login.State))
		return err
	})
}

// DeviceLoginByUserCode implements account.DeviceStore.
func (s *Store) DeviceLoginByUserCode(ctx context.Context, userHash string, at time.Time) (login account.DeviceLogin, err error) {
	err = s.read(ctx, deviceNoun.named("with that code"), func(r runner) error {
		login, err = scanDevice(r.row(ctx, selectDevice+` WHERE user_hash = $1 AND state = $2 AND expires_at > $3`,
			userHash, string(account.DeviceWaiting), micros(at)))
		return err
	})
	return login, err
}

// DeviceLoginByCode implements account.DeviceStore.
func (s *Store) DeviceLoginByCode(ctx context.Context, hash string, at time.Time) (login account.DeviceLogin, err error) {
	err = s.read(ctx, deviceNoun.named("with that code"), func(r runner) error {
		login, err = scanDevice(r.row(ctx, selectDevice+` WHERE hash = $1 AND expires_at > $2`, hash, micros(at)))
		return err
	})
	return login, err
}

// DecideDeviceLogin implements account.DeviceStore.
func (s *Store) DecideDeviceLogin(ctx context.Context, userHash string, at time.Time, state account.DeviceState, userID string, event audit.Event) error {
	return s.write(ctx, deviceNoun.named("with that code"), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `
			UPDATE device_logins SET state = $1, user_id = $2 WHERE user_hash = $3 AND state = $4 AND expires_at > $5`,
			string(state), userID, userHash, string(account.DeviceWaiting), micros(at))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// RedeemDeviceLogin implements account.DeviceStore.
func (s *Store) RedeemDeviceLogin(ctx context.Context, hash string, token account.Token, tokenHash string, event audit.Event) error {
	return s.write(ctx, deviceNoun.named(token.Name), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `DELETE FROM device_logins WHERE hash = $1 AND state = $2 AND user_id = $3 AND expires_at > $4`,
			hash, string(account.DeviceApproved), token.UserID, micros(token.CreatedAt))
		if err != nil {
			return err
		}
		if err := insertToken(ctx, tx, token, tokenHash); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}
