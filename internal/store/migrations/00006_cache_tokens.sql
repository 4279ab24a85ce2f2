-- Tokens of pull-through caches apart from the server.

-- +goose Up
ALTER TABLE tokens ADD COLUMN cache BOOLEAN NOT NULL DEFAULT FALSE;

-- +goose Down
DELETE FROM tokens WHERE cache;
ALTER TABLE tokens DROP COLUMN cache;
