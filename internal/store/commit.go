package store

import (
	"context"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
)

func scanCommit(row scanner) (c execution.Commit, err error) {
	err = row.Scan(&c.ProjectID, &c.Identifier, &c.Description, instant{&c.CreatedAt}, &c.Config, &c.ConfigPath, &c.Size)
	return c, err
}

// CreateCommit implements execution.CommitStore.
func (s *Store) CreateCommit(ctx context.Context, commit execution.Commit, event audit.Event) error {
	return s.write(ctx, commitNoun.named(commit.Identifier), func(ctx context.Context, tx *Tx) error {
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		added, err := tx.exec(ctx, `
			INSERT INTO commits (project_id, identifier, position, description, created_at, config, config_path, size)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT (project_id, identifier) DO NOTHING`,
			commit.ProjectID, commit.Identifier, position, commit.Description, micros(commit.CreatedAt),
			commit.Config, commit.ConfigPath, commit.Size)
		if err != nil || added == 0 {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// CommitByIdentifier implements execution.CommitStore.
func (s *Store) CommitByIdentifier(ctx context.Context, projectID, identifier string) (commit execution.Commit, err error) {
	err = s.read(ctx, commitNoun.named(identifier), func(r runner) error {
		commit, err = scanCommit(r.row(ctx, `
			SELECT project_id, identifier, description, created_at, config, config_path, size
			FROM commits WHERE project_id = $1 AND identifier = $2`, projectID, identifier))
		return err
	})
	return commit, err
}

// Commits implements execution.CommitStore.
func (s *Store) Commits(ctx context.Context, projectID string, page execution.Page) (commits []execution.Commit, count int, err error) {
	err = s.snapshot(ctx, commitNoun.named(projectID), func(r runner) error {
		if err := r.row(ctx, `SELECT count(*) FROM commits WHERE project_id = $1`, projectID).Scan(&count); err != nil {
			return err
		}
		rows, err := r.query(ctx, `
			SELECT project_id, identifier, description, created_at, '', config_path, size
			FROM commits WHERE project_id = $1 ORDER BY position DESC LIMIT $2 OFFSET $3`,
			projectID, max(page.Limit, 0), max(page.Offset, 0))
		commits, err = collect(rows, err, scanCommit)
		return err
	})
	return commits, count, err
}
