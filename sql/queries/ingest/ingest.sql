-- Statements of the ingest tier: none of them on the path of an event whose session Redis knows.

-- name: list_epochs
-- The latest epoch of every shard; opened_at is null while its writer reconciles, stopped_why where it has stopped.
SELECT DISTINCT ON (e.shard) e.shard, e.epoch, e.run_id, e.replication_id, e.opened_at, o.stopped_why
FROM stream_epochs e
LEFT JOIN stream_offsets o ON o.shard = e.shard
ORDER BY e.shard, e.epoch DESC;

-- name: read_sessions
-- $1 session ids. What Redis needs to take sessions up again: everything here is as of one snapshot, and complete,
-- because an epoch opens only after the stream before it was drained.
SELECT s.id, s.status, s.candidate_id, s.organisation_id, s.exam_id, s.ended_at, s.started_at, s.final_seq IS NOT NULL AS is_final,
       coalesce(p.through_seq, 0) AS through_seq, coalesce(p.total_violations, 0) AS total_violations,
       p.last_event_at, p.last_heartbeat_at, p.clock_offset_us,
       coalesce((SELECT array_agg(c.client ORDER BY c.client) FROM session_clients c WHERE c.session_id = s.id), '{}') AS clients,
       coalesce((SELECT array_agg(c.received::text ORDER BY c.client) FROM session_clients c WHERE c.session_id = s.id), '{}') AS received,
       open_commands(s.id) AS commands
FROM proctor_sessions s
LEFT JOIN session_progress p ON p.session_id = s.id
WHERE s.id = ANY ($1::bigint[]);

-- name: read_score
-- $1 session. Null until one was computed; only where candidates are shown the number.
SELECT shown_score($1) AS score;

-- name: confirm_commands
-- $1 session, $2 commands. A client has confirmed them with its heartbeat; the first time counts.
UPDATE session_commands SET confirmed_at = now()
WHERE session_id = $1 AND id = ANY ($2::bigint[]) AND confirmed_at IS NULL;

-- name: locate_events
-- $1 session id, $2 client, $3 first clientSequences, $4 last ones: ranges. What was received under these numbers, for a
-- retry: found by its piece, then by its place, so that a long session costs no more than a short one. `seq` is null of
-- what was refused and settled, `letter` is set where PostgreSQL could not hold the event.
WITH asked AS (
    SELECT * FROM unnest($3::bigint[], $4::bigint[]) AS a (low, high)
), pieces AS (
    SELECT greatest(a.low, p.first) AS low, least(a.high, p.through) AS high, p.seq + (greatest(a.low, p.first) - p.first) AS seq,
           p.first_at, p.last_at
    FROM asked a
    CROSS JOIN LATERAL (
        SELECT * FROM received_pieces r
        WHERE r.session_id = $1 AND r.client = $2 AND r.first <= a.high
          AND r.first >= coalesce((SELECT b.first FROM received_pieces b
                                   WHERE b.session_id = $1 AND b.client = $2 AND b.first <= a.low
                                   ORDER BY b.first DESC LIMIT 1), a.low)
    ) p
    WHERE p.through >= a.low
)
SELECT e.client_seq, e.seq, e.occurred_at, e.is_late, e.event_type, e.event_name, e.severity, e.client_at, e.payload::text AS payload,
       NULL::bytea AS letter
FROM pieces p
CROSS JOIN LATERAL (
    SELECT * FROM events
    WHERE session_id = $1 AND seq BETWEEN p.seq AND p.seq + (p.high - p.low) AND occurred_at BETWEEN p.first_at AND p.last_at
) e
UNION ALL
SELECT p.low + (d.seq - p.seq), d.seq, d.occurred_at, coalesce(d.seq > (SELECT final_seq FROM proctor_sessions WHERE id = $1), false), NULL, NULL, NULL, NULL, NULL, d.event
FROM pieces p
JOIN dead_letters d ON d.session_id = $1 AND d.seq BETWEEN p.seq AND p.seq + (p.high - p.low)
UNION ALL
SELECT n, NULL, p.first_at, false, NULL, NULL, NULL, NULL, NULL, NULL
FROM pieces p CROSS JOIN generate_series(p.low, p.high) AS n
WHERE p.seq IS NULL;

-- name: find_sessions_of_attempts
-- $1 attempt ids, $2 organisation and $3 candidate (null for a service) of the sender, $4 whether the sender may open one.
-- The session that a monitoring module's events belong to: the running one, else the latest. A module may report before
-- the candidate's browser has opened a session: one is made as the attempt's policy has it, for whoever may post to it.
SELECT a.attempt_id, coalesce(s.id, CASE WHEN $4::boolean THEN open_soft_session(a.attempt_id, $2, $3) END) AS id
FROM unnest($1::uuid[]) AS a (attempt_id)
LEFT JOIN LATERAL (
    SELECT id FROM proctor_sessions p WHERE p.attempt_id = a.attempt_id
    ORDER BY (p.status = 1) DESC, p.started_at DESC, p.id DESC LIMIT 1
) s ON true;
