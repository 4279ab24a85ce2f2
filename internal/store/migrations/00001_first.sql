-- The first state of the database. What is written here means the same to
-- SQLite and to PostgreSQL:
--   * times are microseconds since 1970 in UTC, and 0 is no time at all;
--   * lists and maps are JSON in a text, and '' is none;
--   * a position is drawn from the table counters when a row is made, so that
--     rows have an order that a clock that was turned back cannot change.

-- +goose Up
CREATE TABLE counters (
    name  TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);
INSERT INTO counters (name, value) VALUES ('position', 0), ('organization', 0), ('audit', 0);

CREATE TABLE users (
    id            TEXT PRIMARY KEY,
    username      TEXT NOT NULL,
    email         TEXT NOT NULL,
    password_hash TEXT NOT NULL,
    operator      BOOLEAN NOT NULL,
    created_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX users_by_name ON users (lower(username));

CREATE TABLE organizations (
    id         BIGINT PRIMARY KEY,
    name       TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- counts the changes of the organisation's registry credentials
    generation BIGINT NOT NULL
);
CREATE UNIQUE INDEX organizations_by_name ON organizations (lower(name));

CREATE TABLE memberships (
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    user_id         TEXT NOT NULL REFERENCES users (id),
    role            TEXT NOT NULL,
    PRIMARY KEY (organization_id, user_id)
);
CREATE INDEX memberships_by_user ON memberships (user_id);

CREATE TABLE projects (
    id              TEXT PRIMARY KEY,
    name            TEXT NOT NULL,
    description     TEXT NOT NULL,
    organization_id BIGINT REFERENCES organizations (id),
    user_id         TEXT REFERENCES users (id),
    created_at      BIGINT NOT NULL,
    -- the counter of the project's latest execution
    executions      BIGINT NOT NULL,
    CHECK ((organization_id IS NULL) <> (user_id IS NULL))
);
CREATE UNIQUE INDEX projects_by_organization ON projects (organization_id, lower(name)) WHERE organization_id IS NOT NULL;
CREATE UNIQUE INDEX projects_by_user ON projects (user_id, lower(name)) WHERE user_id IS NOT NULL;

CREATE TABLE tokens (
    id           TEXT PRIMARY KEY,
    position     BIGINT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    name         TEXT NOT NULL,
    -- NULL is a worker's
    user_id      TEXT REFERENCES users (id),
    created_at   BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL
);
CREATE INDEX tokens_by_user ON tokens (user_id, position);

CREATE TABLE credentials (
    id              TEXT PRIMARY KEY,
    position        BIGINT NOT NULL,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    name            TEXT NOT NULL,
    kind            TEXT NOT NULL,
    patterns        TEXT NOT NULL,
    config          TEXT NOT NULL,
    version         BIGINT NOT NULL,
    key_id          BIGINT NOT NULL,
    sealed          BYTEA NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL,
    last_used_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX credentials_by_name ON credentials (organization_id, name);
CREATE INDEX credentials_by_position ON credentials (organization_id, position);
CREATE INDEX credentials_by_key ON credentials (key_id);

CREATE TABLE commits (
    project_id  TEXT NOT NULL REFERENCES projects (id),
    identifier  TEXT NOT NULL,
    position    BIGINT NOT NULL,
    description TEXT NOT NULL,
    created_at  BIGINT NOT NULL,
    config      TEXT NOT NULL,
    config_path TEXT NOT NULL,
    size        BIGINT NOT NULL,
    PRIMARY KEY (project_id, identifier)
);
CREATE INDEX commits_by_position ON commits (project_id, position);

-- What changes often while an execution runs is apart from what is large.
CREATE TABLE executions (
    id               TEXT PRIMARY KEY,
    position         BIGINT NOT NULL,
    project_id       TEXT NOT NULL REFERENCES projects (id),
    counter          BIGINT NOT NULL,
    title            TEXT NOT NULL,
    tags             TEXT NOT NULL,
    created_by       TEXT NOT NULL,
    created_by_name  TEXT NOT NULL,
    status           TEXT NOT NULL,
    created_at       BIGINT NOT NULL,
    started_at       BIGINT NOT NULL,
    ended_at         BIGINT NOT NULL,
    image_digest     TEXT NOT NULL,
    exit_code        BIGINT,
    result_code      TEXT NOT NULL,
    result_message   TEXT NOT NULL,
    -- '' is nobody's
    lease_id         TEXT NOT NULL,
    worker_id        TEXT NOT NULL,
    worker_name      TEXT NOT NULL,
    attempt          BIGINT NOT NULL,
    lease_expires_at BIGINT NOT NULL,
    batch            BIGINT NOT NULL,
    -- how many lines the log has, and the time of the last
    log_lines        BIGINT NOT NULL,
    log_time         BIGINT NOT NULL
);
CREATE UNIQUE INDEX executions_by_counter ON executions (project_id, counter);
CREATE INDEX executions_by_position ON executions (position);
CREATE INDEX executions_by_status ON executions (project_id, status);
CREATE INDEX executions_queued ON executions (position) WHERE status = 'queued';
CREATE UNIQUE INDEX executions_by_lease ON executions (lease_id) WHERE lease_id <> '';
CREATE INDEX executions_by_lease_end ON executions (lease_expires_at) WHERE lease_id <> '';

CREATE TABLE execution_documents (
    execution_id TEXT PRIMARY KEY REFERENCES executions (id) ON DELETE CASCADE,
    work         TEXT NOT NULL,
    pull_report  TEXT NOT NULL
);

-- A chunk holds consecutive lines of a log; what is in its body is said in
-- chunk.go.
CREATE TABLE log_chunks (
    execution_id TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    first        BIGINT NOT NULL,
    lines        BIGINT NOT NULL,
    body         BYTEA NOT NULL,
    PRIMARY KEY (execution_id, first)
);

CREATE TABLE audit_events (
    id              BIGINT PRIMARY KEY,
    time            BIGINT NOT NULL,
    actor           TEXT NOT NULL,
    actor_id        TEXT NOT NULL,
    remote          TEXT NOT NULL,
    verb            TEXT NOT NULL,
    result          TEXT NOT NULL,
    -- 0 is none
    organization_id BIGINT NOT NULL,
    object_id       TEXT NOT NULL,
    object_name     TEXT NOT NULL,
    execution_id    TEXT NOT NULL,
    details         TEXT NOT NULL
);
CREATE INDEX audit_events_by_organization ON audit_events (organization_id, verb, id);
CREATE INDEX audit_events_by_execution ON audit_events (execution_id, id) WHERE execution_id <> '';

-- +goose Down
DROP TABLE audit_events;
DROP TABLE log_chunks;
DROP TABLE execution_documents;
DROP TABLE executions;
DROP TABLE commits;
DROP TABLE credentials;
DROP TABLE tokens;
DROP TABLE projects;
DROP TABLE memberships;
DROP TABLE organizations;
DROP TABLE users;
DROP TABLE counters;
