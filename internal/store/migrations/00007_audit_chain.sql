-- The audit trail is a chain: every row has the hash of itself and of the row
-- before it. Rows from before this are hashed when the database is opened
-- (chain.go); the triggers that keep rows from being changed are in sqlite.go.

-- +goose Up
-- '' until the row is hashed
ALTER TABLE audit_events ADD COLUMN hash BYTEA NOT NULL DEFAULT '';
ALTER TABLE audit_events ADD COLUMN previous BYTEA NOT NULL DEFAULT '';

-- one row
CREATE TABLE audit_chain (
    id         BIGINT PRIMARY KEY,
    -- the newest row that is hashed; 0: none
    head_id    BIGINT NOT NULL,
    head_hash  BYTEA NOT NULL,
    -- the newest row that was removed for its age; 0: none
    floor_id   BIGINT NOT NULL,
    floor_hash BYTEA NOT NULL,
    -- the newest row from before the chain; 0: none
    old_id     BIGINT NOT NULL
);
INSERT INTO audit_chain (id, head_id, head_hash, floor_id, floor_hash, old_id)
SELECT 1, 0, '', 0, '', COALESCE(MAX(id), 0) FROM audit_events;
DELETE FROM counters WHERE name = 'audit';

CREATE INDEX audit_events_newest ON audit_events (organization_id, id);

-- how far the trail was sent to each place outside
CREATE TABLE audit_streams (
    name     TEXT PRIMARY KEY,
    position BIGINT NOT NULL
);

-- +goose Down
DROP TRIGGER IF EXISTS audit_events_append;
DROP TRIGGER IF EXISTS audit_events_keep;
DROP TRIGGER IF EXISTS audit_events_remove;
DROP TRIGGER IF EXISTS audit_chain_forward;
DROP TRIGGER IF EXISTS audit_chain_stay;
DROP TRIGGER IF EXISTS audit_chain_one;
DROP TABLE audit_streams;
DROP INDEX audit_events_newest;
INSERT INTO counters (name, value) SELECT 'audit', head_id FROM audit_chain;
DROP TABLE audit_chain;
ALTER TABLE audit_events DROP COLUMN previous;
ALTER TABLE audit_events DROP COLUMN hash;
