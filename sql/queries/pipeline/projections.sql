-- Statements of the projections: which attempts are to be computed again, what they are computed from, where they go.

-- name: read_one_snapshot
-- First in a transaction: everything it reads is of one moment.
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: list_dirty
-- $1 limit. Oldest first; sessions are resolved to their attempts.
SELECT d.id, s.attempt_id::text AS attempt_id, d.marked_at
FROM dirty_sessions d
JOIN proctor_sessions s ON s.id = d.session_id
ORDER BY d.id
LIMIT $1;

-- name: list_dirty_ids
SELECT id FROM dirty_sessions;

-- name: hold_projections
-- Rebuild takes it alone, projections share it: no row is computed from before a rebuild and stored after it.
SELECT pg_advisory_lock(1986359925, 2);

-- name: share_projections
SELECT pg_advisory_xact_lock_shared(1986359925, 2);

-- name: list_sessions
-- $1 attempt ids as text. Every session of the attempts with the dirty rows that wait for it. An end counts from when
-- the stream has confirmed it (final_seq): from then on it cannot change, and a dirty row said so.
WITH own AS (
    SELECT * FROM proctor_sessions WHERE attempt_id = ANY ($1::text[]::uuid[])
), dirty AS (
    SELECT d.session_id, array_agg(d.id ORDER BY d.id) AS ids
    FROM dirty_sessions d
    JOIN own ON own.id = d.session_id
    GROUP BY 1
)
SELECT s.id AS session_id, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id, s.candidate_id::text AS student_id,
       s.started_at, CASE WHEN s.final_seq IS NOT NULL THEN s.ended_at END AS ended_at,
       p.first_event_at, p.last_event_at, coalesce(dirty.ids, '{}') AS dirty_ids
FROM own s
LEFT JOIN session_progress p ON p.session_id = s.id
LEFT JOIN dirty ON dirty.session_id = s.id
ORDER BY s.id;

-- name: list_all_sessions
-- Every session there is, for a rebuild.
SELECT s.id AS session_id, s.attempt_id::text AS attempt_id, s.exam_id::text AS exam_id, s.candidate_id::text AS student_id,
       s.started_at, CASE WHEN s.final_seq IS NOT NULL THEN s.ended_at END AS ended_at
FROM proctor_sessions s
ORDER BY s.attempt_id, s.id;

-- name: list_activity_events
-- $1 session ids, $2 first moment, $3 last moment. The moments let the planner leave out the other days' chunks.
SELECT session_id, seq, occurred_at, effective_at, client_at, event_type, severity, is_violation, is_late
FROM events
WHERE session_id = ANY ($1::bigint[]) AND occurred_at >= $2 AND occurred_at <= $3;

-- name: upsert_activity
-- $1 rows as a JSON array of objects with the table's columns.
INSERT INTO reporting.attempt_activity AS a
SELECT r.* FROM json_populate_recordset(NULL::reporting.attempt_activity, $1::json) r
ON CONFLICT (attempt_id) DO UPDATE SET
    exam_id = excluded.exam_id, student_id = excluded.student_id, session_ids = excluded.session_ids,
    events = excluded.events, violations = excluded.violations, by_type = excluded.by_type,
    by_severity = excluded.by_severity, first_event_at = excluded.first_event_at, last_event_at = excluded.last_event_at,
    longest_silence_s = excluded.longest_silence_s, heartbeat_coverage = excluded.heartbeat_coverage,
    clock_skew_ms = excluded.clock_skew_ms, late_events = excluded.late_events, metric_version = excluded.metric_version,
    coverage = excluded.coverage, reasons = excluded.reasons, as_of = excluded.as_of;

-- name: delete_activity
-- $1 attempt ids as text: those that have no events (any more). Their exams come back.
DELETE FROM reporting.attempt_activity WHERE attempt_id = ANY ($1::text[]::uuid[]) RETURNING exam_id::text;

-- name: delete_all_activity
DELETE FROM reporting.attempt_activity;

-- name: delete_dirty
-- $1 ids that were read. Fewer deleted than read: another projection has taken some, and this one must not commit.
DELETE FROM dirty_sessions WHERE id = ANY ($1::bigint[]);

-- name: list_activity
-- $1 exam ids as text, or null for all. The rows as they stand, in the Parquet dataset's columns.
SELECT attempt_id::text AS attempt_id, exam_id::text AS exam_id, student_id::text AS student_id, session_ids, events,
       violations, by_type::text AS by_type, by_severity::text AS by_severity, first_event_at, last_event_at,
       longest_silence_s, heartbeat_coverage, clock_skew_ms, late_events, metric_version, coverage,
       reasons::text AS reasons, as_of
FROM reporting.attempt_activity
WHERE $1::text[] IS NULL OR exam_id = ANY ($1::text[]::uuid[])
ORDER BY exam_id, attempt_id;
