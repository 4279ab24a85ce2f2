package store

import (
	"context"
	"fmt"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

const selectChain = `SELECT head_id, head_hash, floor_id, floor_hash FROM audit_chain WHERE id = 1`

func scanChain(row scanner) (chain audit.Chain, err error) {
	err = row.Scan(&chain.Head.ID, hash{&chain.Head.Hash}, &chain.Floor.ID, hash{&chain.Floor.Hash})
	return chain, err
}

// ReadChain implements audit.ChainReader.
func (s *Store) ReadChain(ctx context.Context, after int64, limit int) (chain audit.Chain, links []audit.Link, err error) {
	err = s.snapshot(ctx, auditTrail, func(r runner) error {
		if chain, err = scanChain(r.row(ctx, selectChain)); err != nil {
			return err
		}
		rows, err := r.query(ctx, selectEvent+` WHERE id > $1 ORDER BY id LIMIT $2`, after, limit)
		links, err = collect(rows, err, scanLink) // a row that cannot be read is what is looked for
		return err
	})
	return chain, links, err
}

// moveHead notes which row of the chain is the newest.
func moveHead(ctx context.Context, tx *Tx, head audit.Point) error {
	return tx.must(ctx, `UPDATE audit_chain SET head_id = $1, head_hash = $2 WHERE id = 1`, head.ID, head.Hash[:])
}

// Expire implements audit.Expirer.
func (s *Store) Expire(ctx context.Context, before time.Time, most int64, limit int, tell func(count int, last audit.Point) audit.Event) (count int, err error) {
	err = s.write(ctx, auditTrail, func(ctx context.Context, tx *Tx) error {
		rows, err := tx.query(ctx, selectEvent+` WHERE id <= $1 ORDER BY id LIMIT $2`, most, limit)
		oldest, err := collect(rows, err, scanEvent)
		if err != nil {
			return err
		}
		for count = 0; count < len(oldest) && oldest[count].Time.Before(before); {
			count++
		}
		if count == 0 {
			return nil
		}
		last := oldest[count-1].Point()
		if err := tx.must(ctx, `UPDATE audit_chain SET floor_id = $1, floor_hash = $2 WHERE id = 1`, last.ID, last.Hash[:]); err != nil {
			return err
		}
		if err := tx.must(ctx, `DELETE FROM audit_events WHERE id <= $1`, last.ID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, tell(count, last))
	})
	if err != nil {
		return 0, err
	}
	return count, nil
}

// chainBatch is how many rows from before the chain are hashed at once.
const chainBatch = 1000

// chainOld hashes the rows that were written before there was a chain, the oldest
// first. Each batch is a change of its own, so that whoever is killed amid it goes
// on from there at the next start.
func (s *Store) chainOld(ctx context.Context) error {
	for more := true; more; {
		err := s.write(ctx, auditTrail, func(ctx context.Context, tx *Tx) error {
			chain, err := scanChain(tx.row(ctx, selectChain))
			if err != nil {
				return err
			}
			rows, err := tx.query(ctx, selectEvent+`
				WHERE id > $1 AND id <= (SELECT old_id FROM audit_chain) ORDER BY id LIMIT $2`, chain.Head.ID, chainBatch)
			events, err := collect(rows, err, scanEvent)
			if err != nil {
				return err
			}
			more = len(events) == chainBatch
			for _, e := range events {
				e.Previous = chain.Head.Hash
				e.Hash = e.Digest()
				if err := tx.must(ctx, `UPDATE audit_events SET hash = $1, previous = $2 WHERE id = $3`, e.Hash[:], e.Previous[:], e.ID); err != nil {
					return err
				}
				chain.Head = e.Point()
			}
			if len(events) == 0 {
				return nil
			}
			return moveHead(ctx, tx, chain.Head)
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// hash reads a hash; an empty one is none.
type hash struct{ into *audit.Hash }

// Scan implements sql.Scanner.
func (h hash) Scan(value any) error {
	switch value := value.(type) {
	case []byte:
		if len(value) == len(h.into) {
			*h.into = audit.Hash(value)
			return nil
		}
		if len(value) == 0 {
			return nil
		}
	case string:
		if value == "" {
			return nil
		}
	}
	return fmt.Errorf("a hash is a %T of another length", value)
}
