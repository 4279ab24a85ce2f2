-- What pages are read off, so that one reads no more rows than it shows. Lists of
-- executions are read in the order of all, or in that of one project; and what is
-- asked of them, or of the events of an object, is in the index, so that what is
-- left out is not looked up. Each index is in the place of one before.

-- +goose Up
DROP INDEX executions_by_position;
CREATE INDEX executions_by_position ON executions (position, project_id, status, created_by);
DROP INDEX executions_by_status;
CREATE INDEX executions_by_project ON executions (project_id, position, status, created_by);
DROP INDEX audit_events_by_object;
CREATE INDEX audit_events_by_object ON audit_events (object_id, id, verb);
DROP INDEX audit_events_by_object_name;
CREATE INDEX audit_events_by_object_name ON audit_events (object_name, id, verb);
-- of last_check what a credential's state is made of; '' where it was not noted yet
ALTER TABLE credentials ADD COLUMN check_brief TEXT NOT NULL DEFAULT '';

-- +goose Down
ALTER TABLE credentials DROP COLUMN check_brief;
DROP INDEX audit_events_by_object_name;
CREATE INDEX audit_events_by_object_name ON audit_events (object_name, id);
DROP INDEX audit_events_by_object;
CREATE INDEX audit_events_by_object ON audit_events (object_id, id);
DROP INDEX executions_by_project;
CREATE INDEX executions_by_status ON executions (project_id, status);
DROP INDEX executions_by_position;
CREATE INDEX executions_by_position ON executions (position);
