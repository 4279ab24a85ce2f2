package store

import (
	"context"
	"time"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
)

// selectDatum lists a datum as scanDatum reads it.
const selectDatum = `SELECT id, project_id, execution_id,
	(SELECT counter FROM executions e WHERE e.id = data.execution_id), name, size, sha256, depot_key, created_at, purged_at FROM data`

func scanDatum(row scanner) (d execution.Datum, err error) {
	err = row.Scan(&d.ID, &d.ProjectID, &d.ExecutionID, &d.Counter, &d.Name, &d.Size, &d.SHA256, &d.Key, instant{&d.CreatedAt}, instant{&d.PurgedAt})
	return d, err
}

// AddDatum implements execution.DataStore.
func (s *Store) AddDatum(ctx context.Context, leaseID string, d execution.Datum, event audit.Event) (dropped []string, err error) {
	err = s.write(ctx, leaseNoun.named(leaseID), func(ctx context.Context, tx *Tx) error {
		dropped = nil
		e, err := executionByLease(ctx, tx, leaseID)
		if err != nil {
			return err
		}
		rows, err := tx.query(ctx, `DELETE FROM data WHERE execution_id = $1 AND (name = $2 OR lease_id <> $3) RETURNING depot_key`, e.ID, d.Name, leaseID)
		if dropped, err = collect(rows, err, func(row scanner) (key string, err error) { return key, row.Scan(&key) }); err != nil {
			return err
		}
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		_, err = tx.exec(ctx, `
			INSERT INTO data (id, position, project_id, execution_id, lease_id, name, size, sha256, depot_key, created_at, purged_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0)`,
			d.ID, position, e.ProjectID, e.ID, leaseID, d.Name, d.Size, d.SHA256, d.Key, micros(d.CreatedAt))
		if err != nil {
			return err
		}
		if err := tx.row(ctx, `SELECT COALESCE(organization_id, 0) FROM projects WHERE id = $1`, e.ProjectID).Scan(&event.OrganizationID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
	return dropped, err
}

// DatumByID implements execution.DataStore.
func (s *Store) DatumByID(ctx context.Context, id string) (d execution.Datum, err error) {
	err = s.read(ctx, datumNoun.named(id), func(r runner) error {
		d, err = scanDatum(r.row(ctx, selectDatum+` WHERE id = $1`, id))
		return err
	})
	return d, err
}

// Data implements execution.DataStore.
func (s *Store) Data(ctx context.Context, filter execution.DatumFilter) (data []execution.Datum, count int, err error) {
	err = s.snapshot(ctx, datumNoun.named(filter.ExecutionID), func(r runner) error {
		var c conditions
		c.add(in(&c, "project_id", filter.ProjectIDs))
		if filter.ExecutionID != "" {
			c.add("execution_id = " + c.arg(filter.ExecutionID))
		}
		where := c.where()
		if err := r.row(ctx, `SELECT count(*) FROM data`+where, c.args...).Scan(&count); err != nil {
			return err
		}
		rows, err := r.query(ctx, selectDatum+where+` ORDER BY position DESC`+c.page(filter.Page.Limit, filter.Page.Offset), c.args...)
		data, err = collect(rows, err, scanDatum)
		return err
	})
	return data, count, err
}

// PurgeDatum implements execution.DataStore.
func (s *Store) PurgeDatum(ctx context.Context, id string, at time.Time, event audit.Event) error {
	return s.write(ctx, datumNoun.named(id), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `UPDATE data SET purged_at = $1 WHERE id = $2`, micros(at), id); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// appendMetadata appends metadata to an execution's.
func appendMetadata(ctx context.Context, tx *Tx, executionID string, metadata []execution.Metadatum) error {
	if len(metadata) == 0 {
		return nil
	}
	var last int64
	if err := tx.row(ctx, `SELECT COALESCE(MAX(number), 0) FROM execution_metadata WHERE execution_id = $1`, executionID).Scan(&last); err != nil {
		return err
	}
	for i, m := range metadata {
		_, err := tx.exec(ctx, `INSERT INTO execution_metadata (execution_id, number, time, body) VALUES ($1, $2, $3, $4)`,
			executionID, last+int64(i)+1, micros(m.Time), string(m.Body))
		if err != nil {
			return err
		}
	}
	return nil
}

// Metadata implements execution.MetadataStore.
func (s *Store) Metadata(ctx context.Context, executionID string, after int64, limit int) (metadata []execution.Metadatum, count int64, err error) {
	err = s.snapshot(ctx, executionNoun.named(executionID), func(r runner) error {
		if err := r.row(ctx, `SELECT count(*) FROM execution_metadata WHERE execution_id = $1`, executionID).Scan(&count); err != nil {
			return err
		}
		rows, err := r.query(ctx, `
			SELECT number, time, body FROM execution_metadata WHERE execution_id = $1 AND number > $2 ORDER BY number LIMIT $3`,
			executionID, after, limit)
		metadata, err = collect(rows, err, func(row scanner) (m execution.Metadatum, err error) {
			var body string
			err = row.Scan(&m.Number, instant{&m.Time}, &body)
			m.Body = []byte(body)
			return m, err
		})
		return err
	})
	return metadata, count, err
}
