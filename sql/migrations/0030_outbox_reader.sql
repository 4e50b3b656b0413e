-- The pipeline reads the outbox: it claims rows, marks what they say has changed, and deletes them.

-- Row security's `granted` policies let it see them all. UPDATE is what FOR UPDATE asks for; the column is GENERATED ALWAYS, so
-- there is nothing that it could be set to.
GRANT SELECT (id, kind, resource_id, occurred_at), UPDATE (id), DELETE ON outbox TO veritas_pipeline;
GRANT SELECT (id, attempt_id) ON submissions TO veritas_pipeline;
GRANT INSERT (session_id) ON dirty_sessions TO veritas_pipeline;

-- A queue: what is deleted must not stand in front of what is new.
ALTER TABLE outbox SET (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0);
