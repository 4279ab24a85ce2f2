package store

import (
	"context"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/fault"
)

func scanEnvironment(row scanner) (e account.Environment, err error) {
	err = row.Scan(&e.ID, &e.Name, &e.Slug, &e.Description, &e.Limit, &e.UserQuota, &e.Enabled, &e.Restricted, instant{&e.CreatedAt})
	return e, err
}

// Environments implements account.EnvironmentStore.
func (s *Store) Environments(ctx context.Context) (environments []account.Environment, err error) {
	err = s.read(ctx, environmentNoun.named("all"), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT id, name, slug, description, execution_limit, user_quota, enabled, restricted, created_at
			FROM environments ORDER BY lower(name)`)
		if environments, err = collect(rows, err, scanEnvironment); err != nil {
			return err
		}
		byID := make(map[string]*account.Environment, len(environments))
		for i := range environments {
			byID[environments[i].ID] = &environments[i]
		}
		rows, err = r.query(ctx, `SELECT environment_id, project_id FROM environment_projects ORDER BY project_id`)
		_, err = collect(rows, err, func(row scanner) (struct{}, error) {
			var environment, project string
			err := row.Scan(&environment, &project)
			if e := byID[environment]; e != nil {
				e.Projects = append(e.Projects, project)
			}
			return struct{}{}, err
		})
		return err
	})
	return environments, err
}

// CreateEnvironment implements account.EnvironmentStore.
func (s *Store) CreateEnvironment(ctx context.Context, e account.Environment, event audit.Event) error {
	return s.write(ctx, environmentNoun.named(e.Name), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `
			INSERT INTO environments (id, name, slug, description, execution_limit, user_quota, enabled, restricted, created_at)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
			e.ID, e.Name, e.Slug, e.Description, e.Limit, e.UserQuota, e.Enabled, e.Restricted, micros(e.CreatedAt))
		if err != nil {
			return err
		}
		return setProjects(ctx, tx, e, event)
	})
}

// UpdateEnvironment implements account.EnvironmentStore.
func (s *Store) UpdateEnvironment(ctx context.Context, e account.Environment, event audit.Event) error {
	return s.write(ctx, environmentNoun.named(e.Name), func(ctx context.Context, tx *Tx) error {
		err := tx.must(ctx, `
			UPDATE environments SET name = $1, slug = $2, description = $3, execution_limit = $4, user_quota = $5, enabled = $6, restricted = $7
			WHERE id = $8`,
			e.Name, e.Slug, e.Description, e.Limit, e.UserQuota, e.Enabled, e.Restricted, e.ID)
		if err != nil {
			return err
		}
		return setProjects(ctx, tx, e, event)
	})
}

// setProjects replaces the projects of an environment, with which a change of it
// ends.
func setProjects(ctx context.Context, tx *Tx, e account.Environment, event audit.Event) error {
	if _, err := tx.exec(ctx, `DELETE FROM environment_projects WHERE environment_id = $1`, e.ID); err != nil {
		return err
	}
	for _, project := range e.Projects {
		if _, err := tx.exec(ctx, `INSERT INTO environment_projects (environment_id, project_id) VALUES ($1, $2)`, e.ID, project); err != nil {
			return err
		}
	}
	return insertEvents(ctx, tx, event)
}

// DeleteEnvironment implements account.EnvironmentStore.
func (s *Store) DeleteEnvironment(ctx context.Context, id string, event audit.Event) error {
	return s.write(ctx, environmentNoun.named(id), func(ctx context.Context, tx *Tx) error {
		var tokens, unfinished int
		err := tx.row(ctx, `
			SELECT (SELECT count(*) FROM tokens WHERE environment_id = $1),
				(SELECT count(*) FROM executions WHERE environment_id = $1 AND (status = 'queued' OR lease_id <> ''))`, id).Scan(&tokens, &unfinished)
		if err != nil {
			return err
		}
		if tokens > 0 || unfinished > 0 {
			return fault.New(fault.Conflict, "environment_used", "the environment is in use: worker tokens %d, unfinished executions %d", tokens, unfinished).
				WithHint("End them first: `fairlead worker-token delete` and `fairlead execution stop`.")
		}
		if err := tx.must(ctx, `DELETE FROM environments WHERE id = $1`, id); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}
