package store

import (
	"context"

	"fairlead.dev/fairlead/internal/audit"
)

// Record implements audit.Store.
func (s *Store) Record(ctx context.Context, events ...audit.Event) error {
	if len(events) == 0 {
		return nil
	}
	return s.write(ctx, auditTrail, func(ctx context.Context, tx *Tx) error { return insertEvents(ctx, tx, events...) })
}

// insertEvents appends the events to the chain. Their ids are drawn inside the
// transaction, so that whoever has read up to one id never finds a smaller one
// later.
func insertEvents(ctx context.Context, tx *Tx, events ...audit.Event) error {
	chain, err := scanChain(tx.row(ctx, selectChain))
	if err != nil {
		return err
	}
	head := chain.Head
	for _, e := range events {
		e = e.Clean()
		e.ID, e.Previous = head.ID+1, head.Hash
		e.Hash = e.Digest()
		details, err := document(e.Details)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `
			INSERT INTO audit_events (id, time, actor, actor_id, remote, verb, result,
				organization_id, object_id, object_name, execution_id, details, hash, previous)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14)`,
			e.ID, micros(e.Time), e.Actor, e.ActorID, e.Remote, string(e.Verb), e.Result,
			e.OrganizationID, e.ObjectID, e.ObjectName, e.ExecutionID, details, e.Hash[:], e.Previous[:])
		if err != nil {
			return err
		}
		head = e.Point()
		if head.ID%timesBlock == 0 {
			if err := noteTimes(ctx, tx, head.ID/timesBlock); err != nil {
				return err
			}
		}
	}
	return moveHead(ctx, tx, head)
}

// selectEvent lists an event as scanEvent reads it.
const selectEvent = `
	SELECT id, time, actor, actor_id, remote, verb, result, organization_id, object_id, object_name, execution_id, details, hash, previous
	FROM audit_events`

func scanEvent(row scanner) (e audit.Event, err error) {
	err = row.Scan(&e.ID, instant{&e.Time}, &e.Actor, &e.ActorID, &e.Remote, &e.Verb, &e.Result,
		&e.OrganizationID, &e.ObjectID, &e.ObjectName, &e.ExecutionID, fromDocument{&e.Details},
		hash{&e.Hash}, hash{&e.Previous})
	return e, err
}

// scanLink is scanEvent for who can do with a row that cannot be read: it is
// Broken, and has its id alone.
func scanLink(row scanner) (link audit.Link, _ error) {
	event, err := scanEvent(row)
	if err != nil {
		return audit.Link{Event: audit.Event{ID: event.ID}, Broken: err}, nil //nolint:nilerr // it is kept with the row
	}
	return audit.Link{Event: event}, nil
}
