-- Who may call: bearer tokens. The token itself is nowhere, only its SHA-256: it is 256 random bits, so that no slower hash is
-- needed. A token never changes but for its last use and its end, so that what a replica knows of it stays true.

CREATE TABLE joblog.token (
    id            text PRIMARY KEY CHECK (id ~ '^[0-9a-f]{16}$'),
    hash          bytea       NOT NULL CHECK (length(hash) = 32),
    name          text        NOT NULL CHECK (name <> ''),
    roles         int         NOT NULL CHECK (roles BETWEEN 1 AND 31),
    queues        text[]      NOT NULL DEFAULT '{}',
    job_names     text[]      NOT NULL DEFAULT '{}',
    owners        text[]      NOT NULL DEFAULT '{}',
    owner         text        NOT NULL DEFAULT '',
    own_only      boolean     NOT NULL DEFAULT false,
    may_delegate  boolean     NOT NULL DEFAULT false,
    creator       text        NOT NULL,
    create_time   timestamptz NOT NULL DEFAULT now(),
    expire_time   timestamptz,
    last_use_time timestamptz,
    revoker       text,
    revoke_time   timestamptz,
    CHECK ((revoker IS NULL) = (revoke_time IS NULL))
);
COMMENT ON TABLE joblog.token IS 'Bearer tokens, by the first half of their text; only a hash of the whole is kept.';
COMMENT ON COLUMN joblog.token.roles IS 'Sum of: 1 admin, 2 dispatcher, 4 worker, 8 viewer, 16 exporter.';
COMMENT ON COLUMN joblog.token.last_use_time IS 'Written about once a minute, so up to a minute behind.';

-- "token:NAME" in the record of a job means one token at a time.
CREATE UNIQUE INDEX token_name ON joblog.token (name) WHERE revoke_time IS NULL;

-- One row. Raised with every token that is made or revoked, in the same transaction, so that whoever reads a number has seen
-- all that belongs to it.
CREATE TABLE joblog.token_version (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    number   bigint NOT NULL
);
INSERT INTO joblog.token_version (number) VALUES (1);
