package store

import (
	"cmp"
	"context"
	"database/sql"
	"math"
	"slices"
	"time"

	"fairlead.dev/fairlead/internal/audit"
)

// Events implements audit.Store.
func (s *Store) Events(ctx context.Context, filter audit.Filter) (links []audit.Link, count int, err error) {
	err = s.snapshot(ctx, auditTrail, func(r runner) error {
		all, err := newSearch(ctx, r, filter)
		if err != nil {
			return err
		}
		page := all
		if filter.Before > 0 {
			page.below = min(page.below, filter.Before)
		}
		ids, err := page.newest(ctx, filter.Limit)
		if err != nil {
			return err
		}
		if links, err = eventsByID(ctx, r, ids, ` ORDER BY id DESC`); err != nil {
			return err
		}
		if count = len(ids); filter.Before > 0 || count >= filter.Limit {
			count, err = all.count(ctx, audit.CountMost+1)
		}
		return err
	})
	return links, min(count, audit.CountMost+1), err
}

// EventsAfter implements audit.Store.
func (s *Store) EventsAfter(ctx context.Context, filter audit.Filter, after int64) (links []audit.Link, err error) {
	err = s.snapshot(ctx, auditTrail, func(r runner) error {
		search, err := newSearch(ctx, r, filter)
		if err != nil {
			return err
		}
		search.above = max(search.above, after)
		if filter.Before > 0 {
			search.below = min(search.below, filter.Before)
		}
		ids, err := search.oldest(ctx, filter.Limit)
		if err != nil {
			return err
		}
		links, err = eventsByID(ctx, r, ids, ` ORDER BY id`)
		return err
	})
	return links, err
}

// search is a filter as branches, each of which one index has in the order of
// ids, so that a page is read off their ends however long the trail is. No event
// is in two of them. What no index is of is compared row by row, in the branch of
// the fewest.
type search struct {
	on           runner
	branches     []conditions
	above, below int64 // the ids between which the events are, both without
}

func newSearch(ctx context.Context, r runner, f audit.Filter) (s search, err error) {
	s.on = r
	if s.above, s.below, err = timesOf(ctx, r, f.Since, f.Until); err != nil {
		return s, err
	}
	switch {
	case f.ExecutionID != "":
		var c conditions
		c.add("execution_id <> '' AND execution_id = " + c.arg(f.ExecutionID))
		s.branch(f, c, byExecution)
	case f.Object != "":
		var id, name conditions
		id.add("object_id = " + id.arg(f.Object))
		name.add("object_name = " + name.arg(f.Object) + " AND object_id <> " + name.arg(f.Object))
		s.branch(f, id, byObject)
		s.branch(f, name, byObject)
	case f.Actor != "":
		var c conditions
		c.add("actor = " + c.arg(f.Actor))
		s.branch(f, c, byActor)
	default:
		err = s.branchOrganizations(ctx, f)
	}
	return s, err
}

// branchOrganizations makes a branch of each organisation, or of each of its verbs
// where some are asked for.
func (s *search) branchOrganizations(ctx context.Context, f audit.Filter) error {
	for _, id := range f.OrganizationIDs {
		verbs := []audit.Verb{f.Verb}
		if f.Verb.IsNoun() && !hasFailed(f.Result) {
			var err error
			if verbs, err = s.verbs(ctx, id, f.Verb.Noun()); err != nil {
				return err
			}
		}
		for _, verb := range verbs {
			one := f
			one.OrganizationIDs, one.Verb = []int64{id}, verb
			s.branch(one, conditions{}, byOrganization)
		}
	}
	return nil
}

// hasFailed reports whether the result is that of something that failed.
func hasFailed(result string) bool { return result != "" && result != audit.ResultOK }

// verbs are those of a noun that an organisation has events of.
func (s *search) verbs(ctx context.Context, organizationID int64, noun string) (verbs []audit.Verb, err error) {
	for last := audit.Verb(noun + "."); ; verbs = append(verbs, last) {
		err := s.on.row(ctx, `SELECT verb FROM audit_events WHERE organization_id = $1 AND verb > $2 AND verb < $3 ORDER BY verb LIMIT 1`,
			organizationID, string(last), noun+"/").Scan(&last)
		if err == sql.ErrNoRows { //nolint:errorlint // Scan returns that very value
			return verbs, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// of is what a branch is found by.
type of int

const (
	byOrganization of = iota
	byExecution
	byObject
	byActor
)

// branch adds a branch with the rest of the filter.
func (s *search) branch(f audit.Filter, c conditions, by of) {
	organization := "organization_id"
	if by != byOrganization {
		organization = "(organization_id + 0)" // so that its index, which is of far more events, is left alone
	}
	c.add(in(&c, organization, f.OrganizationIDs))
	if by != byObject && f.Object != "" {
		c.add("(object_id = " + c.arg(f.Object) + " OR object_name = " + c.arg(f.Object) + ")")
	}
	if by != byActor && f.Actor != "" {
		c.add("actor = " + c.arg(f.Actor))
	}
	verb := "verb"
	if by != byOrganization || hasFailed(f.Result) {
		verb = "(verb || '')" // so that the index of verbs is left alone
	}
	switch {
	case f.Verb.IsNoun():
		c.add(verb + " > " + c.arg(f.Verb.Noun()+".") + " AND " + verb + " < " + c.arg(f.Verb.Noun()+"/")) // what comes behind the dot
	case f.Verb != "":
		c.add(verb + " = " + c.arg(string(f.Verb)))
	}
	switch f.Result {
	case "":
	case audit.ResultOK:
		c.add("result = 'ok'")
	case audit.Failed:
		c.add("result <> 'ok'")
	default:
		c.add("result <> 'ok' AND result = " + c.arg(f.Result))
	}
	if !f.Since.IsZero() {
		c.add("time >= " + c.arg(micros(f.Since)))
	}
	if !f.Until.IsZero() {
		c.add("time < " + c.arg(micros(f.Until)))
	}
	s.branches = append(s.branches, c)
}

func (s search) newest(ctx context.Context, limit int) ([]int64, error) {
	ids, err := s.ends(ctx, ` ORDER BY id DESC`, limit)
	slices.SortFunc(ids, func(a, b int64) int { return cmp.Compare(b, a) })
	return ids[:min(len(ids), limit)], err
}

func (s search) oldest(ctx context.Context, limit int) ([]int64, error) {
	ids, err := s.ends(ctx, ` ORDER BY id`, limit)
	slices.Sort(ids)
	return ids[:min(len(ids), limit)], err
}

// ends are the ids of the first limit events of every branch in that order.
func (s search) ends(ctx context.Context, order string, limit int) (ids []int64, err error) {
	for _, branch := range s.branches {
		text, args := s.within(branch, order, limit)
		rows, err := s.on.query(ctx, text, args...)
		some, err := collect(rows, err, func(row scanner) (id int64, err error) { return id, row.Scan(&id) })
		if err != nil {
			return nil, err
		}
		ids = append(ids, some...)
	}
	return ids, nil
}

// count is how many events there are, or most.
func (s search) count(ctx context.Context, most int) (count int, err error) {
	for _, branch := range s.branches {
		if count >= most {
			break
		}
		var some int
		text, args := s.within(branch, "", most-count)
		if err := s.on.row(ctx, `SELECT count(*) FROM (`+text+`) AS some`, args...).Scan(&some); err != nil {
			return 0, err
		}
		count += some
	}
	return count, nil
}

// within is the statement for the ids of a branch.
func (s search) within(branch conditions, order string, limit int) (text string, args []any) {
	c := conditions{texts: slices.Clone(branch.texts), args: slices.Clone(branch.args)}
	if s.above > 0 {
		c.add("id > " + c.arg(s.above))
	}
	if s.below < math.MaxInt64 {
		c.add("id < " + c.arg(s.below))
	}
	return `SELECT id FROM audit_events` + c.where() + order + ` LIMIT ` + c.arg(max(limit, 0)), c.args
}

// eventsByID reads events in an order.
func eventsByID(ctx context.Context, r runner, ids []int64, order string) (links []audit.Link, err error) {
	const most = 1000 // in one statement
	for some := range slices.Chunk(ids, most) {
		var wanted conditions
		wanted.add(in(&wanted, "id", some))
		rows, err := r.query(ctx, selectEvent+wanted.where()+order, wanted.args...)
		read, err := collect(rows, err, scanLink)
		if err != nil {
			return nil, err
		}
		links = append(links, read...)
	}
	return links, nil
}

// timesBlock is how many ids one row of audit_times is of. The migration knows it
// too.
const timesBlock = 1024

// noteTimes notes between which times the events of a block are, once its last
// is there.
func noteTimes(ctx context.Context, tx *Tx, block int64) error {
	_, err := tx.exec(ctx, `
		INSERT INTO audit_times (block, earliest, latest)
		SELECT $1, MIN(time), MAX(time) FROM audit_events WHERE id > $2 AND id <= $3
		ON CONFLICT (block) DO UPDATE SET earliest = excluded.earliest, latest = excluded.latest`,
		block, (block-1)*timesBlock, block*timesBlock)
	return err
}

// timesOf are ids between which, without them, all events from since and before
// until are. Those of other times are among them: the block's others, and what is
// in between where the clock was put back.
func timesOf(ctx context.Context, r runner, since, until time.Time) (above, below int64, err error) {
	below = math.MaxInt64
	if since.IsZero() && until.IsZero() {
		return above, below, nil
	}
	var last int64 // id of the last block
	if err := r.row(ctx, `SELECT COALESCE(MAX(block), 0) FROM audit_times`).Scan(&last); err != nil {
		return 0, 0, err
	}
	last *= timesBlock
	if !since.IsZero() {
		var block sql.NullInt64
		if err := r.row(ctx, `SELECT MIN(block) FROM audit_times WHERE latest >= $1`, micros(since)).Scan(&block); err != nil {
			return 0, 0, err
		}
		if above = last; block.Valid {
			above = (block.Int64 - 1) * timesBlock
		}
	}
	if until.IsZero() {
		return above, below, nil
	}
	var block int64
	var open bool // some event behind the last block is from before
	if err := r.row(ctx, `SELECT EXISTS (SELECT 1 FROM audit_events WHERE id > $1 AND time < $2)`, last, micros(until)).Scan(&open); err != nil || open {
		return above, below, err
	}
	err = r.row(ctx, `SELECT COALESCE(MAX(block), 0) FROM audit_times WHERE earliest < $1`, micros(until)).Scan(&block)
	return above, block*timesBlock + 1, err
}
