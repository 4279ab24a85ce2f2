package store

import (
	"context"
	"time"
)

// Figures are what of the database is told to those who watch over it.
type Figures struct {
	Queues      []Queue // of every environment
	Leases      int     // executions that a worker holds
	AuditHead   int64   // the newest row of the audit trail
	Notices     int     // notices that are to be sent
	Credentials []Expiry
}

// Queue is what waits for an environment's workers.
type Queue struct {
	Environment string // slug
	Length      int
	Oldest      time.Time // when the oldest was created; zero: there is none
}

// Expiry is when a credential ends that says so.
type Expiry struct {
	Organization string
	Credential   string // id
	ExpiresAt    time.Time
}

// expiriesMost bounds how many credentials are told of; those that end first are.
const expiriesMost = 1000

// Figures reads them, as they are at one moment.
func (s *Store) Figures(ctx context.Context) (f Figures, err error) {
	err = s.snapshot(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT v.slug, count(e.id), coalesce(min(e.created_at), 0)
			FROM environments v LEFT JOIN executions e ON e.environment_id = v.id AND e.status = 'queued'
			GROUP BY v.id ORDER BY v.slug`)
		f.Queues, err = collect(rows, err, func(row scanner) (q Queue, err error) {
			err = row.Scan(&q.Environment, &q.Length, instant{&q.Oldest})
			return q, err
		})
		if err != nil {
			return err
		}
		err = r.row(ctx, `
			SELECT (SELECT count(*) FROM executions WHERE lease_id <> ''), (SELECT head_id FROM audit_chain WHERE id = 1),
				(SELECT count(*) FROM notice_messages WHERE state = 'waiting') + (SELECT count(*) FROM notice_happenings)`).
			Scan(&f.Leases, &f.AuditHead, &f.Notices)
		if err != nil {
			return err
		}
		rows, err = r.query(ctx, `
			SELECT o.name, c.id, c.expires_at FROM credentials c JOIN organizations o ON o.id = c.organization_id
			WHERE c.expires_at > 0 ORDER BY c.expires_at LIMIT $1`, expiriesMost)
		f.Credentials, err = collect(rows, err, func(row scanner) (e Expiry, err error) {
			err = row.Scan(&e.Organization, &e.Credential, instant{&e.ExpiresAt})
			return e, err
		})
		return err
	})
	return f, err
}
