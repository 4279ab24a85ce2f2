package store

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

// CountUsers implements account.UserStore.
func (s *Store) CountUsers(ctx context.Context) (count int, err error) {
	err = s.read(ctx, database, func(r runner) error {
		return r.row(ctx, `SELECT count(*) FROM users`).Scan(&count)
	})
	return count, err
}

// CreateUser implements account.UserStore.
func (s *Store) CreateUser(ctx context.Context, user account.User, passwordHash string, event audit.Event) error {
	return s.write(ctx, userNoun.named(user.Username), func(ctx context.Context, tx *Tx) error {
		if err := insertUser(ctx, tx, user, passwordHash); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// Bootstrap implements account.UserStore.
func (s *Store) Bootstrap(ctx context.Context, user account.User, passwordHash string, organization account.Organization, event audit.Event) error {
	return s.write(ctx, userNoun.named(user.Username), func(ctx context.Context, tx *Tx) error {
		var count int
		if err := tx.row(ctx, `SELECT count(*) FROM users`).Scan(&count); err != nil {
			return err
		}
		if count > 0 {
			return fault.New(fault.Conflict, "users_exist", "there is a user already, so that no first one can be made").
				WithHint("Sign in as an operator and use `fairlead user create`.")
		}
		if err := insertUser(ctx, tx, user, passwordHash); err != nil {
			return err
		}
		if _, err := insertOrganization(ctx, tx, organization, user.ID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// SetPassword implements account.UserStore.
func (s *Store) SetPassword(ctx context.Context, userID, passwordHash string, event audit.Event) error {
	return s.write(ctx, userNoun.named(userID), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `UPDATE users SET password_hash = $1 WHERE id = $2`, passwordHash, userID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// UserByID implements account.UserStore.
func (s *Store) UserByID(ctx context.Context, id string) (user account.User, err error) {
	err = s.read(ctx, userNoun.named(id), func(r runner) error {
		user, _, err = scanUser(r.row(ctx, `
			SELECT id, username, email, operator, created_at, password_hash
			FROM users WHERE id = $1`, id))
		return err
	})
	return user, err
}

// UserByName implements account.UserStore.
func (s *Store) UserByName(ctx context.Context, username string) (user account.User, passwordHash string, err error) {
	err = s.read(ctx, userNoun.named(username), func(r runner) error {
		user, passwordHash, err = scanUser(r.row(ctx, `
			SELECT id, username, email, operator, created_at, password_hash
			FROM users WHERE lower(username) = lower($1)`, username))
		return err
	})
	return user, passwordHash, err
}

// Users implements account.UserStore.
func (s *Store) Users(ctx context.Context, prefix string, limit, offset int) (users []account.User, count int, err error) {
	const begins = ` FROM users WHERE substr(lower(username), 1, length($1)) = $1`
	err = s.snapshot(ctx, userNoun.named(prefix), func(r runner) error {
		if err := r.row(ctx, `SELECT count(*)`+begins, prefix).Scan(&count); err != nil {
			return err
		}
		rows, err := r.query(ctx, `SELECT id, username, email, operator, created_at`+begins+` ORDER BY lower(username) LIMIT $2 OFFSET $3`,
			prefix, limit, offset)
		users, err = collect(rows, err, func(row scanner) (user account.User, err error) {
			err = row.Scan(&user.ID, &user.Username, &user.Email, &user.Operator, instant{&user.CreatedAt})
			return user, err
		})
		return err
	})
	return users, count, err
}

func insertUser(ctx context.Context, tx *Tx, user account.User, passwordHash string) error {
	_, err := tx.exec(ctx, `
		INSERT INTO users (id, username, email, password_hash, operator, created_at)
		VALUES ($1, $2, $3, $4, $5, $6)`,
		user.ID, user.Username, user.Email, passwordHash, user.Operator, micros(user.CreatedAt))
	return err
}

func scanUser(row scanner) (user account.User, passwordHash string, err error) {
	err = row.Scan(&user.ID, &user.Username, &user.Email, &user.Operator, instant{&user.CreatedAt}, &passwordHash)
	return user, passwordHash, err
}
