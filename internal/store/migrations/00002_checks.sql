-- What a registry answered about a credential, and the secrets that others have
-- taken the place of.

-- +goose Up
-- when the last grant ends that the credential gave
ALTER TABLE credentials ADD COLUMN grants_until BIGINT NOT NULL DEFAULT 0;
-- a document, '' before the first check
ALTER TABLE credentials ADD COLUMN last_check TEXT NOT NULL DEFAULT '';
-- when the next one is due; 0 is now
ALTER TABLE credentials ADD COLUMN check_due_at BIGINT NOT NULL DEFAULT 0;
CREATE INDEX credentials_by_check ON credentials (check_due_at);

CREATE TABLE retired_secrets (
    credential_id TEXT NOT NULL REFERENCES credentials (id) ON DELETE CASCADE,
    version       BIGINT NOT NULL,
    config        TEXT NOT NULL,
    key_id        BIGINT NOT NULL,
    sealed        BYTEA NOT NULL,
    until         BIGINT NOT NULL,
    at_registry   BOOLEAN NOT NULL,
    PRIMARY KEY (credential_id, version)
);
CREATE INDEX retired_secrets_by_until ON retired_secrets (until);
CREATE INDEX retired_secrets_by_key ON retired_secrets (key_id);
