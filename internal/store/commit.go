package store

import (
	"context"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/execution"
)

func scanCommit(row scanner) (c execution.Commit, err error) {
	err = row.Scan(&c.ProjectID, &c.Identifier, &c.Description, instant{&c.CreatedAt}, &c.Config, &c.ConfigPath, &c.Size, &c.Ref, &c.Package)
	return c, err
}

// CreateCommit implements execution.CommitStore.
func (s *Store) CreateCommit(ctx context.Context, commit execution.Commit, event audit.Event) (added bool, err error) {
	err = s.write(ctx, commitNoun.named(commit.Identifier), func(ctx context.Context, tx *Tx) error {
		position, err := nextPosition(ctx, tx)
		if err != nil {
			return err
		}
		n, err := tx.exec(ctx, `
			INSERT INTO commits (project_id, identifier, position, description, created_at, config, config_path, size, ref, package)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT (project_id, identifier) DO NOTHING`,
			commit.ProjectID, commit.Identifier, position, commit.Description, micros(commit.CreatedAt),
			commit.Config, commit.ConfigPath, commit.Size, commit.Ref, commit.Package)
		if added = n > 0; err != nil || !added {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
	return added && err == nil, err
}

// PackCommit implements execution.CommitStore.
func (s *Store) PackCommit(ctx context.Context, commit execution.Commit) error {
	return s.write(ctx, commitNoun.named(commit.Identifier), func(ctx context.Context, tx *Tx) error {
		return tx.must(ctx, `
			UPDATE commits SET config = $1, config_path = $2, size = $3, package = $4
			WHERE project_id = $5 AND identifier = $6`,
			commit.Config, commit.ConfigPath, commit.Size, commit.Package, commit.ProjectID, commit.Identifier)
	})
}

// CommitByIdentifier implements execution.CommitStore.
func (s *Store) CommitByIdentifier(ctx context.Context, projectID, identifier string) (commit execution.Commit, err error) {
	err = s.read(ctx, commitNoun.named(identifier), func(r runner) error {
		commit, err = scanCommit(r.row(ctx, `
			SELECT project_id, identifier, description, created_at, config, config_path, size, ref, package
			FROM commits WHERE project_id = $1 AND identifier = $2`, projectID, identifier))
		return err
	})
	return commit, err
}

// Commits implements execution.CommitStore.
func (s *Store) Commits(ctx context.Context, projectID string, origin execution.Origin, page execution.Page) (commits []execution.Commit, count int, err error) {
	var wanted conditions
	wanted.add("project_id = " + wanted.arg(projectID))
	switch origin {
	case execution.Uploaded:
		wanted.add("identifier LIKE '~%'")
	case execution.Fetched:
		wanted.add("identifier NOT LIKE '~%'")
	}
	err = s.snapshot(ctx, commitNoun.named(projectID), func(r runner) error {
		if err := r.row(ctx, `SELECT count(*) FROM commits`+wanted.where(), wanted.args...).Scan(&count); err != nil {
			return err
		}
		part := wanted.page(page.Limit, page.Offset)
		rows, err := r.query(ctx, `
			SELECT project_id, identifier, description, created_at, '', config_path, size, ref, package
			FROM commits`+wanted.where()+` ORDER BY position DESC`+part, wanted.args...)
		commits, err = collect(rows, err, scanCommit)
		return err
	})
	return commits, count, err
}
