-- Where executions run, and whose turn it is.

-- +goose Up
CREATE TABLE environments (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    slug            TEXT NOT NULL,
    description     TEXT NOT NULL,
    -- how many executions run at once; 0: as many as the workers take
    execution_limit BIGINT NOT NULL,
    -- how many unfinished executions one user may have; 0: any number
    user_quota      BIGINT NOT NULL,
    enabled         BOOLEAN NOT NULL,
    -- only the projects in environment_projects may use it
    restricted      BOOLEAN NOT NULL,
    created_at      BIGINT NOT NULL
);
CREATE UNIQUE INDEX environments_by_name ON environments (lower(name));
CREATE UNIQUE INDEX environments_by_slug ON environments (slug);

CREATE TABLE environment_projects (
    environment_id TEXT NOT NULL REFERENCES environments (id) ON DELETE CASCADE,
    project_id     TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    PRIMARY KEY (environment_id, project_id)
);

-- the one that is there from the beginning, and for good
INSERT INTO environments (id, name, slug, description, execution_limit, user_quota, enabled, restricted, created_at)
VALUES ('e0000000-0000-4000-8000-000000000000', 'default', 'default', 'Workers that were given no other environment', 0, 0, TRUE, FALSE, 0);

-- '' for a user's token
ALTER TABLE tokens ADD COLUMN environment_id TEXT NOT NULL DEFAULT '';
UPDATE tokens SET environment_id = 'e0000000-0000-4000-8000-000000000000' WHERE user_id IS NULL;

ALTER TABLE executions ADD COLUMN environment_id TEXT NOT NULL DEFAULT '';
ALTER TABLE executions ADD COLUMN priority BIGINT NOT NULL DEFAULT 0;
UPDATE executions SET environment_id = 'e0000000-0000-4000-8000-000000000000';

-- when the project was last served, as a position
ALTER TABLE projects ADD COLUMN turn BIGINT NOT NULL DEFAULT 0;

DROP INDEX executions_queued;
CREATE INDEX executions_queued ON executions (environment_id, project_id, priority DESC, position) WHERE status = 'queued';
CREATE INDEX executions_held ON executions (environment_id, project_id) WHERE lease_id <> '';

-- +goose Down
DROP INDEX executions_held;
DROP INDEX executions_queued;
CREATE INDEX executions_queued ON executions (position) WHERE status = 'queued';
ALTER TABLE projects DROP COLUMN turn;
ALTER TABLE executions DROP COLUMN priority;
ALTER TABLE executions DROP COLUMN environment_id;
ALTER TABLE tokens DROP COLUMN environment_id;
DROP TABLE environment_projects;
DROP TABLE environments;
