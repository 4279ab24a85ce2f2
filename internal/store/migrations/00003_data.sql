-- Files that executions leave and get, and the values that they tell.

-- +goose Up
CREATE TABLE data (
    id           TEXT PRIMARY KEY,
    position     BIGINT NOT NULL,
    project_id   TEXT NOT NULL REFERENCES projects (id) ON DELETE CASCADE,
    execution_id TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    -- under which it was stored: what another lease left does not count
    lease_id     TEXT NOT NULL,
    name         TEXT NOT NULL,
    size         BIGINT NOT NULL,
    sha256       TEXT NOT NULL,
    -- where the depot has it
    depot_key    TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    -- 0: it is there
    purged_at    BIGINT NOT NULL
);
CREATE UNIQUE INDEX data_by_name ON data (execution_id, name);
CREATE INDEX data_by_project ON data (project_id, position);

CREATE TABLE execution_metadata (
    execution_id TEXT NOT NULL REFERENCES executions (id) ON DELETE CASCADE,
    number       BIGINT NOT NULL,
    time         BIGINT NOT NULL,
    body         TEXT NOT NULL,
    PRIMARY KEY (execution_id, number)
);

-- +goose Down
DROP TABLE execution_metadata;
DROP TABLE data;
