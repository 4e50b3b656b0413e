-- Statements of the ledger's verifier and export. They run in one read-only snapshot.

-- name: read_size
SELECT coalesce(max(position) + 1, 0)::bigint AS size FROM ledger_leaves;

-- name: stream_leaves
-- In order of position, with the event's columns (null where it is not there).
SELECT l.position, l.event_id, l.leaf_hash, e.body, e.organisation_id, e.occurred_at, e.kind, e.aggregate_type,
       e.aggregate_id, e.actor_id, e.actor_role, e.subject_id
FROM ledger_leaves l
LEFT JOIN ledger_events e ON e.id = l.event_id
ORDER BY l.position;

-- name: stream_leaf_tiles
SELECT index, hashes FROM ledger_tiles WHERE level = 0 ORDER BY index;

-- name: list_upper_tiles
SELECT level, index, hashes FROM ledger_tiles WHERE level > 0 ORDER BY level, index;

-- name: stream_heads
SELECT size, note FROM ledger_heads ORDER BY size;

-- name: list_unqueued
-- Events that have no position and wait for none, oldest first.
SELECT e.id FROM ledger_events e
WHERE NOT EXISTS (SELECT FROM ledger_leaves l WHERE l.event_id = e.id)
  AND NOT EXISTS (SELECT FROM ledger_pending p WHERE p.event_id = e.id)
ORDER BY e.id
LIMIT 10;

-- name: list_misqueued
-- Queued, and not there, or sealed already.
SELECT p.event_id FROM ledger_pending p
WHERE NOT EXISTS (SELECT FROM ledger_events e WHERE e.id = p.event_id)
   OR EXISTS (SELECT FROM ledger_leaves l WHERE l.event_id = p.event_id)
ORDER BY p.event_id
LIMIT 10;

-- name: stream_salts
SELECT s.event_id, s.name, s.salt, s.value, e.body
FROM ledger_salts s
LEFT JOIN ledger_events e ON e.id = s.event_id
ORDER BY s.event_id, s.name;

-- name: stream_bodies
SELECT l.position, e.body
FROM ledger_leaves l
JOIN ledger_events e ON e.id = l.event_id
ORDER BY l.position;
