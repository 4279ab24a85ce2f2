package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"time"

	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

// TakeLease implements execution.LeaseStore.
func (s *Store) TakeLease(ctx context.Context, environmentID string, lease execution.Lease, at time.Time) (e execution.Execution, ok bool, err error) {
	// That there is nothing to take is found without a write: workers look often.
	about := executionNoun.named("queued")
	var chosen next
	err = s.read(ctx, about, func(r runner) error {
		chosen, ok, err = chooseNext(ctx, r, environmentID)
		return err
	})
	if err != nil || !ok {
		return execution.Execution{}, false, err
	}
	err = s.write(ctx, about, func(ctx context.Context, tx *Tx) error {
		if chosen, ok, err = chooseNext(ctx, tx, environmentID); err != nil || !ok {
			return err
		}
		err := tx.must(ctx, `
			UPDATE executions SET status = 'started', lease_id = $1, worker_id = $2, worker_name = $3, lease_expires_at = $4,
				attempt = attempt + 1, batch = 0,
				started_at = CASE WHEN started_at = 0 THEN $5 ELSE started_at END
			WHERE id = $6`,
			lease.ID, lease.WorkerID, lease.WorkerName, micros(lease.ExpiresAt), micros(at), chosen.id)
		if err != nil {
			return err
		}
		turn, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		if err := tx.must(ctx, `UPDATE projects SET turn = $1 WHERE id = $2`, turn, chosen.project); err != nil {
			return err
		}
		e, err = executionByID(ctx, tx, chosen.id)
		return err
	})
	if err != nil {
		return execution.Execution{}, false, err
	}
	return e, ok, nil
}

// next is the execution that is to be taken, and its project.
type next struct{ id, project string }

// chooseNext finds what TakeLease takes. It goes from project to project by the
// index, so that a long queue of one costs no more than a short one.
func chooseNext(ctx context.Context, r runner, environmentID string) (chosen next, ok bool, err error) {
	err = r.row(ctx, `
		WITH RECURSIVE waiting (project_id) AS (
			SELECT min(project_id) FROM executions WHERE status = 'queued' AND environment_id = $1
			UNION ALL
			SELECT (SELECT min(project_id) FROM executions WHERE status = 'queued' AND environment_id = $1 AND project_id > w.project_id)
			FROM waiting w WHERE w.project_id IS NOT NULL
		)
		SELECT p.id FROM waiting w JOIN projects p ON p.id = w.project_id
		WHERE COALESCE((SELECT execution_limit FROM environments WHERE id = $1), 0) = 0
			OR (SELECT count(*) FROM executions WHERE lease_id <> '' AND environment_id = $1) <
				(SELECT execution_limit FROM environments WHERE id = $1)
		ORDER BY (SELECT count(*) FROM executions WHERE lease_id <> '' AND environment_id = $1 AND project_id = p.id), p.turn, p.id
		LIMIT 1`, environmentID).Scan(&chosen.project)
	if errors.Is(err, sql.ErrNoRows) {
		return next{}, false, nil
	}
	if err != nil {
		return next{}, false, err
	}
	err = r.row(ctx, `
		SELECT id FROM executions WHERE status = 'queued' AND environment_id = $1 AND project_id = $2
		ORDER BY priority DESC, position LIMIT 1`, environmentID, chosen.project).Scan(&chosen.id)
	if errors.Is(err, sql.ErrNoRows) { // taken in between: outside a write, others are not waited for
		return next{}, false, nil
	}
	return chosen, err == nil, err
}

func executionByLease(ctx context.Context, r runner, leaseID string) (execution.Execution, error) {
	return scanExecution(r.row(ctx, selectExecution+` WHERE e.lease_id = $1 AND e.lease_id <> ''`, leaseID))
}

// ExecutionByLease implements execution.LeaseStore.
func (s *Store) ExecutionByLease(ctx context.Context, leaseID string) (e execution.Execution, err error) {
	err = s.read(ctx, leaseNoun.named(leaseID), func(r runner) error {
		e, err = executionByLease(ctx, r, leaseID)
		return err
	})
	return e, err
}

// RenewLease implements execution.LeaseStore.
func (s *Store) RenewLease(ctx context.Context, leaseID string, until time.Time) (e execution.Execution, err error) {
	err = s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `UPDATE executions SET lease_expires_at = $1 WHERE lease_id = $2 AND lease_id <> ''`, micros(until), leaseID)
		if err != nil {
			return err
		}
		e, err = executionByLease(ctx, tx, leaseID)
		return err
	})
	if err != nil {
		return execution.Execution{}, err
	}
	return e, nil
}

// NoteImage implements execution.LeaseStore.
func (s *Store) NoteImage(ctx context.Context, leaseID, digest string, report json.RawMessage) error {
	return s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `UPDATE executions SET image_digest = $1 WHERE lease_id = $2 AND lease_id <> ''`, digest, leaseID)
		if err != nil || report == nil {
			return err
		}
		return tx.must(ctx, `
			UPDATE execution_documents SET pull_report = $1
			WHERE execution_id = (SELECT id FROM executions WHERE lease_id = $2 AND lease_id <> '')`, string(report), leaseID)
	})
}

// FinishLease implements execution.LeaseStore. The number of attempts stays.
func (s *Store) FinishLease(ctx context.Context, leaseID string, at time.Time, result execution.Result, lines []execution.Line) error {
	exitCode := sql.NullInt64{}
	if result.ExitCode != nil {
		exitCode = sql.NullInt64{Int64: int64(*result.ExitCode), Valid: true}
	}
	return s.leave(ctx, leaseID, lines, func(ctx context.Context, tx *Tx, id string) error {
		err := tx.must(ctx, `
			UPDATE executions SET status = $1, ended_at = $2, exit_code = $3, result_code = $4, result_message = $5
			WHERE id = $6`,
			string(result.Status), micros(at), exitCode, result.Code, result.Message, id)
		if err != nil {
			return err
		}
		return insertHappening(ctx, tx, "", notice.Happening{Kind: notice.ExecutionEnded, ObjectID: id, At: at})
	})
}

// NoteLost implements execution.LeaseStore.
func (s *Store) NoteLost(ctx context.Context, leaseID string, at time.Time) error {
	return s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		var id, workerID, workerName string
		err := tx.row(ctx, `
			SELECT id, worker_id, worker_name FROM executions
			WHERE lease_id = $1 AND lease_id <> '' AND lease_expires_at < $2`, leaseID, micros(at)).Scan(&id, &workerID, &workerName)
		if err != nil {
			return err
		}
		return insertHappening(ctx, tx, "lease/"+leaseID, notice.Happening{
			Kind: notice.LeaseLost, ObjectID: workerID, At: at,
			Details: map[string]string{notice.DetailWorker: workerName, notice.DetailExecution: id},
		})
	})
}

// StopLease implements execution.LeaseStore.
func (s *Store) StopLease(ctx context.Context, leaseID string, lines []execution.Line) error {
	added, err := s.newLines(lines)
	if err != nil {
		return err
	}
	return s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		e, err := executionByLease(ctx, tx, leaseID)
		if err != nil || e.Status != execution.Started {
			return err
		}
		if err := tx.must(ctx, `UPDATE executions SET status = 'stopping' WHERE id = $1`, e.ID); err != nil {
			return err
		}
		return s.appendLines(ctx, tx, e.ID, added)
	})
}

// RequeueLease implements execution.LeaseStore. An execution that somebody asked
// to stop in the meantime is a Conflict, so that the wish is not lost.
func (s *Store) RequeueLease(ctx context.Context, leaseID string, lines []execution.Line) error {
	return s.leave(ctx, leaseID, lines, func(ctx context.Context, tx *Tx, id string) error {
		requeued, err := tx.exec(ctx, `UPDATE executions SET status = 'queued' WHERE id = $1 AND status = 'started'`, id)
		if err == nil && requeued == 0 {
			err = fault.New(fault.Conflict, "execution_stopping", "the execution was asked to stop, and cannot go back to the queue").
				WithHint("End it instead.")
		}
		return err
	})
}

// leave clears the lease with what then says how the execution goes on, and
// appends the lines.
func (s *Store) leave(ctx context.Context, leaseID string, lines []execution.Line, then func(ctx context.Context, tx *Tx, id string) error) error {
	added, err := s.newLines(lines)
	if err != nil {
		return err
	}
	return s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		var id string
		err := tx.row(ctx, `
			UPDATE executions SET lease_id = '', lease_expires_at = 0, batch = 0
			WHERE lease_id = $1 AND lease_id <> '' RETURNING id`, leaseID).Scan(&id)
		if err != nil {
			return err
		}
		if err := then(ctx, tx, id); err != nil {
			return err
		}
		return s.appendLines(ctx, tx, id, added)
	})
}

// LapsedLeases implements execution.LeaseStore. Those that lapsed first come
// first.
func (s *Store) LapsedLeases(ctx context.Context, at time.Time, limit int) (lapsed []execution.Execution, err error) {
	err = s.read(ctx, leaseNoun.named("lapsed"), func(r runner) error {
		rows, err := r.query(ctx, selectExecution+`
			WHERE e.lease_id <> '' AND e.lease_expires_at < $1
			ORDER BY e.lease_expires_at, e.position LIMIT $2`, micros(at), max(limit, 0))
		lapsed, err = collect(rows, err, scanExecution)
		return err
	})
	return lapsed, err
}
