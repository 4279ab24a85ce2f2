package store

import (
	"context"
	"database/sql"
	"errors"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

// selectChannel lists a channel as scanChannel reads it.
const selectChannel = `
	SELECT id, organization_id, name, way, settings, enabled, version, key_id, sealed, created_at, updated_at,
		last_at, last_state, last_code, last_sentence
	FROM notice_channels`

// channelSettings are what of a channel is kept as a document.
type channelSettings struct {
	Addresses []string       `json:"addresses,omitempty"`
	URL       string         `json:"url,omitempty"`
	Events    []notice.Event `json:"events,omitempty"`
	Projects  []string       `json:"projects,omitempty"`
	Statuses  []string       `json:"statuses,omitempty"`
}

func scanChannel(row scanner) (c notice.Channel, err error) {
	var s channelSettings
	err = row.Scan(&c.ID, &c.OrganizationID, &c.Name, &c.Way, fromDocument{&s}, &c.Enabled, &c.Version, &c.Sealed.KeyID, &c.Sealed.Bytes,
		instant{&c.CreatedAt}, instant{&c.UpdatedAt}, instant{&c.Last.At}, &c.Last.State, &c.Last.Code, &c.Last.Sentence)
	c.Addresses, c.URL, c.Events, c.Projects, c.Statuses = s.Addresses, s.URL, s.Events, s.Projects, s.Statuses
	return c, err
}

// channelDocument is the settings as they are stored, and channelSeal what was
// sealed, which is not null where nothing was.
func channelDocument(c notice.Channel) (string, error) {
	return document(channelSettings{Addresses: c.Addresses, URL: c.URL, Events: c.Events, Projects: c.Projects, Statuses: c.Statuses})
}

func channelSeal(sealed notice.Sealed) []byte {
	if sealed.Bytes == nil {
		return []byte{}
	}
	return sealed.Bytes
}

// CreateChannel implements notice.ChannelStore.
func (s *Store) CreateChannel(ctx context.Context, c notice.Channel, event audit.Event) error {
	settings, err := channelDocument(c)
	if err != nil {
		return err
	}
	return s.write(ctx, channelNoun.named(c.Name), func(ctx context.Context, tx *Tx) error {
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `
			INSERT INTO notice_channels (id, position, organization_id, name, way, settings, enabled, version, key_id, sealed, created_at, updated_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
			c.ID, position, c.OrganizationID, c.Name, string(c.Way), settings, c.Enabled, c.Version, int64(c.Sealed.KeyID), channelSeal(c.Sealed),
			micros(c.CreatedAt), micros(c.UpdatedAt))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// ChannelByID implements notice.ChannelStore.
func (s *Store) ChannelByID(ctx context.Context, id string) (c notice.Channel, err error) {
	err = s.read(ctx, channelNoun.named(id), func(r runner) error {
		c, err = scanChannel(r.row(ctx, selectChannel+` WHERE id = $1`, id))
		return err
	})
	return c, err
}

// Channels implements notice.ChannelStore.
func (s *Store) Channels(ctx context.Context, organizationIDs ...int64) (channels []notice.Channel, err error) {
	var wanted conditions
	wanted.add(in(&wanted, "organization_id", organizationIDs))
	err = s.snapshot(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectChannel+wanted.where()+` ORDER BY position`, wanted.args...)
		channels, err = collect(rows, err, scanChannel)
		return err
	})
	return channels, err
}

// AllChannels implements notice.OutboxStore.
func (s *Store) AllChannels(ctx context.Context) (channels []notice.Channel, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectChannel+` WHERE enabled ORDER BY organization_id, position`)
		channels, err = collect(rows, err, scanChannel)
		return err
	})
	return channels, err
}

// UpdateChannel implements notice.ChannelStore.
func (s *Store) UpdateChannel(ctx context.Context, c notice.Channel, previous int, event audit.Event) error {
	settings, err := channelDocument(c)
	if err != nil {
		return err
	}
	return s.write(ctx, channelNoun.named(c.Name), func(ctx context.Context, tx *Tx) error {
		changed, err := tx.exec(ctx, `
			UPDATE notice_channels SET name = $1, settings = $2, enabled = $3, version = $4, key_id = $5, sealed = $6, updated_at = $7
			WHERE id = $8 AND version = $9`,
			c.Name, settings, c.Enabled, c.Version, int64(c.Sealed.KeyID), channelSeal(c.Sealed), micros(c.UpdatedAt), c.ID, previous)
		if err != nil {
			return err
		}
		if changed == 0 {
			var version int
			if err := tx.row(ctx, `SELECT version FROM notice_channels WHERE id = $1`, c.ID).Scan(&version); err != nil {
				return toFault(err, channelNoun.named(c.ID))
			}
			return fault.New(fault.Conflict, "channel_changed", "somebody else changed the notice channel %.80q at the same time", c.Name).
				WithHint("Look at it with `fairlead notice list` and make the change again.")
		}
		return insertEvents(ctx, tx, event)
	})
}

// DeleteChannel implements notice.ChannelStore.
func (s *Store) DeleteChannel(ctx context.Context, id string, event audit.Event) error {
	return s.write(ctx, channelNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM notice_channels WHERE id = $1`, id); err != nil {
			return err
		}
		if _, err := tx.exec(ctx, `DELETE FROM notice_messages WHERE channel_id = $1`, id); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// Wish implements notice.ChannelStore.
func (s *Store) Wish(ctx context.Context, userID string) (wish notice.Wish, err error) {
	wish.UserID = userID
	err = s.read(ctx, userNoun.named(userID), func(r runner) error {
		err := r.row(ctx, `SELECT statuses FROM notice_wishes WHERE user_id = $1`, userID).Scan(fromDocument{&wish.Statuses})
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return wish, err
}

// SetWish implements notice.ChannelStore.
func (s *Store) SetWish(ctx context.Context, wish notice.Wish, event audit.Event) error {
	text, err := document(wish.Statuses)
	if err != nil {
		return err
	}
	return s.write(ctx, userNoun.named(wish.UserID), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `INSERT INTO notice_wishes (user_id, statuses) VALUES ($1, $2) ON CONFLICT (user_id) DO UPDATE SET statuses = $2`, wish.UserID, text)
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// ChannelSecretsBefore implements notice.ChannelStore.
func (s *Store) ChannelSecretsBefore(ctx context.Context, keyID uint32, limit int) (kept []notice.Kept, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `SELECT id, version, key_id, sealed FROM notice_channels WHERE way = 'webhook' AND key_id <> $1 LIMIT $2`, int64(keyID), max(limit, 0))
		kept, err = collect(rows, err, func(row scanner) (k notice.Kept, err error) {
			err = row.Scan(&k.Place.ChannelID, &k.Place.Version, &k.Sealed.KeyID, &k.Sealed.Bytes)
			return k, err
		})
		return err
	})
	return kept, err
}

// ResealChannelSecret implements notice.ChannelStore.
func (s *Store) ResealChannelSecret(ctx context.Context, place notice.Place, old, fresh notice.Sealed) (replaced bool, err error) {
	err = s.write(ctx, channelNoun.named(place.ChannelID), func(ctx context.Context, tx *Tx) error {
		n, err := tx.exec(ctx, `UPDATE notice_channels SET key_id = $1, sealed = $2 WHERE id = $3 AND version = $4 AND key_id = $5 AND sealed = $6`,
			int64(fresh.KeyID), fresh.Bytes, place.ChannelID, place.Version, int64(old.KeyID), old.Bytes)
		replaced = n > 0
		return err
	})
	return replaced && err == nil, err
}
