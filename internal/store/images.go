package store

import (
	"context"
	"slices"
)

// RecentImages implements execution.RunStore. It reads a row for each project of the
// organisation, and the few executions that it looks at, by their counters.
func (s *Store) RecentImages(ctx context.Context, organizationID int64, projects, each int) (images []string, err error) {
	err = s.read(ctx, organizationNoun.numbered(organizationID), func(r runner) error {
		rows, err := r.query(ctx, `
			WITH recent AS MATERIALIZED (
				SELECT id, executions, (SELECT max(counter) FROM executions WHERE project_id = p.id) AS latest
				FROM projects p WHERE organization_id = $1 AND executions > 0
			), newest AS MATERIALIZED (
				SELECT n.id, n.latest FROM recent n JOIN executions e ON e.project_id = n.id AND e.counter = n.latest
				ORDER BY e.position DESC LIMIT $2
			)
			SELECT d.work ->> '$.image' FROM newest n
			JOIN executions e ON e.project_id = n.id AND e.counter > n.latest - $3
			JOIN execution_documents d ON d.execution_id = e.id
			ORDER BY e.position DESC`, organizationID, projects, each)
		all, err := collect(rows, err, func(row scanner) (image string, err error) { return image, row.Scan(&image) })
		for _, image := range all {
			if !slices.Contains(images, image) {
				images = append(images, image)
			}
		}
		return err
	})
	return images, err
}
