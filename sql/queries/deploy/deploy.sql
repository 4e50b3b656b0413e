-- What the local stack does to its own PostgreSQL once the migrations have run.

-- name: compose_password_change
-- $1 role text, $2 password text
-- Gives back the statement to run: a role's password cannot be a parameter of it.
SELECT format('ALTER ROLE %I PASSWORD %L', $1::text, $2::text);

-- name: read_server_settings
-- $1 names text[]. One row per setting that the server knows.
SELECT name, setting FROM pg_settings WHERE name = ANY ($1::text[]);

-- name: read_extension
-- $1 name text. installed is null where the database does not have it yet; no row where the server does not offer it.
SELECT default_version, installed_version FROM pg_available_extensions WHERE name = $1::text;

-- name: read_timescaledb_license
-- Null where the extension is not loaded; 'apache' or 'timescale' otherwise.
SELECT current_setting('timescaledb.license', true);

-- name: list_stopped_shards
-- Shards whose writer has stopped, and why.
SELECT shard, stopped_at, stopped_why FROM stream_offsets WHERE stopped_why IS NOT NULL ORDER BY shard;

-- name: list_late_outages
-- $1 hours, $2 limit. When nothing was taken for a shard lately, the latest first.
SELECT shard, started_at, ended_at FROM ingest_outages
WHERE ended_at > now() - $1::int * interval '1 hour' ORDER BY ended_at DESC LIMIT $2;

-- name: list_quarantined
-- $1 limit. Sessions whose events are set aside at the moment, the newest session first.
SELECT DISTINCT ON (session_id) session_id, ends_at, sqlstate, reason FROM session_quarantines
WHERE ends_at > now() ORDER BY session_id DESC, began_at DESC LIMIT $1;

-- name: list_damaged_evidence
-- $1 limit. What the sweep found to be other bytes than were stored, and when it last did; what is gone by policy is no trouble more.
SELECT id, damaged_at FROM evidence WHERE damaged_at IS NOT NULL AND gone_at IS NULL ORDER BY id LIMIT $1;
