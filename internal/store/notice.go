package store

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

// insertHappening writes down what happened, in the transaction of what it is
// about. One whose id is there already is the same fact.
func insertHappening(ctx context.Context, tx *Tx, id string, h notice.Happening) error {
	details, err := document(h.Details)
	if err != nil {
		return err
	}
	position, err := nextPosition(ctx, tx)
	if err != nil {
		return err
	}
	if id == "" {
		id = fmt.Sprint(position)
	}
	_, err = tx.exec(ctx, `
		INSERT INTO notice_happenings (position, id, kind, object_id, at, details) VALUES ($1, $2, $3, $4, $5, $6)
		ON CONFLICT (id) DO NOTHING`, position, id, string(h.Kind), h.ObjectID, micros(h.At), details)
	return err
}

// Happenings implements notice.OutboxStore.
func (s *Store) Happenings(ctx context.Context, limit int) (happenings []notice.Happening, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `SELECT position, kind, object_id, at, details FROM notice_happenings ORDER BY position LIMIT $1`, max(limit, 0))
		happenings, err = collect(rows, err, func(row scanner) (h notice.Happening, err error) {
			err = row.Scan(&h.Position, &h.Kind, &h.ObjectID, instant{&h.At}, fromDocument{&h.Details})
			return h, err
		})
		return err
	})
	return happenings, err
}

// Told implements notice.OutboxStore.
func (s *Store) Told(ctx context.Context, key string) (value string, err error) {
	err = s.read(ctx, database, func(r runner) error {
		err := r.row(ctx, `SELECT value FROM notice_told WHERE key = $1`, key).Scan(&value)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		return err
	})
	return value, err
}

// messageContent is what of a message is kept as a document.
type messageContent struct {
	Notices []notice.Notice `json:"notices,omitempty"`
	More    int             `json:"more,omitempty"`
}

// selectMessage lists a message as scanMessage reads it.
const selectMessage = `
	SELECT id, channel_id, receiver, user_id, content, is_digest, state, attempts, created_at, next_at, done_at, code, sentence
	FROM notice_messages`

func scanMessage(row scanner) (m notice.Message, err error) {
	var content messageContent
	err = row.Scan(&m.ID, &m.ChannelID, &m.Receiver, &m.UserID, fromDocument{&content}, &m.IsDigest, &m.State, &m.Attempts,
		instant{&m.CreatedAt}, instant{&m.NextAt}, instant{&m.DoneAt}, &m.Code, &m.Sentence)
	m.Notices, m.More = content.Notices, content.More
	return m, err
}

func insertMessage(ctx context.Context, tx *Tx, m notice.Message) error {
	content, err := document(messageContent{Notices: m.Notices, More: m.More})
	if err != nil {
		return err
	}
	position, err := nextPosition(ctx, tx)
	if err != nil {
		return err
	}
	_, err = tx.exec(ctx, `
		INSERT INTO notice_messages (id, position, channel_id, receiver, user_id, target, content, is_digest, state, attempts,
			created_at, next_at, done_at, code, sentence)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT (id) DO NOTHING`,
		m.ID, position, m.ChannelID, m.Receiver, m.UserID, m.Target(), content, m.IsDigest, string(m.State), m.Attempts,
		micros(m.CreatedAt), micros(m.NextAt), micros(m.DoneAt), m.Code, m.Sentence)
	return err
}

var errSettled = fault.New(fault.Conflict, "notice_settled", "somebody else saw to it").WithHint("Look again at what happened.")

// Settle implements notice.OutboxStore.
func (s *Store) Settle(ctx context.Context, settlement notice.Settlement) error {
	return s.write(ctx, messageNoun.named("new"), func(ctx context.Context, tx *Tx) error {
		for _, position := range settlement.Happenings {
			gone, err := tx.exec(ctx, `DELETE FROM notice_happenings WHERE position = $1`, position)
			if err != nil {
				return err
			}
			if gone == 0 {
				return errSettled
			}
		}
		for key, value := range settlement.Told {
			if err := tell(ctx, tx, key, value, settlement.At); err != nil {
				return err
			}
		}
		for _, m := range settlement.Messages {
			if err := insertMessage(ctx, tx, m); err != nil {
				return err
			}
		}
		for _, m := range settlement.Digests {
			content, err := document(messageContent{Notices: m.Notices, More: m.More})
			if err != nil {
				return err
			}
			grown, err := tx.exec(ctx, `UPDATE notice_messages SET content = $1 WHERE id = $2 AND attempts = 0 AND state = 'waiting'`, content, m.ID)
			if err != nil {
				return err
			}
			if grown == 0 {
				return errSettled
			}
		}
		return nil
	})
}

func tell(ctx context.Context, tx *Tx, key, value string, at time.Time) error {
	if value == "" {
		_, err := tx.exec(ctx, `DELETE FROM notice_told WHERE key = $1`, key)
		return err
	}
	_, err := tx.exec(ctx, `INSERT INTO notice_told (key, value, at) VALUES ($1, $2, $3) ON CONFLICT (key) DO UPDATE SET value = $2, at = $3`, key, value, micros(at))
	return err
}

// Crowd implements notice.OutboxStore.
func (s *Store) Crowd(ctx context.Context, target string, since time.Time) (count int, digest notice.Message, ok bool, err error) {
	err = s.snapshot(ctx, messageNoun.named(target), func(r runner) error {
		err := r.row(ctx, `SELECT count(*) FROM notice_messages WHERE target = $1 AND (created_at > $2 OR state = 'waiting')`, target, micros(since)).Scan(&count)
		if err != nil {
			return err
		}
		digest, err = scanMessage(r.row(ctx, selectMessage+`
			WHERE target = $1 AND is_digest AND state = 'waiting' AND attempts = 0 ORDER BY position DESC LIMIT 1`, target))
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		ok = err == nil
		return err
	})
	return count, digest, ok, err
}

// DueTargets implements notice.OutboxStore.
func (s *Store) DueTargets(ctx context.Context, now time.Time, limit int) (targets []string, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT target FROM notice_messages WHERE state = 'waiting' AND next_at <= $1
			GROUP BY target ORDER BY min(next_at), target LIMIT $2`, micros(now), max(limit, 0))
		targets, err = collect(rows, err, func(row scanner) (target string, err error) {
			err = row.Scan(&target)
			return target, err
		})
		return err
	})
	return targets, err
}

// DueMessages implements notice.OutboxStore.
func (s *Store) DueMessages(ctx context.Context, target string, now time.Time, limit int) (messages []notice.Message, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectMessage+` WHERE target = $1 AND state = 'waiting' AND next_at <= $2 ORDER BY position LIMIT $3`, target, micros(now), max(limit, 0))
		messages, err = collect(rows, err, scanMessage)
		return err
	})
	return messages, err
}

// Attempt implements notice.OutboxStore.
func (s *Store) Attempt(ctx context.Context, id string, attempts int, again time.Time) (m notice.Message, ok bool, err error) {
	err = s.write(ctx, messageNoun.named(id), func(ctx context.Context, tx *Tx) error {
		changed, err := tx.exec(ctx, `
			UPDATE notice_messages SET attempts = attempts + 1, next_at = $1 WHERE id = $2 AND attempts = $3 AND state = 'waiting'`,
			micros(again), id, attempts)
		if err != nil || changed == 0 {
			return err
		}
		ok = true
		m, err = scanMessage(tx.row(ctx, selectMessage+` WHERE id = $1`, id))
		return err
	})
	return m, ok && err == nil, err
}

// conclude keeps an outcome with the message's channel.
func conclude(ctx context.Context, tx *Tx, m notice.Message, at time.Time) error {
	_, err := tx.exec(ctx, `UPDATE notice_channels SET last_at = $1, last_state = $2, last_code = $3, last_sentence = $4 WHERE id = $5`,
		micros(at), string(m.State), m.Code, m.Sentence, m.ChannelID)
	return err
}

// Conclude implements notice.OutboxStore. A message that went with its channel
// stays away.
func (s *Store) Conclude(ctx context.Context, m notice.Message, at time.Time) error {
	return s.write(ctx, messageNoun.named(m.ID), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE notice_messages SET state = $1, next_at = $2, done_at = $3, code = $4, sentence = $5 WHERE id = $6`,
			string(m.State), micros(m.NextAt), micros(m.DoneAt), m.Code, m.Sentence, m.ID)
		if err != nil {
			return err
		}
		return conclude(ctx, tx, m, at)
	})
}

// PostponeTarget implements notice.OutboxStore.
func (s *Store) PostponeTarget(ctx context.Context, target string, until time.Time) error {
	return s.write(ctx, messageNoun.named(target), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `UPDATE notice_messages SET next_at = $1 WHERE target = $2 AND state = 'waiting' AND next_at < $1`, micros(until), target)
		return err
	})
}

// KeepMessage implements notice.OutboxStore.
func (s *Store) KeepMessage(ctx context.Context, m notice.Message, at time.Time) error {
	return s.write(ctx, messageNoun.named(m.ID), func(ctx context.Context, tx *Tx) error {
		if err := insertMessage(ctx, tx, m); err != nil {
			return err
		}
		return conclude(ctx, tx, m, at)
	})
}

// Messages implements notice.OutboxStore.
func (s *Store) Messages(ctx context.Context, channelID string, limit, offset int) (messages []notice.Message, count int, err error) {
	err = s.snapshot(ctx, channelNoun.named(channelID), func(r runner) error {
		if err := r.row(ctx, `SELECT count(*) FROM notice_messages WHERE channel_id = $1`, channelID).Scan(&count); err != nil {
			return err
		}
		rows, err := r.query(ctx, selectMessage+` WHERE channel_id = $1 ORDER BY position DESC LIMIT $2 OFFSET $3`, channelID, max(limit, 0), max(offset, 0))
		messages, err = collect(rows, err, scanMessage)
		return err
	})
	return messages, count, err
}

// Prune implements notice.OutboxStore.
func (s *Store) Prune(ctx context.Context, messagesBefore, toldBefore time.Time) error {
	old := false // most often there is nothing, and then nothing is written
	err := s.read(ctx, messageNoun.named("old"), func(r runner) error {
		return r.row(ctx, `
			SELECT EXISTS (SELECT 1 FROM notice_messages WHERE state <> 'waiting' AND done_at < $1)
				OR EXISTS (SELECT 1 FROM notice_told WHERE at < $2)`, micros(messagesBefore), micros(toldBefore)).Scan(&old)
	})
	if err != nil || !old {
		return err
	}
	return s.write(ctx, messageNoun.named("old"), func(ctx context.Context, tx *Tx) error {
		if _, err := tx.exec(ctx, `DELETE FROM notice_messages WHERE state <> 'waiting' AND done_at < $1`, micros(messagesBefore)); err != nil {
			return err
		}
		_, err := tx.exec(ctx, `DELETE FROM notice_told WHERE at < $1`, micros(toldBefore))
		return err
	})
}
