-- What lists of the audit trail are found by. Each index takes some two
-- microseconds of every row that is written; see audit_list.go.

-- +goose Up
CREATE INDEX audit_events_by_actor ON audit_events (actor, id);
CREATE INDEX audit_events_by_object ON audit_events (object_id, id);
CREATE INDEX audit_events_by_object_name ON audit_events (object_name, id);
-- costs nothing for what came out right
CREATE INDEX audit_events_failed ON audit_events (organization_id, id) WHERE result <> 'ok';

-- the times of the rows with the ids 1024*block-1023 to 1024*block, written with
-- the last of them; a clock that was put back makes them overlap
CREATE TABLE audit_times (
    block    BIGINT PRIMARY KEY,
    earliest BIGINT NOT NULL,
    latest   BIGINT NOT NULL
);
INSERT INTO audit_times (block, earliest, latest)
SELECT (id + 1023) / 1024, MIN(time), MAX(time) FROM audit_events
GROUP BY (id + 1023) / 1024 HAVING MAX(id) % 1024 = 0;

-- +goose Down
DROP TABLE audit_times;
DROP INDEX audit_events_failed;
DROP INDEX audit_events_by_object_name;
DROP INDEX audit_events_by_object;
DROP INDEX audit_events_by_actor;
