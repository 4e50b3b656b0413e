-- Statements of the migrator.

-- name: lock
-- $1 key. Held until the connection closes.
SELECT pg_advisory_lock($1);

-- name: create_ledger
CREATE TABLE IF NOT EXISTS schema_migrations (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);

-- name: list_applied
SELECT name, checksum FROM schema_migrations;

-- name: bound_waits
-- Whoever waits for a lock holds up all who come after: a migration that does not get one gives up, and is applied another time.
SET LOCAL lock_timeout = '5s';

-- name: record_applied
-- $1 name, $2 checksum
INSERT INTO schema_migrations (name, checksum) VALUES ($1, $2);
