-- Evidence as the pipeline's sweep moves it to the cold tier, and looks for files that no row knows.

-- name: try_sweep
-- One sweep at a time; held until the connection closes.
SELECT pg_try_advisory_lock(1986359925, 7) AS sweeps;

-- name: list_due
-- $1 closed before, $2 found damaged before, $3 limit. What lies in the hot tier and is old, the oldest first.
SELECT id, organisation_id, sha256, size_bytes
FROM evidence
WHERE tier = 'hot' AND status IN (2, 3) AND gone_at IS NULL AND closed_at < $1 AND (damaged_at IS NULL OR damaged_at < $2)
ORDER BY closed_at
LIMIT $3;

-- name: list_files
-- $1 evidence_id
SELECT number, size_bytes, sha256, object_key FROM evidence_chunks WHERE evidence_id = $1 AND stored_at IS NOT NULL ORDER BY number;

-- name: is_kept
-- $1 evidence_id. Whether it is there, and not gone by policy.
SELECT EXISTS (SELECT FROM evidence WHERE id = $1 AND gone_at IS NULL) AS kept;

-- name: try_files
-- $1 evidence_id. The files of a piece for oneself, until they are let go or the connection closes.
SELECT pg_try_advisory_lock(1986359929, mod($1, 2147483647)::int) AS taken;

-- name: let_files
-- $1 evidence_id
SELECT pg_advisory_unlock(1986359929, mod($1, 2147483647)::int);

-- name: move
-- `body` is the event's, `place` where in it the commitment goes.
SELECT move_evidence(:evidence_id, :tier, :event_id, :at, :body, :place, :salt) AS moved;

-- name: note_damaged
-- $1 evidence_id, $2 event, $3 moment, $4 the event's body
SELECT note_damaged_evidence($1, $2, $3, $4) AS told;

-- name: list_known
-- $1 pieces, $2 keys. Those of the keys that are chunks of the pieces and not gone by policy, and when these were moved to the cold
-- tier, if they were.
SELECT c.object_key, c.size_bytes, CASE WHEN e.tier = 'cold' THEN e.moved_at END AS moved_at
FROM evidence_chunks c
JOIN evidence e ON e.id = c.evidence_id
WHERE c.evidence_id = ANY ($1::bigint[]) AND c.object_key = ANY ($2::text[]) AND e.gone_at IS NULL;

-- name: list_pending
-- $1 pieces. Those for which something may arrive still.
SELECT id FROM evidence WHERE id = ANY ($1::bigint[]) AND status = 1;

-- name: read_database
-- Which database this is: the cluster, and its name there.
SELECT system_identifier || ' ' || current_database() FROM pg_control_system();
