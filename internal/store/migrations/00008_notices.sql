-- What people and programs are told without asking.

-- +goose Up
CREATE TABLE notice_channels (
    id              TEXT PRIMARY KEY,
    position        BIGINT NOT NULL,
    -- 0 is the installation
    organization_id BIGINT NOT NULL,
    name            TEXT NOT NULL,
    way             TEXT NOT NULL,
    -- a document: addresses, URL, events, projects, statuses
    settings        TEXT NOT NULL,
    enabled         BOOLEAN NOT NULL,
    version         BIGINT NOT NULL,
    key_id          BIGINT NOT NULL,
    sealed          BYTEA NOT NULL,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    -- what came of the last attempt
    last_at         BIGINT NOT NULL DEFAULT 0,
    last_state      TEXT NOT NULL DEFAULT '',
    last_code       TEXT NOT NULL DEFAULT '',
    last_sentence   TEXT NOT NULL DEFAULT '',
    UNIQUE (organization_id, name)
);

CREATE TABLE notice_wishes (
    user_id  TEXT PRIMARY KEY REFERENCES users (id) ON DELETE CASCADE,
    statuses TEXT NOT NULL
);

-- written with what it tells of; gone when it was seen to
CREATE TABLE notice_happenings (
    position  BIGINT PRIMARY KEY,
    -- the same for the same fact, where it could be told twice; else unique
    id        TEXT NOT NULL UNIQUE,
    kind      TEXT NOT NULL,
    object_id TEXT NOT NULL,
    at        BIGINT NOT NULL,
    details   TEXT NOT NULL
);

-- what was last told of something
CREATE TABLE notice_told (
    key   TEXT PRIMARY KEY,
    value TEXT NOT NULL,
    at    BIGINT NOT NULL
);
CREATE INDEX notice_told_by_time ON notice_told (at);

CREATE TABLE notice_messages (
    id         TEXT PRIMARY KEY,
    position   BIGINT NOT NULL,
    channel_id TEXT NOT NULL,
    receiver   TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    target     TEXT NOT NULL,
    -- a document: the notices and how many were left out
    content    TEXT NOT NULL,
    is_digest  BOOLEAN NOT NULL,
    state      TEXT NOT NULL,
    attempts   BIGINT NOT NULL,
    created_at BIGINT NOT NULL,
    next_at    BIGINT NOT NULL,
    done_at    BIGINT NOT NULL,
    code       TEXT NOT NULL,
    sentence   TEXT NOT NULL
);
CREATE INDEX notice_messages_by_target ON notice_messages (target, position);
CREATE INDEX notice_messages_by_channel ON notice_messages (channel_id, position);
CREATE INDEX notice_messages_due ON notice_messages (next_at) WHERE state = 'waiting';
CREATE INDEX notice_messages_done ON notice_messages (done_at) WHERE state <> 'waiting';

-- +goose Down
DROP TABLE notice_messages;
DROP TABLE notice_told;
DROP TABLE notice_happenings;
DROP TABLE notice_wishes;
DROP TABLE notice_channels;
