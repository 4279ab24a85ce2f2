-- Whom providers elsewhere answer for.

-- +goose Up
CREATE TABLE external_identities (
    issuer       TEXT NOT NULL,
    subject      TEXT NOT NULL,
    position     BIGINT NOT NULL,
    user_id      TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- what the provider last told, for people to recognise it by
    username     TEXT NOT NULL,
    email        TEXT NOT NULL,
    created_at   BIGINT NOT NULL,
    last_used_at BIGINT NOT NULL,
    PRIMARY KEY (issuer, subject)
);
CREATE INDEX external_identities_by_user ON external_identities (user_id, position);

-- Roles that groups have given, until a hand gives another one.
CREATE TABLE group_roles (
    user_id         TEXT NOT NULL REFERENCES users (id) ON DELETE CASCADE,
    -- 0 is the installation
    organization_id BIGINT NOT NULL,
    role            TEXT NOT NULL,
    -- what was given by hand before; '' is none
    hand            TEXT NOT NULL,
    PRIMARY KEY (user_id, organization_id)
);

CREATE TABLE external_sessions (
    session_id TEXT PRIMARY KEY REFERENCES sessions (id) ON DELETE CASCADE,
    issuer     TEXT NOT NULL,
    subject    TEXT NOT NULL,
    -- '' where the provider names none
    sid        TEXT NOT NULL,
    version    BIGINT NOT NULL,
    key_id     BIGINT NOT NULL,
    -- the refresh token; '' is none
    sealed     BYTEA NOT NULL,
    -- 0 is never
    refresh_at BIGINT NOT NULL,
    away_since BIGINT NOT NULL
);
CREATE INDEX external_sessions_by_subject ON external_sessions (issuer, subject);
CREATE INDEX external_sessions_by_sid ON external_sessions (issuer, sid) WHERE sid <> '';
CREATE INDEX external_sessions_due ON external_sessions (refresh_at) WHERE refresh_at <> 0;

-- +goose Down
DROP TABLE external_sessions;
DROP TABLE group_roles;
DROP TABLE external_identities;
