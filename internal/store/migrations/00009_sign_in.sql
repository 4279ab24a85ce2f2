-- How people sign in: sessions of browsers, and second factors.

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

CREATE TABLE totp (
    user_id      TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    id           TEXT NOT NULL,
    key_id       BIGINT NOT NULL,
    sealed       BYTEA NOT NULL,
    created_at   BIGINT NOT NULL,
    -- 0: it was begun only
    confirmed_at BIGINT NOT NULL,
    last_step    BIGINT NOT NULL
);

CREATE TABLE recovery_codes (
    user_id TEXT NOT NULL REFERENCES totp (user_id) ON DELETE CASCADE,
    hash    TEXT NOT NULL,
    PRIMARY KEY (user_id, hash)
);

-- +goose Down
DROP TABLE recovery_codes;
DROP TABLE totp;
DROP TABLE sessions;
