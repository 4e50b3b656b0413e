-- Statements of the ingest tier: none of them on the path of an event whose session Redis knows.

-- name: list_epochs
-- The latest epoch of every shard; opened_at is null while its writer reconciles, stopped_why where it has stopped.
SELECT DISTINCT ON (e.shard) e.shard, e.epoch, e.run_id, e.replication_id, e.opened_at, o.stopped_why
FROM stream_epochs e
LEFT JOIN stream_offsets o ON o.shard = e.shard
ORDER BY e.shard, e.epoch DESC;

-- name: read_session
-- $1 session id. What Redis needs to take a session up again: everything here is as of one snapshot, and complete,
-- because an epoch opens only after the stream before it was drained.
SELECT s.status, s.candidate_id, s.organisation_id, s.exam_id, s.ended_at, s.started_at, s.final_seq IS NOT NULL AS is_final,
       coalesce(p.through_seq, 0) AS through_seq, coalesce(p.total_violations, 0) AS total_violations,
       p.last_event_at, p.last_heartbeat_at, p.clock_offset_us,
       coalesce((SELECT array_agg(c.client ORDER BY c.client) FROM session_clients c WHERE c.session_id = s.id), '{}') AS clients,
       coalesce((SELECT array_agg(c.received::text ORDER BY c.client) FROM session_clients c WHERE c.session_id = s.id), '{}') AS received
FROM proctor_sessions s
LEFT JOIN session_progress p ON p.session_id = s.id
WHERE s.id = $1;

-- name: locate_events
-- $1 session id, $2 client, $3 first clientSequence, $4 last. Where a resent event has been stored, for its first reply.
SELECT client_seq, seq, occurred_at, is_late
FROM events
WHERE session_id = $1 AND client = $2 AND client_seq BETWEEN $3 AND $4
  AND occurred_at >= (SELECT started_at FROM proctor_sessions WHERE id = $1)
UNION ALL
SELECT (convert_from(event, 'UTF8')::json ->> 'clientSequence')::bigint, seq, occurred_at,
       coalesce(seq > (SELECT final_seq FROM proctor_sessions WHERE id = $1), false)
FROM dead_letters
WHERE session_id = $1 AND convert_from(event, 'UTF8')::json ->> 'client' = ($2::bigint)::text
  AND (convert_from(event, 'UTF8')::json ->> 'clientSequence')::bigint BETWEEN $3 AND $4;

-- name: find_session_of_attempt
-- $1 attempt id. The session that a monitoring module's events belong to: the running one, else the latest.
SELECT id FROM proctor_sessions WHERE attempt_id = $1 ORDER BY (status = 1) DESC, started_at DESC, id DESC LIMIT 1;

-- name: open_session_of_attempt
-- $1 attempt id, $2 organisation and $3 candidate (null for a service) of the sender. A module may report before the
-- candidate's browser has opened a session: one is made as the attempt's policy has it, for whoever may post to it.
SELECT open_soft_session($1, $2, $3) AS id;
