-- People who are invited, and machines that ask to sign in. A row is gone when it
-- was used; one whose end is past is nothing.

-- +goose Up
CREATE TABLE invitations (
    id              TEXT PRIMARY KEY,
    position        BIGINT NOT NULL,
    hash            TEXT NOT NULL UNIQUE,
    organization_id BIGINT NOT NULL REFERENCES organizations (id),
    email           TEXT NOT NULL,
    role            TEXT NOT NULL,
    invited_by      TEXT NOT NULL REFERENCES users (id),
    created_at      BIGINT NOT NULL,
    expires_at      BIGINT NOT NULL
);
CREATE INDEX invitations_by_organization ON invitations (organization_id, position);
CREATE INDEX invitations_by_end ON invitations (expires_at);

CREATE TABLE device_logins (
    hash       TEXT PRIMARY KEY,
    -- of the code that a person types
    user_hash  TEXT NOT NULL UNIQUE,
    name       TEXT NOT NULL,
    remote     TEXT NOT NULL,
    -- the network that remote is of, which the bound is for
    network    TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    expires_at BIGINT NOT NULL,
    state      TEXT NOT NULL,
    -- who approved or denied it; NULL: nobody yet
    user_id    TEXT REFERENCES users (id)
);
CREATE INDEX device_logins_by_network ON device_logins (network);
CREATE INDEX device_logins_by_end ON device_logins (expires_at);

-- +goose Down
DROP TABLE device_logins;
DROP TABLE invitations;
