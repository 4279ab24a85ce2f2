package store

import (
	"context"
	"database/sql"

	"fairlead.dev/fairlead/internal/account"
	"fairlead.dev/fairlead/internal/audit"
)

// selectProject lists a project with the name of whoever owns it.
const selectProject = `
	SELECT p.id, p.name, p.description, p.created_at,
		COALESCE(p.organization_id, 0), COALESCE(p.user_id, ''), COALESCE(o.name, u.username), p.environment_id,
		COALESCE((SELECT e.created_at FROM executions e WHERE e.project_id = p.id ORDER BY e.counter DESC LIMIT 1), 0)
	FROM projects p LEFT JOIN organizations o ON o.id = p.organization_id LEFT JOIN users u ON u.id = p.user_id`

func scanProject(row scanner) (p account.Project, err error) {
	err = row.Scan(&p.ID, &p.Name, &p.Description, instant{&p.CreatedAt}, &p.Owner.OrganizationID, &p.Owner.UserID, &p.Owner.Name, &p.EnvironmentID, instant{&p.LastExecutionAt})
	return p, err
}

// CreateProject implements account.ProjectStore.
func (s *Store) CreateProject(ctx context.Context, project account.Project, event audit.Event) error {
	return s.write(ctx, projectNoun.named(project.Name), func(ctx context.Context, tx *Tx) error {
		owner := project.Owner
		_, err := tx.exec(ctx, `
			INSERT INTO projects (id, name, description, organization_id, user_id, created_at, executions)
			VALUES ($1, $2, $3, $4, $5, $6, 0)`,
			project.ID, project.Name, project.Description,
			sql.NullInt64{Int64: owner.OrganizationID, Valid: owner.OrganizationID != 0},
			sql.NullString{String: owner.UserID, Valid: owner.UserID != ""},
			micros(project.CreatedAt))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// ProjectByID implements account.ProjectStore.
func (s *Store) ProjectByID(ctx context.Context, id string) (project account.Project, err error) {
	err = s.read(ctx, projectNoun.named(id), func(r runner) error {
		project, err = scanProject(r.row(ctx, selectProject+` WHERE p.id = $1`, id))
		return err
	})
	return project, err
}

// Projects implements account.ProjectStore.
func (s *Store) Projects(ctx context.Context, organizationIDs []int64, userID string) (projects []account.Project, err error) {
	var owned conditions
	owned.add(in(&owned, "p.organization_id", organizationIDs) + " OR p.user_id = " + owned.arg(userID))
	err = s.snapshot(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, selectProject+owned.where()+`
			ORDER BY lower(COALESCE(o.name, u.username)), p.organization_id, lower(p.name)`, owned.args...)
		projects, err = collect(rows, err, scanProject)
		return err
	})
	return projects, err
}
