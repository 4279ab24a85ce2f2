-- What a project is set to, and commits of git repositories.

-- +goose Up
CREATE TABLE project_repositories (
    project_id  TEXT PRIMARY KEY REFERENCES projects (id) ON DELETE CASCADE,
    url         TEXT NOT NULL,
    username    TEXT NOT NULL,
    known_hosts TEXT NOT NULL,
    -- token, ssh_key, or '' for none
    login       TEXT NOT NULL,
    config_path TEXT NOT NULL,
    linked_at   BIGINT NOT NULL,
    version     BIGINT NOT NULL,
    key_id      BIGINT NOT NULL,
    sealed      BYTEA NOT NULL
);

CREATE TABLE project_variables (
    project_id TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    name       TEXT NOT NULL,
    secret     BOOLEAN NOT NULL,
    value      TEXT NOT NULL,
    version    BIGINT NOT NULL,
    key_id     BIGINT NOT NULL,
    sealed     BYTEA NOT NULL,
    PRIMARY KEY (project_id, name)
);

-- '' is the installation's default
ALTER TABLE projects ADD COLUMN environment_id TEXT NOT NULL DEFAULT '';

-- the branch or tag by which a commit was found; '' for an upload
ALTER TABLE commits ADD COLUMN ref TEXT NOT NULL DEFAULT '';
-- the identifier of its package; '' while a commit of a repository has none yet
ALTER TABLE commits ADD COLUMN package TEXT NOT NULL DEFAULT '';
UPDATE commits SET package = identifier;

-- +goose Down
ALTER TABLE commits DROP COLUMN package;
ALTER TABLE commits DROP COLUMN ref;
ALTER TABLE projects DROP COLUMN environment_id;
DROP TABLE project_variables;
DROP TABLE project_repositories;
