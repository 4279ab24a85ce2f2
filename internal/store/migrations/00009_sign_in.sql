-- How people sign in: sessions of browsers.

-- +goose Up
CREATE TABLE sessions (
    id           TEXT PRIMARY KEY,
    position     BIGINT NOT NULL,
    hash         TEXT NOT NULL UNIQUE,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    agent        TEXT NOT NULL,
    remote       TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    expires_at   BIGINT NOT NULL
);
CREATE INDEX sessions_by_user ON sessions (user_id, last_used_at);

-- +goose Down
DROP TABLE sessions;
