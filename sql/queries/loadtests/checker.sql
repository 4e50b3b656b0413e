-- What the checker of the load tests reads: all that is stored of the sessions it knows from the clients' own logs.

-- name: list_stored
-- $1 session ids bigint[]. The marker is what the client put into its metadata.
SELECT session_id, seq, occurred_at, client, client_seq, event_type::int, payload->>'marker' AS marker
FROM events
WHERE session_id = ANY($1::bigint[]);

-- name: list_dead
-- $1 session ids bigint[]. The event's bytes may be anything; whoever reads them must expect that.
SELECT session_id, seq, occurred_at, event
FROM dead_letters
WHERE session_id = ANY($1::bigint[]);

-- name: list_losses
-- Losses of acknowledged stream entries that the writer has seen.
SELECT shard, epoch, kind, expected_counter, found_counter
FROM stream_losses
ORDER BY id;

-- name: count_events_by_exam
-- $1 exam ids uuid[]. Stored events by exam and type number; dead letters are no rows here.
SELECT s.exam_id, e.event_type::int, count(*) AS events
FROM events e
JOIN proctor_sessions s ON s.id = e.session_id
WHERE s.exam_id = ANY($1::uuid[])
GROUP BY s.exam_id, e.event_type;

-- name: count_submissions_by_exam
-- $1 exam ids uuid[]
SELECT exam_id, count(*) AS submissions FROM submissions WHERE exam_id = ANY($1::uuid[]) GROUP BY exam_id;

-- name: count_projected_by_exam
-- $1 exam ids uuid[]. What the projection holds, by exam and type name.
SELECT a.exam_id, kind.key AS event_type, sum(kind.value::bigint)::bigint AS events
FROM reporting.attempt_activity a, jsonb_each_text(a.by_type) AS kind
WHERE a.exam_id = ANY($1::uuid[])
GROUP BY a.exam_id, kind.key;
