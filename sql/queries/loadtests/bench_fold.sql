-- Statements of the benchmark of the fold, run by hand.

-- name: store_events
-- $1 sessions, $2 events of each, $3 seconds between two. As the writer leaves them: rows, progress, a touch for each session.
WITH own AS (
    SELECT s.id, coalesce(p.through_seq, 0) AS through_seq, coalesce(p.last_event_at, s.started_at) AS last_at
    FROM proctor_sessions s
    LEFT JOIN session_progress p ON p.session_id = s.id
    WHERE s.id = ANY ($1::bigint[])
), stored AS (
    INSERT INTO events (session_id, seq, occurred_at, client_at, event_type, severity, is_violation, is_late)
    SELECT id, through_seq + n, last_at + n * $3::float8 * interval '1 second', last_at + n * $3 * interval '1.001 second',
           CASE n % 10 WHEN 0 THEN 1 WHEN 1 THEN 2 ELSE 103 END, n % 3, n % 10 = 1, false
    FROM own CROSS JOIN generate_series(1, $2::int) n
), touched AS (
    INSERT INTO dirty_sessions (session_id) SELECT id FROM own
)
INSERT INTO session_progress AS p (session_id, through_seq, total_events, total_violations, first_event_at, last_event_at)
SELECT id, $2, $2, 0, last_at, last_at + $2 * $3 * interval '1 second' FROM own
ON CONFLICT (session_id) DO UPDATE SET
    through_seq = p.through_seq + excluded.through_seq, total_events = p.total_events + excluded.total_events,
    last_event_at = excluded.last_event_at;

-- name: read_folded
-- $1 session. Null before its first turn.
SELECT through_seq FROM reporting.session_folds WHERE session_id = $1;

-- name: read_difference
-- Events stored, and those that the attempts' rows count; both at once.
SELECT (SELECT count(*) FROM events) AS stored, (SELECT coalesce(sum(events), 0)::bigint FROM reporting.attempt_activity) AS folded;
