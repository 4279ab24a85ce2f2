package store

import (
	"context"
	"strings"

	"fairlead.dev/fairlead/internal/audit"
	"fairlead.dev/fairlead/internal/project"
)

// Repository implements project.Store.
func (s *Store) Repository(ctx context.Context, projectID string) (r project.Repository, err error) {
	err = s.read(ctx, repositoryNoun.named(projectID), func(run runner) error {
		return run.row(ctx, `
			SELECT project_id, url, username, known_hosts, login, config_path, linked_at, version, key_id, sealed
			FROM project_repositories WHERE project_id = $1`, projectID).
			Scan(&r.ProjectID, &r.URL, &r.Username, &r.KnownHosts, &r.Login, &r.ConfigPath, instant{&r.LinkedAt}, &r.Version, &r.Sealed.KeyID, &r.Sealed.Bytes)
	})
	return r, err
}

// SetRepository implements project.Store.
func (s *Store) SetRepository(ctx context.Context, r project.Repository, event audit.Event) error {
	return s.write(ctx, repositoryNoun.named(r.ProjectID), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `
			INSERT INTO project_repositories (project_id, url, username, known_hosts, login, config_path, linked_at, version, key_id, sealed)
			VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT (project_id) DO UPDATE SET url = $2, username = $3, known_hosts = $4, login = $5, config_path = $6,
				linked_at = $7, version = $8, key_id = $9, sealed = $10`,
			r.ProjectID, r.URL, r.Username, r.KnownHosts, string(r.Login), r.ConfigPath, micros(r.LinkedAt), r.Version,
			int64(r.Sealed.KeyID), bytesOf(r.Sealed))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// bytesOf is what was sealed, and not null where nothing was.
func bytesOf(sealed project.Sealed) []byte {
	if sealed.Bytes == nil {
		return []byte{}
	}
	return sealed.Bytes
}

// DeleteRepository implements project.Store.
func (s *Store) DeleteRepository(ctx context.Context, projectID string, event audit.Event) error {
	return s.write(ctx, repositoryNoun.named(projectID), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM project_repositories WHERE project_id = $1`, projectID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// Variables implements project.Store.
func (s *Store) Variables(ctx context.Context, projectID string) (variables []project.Variable, err error) {
	err = s.read(ctx, variableNoun.named(projectID), func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT project_id, name, secret, value, version, key_id, sealed
			FROM project_variables WHERE project_id = $1 ORDER BY name`, projectID)
		variables, err = collect(rows, err, func(row scanner) (v project.Variable, err error) {
			err = row.Scan(&v.ProjectID, &v.Name, &v.Secret, &v.Value, &v.Version, &v.Sealed.KeyID, &v.Sealed.Bytes)
			return v, err
		})
		return err
	})
	return variables, err
}

// SetVariable implements project.Store.
func (s *Store) SetVariable(ctx context.Context, v project.Variable, event audit.Event) error {
	return s.write(ctx, variableNoun.named(v.Name), func(ctx context.Context, tx *Tx) error {
		_, err := tx.exec(ctx, `
			INSERT INTO project_variables (project_id, name, secret, value, version, key_id, sealed)
			VALUES ($1, $2, $3, $4, $5, $6, $7)
			ON CONFLICT (project_id, name) DO UPDATE SET secret = $3, value = $4, version = $5, key_id = $6, sealed = $7`,
			v.ProjectID, v.Name, v.Secret, v.Value, v.Version, int64(v.Sealed.KeyID), bytesOf(v.Sealed))
		if err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// DeleteVariable implements project.Store.
func (s *Store) DeleteVariable(ctx context.Context, projectID, name string, event audit.Event) error {
	return s.write(ctx, variableNoun.named(name), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `DELETE FROM project_variables WHERE project_id = $1 AND name = $2`, projectID, name); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// SetDefaultEnvironment implements project.Store.
func (s *Store) SetDefaultEnvironment(ctx context.Context, projectID, environmentID string, event audit.Event) error {
	return s.write(ctx, projectNoun.named(projectID), func(ctx context.Context, tx *Tx) error {
		if err := tx.must(ctx, `UPDATE projects SET environment_id = $1 WHERE id = $2`, environmentID, projectID); err != nil {
			return err
		}
		return insertEvents(ctx, tx, event)
	})
}

// ProjectSecretsBefore implements project.Store.
func (s *Store) ProjectSecretsBefore(ctx context.Context, keyID uint32, limit int) (kept []project.Kept, err error) {
	err = s.read(ctx, database, func(r runner) error {
		rows, err := r.query(ctx, `
			SELECT project_id, '`+project.RepositoryPlace+`', version, key_id, sealed FROM project_repositories WHERE login <> '' AND key_id <> $1
			UNION ALL
			SELECT project_id, '`+project.VariablePlace+`' || name, version, key_id, sealed FROM project_variables WHERE secret AND key_id <> $1
			LIMIT $2`, int64(keyID), max(limit, 0))
		kept, err = collect(rows, err, func(row scanner) (k project.Kept, err error) {
			err = row.Scan(&k.Place.ProjectID, &k.Place.Name, &k.Place.Version, &k.Sealed.KeyID, &k.Sealed.Bytes)
			return k, err
		})
		return err
	})
	return kept, err
}

// ResealProjectSecret implements project.Store.
func (s *Store) ResealProjectSecret(ctx context.Context, place project.Place, old, fresh project.Sealed) (replaced bool, err error) {
	err = s.write(ctx, projectNoun.named(place.ProjectID), func(ctx context.Context, tx *Tx) error {
		args := []any{int64(fresh.KeyID), fresh.Bytes, place.ProjectID, place.Version, int64(old.KeyID), old.Bytes}
		text := `UPDATE project_repositories SET key_id = $1, sealed = $2 WHERE project_id = $3 AND version = $4 AND key_id = $5 AND sealed = $6`
		if name, isVariable := strings.CutPrefix(place.Name, project.VariablePlace); isVariable {
			text = `UPDATE project_variables SET key_id = $1, sealed = $2 WHERE project_id = $3 AND version = $4 AND key_id = $5 AND sealed = $6 AND name = $7`
			args = append(args, name)
		}
		n, err := tx.exec(ctx, text, args...)
		replaced = n > 0
		return err
	})
	return replaced && err == nil, err
}
