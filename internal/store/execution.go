package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
	"fairlead.dev/fairlead/internal/fault"
	"fairlead.dev/fairlead/internal/notice"
)

// selectExecution lists an execution as scanExecution reads it.
const selectExecution = `
	SELECT e.id, e.project_id, e.counter, e.title, e.tags, d.work, e.created_by, e.created_by_name,
		e.status, e.created_at, e.started_at, e.ended_at, e.image_digest, d.pull_report,
		e.exit_code, e.result_code, e.result_message,
		e.lease_id, e.worker_id, e.worker_name, e.attempt, e.lease_expires_at, e.batch,
		e.priority, e.environment_id, COALESCE(n.name, ''), COALESCE(n.slug, '')
	FROM executions e JOIN execution_documents d ON d.execution_id = e.id LEFT JOIN environments n ON n.id = e.environment_id`

func scanExecution(row scanner) (e execution.Execution, err error) {
	var exitCode sql.NullInt64
	var report string
	err = row.Scan(&e.ID, &e.ProjectID, &e.Counter, &e.Title, fromDocument{&e.Tags}, fromDocument{&e.Work}, &e.CreatedBy, &e.CreatedByName,
		&e.Status, instant{&e.CreatedAt}, instant{&e.StartedAt}, instant{&e.EndedAt}, &e.ImageDigest, &report,
		&exitCode, &e.Result.Code, &e.Result.Message,
		&e.Lease.ID, &e.Lease.WorkerID, &e.Lease.WorkerName, &e.Lease.Attempt, instant{&e.Lease.ExpiresAt}, &e.Lease.Batch,
		&e.Priority, &e.Environment.ID, &e.Environment.Name, &e.Environment.Slug)
	if report != "" {
		e.PullReport = json.RawMessage(report)
	}
	if e.Status.IsFinal() {
		e.Result.Status = e.Status
	}
	if exitCode.Valid {
		code := int(exitCode.Int64)
		e.Result.ExitCode = &code
	}
	return e, err
}

func executionByID(ctx context.Context, r runner, id string) (execution.Execution, error) {
	return scanExecution(r.row(ctx, selectExecution+` WHERE e.id = $1`, id))
}

// CreateExecution implements execution.RunStore.
func (s *Store) CreateExecution(ctx context.Context, e execution.Execution, lines []execution.Line, event audit.Event) (created execution.Execution, err error) {
	added, err := s.newLines(lines)
	if err != nil {
		return execution.Execution{}, err
	}
	tags, err := document(e.Tags)
	if err != nil {
		return execution.Execution{}, err
	}
	work, err := document(e.Work)
	if err != nil {
		return execution.Execution{}, err
	}
	err = s.write(ctx, executionNoun.named(e.ID), func(ctx context.Context, tx *Tx) error {
		var counter int
		err := tx.row(ctx, `UPDATE projects SET executions = executions + 1 WHERE id = $1 RETURNING executions`, e.ProjectID).Scan(&counter)
		if err != nil {
			return toFault(err, projectNoun.named(e.ProjectID))
		}
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `
			INSERT INTO executions (id, position, project_id, counter, title, tags, created_by, created_by_name,
				status, created_at, started_at, ended_at, image_digest, result_code, result_message,
				lease_id, worker_id, worker_name, attempt, lease_expires_at, batch, log_lines, log_time,
				priority, environment_id)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, '', '', '', '', '', '', 0, 0, 0, 0, 0, $11, $12)`,
			e.ID, position, e.ProjectID, counter, e.Title, tags, e.CreatedBy, e.CreatedByName,
			string(e.Status), micros(e.CreatedAt), e.Priority, e.Environment.ID)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `INSERT INTO execution_documents (execution_id, work, pull_report) VALUES ($1, $2, '')`, e.ID, work)
		if err != nil {
			return err
		}
		if err := s.appendLines(ctx, tx, e.ID, added); err != nil {
			return err
		}
		if err := insertEvents(ctx, tx, event); err != nil {
			return err
		}
		created, err = executionByID(ctx, tx, e.ID)
		return err
	})
	if err != nil {
		return execution.Execution{}, err
	}
	return created, nil
}

// ExecutionByID implements execution.RunStore.
func (s *Store) ExecutionByID(ctx context.Context, id string) (e execution.Execution, err error) {
	err = s.read(ctx, executionNoun.named(id), func(r runner) error {
		e, err = executionByID(ctx, r, id)
		return err
	})
	return e, err
}

// ExecutionByCounter implements execution.RunStore.
func (s *Store) ExecutionByCounter(ctx context.Context, projectID string, counter int) (e execution.Execution, err error) {
	about := executionNoun.numbered(int64(counter))
	if counter == 0 {
		about = executionNoun.named("latest")
	}
	err = s.read(ctx, about, func(r runner) error {
		if counter == 0 {
			e, err = scanExecution(r.row(ctx, selectExecution+` WHERE e.project_id = $1 ORDER BY e.counter DESC LIMIT 1`, projectID))
			return err
		}
		e, err = scanExecution(r.row(ctx, selectExecution+` WHERE e.project_id = $1 AND e.counter = $2`, projectID, counter))
		return err
	})
	return e, err
}

// Executions implements execution.RunStore. What is counted and which are of the page
// is read off indexes, and of the rest only the page's rows are.
func (s *Store) Executions(ctx context.Context, filter execution.Filter) (executions []execution.Execution, count int, err error) {
	all := narrowed("e.project_id", filter)
	page, args := positionsOf(filter)
	err = s.snapshot(ctx, database, func(r runner) error {
		if err := r.row(ctx, `SELECT count(*) FROM executions e`+all.where(), all.args...).Scan(&count); err != nil {
			return err
		}
		rows, err := r.query(ctx, selectExecution+` WHERE e.position IN (`+page+`)`+orderOf(filter), args...)
		executions, err = collect(rows, err, scanExecution)
		return err
	})
	return executions, count, err
}

// positionsOf is the statement for the positions of the filter's page.
func positionsOf(filter execution.Filter) (text string, args []any) {
	projectID := "e.project_id"
	if len(filter.ProjectIDs) > 1 && len(filter.Counters) == 0 && !filter.OldestFirst {
		projectID = "(e.project_id || '')" // so that the index of projects, which would have to be sorted, is left alone
	}
	wanted := narrowed(projectID, filter)
	text = `SELECT e.position FROM executions e` + wanted.where() + orderOf(filter)
	return text + wanted.page(filter.Page.Limit, filter.Page.Offset), wanted.args
}

func orderOf(filter execution.Filter) string {
	if filter.OldestFirst {
		return ` ORDER BY e.counter, e.position`
	}
	return ` ORDER BY e.position DESC`
}

// narrowed are the conditions of a filter, with the project's id as that expression.
func narrowed(projectID string, filter execution.Filter) (wanted conditions) {
	wanted.add(in(&wanted, projectID, filter.ProjectIDs))
	if len(filter.Statuses) > 0 {
		statuses := make([]string, len(filter.Statuses))
		for i, status := range filter.Statuses {
			statuses[i] = string(status)
		}
		wanted.add(in(&wanted, "e.status", statuses))
	}
	if len(filter.Counters) > 0 {
		wanted.add(in(&wanted, "e.counter", filter.Counters))
	}
	if filter.CreatedBy != "" {
		wanted.add("e.created_by = " + wanted.arg(filter.CreatedBy))
	}
	return wanted
}

// CountByStatus implements execution.RunStore.
func (s *Store) CountByStatus(ctx context.Context, projectID string) (map[execution.Status]int, error) {
	counts := make(map[execution.Status]int)
	err := s.read(ctx, projectNoun.named(projectID), func(r runner) error {
		rows, err := r.query(ctx, `SELECT status, count(*) FROM executions WHERE project_id = $1 GROUP BY status`, projectID)
		_, err = collect(rows, err, func(row scanner) (struct{}, error) {
			var status execution.Status
			var count int
			err := row.Scan(&status, &count)
			counts[status] = count
			return struct{}{}, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// Unfinished implements execution.RunStore.
func (s *Store) Unfinished(ctx context.Context, userID string) (map[string]int, error) {
	counts := make(map[string]int)
	err := s.read(ctx, executionNoun.named("unfinished"), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT environment_id, count(*) FROM executions
			WHERE (status = 'queued' OR lease_id <> '') AND ($1 = '' OR created_by = $1) GROUP BY environment_id`, userID)
		_, err = collect(rows, err, func(row scanner) (struct{}, error) {
			var environment string
			var count int
			err := row.Scan(&environment, &count)
			counts[environment] = count
			return struct{}{}, err
		})
		return err
	})
	if err != nil {
		return nil, err
	}
	return counts, nil
}

// SetTags implements execution.RunStore.
func (s *Store) SetTags(ctx context.Context, id string, tags []string, event audit.Event) (e execution.Execution, err error) {
	text, err := document(tags)
	if err != nil {
		return execution.Execution{}, err
	}
	err = s.write(ctx, executionNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `UPDATE executions SET tags = $1 WHERE id = $2`, text, id); err != nil {
			return err
		}
		if err := insertEvents(ctx, tx, event); err != nil {
			return err
		}
		e, err = executionByID(ctx, tx, id)
		return err
	})
	if err != nil {
		return execution.Execution{}, err
	}
	return e, nil
}

// DeleteExecution implements execution.RunStore.
func (s *Store) DeleteExecution(ctx context.Context, id string, event audit.Event) error {
	return s.write(ctx, executionNoun.named(id), func(ctx context.Context, tx *Tx) error {
		var status execution.Status
		if err := tx.row(ctx, `SELECT status FROM executions WHERE id = $1`, id).Scan(&status); err != nil {
			return err
		}
		if !status.IsFinal() {
			return fault.New(fault.Conflict, "execution_running", "the execution has not ended: it is %s", status).
				WithHint("Stop it first: `fairlead execution stop %s`.", id)
		}
		if err := tx.must(ctx, `DELETE FROM executions WHERE id = $1`, id); err != nil { // its log goes with it
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// RequestStop implements execution.RunStore.
func (s *Store) RequestStop(ctx context.Context, id string, at time.Time, lines []execution.Line, event audit.Event) (e execution.Execution, err error) {
	added, err := s.newLines(lines)
	if err != nil {
		return execution.Execution{}, err
	}
	err = s.write(ctx, executionNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if e, err = executionByID(ctx, tx, id); err != nil {
			return err
		}
		status, ended := execution.Stopped, micros(at)
		switch {
		case e.Status.IsFinal():
			return fault.New(fault.Conflict, "execution_ended", "the execution has ended already: it is %s", e.Status).
				WithHint("There is nothing to stop; `fairlead execution show %s` says how it ended.", id)
		case e.Status == execution.Stopping:
			return nil
		case e.Status == execution.Started:
			status, ended = execution.Stopping, 0
		}
		if err := tx.must(ctx, `UPDATE executions SET status = $1, ended_at = $2 WHERE id = $3`, string(status), ended, id); err != nil {
			return err
		}
		if status.IsFinal() {
			if err := insertHappening(ctx, tx, "", notice.Happening{Kind: notice.ExecutionEnded, ObjectID: id, At: at}); err != nil {
				return err
			}
		}
		if err := s.appendLines(ctx, tx, id, added); err != nil {
			return err
		}
		if err := insertEvents(ctx, tx, event); err != nil {
			return err
		}
		e, err = executionByID(ctx, tx, id)
		return err
	})
	if err != nil {
		return execution.Execution{}, err
	}
	return e, nil
}
