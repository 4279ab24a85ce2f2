package store

import (
	"context"

	"fairlead.dev/fairlead/internal/execution"
)

// Loads implements execution.RunStore. The indexes of what is queued and of what is
// held have all of it but the times.
func (s *Store) Loads(ctx context.Context) (map[string]execution.Load, error) {
	loads := make(map[string]execution.Load)
	err := s.snapshot(ctx, executionNoun.named("unfinished"), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT q.environment_id, q.count, COALESCE((SELECT created_at FROM executions WHERE position = q.first), 0)
			FROM (SELECT environment_id, count(*) AS count, MIN(position) AS first FROM executions WHERE status = 'queued' GROUP BY environment_id) q`)
		_, err = collect(rows, err, func(row scanner) (struct{}, error) {
			var environment string
			var load execution.Load
			err := row.Scan(&environment, &load.Queued, instant{&load.OldestAt})
			loads[environment] = load
			return struct{}{}, err
		})
		if err != nil {
			return err
		}
		rows, err = r.query(ctx, `SELECT environment_id, count(*) FROM executions WHERE lease_id <> '' GROUP BY environment_id`)
		_, err = collect(rows, err, func(row scanner) (struct{}, error) {
			var environment string
			var running int
			err := row.Scan(&environment, &running)
			load := loads[environment]
			load.Running = running
			loads[environment] = load
			return struct{}{}, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return loads, nil
}

// Held implements execution.LeaseStore.
func (s *Store) Held(ctx context.Context, limit int) (held []execution.Held, err error) {
	err = s.read(ctx, leaseNoun.named("all"), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT id, project_id, environment_id, counter, worker_id, worker_name, attempt, started_at, lease_expires_at
			FROM executions WHERE lease_id <> '' ORDER BY environment_id, project_id LIMIT $1`, max(limit, 0))
		held, err = collect(rows, err, func(row scanner) (h execution.Held, err error) {
			err = row.Scan(&h.ExecutionID, &h.ProjectID, &h.EnvironmentID, &h.Counter, &h.WorkerID, &h.WorkerName, &h.Attempt,
				instant{&h.StartedAt}, instant{&h.ExpiresAt})
			return h, err
		})
		return err
	})
	return held, err
}
